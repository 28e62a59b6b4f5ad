"""Results over several runs, beside the papers'."""

import sys

from command import Parser, command
from training.results import FORMATS, collect

EXAMPLES = """examples:
  python show_results.py                        every run below snapshot/
  python show_results.py snapshot/cifar10       those on CIFAR-10
  python show_results.py --format markdown      a table to paste

Errors are of the last epoch, over runs that differ in nothing but the seed:
median (mean +/- std, best). Unfinished and damaged runs are listed below the tables."""


@command
def main(argv=None):
    """Print the table of the runs below a folder."""
    parser = Parser(description=__doc__, epilog=EXAMPLES)
    parser.add_argument("path", nargs="?", default="snapshot", help="folder of runs, or one run")
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    args = parser.parse_args(argv)
    print(FORMATS[args.format](*collect(args.path)))


if __name__ == "__main__":
    sys.exit(main())
