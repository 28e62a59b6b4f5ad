"""Read MNIST's files, and Fashion-MNIST's: grey images and labels in the idx format.

An idx file has two zero bytes, the type of its numbers (8 for bytes), the number of dimensions,
their sizes as big-endian 32-bit numbers, and the numbers.
"""

import lzma
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from command import InputError
from data.archives import Part, open_decompressed

# The name of each data set's folder where torchvision downloads it. The files' names are the same.
DATASETS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}
FILE_LIMIT = 1 << 28  # bytes; the largest file has 47 million
SIZE, CLASSES = 28, 10


def read_idx_source(dataset, source):
    """Return the training and the test Parts in the folder ``source``, with images in RGB.

    Args:
        dataset: one of DATASETS.
        source: the folder, also as torchvision makes it for one or several data sets.

    Raises:
        InputError: a file is missing, damaged, or does not fit the others.
    """
    source = Path(source)
    if not source.is_dir():
        raise InputError(f"{source} is not a folder: name the folder with the four files")
    folders = [source / sub for sub in (".", "raw", f"{DATASETS[dataset]}/raw")]
    folder = next((each for each in folders if _find(each, "train-images", 3)), source)
    return [_read_part(folder, "train")], [_read_part(folder, "t10k")]


def _read_part(folder, name):
    images_path, images = _read(folder, f"{name}-images", 3)
    labels_path, labels = _read(folder, f"{name}-labels", 1)
    if images.shape[1:] != (SIZE, SIZE):
        raise InputError(f"{images_path} has images of {images.shape[1:]}, not {SIZE} x {SIZE}")
    if len(images) != len(labels):
        raise InputError(f"{labels_path} has {len(labels)} labels for {len(images)} images")
    if len(labels) and labels.max() >= CLASSES:
        raise InputError(f"{labels_path} has label {labels.max()}, outside 0 to {CLASSES - 1}")
    return Part(np.broadcast_to(images[..., None], (*images.shape, 3)), labels.astype(np.int64))


def _find(folder, name, dimensions):
    """Return the path of an idx file in ``folder``, compressed or not, or None."""
    names = [f"{name}{dot}idx{dimensions}-ubyte{end}" for dot in "-." for end in ("", ".gz")]
    return next((folder / each for each in names if (folder / each).is_file()), None)


def _read(folder, name, dimensions):
    """Return the path of an idx file in ``folder``, and its numbers."""
    path = _find(folder, name, dimensions)
    if path is None:
        usual = f"{name}-idx{dimensions}-ubyte"
        raise InputError(f"{folder} has neither {usual} nor its .gz: get all four files")
    try:
        with open_decompressed(path) as file:
            data = file.read(FILE_LIMIT + 1)
        if data[:4] != bytes((0, 0, 8, dimensions)):
            raise ValueError("its first bytes are wrong")
        shape = struct.unpack_from(f">{dimensions}I", data, 4)
        numbers = np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions)
        if numbers.size != math.prod(shape):
            raise ValueError(f"it has {numbers.size} bytes, but announces {shape}")
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, struct.error) as error:
        raise InputError(
            f"{path} is not a complete idx file ({error}): download it again"
        ) from None
    return path, numbers.reshape(shape)
