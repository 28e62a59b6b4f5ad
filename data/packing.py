"""Write a data set's files, train.rec, train.idx, test.rec and test.idx: all of them or none."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Optional, Tuple, Union

import numpy as np
from PIL import Image
from tqdm import tqdm

from command import InputError
from data.archives import Part, read_source
from data.checks import check, index_path
from data.download import fetch
from data.idx import DATASETS, read_idx_source
from data.images import encode
from data.own import Own, describe, read_own
from data.photographs import LOCK, SETS, refuse_mixture
from data.recordio import frame
from data.records import Images, split
from data.spec import DESCRIPTION, DatasetSpec, default_folder, get_spec, write_spec
from data.workers import check_jobs, open_workers
from filesystem import locked, named_errors, new_folder

SHUFFLE_SEED = 0
FILES = ("train.rec", "train.idx", "test.rec", "test.idx")
ASIDE = ".preparing-"  # how the folder begins in which files are written until they are complete


def prepare_dataset(
    dataset: str,
    source: Union[str, Path, None] = None,
    out: Union[str, Path, None] = None,
    partial: bool = False,
) -> Tuple[int, int]:
    """Write the four files of a built-in data set.

    A failure leaves ``out`` unchanged, except for a download that can be resumed.

    Args:
        source: the official files; None downloads them.
        out: folder; None means data/<dataset>.
        partial: accept any number of images in ``source``.

    Returns:
        The numbers of training and test images.

    Raises:
        InputError: the source is not this data set, is damaged, or cannot be downloaded, or ``out``
            is the folder of another data set.
        OSError: a file cannot be written.
    """
    spec = get_spec(dataset)
    out = Path(out or default_folder(dataset)).absolute()
    _check_source(spec, source, partial)
    refuse_mixture(out, SETS["val"], DESCRIPTION, dataset=dataset)
    with new_folder(out), locked(out / LOCK, out, remove=True):
        train, test = _read(spec, source, out / "download", partial)
        counts = _count(train), _count(test)
        _check_counts(spec, source, counts, partial)
        if dataset in DATASETS and not partial:
            _check_mean(spec, source, train)
        _write_all(out, train, test, spec)
    if source is None:
        _remove_download(spec, out / "download")
    return counts


def _check_source(spec, source, partial):
    """Raise an InputError if the data set needs a ``source``, or can have none."""
    if partial and source is None:
        raise InputError(
            "partial is for files of your own: name them with source",
            argument=("partial", "source"),
        )
    if source is not None and not spec.archives:
        raise InputError(
            f"{spec.name} comes with a Python package: leave source out", argument="source"
        )


def ensure_prepared(dataset, say):
    """Prepare a built-in data set in its default folder, unless its record files are there.

    If several processes call this, one prepares the data set and the others wait.

    Args:
        say: function that shows a line.

    Raises:
        InputError: it cannot be downloaded; the message says how to prepare it by hand.
    """
    spec, folder = get_spec(dataset), default_folder(dataset)
    records = [folder / name for name in FILES if name.endswith(".rec")]
    if all(path.exists() for path in records):  # nothing is written: the folder may be read-only
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f".{dataset}.lock"), folder, wait=True, remove=True):
        if all(path.exists() for path in records):
            return
        size = sum(archive.size for archive in spec.archives)
        download = f", a download of {size / 1e6:,.0f} MB" if size else ""
        say(f"{dataset} is not prepared yet: preparing it in {folder}{download}")
        try:
            counts = prepare_dataset(dataset)
        except InputError as error:
            raise InputError(
                f"{error} (by hand: python -m data.prepare {dataset} --source FOLDER)"
            ) from None
        say("{}: {:,} training and {:,} test images in {}".format(dataset, *counts, folder))


def prepare_own(
    source: Union[str, Path],
    out: Union[str, Path],
    size: Optional[int] = None,
    test_share: Optional[float] = None,
    split_seed: Optional[int] = None,
    jobs: Optional[int] = None,
) -> Tuple[Own, DatasetSpec]:
    """Write the four files and the dataset.json of a user's own data set.

    Args:
        source, size, test_share, split_seed: see data.own.read_own.
        out: folder; its name is the data set's name.
        jobs: number of processes that read files; None means one for each core. More than one need
            a script whose calls stand below ``if __name__ == "__main__":``.

    Returns:
        The Own and its DatasetSpec.

    Raises:
        InputError: the source cannot be used, or ``out`` is the folder of another data set.
        OSError: a file cannot be written.
    """
    out = Path(out).absolute()
    if out.name in ("", ".."):
        raise InputError(
            f"out {out} ends without a name for the data set: give data/NAME", argument="out"
        )
    refuse_mixture(out, SETS["val"])
    with open_workers(check_jobs(jobs)) as mapping:
        own = read_own(source, size, test_share, split_seed, mapping)
    spec = describe(own, out.name)
    with new_folder(out), locked(out / LOCK, out, remove=True):
        _write_all(out, [own.train], [own.test], spec, described=True)
    return own, spec


def _read(spec, source, folder, partial):
    """Return training and test Parts of a built-in data set; without a source, download it."""
    if not spec.archives:
        return read_digits(spec.test_count)
    source = _download(spec, folder) if source is None else source
    if spec.name in DATASETS:
        return read_idx_source(spec.name, source)
    return read_source(spec.name, source, partial)


def _download(spec, folder):
    """Download all archives of ``spec``; return their folder."""
    with new_folder(folder):
        for archive in spec.archives:
            fetch(archive, folder)
    return folder


def _remove_download(spec, folder):
    for archive in spec.archives:
        with contextlib.suppress(FileNotFoundError):
            (folder / archive.name).unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()


def read_digits(test_count):
    """Return training and test Parts of scikit-learn's digits, 8x8 grey, as 32x32 RGB."""
    from sklearn.datasets import load_digits  # takes a second

    digits = load_digits()
    grey = np.rint(digits.images * (255 / 16)).astype(np.uint8)  # they are 0 to 16
    grey = np.pad(grey, ((0, 0), (1, 1), (1, 1)))  # otherwise strokes end at the edge
    images = np.stack([_enlarge(image) for image in grey])
    train, test = split(Images(images, digits.target), test_count)
    return [Part(train.pixels, train.labels)], [Part(test.pixels, test.labels)]


