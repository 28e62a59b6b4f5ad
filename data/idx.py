"""MNIST's files, which Fashion-MNIST has too: grey images and labels in the format called idx.

Such a file is two zero bytes, the type of its numbers (8 for bytes), how many dimensions there are,
their sizes as big-endian 32-bit numbers, and the numbers.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from command import InputError
from data.archives import Part

DATASETS = ("mnist", "fashion-mnist")
FOLDERS = (".", "MNIST/raw", "FashionMNIST/raw", "raw")  # also as torchvision downloads them
FILE_LIMIT = 1 << 28  # bytes; the largest file has 47 million
SIZE, CLASSES = 28, 10


def read_idx_source(source, partial=False):
    """Return the training and the test Parts in the folder ``source``, images in RGB.

    ``partial`` makes no difference: a part is one file.

    Raises:
        InputError: a file is missing, damaged, or does not fit the others.
    """
    source = Path(source)
    if not source.is_dir():
        raise InputError(f"{source} is no folder: give --source the folder with the four files")
    return [_read_part(source, "train")], [_read_part(source, "t10k")]


def _read_part(source, name):
    images_path, images = _read(source, f"{name}-images", 3)
    labels_path, labels = _read(source, f"{name}-labels", 1)
    if images.shape[1:] != (SIZE, SIZE):
        raise InputError(f"{images_path} has images of {images.shape[1:]}, not {SIZE} x {SIZE}")
    if len(images) != len(labels):
        raise InputError(f"{labels_path} has {len(labels)} labels for {len(images)} images")
    if len(labels) and labels.max() >= CLASSES:
        raise InputError(f"{labels_path} has label {labels.max()}, outside 0 to {CLASSES - 1}")
    return Part(np.broadcast_to(images[..., None], (*images.shape, 3)), labels.astype(np.int64))


def _read(source, name, dimensions):
    """Return the path of an idx file in ``source``, packed or not, and its bytes as an array."""
    names = [f"{name}{dot}idx{dimensions}-ubyte{end}" for dot in "-." for end in ("", ".gz")]
    paths = [source / folder / each for folder in FOLDERS for each in names]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise InputError(f"{source} lacks {names[0]}, also as .gz: get all four files")
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            data = file.read(FILE_LIMIT + 1)
        if data[:4] != bytes((0, 0, 8, dimensions)):
            raise ValueError("it does not begin as one")
        shape = struct.unpack_from(f">{dimensions}I", data, 4)
        numbers = np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions)
        if numbers.size != math.prod(shape):
            raise ValueError(f"{numbers.size} bytes where {shape} are announced")
    except (OSError, EOFError, ValueError, zlib.error, struct.error) as error:
        raise InputError(f"{path} is no whole idx file ({error}): download it again") from None
    return path, numbers.reshape(shape)
