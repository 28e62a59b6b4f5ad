"""Compare the speed of networks and libraries, which take turns, each in its own process."""

import argparse
import json
import math
import sys
from dataclasses import asdict
from pathlib import Path

from command import (
    InputError,
    Parser,
    command,
    require_file_path,
    require_picture_path,
    require_positive,
)
from engine import precision
from filesystem import write_text
from network import list_models
from plotting.scaling import draw_scaling, varying_axes
from tools.contestants import LIBRARIES, TASKS, contest, list_cases
from tools.profiling import profile_case
from tools.timing import Case, table, time_cases

EXAMPLES = """examples:
  python benchmark.py
  python benchmark.py --task predict --batch-size 1 64 --library mxnet onnxruntime
  python benchmark.py --network cross:26 cross:56 cross:110 --library mxnet torch --json depth.json
  python benchmark.py --network gluoncv:cifar_resnet56_v1 resnet:56 --library mxnet
  python benchmark.py --task data --library mxnet pytorch
  python benchmark.py --operators --network cross:56 fractal:20

Every library runs every network, batch size, dtype and number of threads; unsupported combinations
are left out. FractalNet is trained with mixed drop-path."""

PROFILED = ("mxnet", "torch")  # the libraries of --operators
ROUNDS, SECONDS = 7, 2


def make_parser():
    """Return the parser of the command line."""
    parser = Parser(description=__doc__, epilog=EXAMPLES)
    cases = parser.add_argument_group("what is timed")
    add_task_flags(cases)
    add_library_flags(cases)
    parser.add_argument(
        "--rounds", type=int, help=f"number of turns of each library; default: {ROUNDS}"
    )
    parser.add_argument("--seconds", type=float, help=f"seconds of a turn; default: {SECONDS}")
    parser.add_argument(
        "--operators",
        action="store_true",
        help="show the time of each operator in a training step and, for mxnet, a lower bound from "
        "the arithmetic and memory speed of this machine; OMP_NUM_THREADS sets the threads",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the results as JSON")
    parser.add_argument(
        "--plot",
        metavar="FILE",
        help="draw speed and memory over depth, widen factor and batch size, if they vary, into "
        "FILE (.png or .svg)",
    )
    # a timed process is started with this flag; see tools.timing
    parser.add_argument("--case", help=argparse.SUPPRESS)
    return parser


def add_task_flags(group):
    """Add the flags that say what is done; the cases are every value with every other."""
    group.add_argument(
        "--task",
        nargs="+",
        choices=TASKS,
        default=["train"],
        help="training steps, predictions or the preparation of batches; default: train",
    )
    group.add_argument(
        "--network",
        nargs="+",
        default=["cross:56"],
        metavar="NAME[:DEPTH[:WIDEN]]",
        help=f"one or more of {', '.join(list_models())}, or gluoncv:NAME; default: cross:56",
    )
    group.add_argument(
        "--batch-size", nargs="+", type=int, default=[64], help="images in a batch; default: 64"
    )


def add_library_flags(group):
    """Add the flags that say what does it; see ``add_task_flags``."""
    group.add_argument(
        "--dtype",
        nargs="+",
        choices=precision.DTYPES,
        default=["float32"],
        help="data type of convolutions; default: float32",
    )
    group.add_argument(
        "--library",
        nargs="+",
        choices=LIBRARIES,
        default=["mxnet", "torch"],
        metavar="NAME",
        help="; ".join(f"{name}: {what}" for name, what in LIBRARIES.items())
        + "; default: mxnet torch",
    )
    group.add_argument(
        "--threads",
        nargs="+",
        type=int,
        help="threads of a process; default: every core",
    )


def check_flags(args):
    """Check the flags before anything is timed, and fill in defaults.

    Raises:
        InputError: a number is impossible, --operators would ignore a flag or has nothing to
            profile, or a file cannot be written.
    """
    if args.operators and not set(PROFILED) & set(args.library):
        raise InputError(f"--operators needs --library {' or '.join(PROFILED)}")
    timing = (args.threads, args.rounds, args.seconds, args.json, args.plot)
    if args.operators and (args.task != ["train"] or any(each is not None for each in timing)):
        raise InputError(
            "--operators prints tables of training steps, with OMP_NUM_THREADS threads: leave out "
            "--task, --threads, --rounds, --seconds, --json and --plot"
        )
    if args.json:
        require_file_path(args.json)
    if args.plot:
        require_picture_path(args.plot)
    args.rounds = ROUNDS if args.rounds is None else args.rounds
    args.seconds = SECONDS if args.seconds is None else args.seconds
    require_positive(rounds=args.rounds)
    for batch_size in args.batch_size:
        require_positive(batch_size=batch_size)
    for threads in args.threads or ():
        require_positive(threads=threads)
    if not 0 < args.seconds < math.inf:
        raise InputError(f"--seconds must be above 0, not {args.seconds:g}")


@command
def main(argv=None):
    """Time the cases that the flags describe."""
    args = make_parser().parse_args(argv)
    if args.case:
        contest(Case(**json.loads(args.case)))
        return
    check_flags(args)
    cases = list_cases(args)
    if args.operators:
        for case in cases:
            if case.library in PROFILED:
                print(profile_case(case))
        return
    if args.plot and not varying_axes(cases):
        raise InputError(
            "--plot draws speed over depth, widen factor or batch size: give three or more"
        )
    words = [sys.executable, __file__, "--case"]
    timings = time_cases(cases, words, args.rounds, args.seconds)
    print(table(timings))
    if args.json:
        content = {"command": sys.argv, "timings": [asdict(timing) for timing in timings]}
        write_text(args.json, json.dumps(content, indent=1, allow_nan=False) + "\n")
        print(args.json)
    if args.plot:
        draw_scaling(timings, args.plot)
        print(args.plot)


if __name__ == "__main__":
    sys.exit(main())
