"""Read users' own small images, in folders of classes or an .npz file, as a data set."""

import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Tuple

import numpy as np

from command import InputError
from data.archives import Part
from data.class_folders import Ignored, find_classes, is_hidden, match_classes
from data.images import fit, read_file, read_image
from data.npz import read_npz
from data.records import Images, split
from data.spec import SIZE, SIZES, DatasetSpec

SHOWN = 3  # the most files that a message names
TEST_SHARE = 0.2
TRAIN_FOLDERS = ("train", "training")
TEST_FOLDERS = ("test", "testing", "val", "valid", "validation")
OTHER_FOLDERS, OTHER_ARRAYS = "folders besides train and test", "arrays that are not used"


@dataclass
class Own:
    """A user's data set: training and test Parts, and the files that were not used."""

    class_names: Tuple[str, ...]
    train: Part
    test: Part
    left_out: list = field(default_factory=list)  # "path: reason"
    ignored: dict = field(default_factory=Ignored)  # reason -> paths


def read_own(source, size=None, test_share=None, split_seed=None, mapping=map):
    """Read a user's own data set.

    Images are made ``size`` x ``size``: the shorter side is resized to ``size``, then the centre is
    cropped, as in predict.py.

    Args:
        source: a folder with train/CLASS/FILE and test/CLASS/FILE (or training, testing, val;
            capital letters make no difference); a folder with CLASS/FILE; or an .npz file with
            arrays named as in data.npz.ARRAYS.
        size: None means 32, or the size of the images in an .npz file.
        test_share: share of each class that becomes test images; None means 0.2. It is only for a
            source without test images.
        split_seed: determines which images these are; None means 0.
        mapping: a function like map, for reading files; see data.workers.

    Returns:
        An Own.

    Raises:
        InputError: the source has another layout, a class has no training or test images, or a
            share is given although there are test images.
        OSError: a file cannot be read.
    """
    source = Path(source)
    _check_settings(size, test_share, split_seed)
    if source.is_dir():
        own = _read_folders(source, size or SIZE, mapping)
    elif source.is_file():
        names, train, test, unused = read_npz(source, size)
        own = Own(names, train, test, ignored=Ignored({OTHER_ARRAYS: unused} if unused else {}))
    else:
        raise InputError(f"{source} does not exist: give a folder or an .npz file")
    left_out = f" (left out: {'; '.join(own.left_out[:SHOWN])})" if own.left_out else ""
    _require_every_class(source, own, left_out)
    if own.test is None:
        _hold_out(source, own, TEST_SHARE if test_share is None else test_share, split_seed or 0)
        _require_every_class(source, own, " beside its test images: add some, or test images")
    elif (test_share, split_seed) != (None, None):
        raise InputError(
            f"{source} has test images: leave test_share and split_seed out",
            argument=("test_share", "split_seed"),
        )
    if not len(own.test):
        raise InputError(f"{source} has no images to test on{left_out}")
    return own


def _check_settings(size, test_share, split_seed):
    if size is not None and size not in SIZES:
        raise InputError(f"size must be {SIZES[0]} to {SIZES[-1]}, not {size!r}", argument="size")
    if test_share is not None and not 0 < test_share < 1:
        raise InputError(
            f"test_share must lie between 0 and 1, not {test_share}", argument="test_share"
        )
    if split_seed is not None and not 0 <= split_seed < 1 << 32:
        raise InputError(
            f"split_seed must be 0 to {(1 << 32) - 1}, not {split_seed}", argument="split_seed"
        )


def _require_every_class(source, own, reason):
    """Raise an InputError that ends with ``reason`` if a class has no training images."""
    counts = np.bincount(own.train.labels, minlength=len(own.class_names))
    if not counts.all():
        name = own.class_names[int(np.argmin(counts))]
        raise InputError(f"{source}: class {name!r} has no images to train on{reason}")


def describe(own, name):
    """Return the DatasetSpec of an Own; its mean and std are computed from the training images."""
    pixels = own.train.images
    count = pixels.size // 3
    mean = pixels.sum((0, 1, 2), dtype=np.int64) / count
    squares = sum((image.astype(np.int64) ** 2).sum((0, 1)) for image in pixels) / count
    std = np.sqrt(np.maximum(squares - mean**2, 0))
    return DatasetSpec(
        name=name,
        class_names=own.class_names,
        mean=tuple(mean.round(3).tolist()),
        std=tuple(np.where(std < 0.001, 1, std).round(3).tolist()),  # 1: all pixels are the same
        train_count=len(own.train),
        test_count=len(own.test),
        size=pixels.shape[1],
    )


