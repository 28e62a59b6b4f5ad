"""Results over several runs, beside the papers'."""

import sys

from command import Parser, command
from results.aggregate import REPORT_FORMATS, read_settings, tabulate
from results.comparison import compare_settings
from results.html_report import write_report
from results.static_plots import draw_comparison, plot_paths

EXAMPLES = """examples:
  python show_results.py                        every run below snapshot/
  python show_results.py snapshot/cifar10       those on CIFAR-10
  python show_results.py --format markdown      a table to paste
  python show_results.py snapshot/ --plot       and snapshot/<data set>.png and .svg
  python show_results.py --plot curves.svg      a picture where you name it
  python show_results.py --html report.html     one page: sortable tables, interactive curves, runs

Errors are of the last epoch, over runs that differ in nothing but the seed:
median (mean +/- std, best). Unfinished and damaged runs are listed below the tables."""


@command
def main(argv=None):
    """Print the table of the runs below a folder, draw them, write them up."""
    parser = Parser(description=__doc__, epilog=EXAMPLES)
    parser.add_argument("path", nargs="?", default="snapshot", help="folder of runs, or one run")
    parser.add_argument("--format", choices=REPORT_FORMATS, default="text", help="default: text")
    parser.add_argument(
        "--plot",
        nargs="?",
        const=True,
        metavar="FILE",
        help="draw error over epochs, and against parameters and multiply-adds, a figure a data "
        "set: FILE (.png or .svg; <name>-<data set> where there are several data sets), or "
        "<data set>.png and .svg in the folder of runs",
    )
    parser.add_argument(
        "--html",
        metavar="FILE",
        help="write a page with tables to sort, curves to zoom and every run's settings and "
        "picture; it is one file and needs no network",
    )
    args = parser.parse_args(argv)
    settings, left_out = read_settings(args.path)
    compared = compare_settings(settings)
    paths = {}
    if args.plot:
        paths = plot_paths(compared, args.path, None if args.plot is True else args.plot)
    print(REPORT_FORMATS[args.format](tabulate(settings), left_out))
    for dataset, files in paths.items():
        draw_comparison(dataset, compared[dataset], files)
        sys.stderr.write("".join(f"wrote {file}\n" for file in files))
    if args.html:
        write_report(args.html, settings, left_out)
        sys.stderr.write(f"wrote {args.html}\n")


if __name__ == "__main__":
    sys.exit(main())
