"""Find image files in class folders: train/CLASS/.../FILE and val/CLASS/.../FILE, or a flat val."""

import contextlib
import os
import re
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Tuple

import numpy as np

from command import InputError, nearest
from data.images import EXTENSIONS
from data.lists import BREAK, composed, match_labels
from data.metadata import JPEG_START, PNG_START

SHUFFLE_SEED = 0
# Folders and files that systems, network drives and archives add to people's folders.
SYSTEM = {
    "__MACOSX",
    "__pycache__",
    "@eaDir",
    "@Recycle",
    "#recycle",
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
    "Thumbs.db",
    "desktop.ini",
}
# Extensions of image files; other files are recognized by their first bytes.
SUFFIXES = (
    *chain.from_iterable(EXTENSIONS.values()),
    *(".gif", ".tif", ".tiff", ".heic", ".heif", ".avif", ".ppm", ".pgm", ".jp2", ".jxl"),
)
TINY_IMAGENET_LABELS = "val_annotations.txt"  # in its val folder
FLAT = "; is it flat? Then add val_labels"
HIDDEN, NO_IMAGE, BESIDE, LOST, CIRCLE, CLOSED, EMPTY = (
    "hidden or system files",
    "files that are not images",
    "files outside the folders of classes",
    "broken links or special files",
    "links to a folder that contains them",
    "folders without permission to read",
    "classes without an image",
)


@dataclass(frozen=True)
class Photograph:
    """A file and its class."""

    path: str  # below the source, with / between folders
    label: int
    state: Tuple[int, int] = (0, 0)  # bytes, and time of the last change in ns


class Ignored(dict):
    """The ignored files: {reason: paths below the source}."""

    def add(self, reason, path):
        """Add a path to those of ``reason``."""
        self.setdefault(reason, []).append(path)


def survey(source, labels=None):
    """Find the images of a folder with train and val.

    Every folder in train is a class; its images may lie in folders below it, and links are
    followed. Training images are shuffled, always in the same way; validation images are in the
    order of their paths.

    Args:
        source: the folder.
        labels: file that lists the class of each image in val, which then needs no folders of
            classes; see data.lists. Tiny ImageNet's list is found without it.

    Returns:
        Names of the classes; {"train" or "val": its Photographs}; and the same with the Ignored.

    Raises:
        InputError: the folder has another layout, or a class has no training images.
    """
    source, ignored = Path(source), {"train": Ignored(), "val": Ignored()}
    for part in ("train", "val"):
        if not (source / part).is_dir():
            raise InputError(
                f"there is no folder {source / part}: source must have train/CLASS/FILE and "
                "val/CLASS/FILE (or val/FILE with val_labels)",
                argument=("source", "val_labels"),
            )
    names, train = find_classes(source, "train", ignored["train"])
    for name in names:
        if re.search(BREAK, name):
            raise InputError(f"{source / 'train'}: class {name!r} has a line break: rename it")
    if labels is None and (source / "val" / TINY_IMAGENET_LABELS).is_file():
        labels = source / "val" / TINY_IMAGENET_LABELS
    if labels is None:
        val = match_classes(source, "val", names, ignored["val"], FLAT)
    else:
        val = _match_list(source, Path(labels), names, ignored["val"])
    return names, {"train": shuffled(train), "val": val}, ignored


def shuffled(photographs):
    """Return training images in the fixed random order in which they are written."""
    order = np.random.RandomState(SHUFFLE_SEED).permutation(len(photographs))
    return [photographs[index] for index in order]


def find_classes(source, part, ignored):
    """Return the names of the classes in the folder ``source/part``, and its Photographs.

    Raises:
        InputError: there are no folders of classes, one has no images, or a single one has only
            folders of images, which probably are the classes.
    """
    files = _files_by_class(source, part, ignored)
    if not files:
        raise InputError(f"{Path(source) / part} has no folders: each class needs one")
    empty = [name for name, found in files.items() if not found]
    if empty:
        raise InputError(
            f"{Path(source) / part} has no image of {len(empty)} of its {len(files)} classes, such "
            f"as {empty[0]!r}: remove the folder, or add images"
        )
    names = tuple(files)
    folders = {path.rpartition("/")[0] for found in files.values() for path, _ in found}
    if len(names) == 1 < len(folders) and Path(part, names[0]).as_posix() not in folders:
        raise InputError(
            f"{Path(source) / part} has one folder, {names[0]!r}, whose images lie in several "
            "others: name the folder that contains the classes, or train and the test set"
        )
    return names, _label(files, {name: label for label, name in enumerate(names)})


