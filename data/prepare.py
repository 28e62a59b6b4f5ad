"""python -m data.prepare DATASET: original archives to train.rec, train.idx, test.rec, test.idx."""

import contextlib
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from command import InputError, Parser, command
from data import photographs
from data.archives import Part, read_source
from data.download import fetch
from data.images import encode
from data.lists import CLASSES, read_classes
from data.photographs import LOCK
from data.recordio import frame
from data.records import Images, split
from data.spec import get_spec, list_datasets
from data.verify import check
from filesystem import locked, project_folder

DESCRIPTION = """\
Make the .rec files that training reads: train.rec, train.idx, test.rec and test.idx.

The pixels are kept as they are (PNG inside the records); training images are shuffled, always in
the same way, test images keep their order. Without --source the official archives are downloaded,
and a download that stopped goes on where it was. digits comes with scikit-learn.

--source takes
  cifar10, cifar100   the python or the binary version: the archive (.tar.gz), the folder it
                      unpacks to, or a folder with one of these in it
  svhn                a folder with train_32x32.mat, extra_32x32.mat and test_32x32.mat; the
                      training set is train and extra together
  imagenet            a folder with train/CLASS/FILE and val/CLASS/FILE: any photographs. They are
                      stored as JPEG in train.rec and val.rec, larger ones with a shorter side of
                      --size, with the names of the classes in classes.txt. ImageNet's own val
                      folder is flat: --val-labels names a list of lines "FILE CLASS", such as
                      Kaggle's LOC_val_solution.csv. What cannot be decoded is left out and named.
                      Stopped, the same command goes on where it was.
"""

EXAMPLE = """\
examples:
  python -m data.prepare digits
  python -m data.prepare cifar10 --source ~/Downloads/cifar-10-python.tar.gz
  python -m data.prepare svhn --source ~/Downloads --out /data/svhn
  python -m data.prepare imagenet --source ~/ILSVRC/Data/CLS-LOC --val-labels LOC_val_solution.csv
"""

PHOTOGRAPHS = "imagenet"
SHUFFLE_SEED = 0
SHOWN = 3  # names of ignored files
FILES = ("train.rec", "train.idx", "test.rec", "test.idx")


def default_folder(dataset):
    """Return the folder of the files of ``dataset`` if no other is named."""
    return project_folder() / "data" / dataset


def prepare(dataset, source=None, out=None, partial=False):
    """Write the four files of ``dataset`` into ``out``; the numbers of training and test images.

    ``source``: the official files, else they are downloaded. ``partial``: whatever number of images
    they hold. Any failure is an InputError or OSError and leaves ``out`` as it was, but for a
    download that can be resumed.
    """
    spec = get_spec(dataset)
    out = Path(out or default_folder(dataset)).absolute()
    if partial and source is None:
        raise InputError("--partial is for files of your own: name them with --source")
    if source is not None and not spec.archives:
        raise InputError(f"{dataset} comes with a Python package: leave --source out")
    with _new_folder(out), locked(out / LOCK, out, remove=True):
        if source is not None:
            train, test = read_source(dataset, source, partial)
        elif spec.archives:
            train, test = read_source(dataset, _download(spec, out / "download"))
        else:
            train, test = read_digits(spec.test_count)
        counts = _count(train), _count(test)
        _check_counts(spec, source, counts, partial)
        _write_all(out, train, test, spec.classes)
    _remove_download(spec, out / "download")
    return counts


@contextlib.contextmanager
def _new_folder(path):
    """Make the folder ``path``; what was made of it disappears, if empty, after an exception."""
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file: give --out a folder")
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in missing:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise


def _download(spec, folder):
    """The folder with all archives of ``spec``."""
    with _new_folder(folder):
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
    """Training and test Parts of scikit-learn's digits, 8x8 grey, enlarged to 32x32 RGB."""
    from sklearn.datasets import load_digits  # takes a second

    digits = load_digits()
    grey = np.rint(digits.images * (255 / 16)).astype(np.uint8)  # they are 0 to 16
    grey = np.pad(grey, ((0, 0), (1, 1), (1, 1)))  # strokes end at the edge otherwise
    images = np.stack([_enlarge(image) for image in grey])
    train, test = split(Images(images, digits.target), test_count)
    return [Part(train.pixels, train.labels)], [Part(test.pixels, test.labels)]


def _enlarge(grey):
    image = Image.fromarray(grey).resize((32, 32), Image.BICUBIC)
    return np.asarray(image.convert("RGB"))


def _count(parts):
    return sum(len(part) for part in parts)


