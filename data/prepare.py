"""python -m data.prepare DATASET: original archives to train.rec, train.idx, test.rec, test.idx."""

import contextlib
import functools
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
from data.idx import DATASETS, read_idx_source
from data.images import encode
from data.lists import CLASSES, read_classes
from data.own import SIZE, TEST_SHARE, describe, read_own
from data.photographs import LOCK, check_jobs
from data.recordio import frame
from data.records import Images, split
from data.spec import DESCRIPTION as DESCRIPTION_FILE
from data.spec import SIZES, default_folder, get_spec, list_datasets, write_spec
from data.verify import check
from data.workers import open_workers
from filesystem import locked

DESCRIPTION = """\
Make the .rec files that training reads: train.rec, train.idx, test.rec and test.idx.

The pixels are kept as they are (PNG inside the records); training images are shuffled, always in
the same way, test images keep their order. Without --source the official archives are downloaded,
and a download that stopped is resumed. digits comes with scikit-learn.

--source takes
  cifar10, cifar100   the python or the binary version: the archive (.tar.gz), the folder it
                      unpacks to, or a folder with one of these in it
  svhn                a folder with train_32x32.mat, extra_32x32.mat and test_32x32.mat; the
                      training set is train and extra together
  mnist,              a folder with the four files train-images-idx3-ubyte, ...; grey becomes RGB,
  fashion-mnist       28x28 stays
  folder              small images of your own: a folder with train/CLASS/FILE and test/CLASS/FILE,
                      one with CLASS/FILE, of which a share becomes the test set, or an .npz file
                      with images and labels. They are made --size x --size pixels; --out
                      data/NAME is then what --dataset NAME trains on, described by dataset.json.
  imagenet            a folder with train/CLASS/FILE and val/CLASS/FILE: any photographs. They are
                      stored as JPEG in train.rec and val.rec, larger ones with a shorter side of
                      --size, with the names of the classes in classes.txt. ImageNet's own val
                      folder is flat: --val-labels names a list of lines "FILE CLASS", such as
                      Kaggle's LOC_val_solution.csv. What cannot be decoded is left out and named.
                      Stopped, the same command continues where it was.
"""

EXAMPLE = """\
examples:
  python -m data.prepare digits
  python -m data.prepare cifar10 --source ~/Downloads/cifar-10-python.tar.gz
  python -m data.prepare svhn --source ~/Downloads --out /data/svhn
  python -m data.prepare folder --source ~/flowers --out data/flowers --size 64
  python -m data.prepare imagenet --source ~/ILSVRC/Data/CLS-LOC --val-labels LOC_val_solution.csv
"""

PHOTOGRAPHS, OWN = "imagenet", "folder"
FLAGS = {  # of one kind of data set
    "size": (PHOTOGRAPHS, OWN),
    "val_labels": (PHOTOGRAPHS,),
    "jobs": (PHOTOGRAPHS, OWN),
    "test_share": (OWN,),
    "split_seed": (OWN,),
}
SHUFFLE_SEED = 0
SHOWN = 3  # names of ignored files
FILES = ("train.rec", "train.idx", "test.rec", "test.idx")


def prepare(dataset, source=None, out=None, partial=False):
    """Write the four files of a data set that is built in.

    Any failure leaves ``out`` as it was, but for a download that can be resumed.

    Args:
        source: the official files; None downloads them.
        out: folder; None is data/<dataset>.
        partial: take whatever number of images ``source`` holds.

    Returns:
        The numbers of training and test images.

    Raises:
        InputError: the source is another, or damaged; it cannot be downloaded.
        OSError: a file cannot be written.
    """
    spec = get_spec(dataset)
    out = Path(out or default_folder(dataset)).absolute()
    if partial and source is None:
        raise InputError("--partial is for files of your own: name them with --source")
    if source is not None and not spec.archives:
        raise InputError(f"{dataset} comes with a Python package: leave --source out")
    read = read_idx_source if dataset in DATASETS else functools.partial(read_source, dataset)
    with _new_folder(out), locked(out / LOCK, out, remove=True):
        if source is not None:
            train, test = read(source, partial)
        elif spec.archives:
            train, test = read(_download(spec, out / "download"), False)
        else:
            train, test = read_digits(spec.test_count)
        counts = _count(train), _count(test)
        _check_counts(spec, source, counts, partial)
        _write_all(out, train, test, spec)
    _remove_download(spec, out / "download")
    return counts


def ensure_prepared(dataset, say):
    """Prepare a data set that is built in where programs look for it, unless it is there.

    Of several processes one does so, and the others wait for it.

    Args:
        say: shows a line.

    Raises:
        InputError: it cannot be downloaded; the message says how to prepare it by hand.
    """
    spec, folder = get_spec(dataset), default_folder(dataset)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_name(f".{dataset}.lock"), folder, wait=True, remove=True):
        if all((folder / name).exists() for name in FILES):
            return
        size = sum(archive.size for archive in spec.archives)
        download = f", a download of {size / 1e6:,.0f} MB" if size else ""
        say(f"{dataset} is not prepared yet: preparing it in {folder}{download}")
        try:
            counts = prepare(dataset)
        except InputError as error:
            raise InputError(
                f"{error} (by hand: python -m data.prepare {dataset} --source FOLDER)"
            ) from None
        say("{}: {:,} training and {:,} test images in {}".format(dataset, *counts, folder))