def _label(files, labels):
    """Return the Photographs of {class: [(path, state)]}."""
    return [
        Photograph(path, labels[name], state)
        for name, found in files.items()
        for path, state in found
    ]


def match_classes(source, part, names, ignored, hint="", train="train"):
    """Return the Photographs of the folder ``source/part``, whose folders are classes of ``train``.

    Args:
        hint: advice that ends the error message.
        train: name of the folder of training images.

    Raises:
        InputError: a folder is not a class of ``train``, or there are no images.
    """
    labels = {name: label for label, name in enumerate(names)}
    files = _files_by_class(source, part, ignored)
    for name in files:
        if name not in labels:
            raise InputError(
                f"{source / part / name}: {source / train} has no such class"
                f"{nearest(name, names)}{hint}",
                argument="val_labels",
            )
    for name in names:
        if not files.get(name):
            ignored.add(EMPTY, f"{part}/{name}")
    found = _label(files, labels)
    if not found:
        raise InputError(
            f"{source / part} has no images in folders of classes{hint}", argument="val_labels"
        )
    return found


def _match_list(source, labels, names, ignored):
    """Return all Photographs below val, with their classes from a list."""
    files = list(walk_images(source / "val", "", ignored))
    if not files:
        raise InputError(f"{source / 'val'} has no images")
    matched = match_labels(labels, [path for path, _ in files], names)
    return [Photograph(f"val/{path}", label, state) for (path, state), label in zip(files, matched)]


def _files_by_class(source, part, ignored):
    """Return {class, a folder in ``source/part``: [(path below source, state)] of its images}."""
    found, folder = {}, (Path(source) / part).resolve()
    above = tuple(map(_identify, (folder, *folder.parents)))
    for entry in _entries(folder):
        path = f"{part}/{entry.name}" if part != "." else entry.name
        if is_hidden(entry.name):
            ignored.add(HIDDEN, path)
        elif _succeeds(entry.is_dir):
            images = found.setdefault(composed(entry.name), [])
            images.extend(walk_images(entry.path, path, ignored, above))
        else:
            ignored.add(BESIDE, path)
    return found


def walk_images(folder, path, ignored, above=()):
    """Yield (path, state) of each image at or below ``folder``, in the order of the paths.

    Links are followed, except to a folder that contains them.

    Args:
        path: the folder's name in the paths.
        ignored: an Ignored, to which the other files are added.
        above: identities of the folders that contain it.
    """
    identity = _identify(folder)
    if identity in above:
        ignored.add(CIRCLE, path)
        return
    try:
        entries = _entries(folder)
    except PermissionError:
        if not path:
            raise
        ignored.add(CLOSED, path)
        return
    for entry in entries:
        place = f"{path}/{entry.name}" if path else entry.name
        if is_hidden(entry.name):
            ignored.add(HIDDEN, place)
        elif _succeeds(entry.is_dir):
            yield from walk_images(entry.path, place, ignored, (*above, identity))
        elif not _succeeds(entry.is_file):
            ignored.add(LOST, place)
        elif not _is_image(entry):
            ignored.add(NO_IMAGE, place)
        else:
            status = entry.stat()
            yield place, (status.st_size, status.st_mtime_ns)


def _identify(folder):
    """Return numbers that are the same for all paths of a folder."""
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _entries(folder):
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _succeeds(test):
    """Return the result of ``test``; False for a link that cannot be followed, as to itself."""
    try:
        return test()
    except OSError:
        return False


def is_hidden(name):
    """Return whether a file or folder is hidden, or one that systems add."""
    return name.startswith(".") or name in SYSTEM


def _is_image(entry):
    """Return whether a file is an image by its name or its first bytes."""
    if entry.name.lower().endswith(SUFFIXES):
        return True
    with contextlib.suppress(OSError):
        with open(entry.path, "rb") as file:
            start = file.read(12)
        return start.startswith((JPEG_START, PNG_START)) or start[8:12] == b"WEBP"
    return False
