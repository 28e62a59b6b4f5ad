"""Augmentations: which images can come out, how often, and that inputs stay as they are."""

import numpy as np
import pytest

from data.augment import AUG_TYPES, augment_batch, mirror, normalize, shift


def batch(count=200, size=8, seed=0):
    return np.random.RandomState(seed).randn(count, 3, size, size).astype(np.float32)


def test_names():
    assert AUG_TYPES == ("none", "+", "++")
    images = batch()
    assert augment_batch(images, "none", np.random.default_rng(0)) is images


@pytest.mark.parametrize("name", ["+++", 2])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(ValueError, match="name must be one of none, [+], [+][+], not"):
        augment_batch(batch(1), name, np.random.default_rng(0))


def test_normalize():
    pixels = np.random.RandomState(0).randint(0, 256, (5, 3, 4, 6), np.uint8)
    mean, std = (100.5, 120.25, 30), (60.5, 50, 70)
    expected = (pixels.transpose(0, 2, 3, 1) - np.array(mean)) / np.array(std)
    images = normalize(pixels, mean, std)
    assert images.dtype == np.float32 and images.flags.c_contiguous
    np.testing.assert_allclose(images, expected.transpose(0, 3, 1, 2), rtol=1e-5, atol=1e-6)


def test_mirror_flips_whole_images_half_of_the_time():
    images = batch(1000)
    mirrored = mirror(images, np.random.default_rng(0))
    kept = (mirrored == images).all((1, 2, 3))
    flipped = (mirrored == images[..., ::-1]).all((1, 2, 3))
    assert (kept ^ flipped).all()
    assert 420 < flipped.sum() < 580


@pytest.mark.parametrize("mode", ["constant", "reflect"])
def test_shift_moves_each_image_by_its_own_offset(mode):
    pad, size = 2, 8
    images = batch(500, size)
    shifted = shift(images, np.random.default_rng(0), pad, mode)
    offsets = set()
    for image, result in zip(images, shifted):
        padded = np.pad(image, ((0, 0), (pad, pad), (pad, pad)), mode=mode)
        places = [
            (top, left)
            for top in range(2 * pad + 1)
            for left in range(2 * pad + 1)
            if (padded[:, top : top + size, left : left + size] == result).all()
        ]
        assert len(places) == 1
        offsets.update(places)
    assert len(offsets) == (2 * pad + 1) ** 2  # every offset occurs


def test_what_moves_in_is_the_channel_mean():
    mean, std = (10, 20, 30), (1, 2, 3)
    pixels = np.full((50, 3, 32, 32), 200, np.uint8)
    shifted = shift(normalize(pixels, mean, std), np.random.default_rng(0))
    restored = shifted * np.array(std).reshape(3, 1, 1) + np.array(mean).reshape(3, 1, 1)
    for channel in range(3):
        assert set(np.unique(restored[:, channel].round(3))) == {mean[channel], 200}


@pytest.mark.parametrize("name", AUG_TYPES)
def test_pure_and_deterministic(name):
    images = batch()
    before = images.copy()
    first = augment_batch(images, name, np.random.default_rng(5))
    again = augment_batch(images, name, np.random.default_rng(5))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(images, before)
    assert first.dtype == np.float32 and first.flags.c_contiguous and first.shape == images.shape
    if name != "none":
        assert (first != augment_batch(images, name, np.random.default_rng(6))).any()


def test_plus_pads_with_zeros_and_plus_plus_does_not():
    images = np.ones((100, 3, 32, 32), np.float32)
    assert (augment_batch(images, "+", np.random.default_rng(0)) == 0).any()
    assert (augment_batch(images, "++", np.random.default_rng(0)) == 1).all()