def _enlarge(grey):
    image = Image.fromarray(grey).resize((32, 32), Image.BICUBIC)
    return np.asarray(image.convert("RGB"))


def _count(parts):
    return sum(len(part) for part in parts)


def _check_counts(spec, source, counts, partial):
    """Raise an InputError if the numbers of training and test images are not the official ones."""
    found = f"{source} has {counts[0]} training and {counts[1]} test images"
    if 0 in counts:
        raise InputError(f"{found}: at least one of each is needed")
    if not partial and counts != (spec.train_count, spec.test_count):
        raise InputError(
            f"{found}, but {spec.name} has {spec.train_count} and {spec.test_count}: get the "
            "complete data set, or accept this part with partial",
            argument="partial",
        )


def _check_mean(spec, source, train):
    """Raise an InputError if the mean of grey training images is not that of ``spec``.

    The files of MNIST, Fashion-MNIST and others have the same names and sizes.
    """
    mean = np.concatenate([part.images[..., 0] for part in train]).mean()
    if abs(mean - spec.mean[0]) > 1:
        raise InputError(
            f"{source} does not hold {spec.name}: the mean of its pixels is {mean:.1f}, not "
            f"{spec.mean[0]:.1f}; name the data set that it holds"
        )


def _write_all(out, train, test, spec, described=False):
    """Write the four files, and with ``described`` dataset.json, aside; rename complete files."""
    names = (*FILES, DESCRIPTION) if described else FILES
    for name in names:
        if (out / name).is_dir():
            raise InputError(
                f"{out / name} is a folder: move it, because a file of that name is written"
            )
    shuffled = np.random.RandomState(SHUFFLE_SEED).permutation(_count(train))
    for left in out.glob(f"{ASIDE}*"):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=ASIDE, dir=out) as aside:
        _write(Path(aside) / "train.rec", train, shuffled, spec.classes)
        _write(Path(aside) / "test.rec", test, np.arange(_count(test)), spec.classes)
        if described:
            write_spec(spec, aside)
        for name in names:
            os.replace(os.path.join(aside, name), out / name)


def _write(path, parts, order, classes):
    """Write the images of ``parts``, in ``order``, to the .rec file ``path`` and its .idx.

    A record's id is the image's position in the original files.
    """
    starts = np.cumsum([0] + [len(part) for part in parts])
    with named_errors(path), open(path, "wb") as rec, open(index_path(path), "w") as index:
        for key, place in enumerate(tqdm(order, desc=path.name, unit="image", disable=None)):
            number = np.searchsorted(starts, place, side="right") - 1
            part, row = parts[number], place - starts[number]
            index.write(f"{key}\t{rec.tell()}\n")
            rec.write(frame(part.labels[row], place, encode(part.images[row])))
    if len(check(path, classes)) != len(order):
        raise InputError(f"{path} is incomplete after writing: is the disk full?")
