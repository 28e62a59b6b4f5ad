"""Read the official files of CIFAR and SVHN, as archives or unpacked.

Nothing is unpacked to disk, and no code in a file is run; see data.pickles. Every fault of a file
is an InputError.
"""

import bz2
import contextlib
import gzip
import io
import lzma
import math
import posixpath
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Tuple

import numpy as np

from command import InputError
from data.pickles import read_pickle

FILE_LIMIT = 1 << 28  # bytes; the largest file of CIFAR has 155 million
TAR_LIMIT = 1 << 30  # bytes of a decompressed archive; CIFAR's have at most 186 million
MAT_LIMIT = 1 << 32  # bytes of a variable of SVHN's files; the largest has 1.6 billion
COMPRESSIONS = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}  # by first bytes
OTHER_ARCHIVES = {  # first bytes of archives that are not read
    b"PK\3\4": "a zip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a rar archive",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
}
_TAR_ERRORS = (
    tarfile.TarError,
    EOFError,
    OSError,
    zlib.error,
    lzma.LZMAError,
    ValueError,
    RecursionError,
)


@dataclass(frozen=True)
class Part:
    """Images, uint8 (N, height, width, 3) RGB, often a view, and their labels, int64 (N,)."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self):
        return len(self.labels)


@dataclass(frozen=True)
class Layout:
    """One form in which a data set is distributed: named files in a folder or an archive."""

    dataset: str
    train: Tuple[str, ...]
    test: str
    read: Callable[[io.BufferedIOBase, str], Part]  # takes an open file, and its name for messages
    folder: str = "."
    archive: str = ""

    @property
    def files(self):
        """Return the names of all its files."""
        return (*self.train, self.test)


def read_source(dataset, source, partial=False):
    """Return the training and the test Parts of ``dataset`` in ``source``.

    Args:
        source: a folder, or a tar archive.
        partial: training files may be missing.

    Raises:
        InputError: there is no such data set in it, or a file is damaged.
    """
    source = Path(source)
    layouts = [layout for layout in LAYOUTS if layout.dataset == dataset]
    if source.is_dir():
        parts, where = _read_from_folder(layouts, source)
    elif source.suffix == ".mat":
        raise InputError(f"{source} is one of several files: name the folder that contains them")
    elif source.exists():
        parts, where = _read_tar(layouts, source), source
    else:
        raise InputError(f"{source} does not exist: give an archive or a folder")
    layout = max(layouts, key=lambda layout: sum(name in parts for name in layout.files))
    missing = [name for name in layout.files if name not in parts]
    train = [parts[name] for name in layout.train if name in parts]
    if layout.test in missing or not train or (missing and not partial):
        hint = "" if layout.test in missing or not train else ", or accept it with partial"
        raise InputError(
            f"{where} lacks {', '.join(missing)}: get the complete {dataset}{hint}",
            argument="partial",
        )
    return train, [parts[layout.test]]


def _read_from_folder(layouts, source):
    """Return Parts by file name, and their folder: the most complete in or below ``source``."""
    places = [(layout, source / sub) for layout in layouts for sub in (".", layout.folder)]
    counts = [sum((place / name).is_file() for name in layout.files) for layout, place in places]
    for (layout, place), count in zip(places, counts):
        if count == len(layout.files):
            return _read_folder(layout, place), place
    for name in [layout.archive + end for layout in layouts if layout.archive for end in _TAR_ENDS]:
        if (source / name).is_file():
            return _read_tar(layouts, source / name), source / name
    if not any(counts):
        names = {path.name for path in source.glob("*") if path.is_file()}
        names |= {path.name for path in source.glob("*/*") if path.is_file()}
        raise _nothing_found(layouts, source, names)
    layout, place = places[counts.index(max(counts))]
    return _read_folder(layout, place), place


def _read_folder(layout, folder):
    parts = {}
    for name in layout.files:
        path = folder / name
        if path.is_file():
            with open(path, "rb") as file:
                parts[name] = layout.read(file, str(path))
    return parts


class _Bounded:
    """A file that may be read up to ``TAR_LIMIT``: a small archive can decompress to a huge one."""

    def __init__(self, file, path):
        self._file, self._path = file, path

    def read(self, size):
        if self._file.tell() + size > TAR_LIMIT:
            raise InputError(f"{self._path} holds too many bytes: give the official archive")
        return self._file.read(size)

    def seek(self, place):
        if place > TAR_LIMIT:
            self.read(place)
        return self._file.seek(place)

    def tell(self):
        return self._file.tell()


def open_decompressed(path):
    """Open a file, compressed or not, whatever its name: a browser may unpack it and keep it."""
    with open(path, "rb") as file:
        opener = COMPRESSIONS.get(file.read(2), open)
    return opener(path, "rb")


@contextlib.contextmanager
def _open_tar(path):
    """Yield the TarFile at ``path``; read it to its end after use, where the checksum is."""
    with open_decompressed(path) as file:
        bounded = _Bounded(file, path)
        with tarfile.open(fileobj=bounded, mode="r:") as archive:
            yield archive
        while bounded.read(1 << 20):
            pass


def _read_tar(layouts, path):
    """Return Parts by file name from a tar archive; refuse links and paths that leave it."""
    _refuse_other_archives(path)
    wanted = {name: layout for layout in layouts for name in layout.files}
    parts, names = {}, set()
    try:
        with _open_tar(path) as archive:
            for member in archive:
                name = posixpath.basename(member.name)
                where = f"{path}: {member.name}"
                if member.name.startswith("/") or ".." in member.name.split("/"):
                    raise InputError(f"{where} leads out of the archive: give the official one")
                if member.isdir():
                    continue
                if not member.isreg():
                    raise InputError(f"{where} is a link or a device: give the official archive")
                names.add(name)
                if member.size > FILE_LIMIT:
                    raise InputError(
                        f"{where} has {member.size} bytes, more than any file of an official "
                        "archive: unpack it, and name the folder"
                    )
                if name in parts:
                    raise InputError(f"{where} occurs twice: give the official archive")
                if name in wanted:
                    parts[name] = wanted[name].read(archive.extractfile(member), where)
    except InputError:
        raise
    except _TAR_ERRORS as error:
        raise InputError(
            f"{path} is damaged, truncated or not a tar archive ({_reason(error)}): download it "
            "again"
        ) from None
    if not parts:
        raise _nothing_found(layouts, path, names)
    return parts


def _refuse_other_archives(path):
    with open(path, "rb") as file:
        kind = OTHER_ARCHIVES.get(file.read(4))
    if kind:
        raise InputError(f"{path} is {kind}: unpack it, and name the folder or the .tar.gz in it")


def _nothing_found(layouts, where, names):
    """Return the InputError for a source whose files ``names`` fit none of ``layouts``."""
    dataset = layouts[0].dataset
    others = {other.dataset for other in LAYOUTS if names.intersection(other.files)}
    if dataset in others:
        return InputError(f"{where} has files of {dataset} in a folder below: name that folder")
    if others:
        found = ", ".join(sorted(others))
        return InputError(f"{where} holds {found}, not {dataset}: name the one that it holds")
    expected = " or ".join(f"{layout.train[0]}, ..., {layout.test}" for layout in layouts)
    return InputError(f"{where} holds no {dataset}: expected {expected}")


def _reason(error):
    """Return the first line of an exception's message."""
    return str(error).split("\n")[0].rstrip(":") or type(error).__name__