def count_copies(own):
    """Return the number of test images of an Own that have the pixels of a training image."""
    known = {hash(image.tobytes()) for image in own.train.images}
    return sum(hash(image.tobytes()) in known for image in own.test.images)


def _hold_out(source, own, share, seed):
    """Move a share of each class of the training images to the test images."""
    images = Images(own.train.images, own.train.labels)
    count = max(1, round(share * len(images)))
    if count == len(images):
        raise InputError(
            f"{source}: all of its images ({count}) would be test images: add some, or make the "
            "share of test images smaller"
        )
    train, test = split(images, count, seed)
    own.train, own.test = Part(train.pixels, train.labels), Part(test.pixels, test.labels)


def _read_folders(source, size, mapping):
    ignored = Ignored()
    train_folder, test_folder, others = _find_parts(source)
    if train_folder is None:
        names, train = find_classes(source, ".", ignored)
        test = None
        _require_no_parts(source, names, train)
    else:
        names, train = find_classes(source, train_folder, ignored)
        hint = f"; without the folder {test_folder}, other images become the test set"
        named = (source, test_folder, names, ignored, hint, train_folder)
        test = test_folder and match_classes(*named)
        for name in others:
            ignored.add(OTHER_FOLDERS, name)
    own = Own(names, None, None, ignored=ignored)
    own.train = _read_files(source, train, size, mapping, own.left_out)
    if test:
        own.test = _read_files(source, test, size, mapping, own.left_out)
    return own


def _find_parts(source):
    """Return the names of the folders of training and of test images, or None, and the others.

    Names such as Train and training count, too, unless other folders show that these may be
    classes. Beside a folder of test images, Train is no class.

    Raises:
        InputError: there are folders of test images alone.
    """
    folders = [path.name for path in sorted(source.iterdir()) if path.is_dir()]
    visible = {name.lower(): name for name in folders if not is_hidden(name)}
    both = "train" in visible and not visible.keys().isdisjoint(TEST_FOLDERS)
    parts = visible if both or set(visible) <= {*TRAIN_FOLDERS, *TEST_FOLDERS} else {}
    if "train" in folders:
        parts = {**parts, **{name: name for name in folders}}
    train, test = (
        next((parts[name] for name in names if name in parts), None)
        for names in (TRAIN_FOLDERS, TEST_FOLDERS)
    )
    if test and not train:
        raise InputError(f"{source} has a folder {test}, but no folder train: add it")
    others = [name for name in folders if not is_hidden(name) and name not in (train, test)]
    return train, test, others


def _require_no_parts(source, names, photographs):
    """Raise an InputError if classes seem to be training and test images: seg_train and seg_test.

    The training images are then in folders below.
    """
    holders = {photograph.path.rpartition("/")[0] for photograph in photographs}
    train, test = (
        [name for name in names if set(re.split(r"[\W_]+", name.lower())) & set(words)]
        for words in (TRAIN_FOLDERS, TEST_FOLDERS)
    )
    train = [name for name in train if name not in holders]
    if train and test:
        raise InputError(
            f"{source} has folders {train[0]} and {test[0]}: name them train and test, with the "
            "folders of the classes directly in them; classes need other names"
        )


def _read_files(source, photographs, size, mapping, left_out):
    """Return the Part of image files; add files that cannot be used to ``left_out``."""
    pixels = np.empty((len(photographs), size, size, 3), np.uint8)
    labels = []
    read = mapping(partial(_read_file, source, size), photographs)
    for photograph, (found, reason) in zip(photographs, read):
        if found is None:
            left_out.append(f"{photograph.path}: {reason}")
        else:
            pixels[len(labels)] = found
            labels.append(photograph.label)
    return Part(pixels[: len(labels)], np.array(labels, np.int64))


def _read_file(source, size, photograph):
    """Return the pixels of a file, or None and the reason, for a worker process."""
    try:
        return fit(read_image(read_file(source / photograph.path)), size), None
    except ValueError as error:
        return None, str(error).replace("its image", "it")
