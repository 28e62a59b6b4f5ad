"""Classify pictures with the network of a run."""

import sys
from pathlib import Path

import compat  # noqa: F401  (before anything imports mxnet)

import numpy as np

from command import InputError, Parser, command
from plotting.tables import TABLE_FORMATS
from training.evaluation import classify

EXAMPLES = """examples:
  python predict.py cat.jpg dog.png --run snapshot/cifar10/cross_d110w1/run1
  python predict.py bird.jpg --run snapshot/birds/cross_imagenet_d26w1/run1 --top 3

A picture is PNG, JPEG or BMP of any size. For a network of 32x32 images its shorter side is made 32
and the centre taken; for one of photographs it is treated as a test image is."""


def make_parser():
    """The command line."""
    parser = Parser(description=__doc__, epilog=EXAMPLES)
    parser.add_argument("pictures", nargs="+", metavar="IMAGE", help="image files")
    parser.add_argument("--run", type=Path, required=True, help="folder of a run")
    parser.add_argument("--epoch", type=int, help="of the checkpoint; default: the newest")
    parser.add_argument("--top", type=int, default=5, help="classes to name; default: 5")
    parser.add_argument("--format", choices=TABLE_FORMATS, default="text", help="default: text")
    parser.add_argument("--gpus", help="such as 0, or cpu; default: every GPU that MXNet sees")
    return parser


@command
def main(argv=None):
    """Say what pictures show."""
    args = make_parser().parse_args(argv)
    if args.top < 1:
        raise InputError(f"--top must be at least 1, not {args.top}")
    found, names = classify(args.run, args.pictures, args.gpus, args.epoch)
    rows = [["picture", "class", "probability %"]]
    for picture, shares in zip(args.pictures, found):
        for index in np.argsort(-shares, kind="stable")[: args.top]:
            rows.append([picture, str(names[index]), f"{100 * shares[index]:.2f}"])
    print(TABLE_FORMATS[args.format](rows))


if __name__ == "__main__":
    sys.exit(main())
