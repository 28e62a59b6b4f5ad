"""Write the network of a run, or a column of it, as files that run without this project."""

import sys
from dataclasses import replace
from pathlib import Path

from command import InputError, Parser, command
from network.graph import compiled
from training.experiment import (
    class_names,
    estimate,
    load_images,
    reported_on,
    restore,
    source_of,
    training_images,
)
from training.export import FORMATS, export, from_pixels, pixels_of, require_onnx, values_of
from training.folding import folded

CHECKED = 64  # test images that the files and the network must agree on
EXAMPLES = """examples:
  python export.py snapshot/cifar10/cross_d110w1/run1 --format onnx --out exported
  python export.py snapshot/cifar10/cross_d110w1/run1 --format onnx --from-pixels --out exported
  python export.py snapshot/cifar10/fractal_d20w4/run1 --format symbol --column 2 --out column2

symbol writes NAME-symbol.json and NAME-0000.params, for MXNet; onnx writes NAME.onnx, which needs
pip install -e '.[onnx]'. NAME is network, or column2. NAME.FORMAT.json says what goes in and out,
and what the classes are. Moving averages of a column that the run did not test at that epoch are
estimated from its training images first."""


def make_parser():
    """The command line."""
    parser = Parser(description=__doc__, epilog=EXAMPLES)
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--format", choices=FORMATS, required=True, help="one of %(choices)s")
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="where to write")
    parser.add_argument(
        "--column", type=int, metavar="C", help="of a FractalNet, from 0; default: all of it"
    )
    parser.add_argument(
        "--from-pixels",
        action="store_true",
        help="have the network itself subtract the mean and divide by the deviation: it takes RGB "
        "images, 0 to 255. Default: images normalised before",
    )
    parser.add_argument("--epoch", type=int, help="of the checkpoint; default: the newest")
    parser.add_argument("--data-dir", help="folder of the .rec files; default: the run's")
    return parser


def describe(args, run, engine, row, source):
    """What stands beside the files."""
    inside, column = args.from_pixels, args.column
    return {
        "format": args.format,
        "run": str(args.run),
        "epoch": row["epoch"],
        "network": run.network,
        "depth": run.depth if column is None else engine.net.depths[column],
        "widen_factor": run.widen_factor,
        "column": column,
        "dataset": run.dataset,
        "input": {
            "name": "data",
            "shape": ["batch", 3, source.size, source.size],
            "dtype": "float32",
            "values": "RGB, 0 to 255" if inside else "RGB, (0 to 255 - mean) / std",
        },
        "output": {"values": "logits", "shape": ["batch", source.classes], "dtype": "float32"},
        "normalized_inside": inside,
        "mean": source.mean,
        "std": source.std,
        "classes": class_names(run),
    }


@command
def main(argv=None):
    """Export a run's network."""
    args = make_parser().parse_args(argv)
    column = args.column
    if args.format == "onnx":
        require_onnx()
    run, engine, row = restore(args.run, "cpu", args.epoch, dtype="float32")
    if args.data_dir:
        run = replace(run, data_dir=args.data_dir)
    if column is not None:
        if not hasattr(engine.net, "column"):
            raise InputError(f"{run.network} has no columns")
        if column not in range(engine.parts):
            raise InputError(f"--column takes 0 to {engine.parts - 1}, not {column}")
        if "column_errors" not in row:
            estimate(run, engine, training_images(args.run, run), column)
    source = source_of(run)
    images = next(iter(source.test_batches(load_images(run, reported_on(run)), CHECKED))).images
    logits = engine.gather(engine.predict(images, column))
    net = engine.network(column)
    graph = compiled(net)
    graph, values = folded(graph, values_of(graph, net))
    if args.from_pixels:
        graph, values = from_pixels(graph, values, source.mean, source.std)
        images = pixels_of(images, source.mean, source.std)
    files, difference = export(
        graph,
        values,
        (3, source.size, source.size),
        args.format,
        args.out / ("network" if column is None else f"column{column}"),
        describe(args, run, engine, row, source),
        images,
        logits,
    )
    print(f"{len(images)} test images: logits differ by {difference:.1e} of the largest at most")
    print("\n".join(map(str, files)))


if __name__ == "__main__":
    sys.exit(main())
