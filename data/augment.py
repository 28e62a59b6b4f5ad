"""The papers' augmentations: pure functions of a batch and a NumPy random Generator.

A batch is float32 (N, C, H, W), already normalised, so that padding with zeros is padding with the
channel mean. "+" (deeply-fused networks and FractalNet) mirrors and shifts with zeros outside;
"++" (FractalNet) shifts with the reflected image outside.
"""

from typing import Any, Dict, Literal, Optional, Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

PAD = 4  # pixels an image is shifted by, at most, each way
Border = Literal["constant", "reflect"]  # what images are padded with; see np.pad
BORDERS: Dict[str, Optional[Border]] = {"none": None, "+": "constant", "++": "reflect"}
AUG_TYPES = tuple(BORDERS)  # --aug-type 0, 1, 2


def normalize(pixels: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """uint8 (N, C, H, W) to float32, less ``mean`` and divided by ``std`` (C values, 0..255)."""
    centre = np.asarray(mean, np.float32).reshape(-1, 1, 1)
    scale = 1 / np.asarray(std, np.float32).reshape(-1, 1, 1)
    batch = np.subtract(pixels, centre, dtype=np.float32, order="C")
    batch *= scale
    return batch


def mirror(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each image flipped left to right with probability 1/2."""
    flipped = _draw_mirrored(len(images), rng).reshape(-1, 1, 1, 1)
    return np.where(flipped, images[..., ::-1], images)


def shift(
    images: np.ndarray, rng: np.random.Generator, pad: int = PAD, mode: Border = "constant"
) -> np.ndarray:
    """Each image moved by up to ``pad`` pixels down or up and right or left.

    What moves in is zero, or with ``mode="reflect"`` the image reflected at its border.
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
    """``images`` with the augmentation ``name`` of AUG_TYPES."""
    border = BORDERS[name]
    return images if border is None else shift(mirror(images, rng), rng, mode=border)


def draw_moves(count, name, rng):
    """Return what ``augment_batch`` draws for ``count`` images: (mirrored, tops, lefts), (count,).

    The crop of an image begins at (top, left) of the mirrored and padded one. None stands for no
    augmentation.
    """
    if BORDERS[name] is None:
        return None
    return np.stack([_draw_mirrored(count, rng), *_draw_places(count, rng, PAD)])
