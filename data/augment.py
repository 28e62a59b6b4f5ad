"""Augment batches as the papers do: pure functions of a batch and a NumPy random Generator.

A batch is float32 (N, C, H, W), already normalised, so that padding with zeros is padding with the
channel mean. "+" (deeply-fused networks and FractalNet) mirrors and shifts with zeros outside;
"++" (FractalNet) shifts with the reflected image outside.
"""

from typing import Any, Dict, Literal, Optional, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from command import InputError

PAD = 4  # an image is shifted by at most so many pixels in each direction
Border = Literal["constant", "reflect"]  # how images are padded; see np.pad
BORDERS: Dict[str, Optional[Border]] = {"none": None, "+": "constant", "++": "reflect"}
AUG_TYPES = tuple(BORDERS)  # --aug-type 0, 1, 2


def normalize(pixels: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Return ``pixels``, uint8 (N, C, H, W), as float32: (pixels - ``mean``) / ``std``.

    ``mean`` and ``std`` have C values, 0 to 255.
    """
    centre = np.asarray(mean, np.float32).reshape(-1, 1, 1)
    scale = 1 / np.asarray(std, np.float32).reshape(-1, 1, 1)
    batch = np.subtract(pixels, centre, dtype=np.float32, order="C")
    batch *= scale
    return batch


def mirror(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a batch (N, C, H, W) with each image flipped left to right with probability 1/2."""
    flipped = _draw_mirrored(len(images), rng).reshape(-1, 1, 1, 1)
    return np.where(flipped, images[..., ::-1], images)


def shift(
    images: np.ndarray, rng: np.random.Generator, pad: int = PAD, mode: Border = "constant"
) -> np.ndarray:
    """Return a batch (N, C, H, W) with each image shifted by up to ``pad`` pixels along each axis.

    New pixels are zero, or with ``mode="reflect"`` the image reflected at its border.
    """
    count = len(images)
    padded = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode=mode)
    axes: Any = (2, 3)  # NumPy's types know of one axis alone
    windows = sliding_window_view(padded, images.shape[2:], axis=axes)
    tops, lefts = _draw_places(count, rng, pad)
    return windows[np.arange(count), :, tops, lefts]


def _draw_mirrored(count, rng):
    return rng.random(count) < 0.5


def _draw_places(count, rng, pad):
    return rng.integers(0, 2 * pad + 1, (2, count))


def augment_batch(images: np.ndarray, name: str, rng: np.random.Generator) -> np.ndarray:
    """Return ``images`` (N, C, H, W) with the augmentation ``name``, one of AUG_TYPES.

    Raises:
        InputError: there is no such augmentation.
    """
    if name not in BORDERS:
        raise InputError(f"name must be one of {', '.join(AUG_TYPES)}, not {name!r}")
    border = BORDERS[name]
    return images if border is None else shift(mirror(images, rng), rng, mode=border)


def draw_moves(count, name, rng):
    """Return the random choices of ``augment_batch``: (mirrored, tops, lefts), each (count,).

    The crop of an image begins at (top, left) of the mirrored and padded one. Without augmentation,
    the result is None.
    """
    if BORDERS[name] is None:
        return None
    return np.stack([_draw_mirrored(count, rng), *_draw_places(count, rng, PAD)])
