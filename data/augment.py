"""The papers' augmentations: pure functions of a batch and a NumPy random Generator.

A batch is float32 (N, C, H, W), already normalised, so that padding with zeros is padding with the
channel mean. "+" (deeply-fused networks and FractalNet) mirrors and shifts with zeros outside;
"++" (FractalNet) shifts with the reflected image outside.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

PAD = 4  # pixels an image is shifted by, at most, each way


def normalize(pixels, mean, std):
    """uint8 (N, C, H, W) to float32, less ``mean`` and divided by ``std`` (C values, 0..255)."""
    mean = np.asarray(mean, np.float32).reshape(-1, 1, 1)
    scale = 1 / np.asarray(std, np.float32).reshape(-1, 1, 1)
    batch = np.subtract(pixels, mean, dtype=np.float32, order="C")
    batch *= scale
    return batch


def mirror(images, rng):
    """Each image flipped left to right with probability 1/2."""
    flipped = rng.random((len(images), 1, 1, 1)) < 0.5
    return np.where(flipped, images[..., ::-1], images)


def shift(images, rng, pad=PAD, mode="constant"):
    """Each image moved by up to ``pad`` pixels down or up and right or left.

    What moves in is zero, or with ``mode="reflect"`` the image reflected at its border.
    """
    count = len(images)
    padded = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode=mode)
    windows = sliding_window_view(padded, images.shape[2:], axis=(2, 3))
    tops, lefts = rng.integers(0, 2 * pad + 1, (2, count))
    return windows[np.arange(count), :, tops, lefts]


def _mirror_shift(images, rng):
    return shift(mirror(images, rng), rng)


def _mirror_shift_reflect(images, rng):
    return shift(mirror(images, rng), rng, mode="reflect")


AUGMENTATIONS = {
    "none": lambda images, rng: images,
    "+": _mirror_shift,
    "++": _mirror_shift_reflect,
}
AUG_TYPES = tuple(AUGMENTATIONS)  # --aug-type 0, 1, 2


def augment(images, name, rng):
    """``images`` with the augmentation ``name`` of AUGMENTATIONS."""
    return AUGMENTATIONS[name](images, rng)
