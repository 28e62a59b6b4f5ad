"""Draw the architecture of a network."""

import sys

from command import Parser, command
from network import list_models, visualize

EXAMPLES = """examples:
  python visualize.py --network=half --depth=26 --widen-factor=1   visualize/half_d26.png
  python visualize.py --network cross --depth 110 --fold           equal blocks once, with a count
  python visualize.py --network cross --depth 26 --detail          shapes, kernels, widths, layers
  python visualize.py --network fractal --depth 40 --column 2      FractalNet with a marked column
  python visualize.py --network half --depth 26 --path shortest    a marked path
  python visualize.py --network half --depth 26 --path 1,2,3       a path given by its branches

Each picture is three files: .png, .svg, and .gv, from which graphviz makes other formats
(dot -Tpdf FILE.gv).

Boxes are convolutions, numbered in order and coloured by stage, with batch normalisation, ReLU and
dropout in them; equal numbers share weights. Dashed boxes are shortcuts and projections, coloured
lines are identities. Circles are merges: + is a sum, \u00d7 a product, and mean is the mean of the
shortcuts, which goes back to every branch. Bars are joins, the mean of columns.

--path takes longest or shortest (in weight layers), or a list of the branches to take at the forks,
counted from 1, left to right. A list that is shorter than the path has forks is repeated, so
--path 1 always goes left, and --path 1,2 alternates."""


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
        "--fold", action="store_true", help="draw consecutive equal blocks once, with their number"
    )
    parser.add_argument(
        "--detail", action="store_true", help="write shapes, kernels, widths and layers"
    )
    mark = parser.add_mutually_exclusive_group()
    mark.add_argument(
        "--column", type=int, metavar="C", help="mark this column of FractalNet; 0: the shallowest"
    )
    mark.add_argument(
        "--path", metavar="PATH", help="mark a path: longest, shortest, or branches such as 1,2,1"
    )
    parser.add_argument(
        "--out",
        default="visualize",
        metavar="DIR",
        help="folder of the pictures; default: visualize",
    )
    return parser


@command
def main(argv=None):
    """Write the picture that the command line describes."""
    files, note = visualize(**vars(make_parser().parse_args(argv)))
    if note:
        print(note)
    print("wrote " + ", ".join(str(file) for file in files))


if __name__ == "__main__":
    sys.exit(main())
