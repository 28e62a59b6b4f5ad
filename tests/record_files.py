"""Small .rec files for tests, written by MXNet itself."""

import io
from pathlib import Path

import mxnet as mx
import numpy as np
from PIL import Image

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def random_pixels(count, size=32, seed=0):
    """uint8 (count, size, size, 3)."""
    return np.random.RandomState(seed).randint(0, 256, (count, size, size, 3), np.uint8)


def encoded(pixels, kind="PNG"):
    """The bytes of an image file of ``pixels``."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def write_rec(path, labels, images):
    """Write a .rec of ``labels`` and encoded ``images``, and its .idx; where the records begin."""
    index = path.with_suffix(".idx")
    writer = mx.recordio.MXIndexedRecordIO(str(index), str(path), "w")
    for key, (label, image) in enumerate(zip(labels, images)):
        writer.write_idx(key, mx.recordio.pack(mx.recordio.IRHeader(0, label, key, 0), image))
    writer.close()
    return [int(line.split("\t")[1]) for line in index.read_text().splitlines()]


def write_random_rec(path, count, classes=3, size=32):
    """Write ``count`` random images; their pixels, their labels and where the records begin."""
    pixels = random_pixels(count, size)
    labels = np.arange(count) % classes
    return pixels, labels, write_rec(path, labels, [encoded(image) for image in pixels])


def patch(path, offset, new):
    """Overwrite the bytes of the file ``path`` from ``offset`` on."""
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(new)
