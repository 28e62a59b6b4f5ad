"""Study networks: lengths of paths, errors of members, and errors without some branches."""

import sys
from fractions import Fraction
from pathlib import Path

from analysis.ensembling import measure_members, study_members
from analysis.lesions import measure_lesions
from analysis.paths import (
    PAPER_CHANCES,
    binomial_lengths,
    count_lengths,
    mean_and_deviation,
    walk_lengths,
)
from command import InputError, Parser, command, require_picture_path, require_positive
from network import get_model, list_models
from network.gluoncv_zoo import is_gluoncv
from network.registry import describe_rounding
from plotting.studies import draw_lengths, draw_lesions, draw_members
from plotting.tables import aligned
from training.evaluation import restore

EXAMPLES = """examples:
  python analyze.py paths --network cross --depth 38
  python analyze.py paths --network resnet half cross --depth 38 98   (the paper's figure)
  python analyze.py members snapshot/cifar10/fuse3_d26w1/run1
  python analyze.py members snapshot/cifar10/resnet_d56w1/run1 --members 50 --seed 1
  python analyze.py lesion snapshot/cifar10/resnet_d56w1/run1
  python analyze.py lesion snapshot/cifar10/fractal_d20w1/run1 --draws 10

python analyze.py COMMAND --help explains each command."""

PATHS = """Compute the number of weight layers on the paths through a network, exactly, from its
compiled graph.

"random" is the distribution for a random path, which takes each summand of a sum with the same
probability. "paths" counts every path once. "paper" is 2 Binomial(blocks, chance) + 2, with chance
1/2 for resnet, 2/3 for half and 1/3 for cross (Zhao et al., arXiv 1611.07718), drawn as rings.
cross differs from it in its last block, where both streams end in one: a sum of four routes, while
the other blocks have three. Projections, 1x1 convolutions in shortcuts, have no length in the
paper; --projections counts them.
"""

MEMBERS = """Measure the errors of a trained network, of its members and of ensembles of members, on
the images that the run was tested on.

A member takes one route in each block (fuse3: line or deep) and has the whole network's weights.
Its moving averages are recomputed from 50 training batches of the run (precise BN); members of the
network ensemble have their own from training. An ensemble's prediction is the mean of its members'
probabilities. "error" is that of the member alone, "without it" that of the ensemble of all other
members, "up to it" that of the ensemble of it and the rows above it, and "from it on" that of the
ensemble of it and the rows below it. A network with more members than --members is represented by
a random sample of them, all with the same probability; the 95% confidence interval of the mean
error of all members is printed.
"""

LESION = """Measure the errors of a trained network without some summands of its blocks or inputs of
its joins, on the images that the run was tested on.

First, each summand with weights is removed alone ("block1 branch2"). If a block adds an identity,
all its other summands are also removed together ("block1"). Then 1, 2, 4, ... summands are removed
at random, in several draws; each block, and each join of FractalNet, keeps at least one. A join is
the mean of its remaining inputs. Moving averages are those of the whole network.
"""


RUN = "folder of a run, or name of a pretrained network, whose picture goes to the current folder"


def make_parser():
    """Return the parser of the command line."""
    parser = Parser(description=__doc__, epilog=EXAMPLES)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    paths = commands.add_parser("paths", help="lengths of paths", description=PATHS)
    paths.add_argument(
        "--network",
        nargs="+",
        default=["cross"],
        metavar="NAME",
        help=f"one or more of {', '.join(list_models())}; default: cross",
    )
    paths.add_argument(
        "--depth",
        nargs="+",
        type=int,
        default=[38],
        help="one or more depths, each in its own panel; default: 38",
    )
    paths.add_argument("--projections", action="store_true", help="count 1x1 shortcuts as layers")
    paths.add_argument(
        "--output", default="paths.png", help="the picture, .png or .svg; default: paths.png"
    )
    paths.set_defaults(call=show_paths)
    members = commands.add_parser("members", help="errors of members", description=MEMBERS)
    members.add_argument(
        "--members", type=int, default=64, help="largest number of members to test; default: 64"
    )
    add_run_flags(members, "contributions.png")
    members.set_defaults(call=show_members)
    lesion = commands.add_parser("lesion", help="errors without some branches", description=LESION)
    lesion.add_argument("--draws", type=int, default=5, help="number of random orders; default: 5")
    add_run_flags(lesion, "lesions.png")
    lesion.set_defaults(call=show_lesions)
    return parser


def add_run_flags(parser, picture):
    """Add the flags of a study of a run, whose default ``picture`` is in the run's folder."""
    parser.add_argument("run", metavar="RUN", help=RUN)
    parser.add_argument("--seed", type=int, default=0, help="seed of the random choice; default: 0")
    parser.add_argument("--gpus", help="such as 0,1, or cpu; default: every GPU that MXNet sees")
    parser.add_argument("--data-dir", help="folder of the .rec files; default: the run's")
    parser.add_argument(
        "--output", help=f"the picture, .png or .svg; default: {picture} in the run's folder"
    )
    parser.set_defaults(picture=picture)


