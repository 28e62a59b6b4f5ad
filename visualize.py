"""Draw the architecture of a network."""

import sys

from command import Parser, command
from network import list_models, visualize

EXAMPLES = """examples:
  python visualize.py --network=half --depth=26 --widen-factor=1   visualize/half_d26.png
  python visualize.py --network cross --depth 110 --fold           equal blocks once, and how many
  python visualize.py --network cross --depth 26 --detail          shapes, kernels, widths, layers
  python visualize.py --network fractal --depth 40 --column 2      FractalNet, one column marked
  python visualize.py --network half --depth 26 --path shortest    a path marked
  python visualize.py --network half --depth 26 --path 1,2,3       the same, way by way

Each picture is three files: .png, .svg, and .gv, for graphviz to make others (dot -Tpdf FILE.gv).

Boxes are convolutions, numbered in order and coloured by stage, with batch normalisation, ReLU and
dropout in them; equal numbers share weights. Dashed ones are shortcuts and projections, coloured
lines identities. Circles merge: + is a sum, \u00d7 a product, mean the mean of shortcuts that goes
back to every branch. Bars are joins, the mean of columns.

A path is longest, shortest (in weight layers), or which way to take at each fork, counted from 1 on
the left. A list with fewer ways than forks is repeated, so --path 1 keeps to the left and
--path 1,2 takes turns."""


def make_parser():
    """Return the parser of the command line."""
    parser = Parser(description=__doc__, epilog=EXAMPLES)
    parser.add_argument(
        "--network",
        default="cross",
        metavar="NAME",
        help=f"{', '.join(list_models())}, or gluoncv:NAME for one of gluoncv's; default: cross",
    )
    parser.add_argument(
        "--depth",
        type=int,
        help="weight layers of the corresponding plain network; default: the network's own",
    )
    parser.add_argument("--widen-factor", type=int, default=1, help="multiplies widths; default: 1")
    parser.add_argument(
        "--fold", action="store_true", help="draw equal blocks in a row once, with their number"
    )
    parser.add_argument(
        "--detail", action="store_true", help="write shapes, kernels, widths and layers"
    )
    mark = parser.add_mutually_exclusive_group()
    mark.add_argument(
        "--column", type=int, metavar="C", help="mark this column of FractalNet, from 0, shallowest"
    )
    mark.add_argument(
        "--path", metavar="PATH", help="mark a path: longest, shortest, or ways such as 1,2,1"
    )
    parser.add_argument("--out", default="visualize", metavar="DIR", help="default: visualize")
    return parser


@command
def main(argv=None):
    """Write the picture that the arguments ask for."""
    files, note = visualize(**vars(make_parser().parse_args(argv)))
    if note:
        print(note)
    print("wrote " + ", ".join(str(file) for file in files))


if __name__ == "__main__":
    sys.exit(main())
