"""Batches made on a device are those made on the CPU."""

from dataclasses import replace

import numpy as np
import pytest

from data import records
from data.augment import AUG_TYPES

torch = pytest.importorskip("torch")

from engine.torch_images import DeviceImages  # noqa: E402

STATISTICS = {"mean": (125.3, 122.9, 113.8), "std": (63.0, 62.1, 66.7)}


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (23, 3, 32, 32), dtype=np.uint8)
    return records.Images(pixels, np.arange(23, dtype=np.int32))


@pytest.fixture
def cached(images):
    device = torch.device("cpu")
    return replace(images, on_device=DeviceImages(images.pixels, **STATISTICS, device=device))


def assert_same(here, there):
    here, there = list(here), list(there)
    assert len(here) == len(there) > 1
    for ours, theirs in zip(here, there):
        assert isinstance(theirs.images, torch.Tensor)
        assert np.abs(ours.images - theirs.images.numpy()).max() < 1e-5
        assert (ours.labels == theirs.labels).all()
        assert ours.total == theirs.total


@pytest.mark.parametrize("augmentation", AUG_TYPES)
@pytest.mark.parametrize("shard", [0, 1])
def test_training_batches(images, cached, augmentation, shard):
    how = {"augmentation": augmentation, "seed": 3, "epoch": 2, "shard": shard, "num_shards": 2}
    batches = (records.train_batches(each, 5, **STATISTICS, **how) for each in (images, cached))
    assert_same(*batches)


def test_test_batches(images, cached):
    assert_same(*(records.test_batches(each, 10, **STATISTICS) for each in (images, cached)))