def prepare_own(source, out, size=None, test_share=TEST_SHARE, seed=0, jobs=None):
    """Write the four files and the dataset.json of a data set of one's own.

    Args:
        source, size, test_share, seed: see data.own.read_own.
        out: folder, whose name is the data set's.
        jobs: processes that read files; None is one for each core.

    Returns:
        The Own and its DatasetSpec.

    Raises:
        InputError: the source cannot be used, or the name is taken.
        OSError: a file cannot be written.
    """
    out = Path(out).absolute()
    if out.name in list_datasets():
        raise InputError(f"{out.name} is the name of another data set: choose another for --out")
    with open_workers(check_jobs(jobs)) as mapping:
        own = read_own(source, size, test_share, seed, mapping)
    spec = describe(own, out.name)
    with _new_folder(out), locked(out / LOCK, out, remove=True):
        _write_all(out, [own.train], [own.test], spec, described=True)
    return own, spec


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


def _write_all(out, train, test, spec, described=False):
    """Write the four files, and with ``described`` dataset.json, aside; rename them when whole."""
    names = (*FILES, DESCRIPTION_FILE) if described else FILES
    for name in names:
        if (out / name).is_dir():
            raise InputError(f"{out / name} is a folder: move it, a file of that name is made")
    shuffled = np.random.RandomState(SHUFFLE_SEED).permutation(_count(train))
    with tempfile.TemporaryDirectory(prefix=".preparing-", dir=out) as aside:
        _write(Path(aside) / "train.rec", train, shuffled, spec.classes)
        _write(Path(aside) / "test.rec", test, np.arange(_count(test)), spec.classes)
        if described:
            write_spec(spec, aside)
        for name in names:
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
    size = photographs.SIZE if arguments.size is None else arguments.size
    source, labels, jobs = arguments.source, arguments.val_labels, arguments.jobs
    for part, report in photographs.prepare(source, out, size, labels, jobs).items():
        print(f"{part}: {report.written:,} images in {Path(out) / photographs.SETS[part]}")
        for note, times in report.notes.most_common():
            print(f"  {times:,}: {note}")
        _print_passed_over(report)
    print(f"{len(read_classes(out)):,} classes: {Path(out) / CLASSES}")


def _prepare_own(arguments, out):
    values = {"size": arguments.size, "test_share": arguments.test_share}
    values.update(seed=arguments.split_seed, jobs=arguments.jobs)
    given = {name: value for name, value in values.items() if value is not None}
    own, spec = prepare_own(arguments.source, out, **given)
    print(
        f"{spec.name}: {spec.train_count:,} training and {spec.test_count:,} test images of "
        f"{spec.size} x {spec.size} pixels, {spec.classes} classes, in {out}:"
    )
    print("  " + ", ".join((*FILES, DESCRIPTION_FILE)))
    _print_passed_over(own)
    name = spec.name if Path(out).resolve().parent == default_folder("") else out
    print(f"train with: python train_cifar.py --dataset {name}")


def _print_passed_over(report):
    """Print which files of a Report or an Own did not become examples."""
    for line in report.left_out:
        print(f"  left out: {line}")
    for reason, paths in report.ignored.items():
        more = ", ..." if len(paths) > SHOWN else ""
        print(f"  ignored {len(paths):,} {reason}: {', '.join(paths[:SHOWN])}{more}")


def make_parser():
    """Return the command line."""
    parser = Parser(prog="python -m data.prepare", description=DESCRIPTION, epilog=EXAMPLE)
    names = (*list_datasets(), OWN, PHOTOGRAPHS)
    parser.add_argument("dataset", choices=names, help="one of %(choices)s")
    parser.add_argument("--source", metavar="PATH", help="the official files, or your own")
    parser.add_argument("--out", metavar="DIR", help="where to write (default: data/DATASET)")
    parser.add_argument(
        "--partial",
        action="store_true",
        help="take a --source with fewer images than the official one as it is",
    )
    add = parser.add_argument_group(f"{OWN} and {PHOTOGRAPHS}").add_argument
    add(
        "--size",
        type=int,
        help=f"{OWN}: height and width, {SIZES[0]} to {SIZES[-1]}; default: {SIZE}, or the size "
        f"that an .npz file has. {PHOTOGRAPHS}: the most a shorter side is; default: "
        f"{photographs.SIZE}",
    )
    add("--jobs", type=int, help="processes; default: one for each core")
    add("--val-labels", metavar="FILE", help=f"{PHOTOGRAPHS}: the classes of a flat val folder")
    add(
        "--test-share",
        type=float,
        metavar="SHARE",
        help=f"{OWN}: of each class, to test on if there is no folder test; default: {TEST_SHARE}",
    )
    add("--split-seed", type=int, metavar="N", help=f"{OWN}: which images these are; default: 0")
    return parser


@command
def main(argv=None):
    """Prepare one data set and say what was made."""
    arguments = make_parser().parse_args(argv)
    kind = arguments.dataset
    for flag, kinds in FLAGS.items():
        if getattr(arguments, flag) is not None and kind not in kinds:
            name = flag.replace("_", "-")
            raise InputError(f"--{name} is for {' and '.join(kinds)}: leave it out")
    if kind in (PHOTOGRAPHS, OWN) and (arguments.source is None or arguments.partial):
        raise InputError(f"{kind} takes --source, and no --partial")
    if kind == OWN and arguments.out is None:
        raise InputError(f"{kind} takes --out data/NAME, where NAME is what --dataset then takes")
    out = arguments.out or default_folder(kind)
    if kind == PHOTOGRAPHS:
        _prepare_photographs(arguments, out)
    elif kind == OWN:
        _prepare_own(arguments, out)
    else:
        train, test = prepare(kind, arguments.source, out, arguments.partial)
        print(f"{kind}: {train} training and {test} test images, in {out}:")
        print("  " + ", ".join(FILES))
    return 0


if __name__ == "__main__":
    sys.exit(main())