def show_paths(args):
    """Print and draw the lengths of paths through networks."""
    require_picture_path(args.output)
    for name in filter(is_gluoncv, args.network):
        raise InputError(f"{name}: paths can be counted only in this project's own networks")
    panels, tables = {}, []
    for depth in dict.fromkeys(args.depth):
        lines = panels.setdefault(f"depth {depth}", {})
        for name in dict.fromkeys(args.network):
            net = get_model(name, depth)
            counts = count_lengths(net, args.projections)
            found = {"random": walk_lengths(net, args.projections), "paths": _shares(counts)}
            if name in PAPER_CHANCES:
                found["paper"] = binomial_lengths(len(net.blocks), PAPER_CHANCES[name])
            lines[name] = (found["random"], found.get("paper"))
            heading = [f"{name} depth {depth}: {sum(counts.values()):,} paths"]
            rounding = describe_rounding(depth, getattr(net, "built_depth", None))
            heading += [rounding] if rounding else []
            tables.append("\n".join([*heading, *_summary(found), _lengths(counts, found)]))
    draw_lengths(panels, args.output)
    print("\n\n".join(tables))
    print(f"\npicture  {args.output}")


def _shares(counts):
    total = sum(counts.values())
    return {length: Fraction(count, total) for length, count in counts.items()}


def _summary(found):
    """Return a line of mean and standard deviation for each distribution."""
    return [
        "{}: {:.2f} +- {:.2f} layers".format(kind, *mean_and_deviation(shares))
        for kind, shares in found.items()
    ]


def _lengths(counts, found):
    """Return a line for each length: number of paths, and percent in each distribution."""
    rows = [["layers", "number of paths", *(f"{kind} %" for kind in found)]]
    for length in sorted(set(counts).union(*found.values())):
        shares = [f"{100 * float(shares.get(length, 0)):.3f}" for shares in found.values()]
        rows.append([str(length), f"{counts.get(length, 0):,}", *shares])
    return aligned(rows)


def prepare(args):
    """Return (the TrainedRun to study, path of the picture, its title).

    The network computes in float32 whatever the run's data type, which this machine may not
    support.
    """
    if args.output:
        require_picture_path(args.output)
    trained = restore(args.run, args.gpus, dtype="float32", data_dir=args.data_dir)
    trained.note_other_images(trained.run.tested_on)
    stored = trained.stored
    output = Path(args.output or stored.output(args.picture))
    require_picture_path(output)
    title = f"{stored.name} on {trained.run.dataset}, epoch {trained.row['epoch']}"
    return trained, output, title


def show_members(args):
    """Print and draw the errors of a run's network, its members and their ensembles."""
    require_positive(members=args.members)
    trained, output, title = prepare(args)
    result = study_members(*measure_members(trained, args.members, args.seed))
    draw_members(result, output, title)
    rows = [["layers", "error %", "without it %", "up to it %", "from it on %", "routes"]]
    for c in result.contributions:
        errors = [c.alone, c.without, c.up_to, c.from_on]
        shown = ["-" if error is None else f"{error:.2f}" for error in errors]
        rows.append([str(c.length), *shown, " ".join(c.path)])
    drawn, margin = f"all {len(rows) - 1:,}", ""
    if len(rows) - 1 < result.members:
        drawn = f"{len(rows) - 1} drawn of {result.members:,}"
        margin = f" +- {result.margin:.2f}" if len(rows) > 2 else ""  # one has no interval
    print(f"the whole network                {result.whole:.2f}%")
    print(f"ensemble of its members          {result.ensemble:.2f}%, {drawn}")
    print(f"mean of its members' own errors  {result.mean:.2f}%{margin}, {drawn}")
    print("\n".join(["", aligned(rows), "", f"picture  {output}"]))


def show_lesions(args):
    """Print and draw the errors of a run's network with branches removed."""
    require_positive(draws=args.draws)
    trained, output, title = prepare(args)
    result = measure_lesions(trained, args.draws, args.seed)
    draw_lesions(result, output, title)
    single = [["removed", "error %"], ["nothing", f"{result.whole:.2f}"]]
    single += [[label, f"{error:.2f}"] for label, error in result.single.items()]
    drawn = [["at random", "mean error %", "lowest %", "highest %"]]
    for size, errors in result.random.items():
        figures = (sum(errors) / len(errors), min(errors), max(errors))
        drawn.append([str(size), *(f"{figure:.2f}" for figure in figures)])
    print("\n".join([aligned(single), "", aligned(drawn), "", f"picture  {output}"]))


@command
def main(argv=None):
    """Run the study that the command line names."""
    args = make_parser().parse_args(argv)
    args.call(args)


if __name__ == "__main__":
    sys.exit(main())
