"""Classify pictures with the network of a run, a pretrained one, or an exported file."""

import csv
import json
import os
import sys
from pathlib import Path

import compat  # noqa: F401  (before anything imports mxnet)

import numpy as np
from tqdm import tqdm

from command import InputError, Parser, command, require_file_path, require_positive
from data.class_folders import CIRCLE, CLOSED, LOST, Ignored, walk_images
from data.images import name_formats
from data.lists import find_encoding
from filesystem import whole_file
from network import read_card
from plotting.tables import TABLE_FORMATS, escape_breaks
from training.classification import Answer, classify, load_exported, load_run, rank_classes

TOP = 5
FORMATS = (*TABLE_FORMATS, "csv", "jsonl")
EXAMPLES = f"""examples:
  python predict.py cat.jpg dog.png --run snapshot/cifar10/cross_d110w1/run1
  python predict.py bird.jpg --run snapshot/birds/cross_imagenet_d26w1/run1 --top 3
  python predict.py docs/samples --exported exported/network.onnx --format csv
  find pictures -name '*.png' -print0 | python predict.py - --run snapshot/cifar10/cross_d110w1/run1
  python predict.py pictures --run snapshot/cifar10/cross_d110w1/run1 --features pictures.npy
  python predict.py pictures --run snapshot/cifar10/fractal_d20w1/run1 --early-exit 0.9
  python predict.py docs/cat.png --network cross26-cifar10

cat.jpg, dog.png, bird.jpg and the folder pictures stand for your own files.

Pictures are {name_formats()} files of any size. For a network of small images, the shorter
side is resized to the network's size and the centre is cropped; for a network of photographs,
pictures are processed like test images. A folder means all pictures in it and in its subfolders,
without hidden and system files, and - means a list of paths on standard input, one per line or
separated by null characters. If a picture cannot be read, its name is printed, the others are
classified, and the exit status is 1."""


def make_parser():
    """Return the parser of the command line."""
    parser = Parser(description=__doc__, epilog=EXAMPLES)
    parser.add_argument(
        "pictures",
        nargs="+",
        metavar="IMAGE",
        help="image files, folders of them, or - (a list on standard input)",
    )
    add_network_flags(parser)
    parser.add_argument("--top", type=int, help=f"number of classes to show; default: {TOP}")
    parser.add_argument(
        "--format", choices=FORMATS, help=f"format of the output; default: {FORMATS[0]}"
    )
    parser.add_argument(
        "--features",
        metavar="FILE.npy",
        help="write the features (the classifier's input) into this file, an array (pictures, "
        "features), and print which picture each row is, instead of classes",
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=64,
        help="number of pictures predicted at once; default: 64",
    )
    parser.add_argument("--gpus", help="such as 0, or cpu; default: every GPU that MXNet sees")
    return parser


def add_network_flags(parser):
    """Add the flags that say which network classifies the pictures."""
    network = parser.add_mutually_exclusive_group(required=True)
    network.add_argument("--run", type=Path, help="folder of a run")
    network.add_argument(
        "--network", metavar="NAME", help="name of a pretrained network, such as cross26-cifar10"
    )
    network.add_argument(
        "--exported", type=Path, metavar="FILE", help="a file that export.py wrote, of any format"
    )
    parser.add_argument(
        "--early-exit",
        type=float,
        metavar="THRESHOLD",
        help="with a FractalNet: use the shallowest column whose largest probability is at least "
        "THRESHOLD, or else the whole network, and show which one was used. evaluate.py "
        "--early-exit measures thresholds",
    )
    parser.add_argument(
        "--columns-only",
        action="store_true",
        help="with --early-exit: use the deepest column instead of the whole network. evaluate.py "
        "--early-exit measures this in the lines whose shares do not name the whole network",
    )
    parser.add_argument("--epoch", type=int, help="epoch of the checkpoint; default: the newest")
    parser.add_argument(
        "--data-dir",
        help="folder of the run's .rec files, which has the names of the classes, and training "
        "images that --early-exit may need; default: the run's",
    )


def check_flags(args):
    """Check that the flags can be used together.

    Raises:
        InputError: two flags contradict each other, or a number is impossible.
    """
    require_positive(batch_size=args.batch_size, top=TOP if args.top is None else args.top)
    given = (args.epoch, args.early_exit, args.features, args.gpus, args.data_dir)
    if args.exported and any(value is not None for value in given):
        raise InputError(
            "--features, --early-exit, --epoch, --gpus and --data-dir are for --run and --network"
        )
    if args.columns_only and args.early_exit is None:
        raise InputError("--columns-only is for --early-exit")
    if args.network is not None:
        read_card(args.network)  # raises an error if it is not a pretrained network
    if args.features is not None:
        check_features(args)


