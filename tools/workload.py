"""Define what every contestant of the benchmark works on: images, labels and hyper-parameters."""

import math
from itertools import cycle

import numpy as np

from data import records
from network import image_shape

SETTINGS = {"momentum": 0.9, "weight_decay": 1e-4}
LR, CLASSES, IMAGES = 0.01, 10, 2048


def random_batch(case):
    """Return a batch of random images and labels."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(case.batch_size, *image_shape(case.network)))
    return images.astype(np.float32), rng.integers(0, CLASSES, case.batch_size)


def some_images(batch_size):
    """Return at least IMAGES random images of CIFAR's size, in whole batches."""
    count = batch_size * math.ceil(IMAGES / batch_size)
    pixels = np.random.default_rng(0).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    return records.Images(pixels, np.zeros(count, np.int32))


def mixed(columns):
    """Yield what mixed drop-path trains: the whole network (None) and a column, alternately."""
    return cycle([part for column in range(columns) for part in (None, column)] or [None])


def consume(batches):
    """Return a function that reads batches and discards them."""

    def take(steps):
        for _ in range(steps):
            next(batches)

    return take