# CIFAR


def _read_bytes(file, where):
    """Return all bytes of ``file``, within FILE_LIMIT."""
    data = file.read(FILE_LIMIT + 1)
    if len(data) > FILE_LIMIT:
        raise InputError(f"{where} is larger than any file of the data set: give the official one")
    return data


def _read_cifar_binary(file, where, label_bytes, classes):
    """Read rows of ``label_bytes`` labels, the last of which counts, and 3 x 32 x 32 pixels."""
    data = np.frombuffer(_read_bytes(file, where), np.uint8)
    row = label_bytes + 3 * 32 * 32
    if len(data) % row:
        raise InputError(
            f"{where} is truncated or of another data set: {len(data)} bytes, {row} per image"
        )
    rows = data.reshape(-1, row)
    return _cifar_part(rows[:, label_bytes:], rows[:, label_bytes - 1], classes, where)


def _read_cifar_python(file, where, label_key, classes):
    """Read a pickled dict with the rows of pixels, ``data``, and the labels, ``label_key``."""
    data = _read_bytes(file, where)
    try:
        batch = read_pickle(data)
    except Exception as error:  # damaged or hostile pickles raise nearly everything
        raise InputError(
            f"{where} is not one of CIFAR's pickles ({_reason(error)}): download it again"
        ) from None
    if not {"data", label_key} <= set(batch):
        raise InputError(f"{where} has no {label_key!r} or no 'data': give the official file")
    rows, labels = batch["data"], batch[label_key]
    if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.shape[1:] != (3072,):
        raise InputError(f"{where}: its 'data' is not rows of 3072 bytes")
    if not isinstance(labels, np.ndarray):
        labels = labels if isinstance(labels, (list, tuple)) else [None]
        if not all(type(label) is int and abs(label) < 1 << 31 for label in labels):
            raise InputError(f"{where}: its {label_key!r} is not a list of whole numbers")
    return _cifar_part(rows, np.array(labels, np.int64), classes, where)