def _check_counts(spec, source, counts, partial):
    """InputError unless the numbers of training and test images are right, or ``partial``."""
    found = f"{source} has {counts[0]} training and {counts[1]} test images"
    if 0 in counts:
        raise InputError(f"{found}: at least one of each is needed")
    if not partial and counts != (spec.train_count, spec.test_count):
        raise InputError(
            f"{found} where {spec.name} has {spec.train_count} and {spec.test_count}: get all of "
            "it, or add --partial to take it as it is"
        )


def _write_all(out, train, test, classes):
    """Write the four files aside and rename them when all are whole."""
    for name in FILES:
        if (out / name).is_dir():
            raise InputError(f"{out / name} is a folder: move it, a file of that name is made")
    shuffled = np.random.RandomState(SHUFFLE_SEED).permutation(_count(train))
    with tempfile.TemporaryDirectory(prefix=".preparing-", dir=out) as aside:
        _write(Path(aside) / "train.rec", train, shuffled, classes)
        _write(Path(aside) / "test.rec", test, np.arange(_count(test)), classes)
        for name in FILES:
            os.replace(os.path.join(aside, name), out / name)


def _write(path, parts, order, classes):
    """Write the images of ``parts``, in ``order``, to the .rec file ``path`` and its .idx.

    A record's id is the image's place in the original files.
    """
    starts = np.cumsum([0] + [len(part) for part in parts])
    with open(path, "wb") as rec, open(path.with_suffix(".idx"), "w") as index:
        for key, place in enumerate(tqdm(order, desc=path.name, unit="image", disable=None)):
            number = np.searchsorted(starts, place, side="right") - 1
            part, row = parts[number], place - starts[number]
            index.write(f"{key}\t{rec.tell()}\n")
            rec.write(frame(part.labels[row], place, encode(part.images[row])))
    if len(check(path, classes)) != len(order):
        raise InputError(f"{path} is not whole after writing: is the disk full?")


def _prepare_photographs(arguments, out):
    if arguments.source is None or arguments.partial:
        raise InputError(f"{PHOTOGRAPHS} takes --source, and no --partial")
    size = photographs.SIZE if arguments.size is None else arguments.size
    source, labels, jobs = arguments.source, arguments.val_labels, arguments.jobs
    for part, report in photographs.prepare(source, out, size, labels, jobs).items():
        print(f"{part}: {report.written:,} images in {Path(out) / photographs.SETS[part]}")
        for note, times in report.notes.most_common():
            print(f"  {times:,}: {note}")
        for line in report.left_out:
            print(f"  left out: {line}")
        for reason, paths in report.ignored.items():
            more = ", ..." if len(paths) > SHOWN else ""
            print(f"  ignored {len(paths):,} {reason}: {', '.join(paths[:SHOWN])}{more}")
    print(f"{len(read_classes(out)):,} classes: {Path(out) / CLASSES}")


@command
def main(argv=None):
    """Prepare one data set and say what was made."""
    parser = Parser(prog="python -m data.prepare", description=DESCRIPTION, epilog=EXAMPLE)
    names = (*list_datasets(), PHOTOGRAPHS)
    parser.add_argument("dataset", choices=names, help="one of %(choices)s")
    parser.add_argument("--source", metavar="PATH", help="the official files, if you have them")
    parser.add_argument("--out", metavar="DIR", help="where to write (default: data/DATASET)")
    parser.add_argument(
        "--partial",
        action="store_true",
        help="take a --source with fewer images than the official one as it is",
    )
    add = parser.add_argument_group("imagenet").add_argument
    add("--size", type=int, help=f"the most a shorter side is; default: {photographs.SIZE}")
    add("--val-labels", metavar="FILE", help="the classes of a flat val folder")
    add("--jobs", type=int, help="processes; default: one for each core")
    arguments = parser.parse_args(argv)
    out = arguments.out or default_folder(arguments.dataset)
    if arguments.dataset == PHOTOGRAPHS:
        _prepare_photographs(arguments, out)
        return 0
    for flag in ("size", "val_labels", "jobs"):
        if getattr(arguments, flag) is not None:
            raise InputError(f"--{flag.replace('_', '-')} is for {PHOTOGRAPHS}: leave it out")
    train, test = prepare(arguments.dataset, arguments.source, out, arguments.partial)
    print(f"{arguments.dataset}: {train} training and {test} test images, in {out}:")
    print("  " + ", ".join(FILES))
    return 0


if __name__ == "__main__":
    sys.exit(main())
