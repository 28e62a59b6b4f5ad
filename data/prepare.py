"""python -m data.prepare DATASET: original archives to train.rec, train.idx, test.rec, test.idx."""

import os
import shlex
import sys
from pathlib import Path

from command import InputError, Parser, command
from data import photographs
from data.lists import CLASSES, read_classes
from data.own import TEST_SHARE, count_copies
from data.packing import FILES, prepare_dataset, prepare_own
from data.spec import DESCRIPTION as DESCRIPTION_FILE
from data.spec import SIZE, SIZES, default_folder, list_datasets
from filesystem import is_path

DESCRIPTION = """\
Make the .rec files that training reads: train.rec, train.idx, test.rec and test.idx.

The pixels of built-in data sets are not changed (records contain PNG). Training images are
shuffled, always in the same way; test images keep their order. Without --source, the official
archives are downloaded, and an interrupted download is resumed. digits is part of scikit-learn.

--source takes
  cifar10, cifar100   the python or the binary version: the archive (.tar.gz), the folder it
                      unpacks to, or a folder that contains one of these
  svhn                a folder with train_32x32.mat, extra_32x32.mat and test_32x32.mat; the
                      training set is train and extra together
  mnist,              a folder with the four files train-images-idx3-ubyte, ...; grey becomes RGB,
  fashion-mnist       the size stays 28x28
  folder              small images of your own: a folder with train/CLASS/FILE and test/CLASS/FILE,
                      one with CLASS/FILE, a share of which becomes the test set, or an .npz file
                      with images and labels. They are resized to --size x --size and described
                      by dataset.json. After --out data/NAME, --dataset NAME trains on them.
  imagenet            a folder with train/CLASS/FILE and val/CLASS/FILE: any photographs. They are
                      stored as JPEG in train.rec and val.rec; larger ones are reduced to a
                      shorter side of --size. classes.txt lists the names of the classes.
                      ImageNet's own val folder is flat: --val-labels names a list of lines
                      "FILE CLASS", such as Kaggle's LOC_val_solution.csv. Files that cannot be
                      decoded are left out and named. After an interruption, the same command
                      resumes the work.
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
FLAGS = {  # flags that are for some kinds of data sets only
    "size": (PHOTOGRAPHS, OWN),
    "val_labels": (PHOTOGRAPHS,),
    "jobs": (PHOTOGRAPHS, OWN),
    "test_share": (OWN,),
    "split_seed": (OWN,),
}
SHOWN = 3  # names of ignored files, and of classes


def _prepare_photographs(arguments, out):
    size = photographs.SIZE if arguments.size is None else arguments.size
    source, labels, jobs = arguments.source, arguments.val_labels, arguments.jobs
    for part, report in photographs.prepare(source, out, size, labels, jobs).items():
        print(f"{part}: {report.written:,} images in {Path(out) / photographs.SETS[part]}")
        for note, times in report.notes.most_common():
            print(f"  {times:,}: {note}")
        _print_passed_over(report)
    print(f"{_count_classes(len(read_classes(out)))}: {Path(out) / CLASSES}")


def _prepare_own(arguments, out):
    values = {"size": arguments.size, "test_share": arguments.test_share}
    values.update(split_seed=arguments.split_seed, jobs=arguments.jobs)
    own, spec = prepare_own(arguments.source, out, **values)
    names = ", ".join((*spec.class_names[:SHOWN], *["..."] * (spec.classes > SHOWN)))
    print(
        f"{spec.name}: {spec.train_count:,} training and {spec.test_count:,} test images of "
        f"{spec.size} x {spec.size} pixels, {_count_classes(spec.classes)} ({names}), in {out}:"
    )
    print("  " + ", ".join((*FILES, DESCRIPTION_FILE)))
    _print_passed_over(own)
    copies = count_copies(own)
    if copies:
        print(
            f"  copies of training images among the test images: {copies:,}; remove them, because"
        )
        print("  they make the test error too low")
    if spec.classes == 1:
        folders = ": --source takes the folder that holds those of the classes"
        print(f"  there is only one class{folders if os.path.isdir(arguments.source) else ''}")
    path = out if is_path(out) else os.path.join(".", out)
    name = spec.name if Path(out).resolve().parent == default_folder("") else path
    print(f"train with: python train_cifar.py --dataset {shlex.quote(name)}")


def _count_classes(count):
    return "1 class" if count == 1 else f"{count:,} classes"


def _print_passed_over(report):
    """Print which files of a Report or an Own were not used."""
    for line in report.left_out:
        print(f"  left out: {line}")
    for reason, paths in report.ignored.items():
        more = ", ..." if len(paths) > SHOWN else ""
        print(f"  ignored {reason} ({len(paths):,}): {', '.join(paths[:SHOWN])}{more}")


def make_parser():
    """Return the parser of the command line."""
    parser = Parser(prog="python -m data.prepare", description=DESCRIPTION, epilog=EXAMPLE)
    names = (*list_datasets(), OWN, PHOTOGRAPHS)
    parser.add_argument("dataset", choices=names, help="one of %(choices)s")
    parser.add_argument("--source", metavar="PATH", help="the official files, or your own files")
    parser.add_argument(
        "--out", metavar="DIR", help="where to write; required for folder, else data/DATASET"
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="accept a --source with fewer images than the official data set",
    )
    add = parser.add_argument_group(f"{OWN} and {PHOTOGRAPHS}").add_argument
    add(
        "--size",
        type=int,
        help=f"{OWN}: height and width, {SIZES[0]} to {SIZES[-1]}; default: {SIZE}, or the size "
        f"in an .npz file. {PHOTOGRAPHS}: shorter side of larger images; default: "
        f"{photographs.SIZE}",
    )
    add("--jobs", type=int, help="number of processes; default: one for each core")
    add("--val-labels", metavar="FILE", help=f"{PHOTOGRAPHS}: list of a flat val folder's classes")
    add(
        "--test-share",
        type=float,
        metavar="SHARE",
        help=f"{OWN}: share of each class to test on without a test folder; default: {TEST_SHARE}",
    )
    add("--split-seed", type=int, metavar="N", help=f"{OWN}: seed of this choice; default: 0")
    return parser


@command
def main(argv=None):
    """Prepare one data set and print the files that were written."""
    arguments = make_parser().parse_args(argv)
    kind = arguments.dataset
    for flag, kinds in FLAGS.items():
        if getattr(arguments, flag) is not None and kind not in kinds:
            name = flag.replace("_", "-")
            raise InputError(f"--{name} is for {' and '.join(kinds)}: leave it out")
    if kind in (PHOTOGRAPHS, OWN) and (arguments.source is None or arguments.partial):
        raise InputError(f"{kind} needs --source, and no --partial")
    if kind == OWN and not arguments.out:
        raise InputError(f"{kind} needs --out data/NAME; NAME is then the name for --dataset")
    out = arguments.out or default_folder(kind)
    if kind == PHOTOGRAPHS:
        _prepare_photographs(arguments, out)
    elif kind == OWN:
        _prepare_own(arguments, out)
    else:
        train, test = prepare_dataset(kind, arguments.source, out, arguments.partial)
        print(f"{kind}: {train} training and {test} test images, in {out}:")
        print("  " + ", ".join(FILES))
    return 0


if __name__ == "__main__":
    sys.exit(main())
