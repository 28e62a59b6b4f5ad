"""Judge the papers' claims by the runs in a folder; train the runs that are missing."""

import json
import os
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path

from command import InputError, Parser, command, require_picture_path, require_positive

EXAMPLES = """examples:
  python reproduce.py                                   every claim, its effect and its verdict
  python reproduce.py --summary                         counts of verdicts, claims with an effect
  python reproduce.py --plot claims.png                 effects, intervals and the papers' effects
  python reproduce.py --markdown > claims.md            the page docs/REPRODUCTION.md
  python reproduce.py --train --hours 3 --threads 1     train missing runs, resume unfinished ones

The scale cpu trains short recipes on CIFAR-10, with a few seeds each: it tests the papers' claims,
but its errors are not comparable with theirs. The scale paper trains the papers' recipes, which
needs a GPU. Any number of processes may train in parallel. Each uses one device, the first GPU if
there are several; CUDA_VISIBLE_DEVICES gives it another. analysis/claims.py has the rules of the
verdicts."""


RUNS = "snapshot"  # is there only after the first run


def make_parser():
    """Return the parser of the command line."""
    parser = Parser(description=__doc__, epilog=EXAMPLES)
    parser.add_argument("path", nargs="?", default=RUNS, help=f"folder of runs; default: {RUNS}")
    parser.add_argument("--scale", default="cpu", help="cpu or paper; default: cpu")
    style = parser.add_mutually_exclusive_group()
    style.add_argument(
        "--summary",
        action="store_true",
        help="print how many claims have each verdict, and a line for each claim with an effect",
    )
    style.add_argument(
        "--plot",
        metavar="FILE",
        help="draw the effects with their intervals to this file, .png or .svg",
    )
    style.add_argument(
        "--markdown", action="store_true", help="print a page: rules, verdicts, runs, missing runs"
    )
    style.add_argument(
        "--json", action="store_true", help="print the claims and the path lengths as JSON"
    )
    train = parser.add_argument_group("training")
    train.add_argument("--train", action="store_true", help="train the missing runs")
    train.add_argument(
        "--hours", type=float, help="hours to train; default: until all runs are trained"
    )
    train.add_argument("--threads", type=int, help="threads of each process; default: every core")
    train.add_argument("--engine", help="mxnet or torch; default: mxnet")
    train.add_argument(
        "--data-dir",
        help="folder of the .rec files or, at the scale paper, of the folders cifar10 and "
        "cifar100; default: data/<dataset>",
    )
    return parser


def summarize_claims(judgements):
    """Return the numbers of verdicts, and a line for each claim with an effect."""
    from analysis.reproduction import summarize

    lines = [summarize(judgements)]
    for each in judgements:
        if each.effect is not None:
            bound = f"claimed below {each.claim.bound:g}"
            lines.append(f"{each.verdict}: {each.claim.sentence} {each.describe_effect()}, {bound}")
    return "\n".join(lines)


def show_summary(judgements, lengths):
    """Print the verdicts on the claims, and lengths of paths."""
    print(summarize_claims(judgements))
    words = (f"{name} {found[0]:.2f} ({by[0]:.2f})" for name, (found, by) in lengths.items())
    what = "mean number of weight layers on a random path at depth 38, exact (the paper's formula)"
    print(f"{what}: {', '.join(words)}")


def show_text(judgements, lengths):
    """Print every claim in a few lines of up to 100 characters, and the lengths of paths."""
    from analysis.reproduction import summarize

    for each in judgements:
        print(f"{each.verdict}: {each.claim.name}")
        for name, words in describe(each):
            indents = {"initial_indent": f"  {name:9} ", "subsequent_indent": " " * 12}
            print(textwrap.fill(words, 96, **indents))
    print("\nweight layers on a random path at depth 38, mean +- standard deviation:")
    for network, (found, formula) in lengths.items():
        line = "  {:7} {:5.2f} +- {:.2f} (exact)   {:5.2f} +- {:.2f} (the paper's formula)"
        print(line.format(network, *found, *formula))
    print(f"\n{summarize(judgements)}")