def _cifar_part(rows, labels, classes, where):
    images = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return _part(images, labels, 0, classes - 1, where)


def _part(images, labels, lowest, highest, where):
    """Return the Part of images and labels; check their number and the range of the labels."""
    if labels.shape != (len(images),):
        raise InputError(
            f"{where} has {len(images)} images and {labels.size} labels: it is damaged"
        )
    outside = labels[(labels < lowest) | (labels > highest)]
    if len(outside):
        raise InputError(f"{where} has label {outside[0]}, outside {lowest} to {highest}")
    return Part(images, labels.astype(np.int64))


# SVHN


def _read_svhn(file, where):
    """Read a MATLAB file of X, uint8 (32, 32, 3, N), and y, (N, 1), where 10 is the digit 0."""
    from scipy.io import loadmat, whosmat  # takes 0.2 s

    try:
        for name, shape, _ in whosmat(file):
            if name in ("X", "y") and math.prod(shape) > MAT_LIMIT:
                raise ValueError(f"{name} of {shape} is larger than in the data set")
        file.seek(0)
        content = loadmat(file, variable_names=["X", "y"])
    except NotImplementedError:  # MATLAB's later format, which is HDF5
        raise InputError(
            f"{where} is a .mat file of version 7.3: save it with version 7 (in MATLAB, "
            "save -v7), or give the official one"
        ) from None
    except Exception as error:  # scipy's reader raises nearly everything on damaged bytes
        raise InputError(
            f"{where} is not a complete .mat file ({_reason(error)}): download it again"
        ) from None
    images, labels = content.get("X"), content.get("y")
    if not isinstance(images, np.ndarray) or not isinstance(labels, np.ndarray):
        raise InputError(f"{where} has no X or no y: give SVHN's format 2, *_32x32.mat")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[:3] != (32, 32, 3):
        raise InputError(f"{where}: X is {images.dtype} {images.shape}, not uint8 (32, 32, 3, N)")
    # MATLAB's numbers are doubles
    if labels.dtype.kind not in "iuf" or (labels != np.floor(labels)).any():
        raise InputError(f"{where}: y is {labels.dtype}, not whole numbers")
    part = _part(images.transpose(3, 0, 1, 2), labels.reshape(-1), 1, 10, where)
    return Part(part.images, part.labels % 10)


_TAR_ENDS = (".tar.gz", ".tgz", ".tar")
_CIFAR10_TRAIN = tuple(f"data_batch_{k}" for k in range(1, 6))

LAYOUTS = (
    Layout(
        "cifar10",
        train=_CIFAR10_TRAIN,
        test="test_batch",
        read=lambda file, where: _read_cifar_python(file, where, "labels", 10),
        folder="cifar-10-batches-py",
        archive="cifar-10-python",
    ),
    Layout(
        "cifar10",
        train=tuple(name + ".bin" for name in _CIFAR10_TRAIN),
        test="test_batch.bin",
        read=lambda file, where: _read_cifar_binary(file, where, 1, 10),
        folder="cifar-10-batches-bin",
        archive="cifar-10-binary",
    ),
    Layout(
        "cifar100",
        train=("train",),
        test="test",
        read=lambda file, where: _read_cifar_python(file, where, "fine_labels", 100),
        folder="cifar-100-python",
        archive="cifar-100-python",
    ),
    Layout(
        "cifar100",
        train=("train.bin",),
        test="test.bin",
        read=lambda file, where: _read_cifar_binary(file, where, 2, 100),
        folder="cifar-100-binary",
        archive="cifar-100-binary",
    ),
    Layout(
        "svhn",
        train=("train_32x32.mat", "extra_32x32.mat"),
        test="test_32x32.mat",
        read=_read_svhn,
    ),
)
