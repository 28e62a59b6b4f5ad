"""Label smoothing, mixup and cutout of batches, in memory and on a device."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from data.records import Batch, Images
from data.regularize import (
    OFF,
    Regularization,
    draw_cutout,
    draw_mixture,
    mix,
    regularize,
    soft_targets,
)
from training.recipe import get_recipe
from training.run import Run
from training.run_data import RunData

ALL = Regularization(label_smoothing=0.1, mixup=0.5, cutout=3)


def batches(count=3):
    rng = np.random.default_rng(0)
    for _ in range(count):
        images = rng.normal(size=(20, 3, 8, 8)).astype(np.float32)
        yield Batch(images, rng.integers(0, 10, 20).astype(np.int32), 20)


def test_smoothed_targets():
    targets = soft_targets(np.array([1, 0]), 4, 0.2)
    assert targets.dtype == np.float32
    assert np.allclose(targets, [[0.05, 0.85, 0.05, 0.05], [0.85, 0.05, 0.05, 0.05]])
    assert (soft_targets(np.array([1]), 2) == [[0, 1]]).all()


def test_mixtures_keep_most_of_their_own_image():
    rng = np.random.default_rng(0)
    drawn = [draw_mixture(6, 0.5, rng) for _ in range(2000)]
    shares = np.array([share for share, _ in drawn])
    assert shares.min() >= 0.5
    # of Beta(1/2, 1/2), the arcsine distribution, folded at 1/2: P(share < x) = 4/pi asin(sqrt x)-1
    for x in (0.6, 0.75, 0.9):
        expected = 4 / np.pi * np.arcsin(np.sqrt(x)) - 1
        assert abs((shares < x).mean() - expected) < 4 * np.sqrt(expected * (1 - expected) / 2000)
    partners = np.array([partners for _, partners in drawn])
    assert (np.sort(partners) == np.arange(6)).all()
    assert np.abs((partners == 0).mean(0) - 1 / 6).max() < 0.04
    values = np.array([[1.0, 2], [3, 4], [5, 6]], np.float32)
    mixed = mix(values, 0.75, np.array([2, 0, 1]))
    assert (mixed == [[2, 3], [2.5, 3.5], [4.5, 5.5]]).all() and mixed.dtype == np.float32


@pytest.mark.parametrize("side", [1, 2, 3, 20])
def test_cutout_removes_a_square_around_any_pixel(side):
    masks = draw_cutout(2000, (6, 5), side, np.random.default_rng(0))
    assert masks.shape == (2000, 1, 6, 5) and masks.dtype == np.float32
    possible = set()
    for row in range(6):
        for column in range(5):
            mask = np.ones((6, 5), np.float32)
            top, left = row - side // 2, column - side // 2
            mask[max(top, 0) : top + side, max(left, 0) : left + side] = 0
            possible.add(mask.tobytes())
    assert {mask.tobytes() for mask in masks} == possible


def test_off_changes_nothing():
    given = batches()
    assert regularize(given, OFF, 10, 0) is given


def test_a_batch_is_cut_then_mixed_and_its_labels_stay():
    given, found = list(batches()), list(regularize(batches(), ALL, 10, 5))
    rng = np.random.default_rng(5)
    for before, after in zip(given, found):
        mask = draw_cutout(20, (8, 8), 3, rng)
        share, partners = draw_mixture(20, 0.5, rng)
        assert (after.images == mix(before.images * mask, share, partners)).all()
        targets = mix(soft_targets(before.labels, 10, 0.1), share, partners)
        assert (after.targets == targets).all()
        assert after.images.dtype == after.targets.dtype == np.float32
        assert np.allclose(after.targets.sum(1), 1)
        assert (after.labels == before.labels).all() and after.total == 20
    (smooth, *_) = regularize(batches(), Regularization(label_smoothing=0.1), 10, 5)
    assert (smooth.images == given[0].images).all() and smooth.targets.max() < 0.92
    (cut, *_) = regularize(batches(), Regularization(cutout=2), 10, 5)
    assert cut.targets is None


def test_batches_on_a_device_are_those_in_memory():
    torch = pytest.importorskip("torch")
    there = (replace(batch, images=torch.as_tensor(batch.images)) for batch in batches())
    in_memory, on_device = (list(regularize(each, ALL, 10, 5)) for each in (batches(), there))
    assert len(in_memory) == len(on_device) == 3
    for ours, theirs in zip(in_memory, on_device):
        assert isinstance(theirs.images, torch.Tensor) and theirs.images.dtype == torch.float32
        assert np.abs(theirs.images.numpy() - ours.images).max() < 1e-6
        assert (theirs.targets == ours.targets).all()


def test_a_run_regularizes_without_a_change_of_order_or_augmentation():
    recipe = get_recipe("quick", batch_size=10, label_smoothing=0.1, mixup=0.5, cutout=3)
    run = Run("cross", 14, "cifar10", "", "", recipe, seed=1)
    data, shards = RunData(run), [SimpleNamespace(rank=rank, count=2) for rank in range(2)]
    pixels = np.random.default_rng(0).integers(0, 256, (23, 3, 32, 32), dtype=np.uint8)
    data.train = Images(pixels, np.arange(23, dtype=np.int32) % 10)
    plain = list(data.train_batches(2, shards[0], regularized=False))
    mixed = list(data.train_batches(2, shards[0]))
    expected = regularize(plain, ALL, 10, (1, 2, 3, 0))
    for ours, theirs in zip(mixed, expected):
        assert (ours.images == theirs.images).all() and (ours.targets == theirs.targets).all()
        assert (ours.labels == theirs.labels).all()
    other = next(iter(data.train_batches(2, shards[1])))
    assert len(other) == 5 and (other.labels != mixed[0].labels).any()