def describe(judgement):
    """Return (name, text) of what is known about a claim."""
    claim = judgement.claim
    effect = judgement.describe_effect() if judgement.effect is not None else "none yet"
    return [
        ("claim", claim.sentence),
        ("source", claim.source),
        ("effect", f"{effect}, claimed below {claim.bound:g}: {claim.statistic}"),
        *([("the paper", claim.quotes)] if claim.paper else []),
        *(("runs", f"{counts} of {setting}") for setting, counts in judgement.runs.items()),
    ]


def show_json(judgements, lengths):
    """Print the claims and the path lengths as one object."""
    claims = []
    for each in judgements:
        values = {**asdict(each), "claim": each.claim.name, "sentence": each.claim.sentence}
        facts = {name: getattr(each.claim, name) for name in ("source", "statistic", "bound")}
        claims.append({**values, **facts, "paper": each.claim.quotes or None})
    print(json.dumps({"claims": claims, "path_lengths": lengths}, indent=1))


def check_flags(args):
    """Check that the flags can be used together.

    Raises:
        InputError: a flag would have no effect, a number is impossible, or there is no folder.
    """
    for flag in ("summary", "plot", "markdown", "json"):
        if args.train and getattr(args, flag):
            raise InputError(f"--{flag} shows the claims: leave it or --train out")
    for flag in ("hours", "threads", "engine", "data_dir"):
        if not args.train and getattr(args, flag) is not None:
            raise InputError(f"{flag} is for --train", argument=flag)
    if args.hours is not None and not args.hours > 0:
        raise InputError(f"--hours must be above 0, not {args.hours:g}")
    if args.threads is not None:
        require_positive(threads=args.threads)
    if args.plot is not None:
        require_picture_path(args.plot)
    if not (args.train or args.path == RUNS or Path(args.path).is_dir()):
        raise InputError(f"there is no folder {args.path}")


@command
def main(argv=None):
    """Show the claims, or train the runs for them."""
    args = make_parser().parse_args(argv)
    check_flags(args)
    if args.threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(args.threads)  # read while MXNet is imported
    if args.train:
        train(args)
        return
    from analysis.paths import compare_path_lengths
    from analysis.reproduction import judge_claims
    from analysis.reproduction_page import make_page

    if args.markdown:
        print(make_page(args.path, args.scale), end="")
        return
    judgements = judge_claims(args.path, args.scale)
    if args.plot is not None:
        plot(judgements, args.plot)
        return
    show = show_summary if args.summary else show_json if args.json else show_text
    show(judgements, compare_path_lengths())


def plot(judgements, path):
    """Draw the claims that have an effect; the picture's description has them in words.

    Raises:
        InputError: no claim has an effect.
    """
    from plotting.claims import draw_claims

    if all(each.effect is None for each in judgements):
        raise InputError("no claim has an effect yet, so there is nothing to draw: train runs")
    quoted = [f"the paper: {each.claim.quotes}" for each in judgements if each.claim.paper]
    draw_claims(judgements, path, "\n".join([summarize_claims(judgements), *quoted]))
    print(path)


def train(args):
    """Train the missing runs."""
    from analysis.claims import list_queue
    from analysis.run_queue import train_queue
    from data.spec import default_folder
    from engine.devices import count_gpus
    from training.run import RuntimeConfig

    engine = args.engine or RuntimeConfig.engine
    several = engine == "mxnet" and count_gpus() > 1  # runs on several do not count
    config = RuntimeConfig(log_dir=args.path, engine=engine, gpus="0" if several else None)
    folders = {each.dataset: default_folder(each.dataset) for each, _ in list_queue(args.scale)}
    if args.data_dir:
        own = Path(args.data_dir)
        folders = {name: own / name if len(folders) > 1 else own for name in folders}
    train_queue(args.scale, config, folders, print, args.hours)


if __name__ == "__main__":
    sys.exit(main())