def check_features(args):
    """Check the path of --features, and that no flag for classes is given beside it.

    Raises:
        InputError: the path cannot be a file, or a flag would have no effect.
    """
    for flag in ("early_exit", "top", "format"):
        if getattr(args, flag) is not None:
            raise InputError(f"{flag} is for classes: leave --features out", argument=flag)
    require_file_path(args.features)


def note(line):
    """Show a line on stderr."""
    tqdm.write(line, file=sys.stderr)


def list_pictures(names, report=note):
    """Return the paths of the pictures in ``names``: files, folders of pictures, - for a list.

    Args:
        report: called with a line for each picture or folder that cannot be read. Links that lead
            in a circle are only named on stderr.

    Raises:
        InputError: there are no pictures, or no standard input to read the list from.
    """
    paths = []
    for name in names:
        if name == "-":
            if sys.stdin is None:
                raise InputError("- needs a list on standard input, which is closed")
            paths += read_list(sys.stdin.buffer.read())
        elif os.path.isdir(name):  # Path.is_dir raises an error for a name that is too long
            ignored = Ignored()
            paths += [os.path.join(name, path) for path, _ in walk_images(name, "", ignored)]
            for reason in (LOST, CIRCLE, CLOSED):
                show = note if reason == CIRCLE else report
                for path in ignored.get(reason, ()):
                    show(f"left out ({reason}): {os.path.join(name, path)}")
        else:
            paths.append(name)
    if not paths:
        raise InputError(f"there is no picture in {', '.join(names)}")
    return paths


def read_list(data):
    """Return the paths in the bytes ``data``: lines, or parts that end with a null character."""
    encoding = find_encoding(data)  # of an editor or a shell of Windows; paths are bytes elsewhere
    text = data.decode(encoding, "replace") if encoding else os.fsdecode(data)
    parts = text.split("\0") if "\0" in text else (line.rstrip("\r") for line in text.split("\n"))
    return [part for part in parts if part]


def write_classes(found, form, early=False):
    """Print the classes of each picture: a table at the end, or lines as they are computed.

    Args:
        found: iterable of (path, [(class, probability)], name of the network that was used).
        form: one of FORMATS.
        early: whether to show which network answered.
    """
    head, rows = ["picture", "class", "probability %", *(["answered by"] if early else [])], []
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if form == "csv":
        writer.writerow(head)
    for path, ranked, by in found:
        answered = [by] if early else []
        cells = [[path, name, f"{100 * share:.2f}", *answered] for name, share in ranked]
        if form == "csv":
            writer.writerows(cells)
        elif form == "jsonl":
            classes = [{"class": name, "probability": share} for name, share in ranked]
            line = {"picture": path, "classes": classes}
            print(json.dumps({**line, "answered_by": by} if early else line, allow_nan=False))
        else:
            rows += cells
    if form in TABLE_FORMATS:
        print(TABLE_FORMATS[form]([head, *rows]))


def rank(classifier, found, top, early):
    """Convert the items of ``classify`` to those for ``write_classes``."""
    for path, output in found:
        answer = output if early else Answer(output, "")
        yield path, rank_classes(classifier, answer.logits, top), answer.network


def write_features(found, path):
    """Write the features of pictures into the .npy file ``path``; print the picture of each row.

    Args:
        found: iterable of (path of a picture, its features).
    """
    pictures, rows = [], []
    for picture, row in found:
        pictures.append(picture)
        rows.append(row)
    if rows:
        with whole_file(path) as file:
            np.save(file, np.stack(rows))
        print("\n".join(map(escape_breaks, pictures)))


@command
def main(argv=None):
    """Classify pictures; return 1 if one of them could not be read."""
    args = make_parser().parse_args(argv)
    check_flags(args)
    problems = []

    def report(line):
        problems.append(line)
        note(line)

    paths = list_pictures(args.pictures, report)
    if args.exported:
        classifier = load_exported(args.exported)
    else:
        source = args.run if args.network is None else args.network
        how = (bool(args.features), args.early_exit, args.columns_only, args.data_dir)
        classifier = load_run(source, args.gpus, args.epoch, *how)
    if classifier.names_problem and not args.features:
        sys.stderr.write(f"classes are shown as numbers: {classifier.names_problem}\n")

    shown = tqdm(paths, "predicting", unit="picture", leave=False, disable=None)
    found = classify(classifier, shown, args.batch_size, report)
    if args.features:
        write_features(found, args.features)
    else:
        early = args.early_exit is not None
        ranked = rank(classifier, found, args.top or TOP, early)
        write_classes(ranked, args.format or FORMATS[0], early)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
