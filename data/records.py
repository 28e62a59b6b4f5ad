"""Make batches from .rec files of small images, which are read into memory once."""

import queue
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

import numpy as np
from tqdm import tqdm

from command import InputError
from data.augment import BORDERS, PAD, augment_batch, draw_moves, normalize
from data.checks import bad_record, check
from data.images import decode
from data.recordio import read_records

SPLIT_SEED = 0  # the examples that --val-split holds out do not depend on a run's seed


@dataclass(frozen=True)
class Images:
    """``pixels``, uint8 (N, 3, H, W) RGB, and ``labels``, int32 (N,).

    ``on_device`` makes batches on a device, from a copy of the pixels there; see
    engine.torch_images.DeviceImages. Without it, batches are NumPy arrays.
    """

    pixels: np.ndarray
    labels: np.ndarray
    on_device: Any = None

    def __len__(self):
        return len(self.labels)


@dataclass(frozen=True)
class Batch:
    """``images``, float32 (n, 3, H, W), normalised, and ``labels``, int32 (n,).

    A regularized batch is trained on ``targets``, float32 (n, classes), instead of the labels; see
    data.regularize.
    """

    images: np.ndarray
    labels: np.ndarray
    total: Optional[int] = None  # examples in the batches of all shards together, in training
    targets: Optional[np.ndarray] = None

    def __len__(self):
        return len(self.labels)


def load(path, classes=None, size=32):
    """Return the Images of the .rec file ``path``, ``size`` x ``size`` pixels, in file order.

    Labels are 0 to ``classes - 1``. A fault of the file is an InputError that names the first bad
    record; MXNet, which would abort, does not read the file.
    """
    labels = check(path, classes).astype(np.int32)
    pixels = np.empty((len(labels), 3, size, size), np.uint8)
    shown = {"desc": f"reading {Path(path).name}", "unit": "image", "leave": False}
    for record in tqdm(read_records(path), total=len(labels), disable=None, **shown):
        if record.problem:
            raise bad_record(path, record.index, record.problem)
        try:
            pixels[record.index] = decode(record.image, size).transpose(2, 0, 1)
        except ValueError as error:
            raise bad_record(path, record.index, error) from None
    return Images(pixels, labels)


def split(images, count, seed=SPLIT_SEED):
    """Split ``images`` into the remaining and ``count`` held-out ones, both in their order.

    The choice is the same in every run. Each class contributes its share of ``count``, rounded so
    that the shares add up to ``count``.

    Raises:
        InputError: ``count`` is not 1 to the number of images less one.
    """
    if not 0 < count < len(images):
        raise InputError(
            f"{count} of {len(images)} examples cannot be held out: hold out 1 to {len(images) - 1}"
        )
    held_out = np.zeros(len(images), bool)
    rng = np.random.RandomState(seed)  # gives the same numbers in every NumPy version
    members = [np.flatnonzero(images.labels == label) for label in np.unique(images.labels)]
    for indices, share in zip(members, _shares([len(indices) for indices in members], count)):
        held_out[rng.permutation(indices)[:share]] = True
    return _pick(images, ~held_out), _pick(images, held_out)


def _shares(sizes, count):
    """Divide ``count`` in proportion to ``sizes``; the largest remainders are rounded up.

    A class keeps its last example, unless ``count`` is so large that one must lose it.
    """
    exact = np.array(sizes) * count
    shares, rests = exact // sum(sizes), exact % sum(sizes)
    emptied = shares + 1 == sizes
    largest = np.lexsort((-rests, emptied))[: count - shares.sum()]
    shares[largest] += 1
    return shares


def _pick(images, which):
    return Images(images.pixels[which], images.labels[which])


def number_of_batches(count, batch_size, num_shards=1):
    """Return the number of batches of each shard in an epoch of ``count`` examples.

    Raises:
        InputError: there are fewer examples than shards, or ``batch_size`` is below 1.
    """
    if batch_size < 1:
        raise InputError(f"a batch of {batch_size} images is impossible: give 1 or more")
    if count < num_shards:
        raise InputError(f"{count} examples are too few for {num_shards} shards: give one to each")
    full, rest = divmod(count, batch_size * num_shards)
    # if fewer examples than shards are left, they are added to the earlier batches: none is empty
    return full + (rest >= num_shards or full == 0)


def _shared_batches(order, batch_size, num_shards):
    """Yield the indices of every shard for each batch: a slice of ``order``, cut into shards."""
    batches = number_of_batches(len(order), batch_size, num_shards)
    step = batch_size * num_shards
    for k in range(batches):
        stop = (k + 1) * step if k + 1 < batches else len(order)
        yield np.array_split(order[k * step : stop], num_shards)


def train_batches(
    images, batch_size, *, mean, std, augmentation, seed, epoch, shard=0, num_shards=1
):
    """Yield the Batches of ``shard`` of ``num_shards`` in one epoch.

    Every example is in exactly one batch of one shard, and every shard has ``number_of_batches``
    batches. If the numbers do not divide, the last batch is smaller, or in some shards larger by
    one than ``batch_size``. The order depends on (seed, epoch), non-negative integers, and the
    pixels on (seed, epoch, shard). Batch k of all shards, concatenated, is batch k of a single
    shard with ``num_shards * batch_size``, except for the augmentation.
    """
    order = np.random.default_rng((seed, epoch, 0)).permutation(len(images))
    rng = np.random.default_rng((seed, epoch, 1, shard))
    for shares in _shared_batches(order, batch_size, num_shards):
        indices = shares[shard]
        if images.on_device is None:
            batch = augment_batch(normalize(images.pixels[indices], mean, std), augmentation, rng)
        else:
            moves = draw_moves(len(indices), augmentation, rng)
            batch = images.on_device.batch(indices, moves, BORDERS[augmentation], PAD)
        yield Batch(batch, images.labels[indices], sum(map(len, shares)))


def test_batches(images, batch_size, *, mean, std, shard=0, num_shards=1):
    """Yield Batches of every example once, in order and without augmentation.

    Of several shards, each has a part of the examples; see ``train_batches``.
    """
    for shares in _shared_batches(np.arange(len(images)), batch_size, num_shards):
        indices = shares[shard]
        if images.on_device is None:
            batch = normalize(images.pixels[indices], mean, std)
        else:
            batch = images.on_device.batch(indices)
        yield Batch(batch, images.labels[indices])


def prefetch(batches, depth=2):
    """Yield the items of the generator ``batches``; a thread makes up to ``depth`` in advance.

    An exception on the thread is raised here. Closing this generator ends the thread.
    """
    ready = queue.SimpleQueue()  # (item, exception); (None, None) at the end
    room = threading.Semaphore(depth)
    closed = threading.Event()

    def produce():
        try:
            for batch in batches:
                ready.put((batch, None))
                room.acquire()
                if closed.is_set():
                    return
            ready.put((None, None))
        except BaseException as error:  # any exception is raised in the consumer
            ready.put((None, error))

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    try:
        while True:
            batch, error = ready.get()
            if error is not None:
                raise error
            if batch is None:
                return
            yield batch
            room.release()
    finally:
        closed.set()
        room.release()
        thread.join()
