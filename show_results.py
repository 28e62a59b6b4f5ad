"""Show results over several runs next to the papers' results."""

import sys
from pathlib import Path

from analysis.claims import SCALES
from analysis.reproduction import judge_claims, tabulate_judgements
from command import InputError, Parser, command, require_file_path
from results import (
    REPORT_FORMATS,
    Section,
    compare_settings,
    draw_comparison,
    plot_paths,
    read_settings,
    tabulate,
    write_report,
)

EXAMPLES = """examples:
  python show_results.py                        every run below snapshot/
  python show_results.py snapshot/cifar10       those on CIFAR-10
  python show_results.py --format markdown      a Markdown table
  python show_results.py snapshot/ --plot       also draws snapshot/<data set>.png and .svg
  python show_results.py --plot curves.svg      draws this file
  python show_results.py --html report.html     one page: sortable tables, interactive curves, runs

Errors are those of the last epoch. For one or two runs, the errors are listed; for three or more,
statistics are shown, which the text below the table explains. Runs in one line differ only in the
seed; of runs with the same seed, the newest counts. Runs that do not count are listed with the
reason: they repeat a seed, are unfinished or damaged, or stopped because the loss diverged."""


def make_parser():
    """Return the parser of the command line."""
    parser = Parser(description=__doc__, epilog=EXAMPLES)
    parser.add_argument("path", nargs="?", default="snapshot", help="folder of runs, or one run")
    parser.add_argument(
        "--format", choices=REPORT_FORMATS, default="text", help="format of tables; default: text"
    )
    parser.add_argument(
        "--plot",
        nargs="?",
        const=True,
        metavar="FILE",
        help="draw error over epochs, and against parameters and multiply-adds, in a figure for "
        "each data set: FILE (.png or .svg; <name>-<data set> if there are several), or "
        "<data set>.png and .svg in the folder of runs",
    )
    parser.add_argument(
        "--html",
        metavar="FILE",
        type=Path,
        help="write a page with sortable tables, zoomable curves and every run's settings and "
        "picture; it is one file and needs no network access",
    )
    return parser


def claims_sections(path):
    """Return the papers' claims as sections of the page: those of each scale that has runs."""
    judged = {scale: judge_claims(path, scale) for scale in SCALES}
    return [
        Section(f"The papers' claims, scale {scale}", tabulate_judgements(judgements))
        for scale, judgements in judged.items()
        if any(each.folders for each in judgements)
    ]


@command
def main(argv=None):
    """Print the tables of the runs below a folder; on request, draw them and write a page."""
    args = make_parser().parse_args(argv)
    if args.html:
        require_file_path(args.html)
    settings, left_out = read_settings(args.path)
    compared = compare_settings(settings)
    if args.plot and not compared:
        raise InputError(f"there is no finished run in or below {args.path} to draw")
    paths = {}
    if args.plot:
        paths = plot_paths(compared, args.path, None if args.plot is True else args.plot)
    print(REPORT_FORMATS[args.format](tabulate(settings), left_out))
    for name, files in paths.items():
        draw_comparison(name, compared[name], files)
        sys.stderr.write("".join(f"wrote {file}\n" for file in files))
    if args.html:
        write_report(args.html, settings, left_out, claims_sections(args.path))
        sys.stderr.write(f"wrote {args.html}\n")


if __name__ == "__main__":
    sys.exit(main())
