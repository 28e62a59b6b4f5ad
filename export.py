"""Write the network of a run, or a column of it, as files that run without this project."""

import math
import sys
from pathlib import Path

from command import InputError, Parser, command
from engine.torch_export import require_trainable_programs
from network.exporter import from_pixels, read_parameters, to_pixels
from network.folding import simplify
from network.graph import strip_prefix, to_symbol
from network.registry import require_columns
from training.evaluation import restore
from training.exporting import EXPORT_FORMATS, export, require_packages
from training.metrics import require_finite
from training.quantization import CALIBRATION_IMAGES, Int8

INT8_TOLERANCE = 1.0  # points
CHECKED = 64  # test images that the files and the network must agree on
EXAMPLES = """examples:
  python export.py snapshot/cifar10/cross_d110w1/run1 --format onnx --out exported
  python export.py snapshot/cifar10/cross_d110w1/run1 --format onnx --from-pixels --out exported
  python export.py snapshot/cifar10/cross_d110w1/run1 --format onnx --int8 --out exported
  python export.py snapshot/cifar10/fractal_d20w4/run1 --format symbol --column 2 --out column2
  python export.py snapshot/cifar10/cross_d110w1/run1 --format torch --trainable --out exported

symbol writes NAME-symbol.json and NAME-0000.params, for MXNet. onnx writes NAME.onnx and needs
pip install -e '.[onnx]'; with --int8 it writes NAME-int8.onnx, which has a quarter to a third of
the size and is faster, unless this increases the test error too much. torch writes NAME.pt2, a
program of torch.export that needs only PyTorch, and NAME.safetensors, its parameters by name; it
needs pip install -e '.[torch]'. NAME is network (column2 with --column 2). NAME.FORMAT.json
describes the input, the output and the classes, and has the lines of Python that load and run the
files. If the run did not test a column at that epoch, its moving averages are recomputed from the
training images first.

--trainable keeps batch normalisation, its moving averages, and the parameter names of the run.
After training in another program, evaluate.py RUN --parameters FILE.safetensors evaluates it."""


def make_parser():
    """Return the parser of the command line."""
    parser = Parser(description=__doc__, epilog=EXAMPLES)
    parser.add_argument("run", help="folder of a run, or name of a pretrained network")
    parser.add_argument(
        "--format", choices=EXPORT_FORMATS, required=True, help="MXNet, ONNX or PyTorch; see below"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", required=True, help="folder of the files"
    )
    add_content_flags(parser)
    parser.add_argument("--epoch", type=int, help="epoch of the checkpoint; default: the newest")
    parser.add_argument("--data-dir", help="folder of the .rec files; default: the run's")
    return parser


def add_content_flags(parser):
    """Add the flags that say what the files contain."""
    parser.add_argument(
        "--column",
        type=int,
        metavar="C",
        help="column of a FractalNet, from 0; default: the whole network",
    )
    parser.add_argument(
        "--from-pixels",
        action="store_true",
        help="normalise images inside the network, which then takes RGB images, 0 to 255. Default: "
        "the network takes normalised images",
    )
    parser.add_argument(
        "--trainable",
        action="store_true",
        help="with --format torch: keep batch normalisation separate, and the parameter names of "
        "the run. Default: batch normalisation is folded into the convolutions",
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="with --format onnx: convolutions and dense layers compute in 8 bits, calibrated on "
        f"{CALIBRATION_IMAGES} training images; writes NAME-int8.onnx",
    )
    parser.add_argument(
        "--int8-tolerance",
        type=float,
        metavar="POINTS",
        help="allowed increase of the test error by --int8; above it, no file is written. Default: "
        f"{INT8_TOLERANCE}",
    )


def describe(args, trained):
    """Return the description of the files: input, output, and the run that they come from."""
    inside, column = args.from_pixels, args.column
    run, data = trained.run, trained.data
    return {
        "format": args.format,
        "run": args.run,
        "epoch": trained.row["epoch"],
        "network": run.network,
        "depth": run.depth if column is None else trained.engine.net.depths[column],
        "widen_factor": run.widen_factor,
        "column": column,
        "dataset": run.dataset,
        "input": {
            "name": "data",
            "shape": ["batch", *data.image_shape],
            "dtype": "float32",
            "values": "RGB, 0 to 255" if inside else "RGB, (0 to 255 - mean) / std",
        },
        "output": {"values": "logits", "shape": ["batch", data.classes], "dtype": "float32"},
        "normalized_inside": inside,
        "trainable": args.trainable,
        "mean": data.mean,
        "std": data.std,
        "shorter_side": data.source.shorter_side,
        "classes": data.class_names,
    }


def require_column(trained, column):
    """Check that the network has the column, and prepare the column's moving averages."""
    require_columns(trained.run.network, "column")
    if column not in range(trained.engine.num_subnetworks):
        most = trained.engine.num_subnetworks - 1
        raise InputError(f"--column takes 0 to {most}, not {column}")
    trained.prepare_subnetworks([column])


def prepare_graph(args, trained):
    """Return (graph, values) to export, with parameters named as in the run's checkpoints."""
    engine, data = trained.engine, trained.data
    net = engine.network(args.column)
    graph = to_symbol(net)
    values = read_parameters(graph, net)
    if not args.trainable:
        graph, values = simplify(graph, values)
    graph, values = strip_prefix(graph, values, engine.net.prefix)
    if args.from_pixels:
        graph, values = from_pixels(graph, values, data.mean, data.std)
    return graph, values


def export_network(args, trained):
    """Write the files that the flags describe; return (paths, lines about their accuracy)."""
    data, engine = trained.data, trained.engine

    def prepare(images):
        return to_pixels(images, data.mean, data.std) if args.from_pixels else images

    images = next(iter(data.test_batches(data.test, CHECKED))).images
    logits = engine.to_numpy(engine.predict(images, args.column))
    require_finite(logits)
    name = "network" if args.column is None else f"column{args.column}"
    tolerance = INT8_TOLERANCE if args.int8_tolerance is None else args.int8_tolerance
    int8 = Int8(trained, args.column, prepare, tolerance)
    files, description = export(
        *prepare_graph(args, trained),
        data.image_shape,
        args.format,
        args.out / (f"{name}-int8" if args.int8 else name),
        describe(args, trained),
        prepare(images),
        logits,
        int8.quantize if args.int8 else None,
    )
    kind = trained.run.tested_on
    difference, found = description["largest_difference"], description.get("int8")
    lines = [
        f"{len(images)} {kind} images: logits differ by at most {difference:.1e} of the largest"
    ]
    if found:
        lines[0] = f"before quantisation, {lines[0]}"
        lines.append(
            f"int8: {found['images']} error {found['error_float32']:.2f}% before, "
            f"{found['error']:.2f}% after; {found['bytes_float32'] / 1e6:.2f} MB before, "
            f"{found['bytes'] / 1e6:.2f} MB after"
        )
    return files, lines


@command
def main(argv=None):
    """Export a run's network."""
    args = make_parser().parse_args(argv)
    if args.trainable and args.format != "torch":
        raise InputError("--trainable is for --format torch")
    if args.int8 and args.format != "onnx":
        raise InputError("--int8 is for --format onnx")
    if args.int8_tolerance is not None and not args.int8:
        raise InputError("--int8-tolerance is for --int8")
    if args.int8_tolerance is not None and math.isnan(args.int8_tolerance):
        raise InputError("--int8-tolerance must be a number, not nan")
    packages = EXPORT_FORMATS[args.format].packages
    require_packages(args.format, [*packages, *(["onnxruntime.quantization"] if args.int8 else [])])
    if args.trainable:
        require_trainable_programs()
    trained = restore(args.run, "cpu", args.epoch, dtype="float32", data_dir=args.data_dir)
    if args.int8:
        trained.require_training_images()  # for calibration
    if args.column is not None:
        require_column(trained, args.column)
    files, lines = export_network(args, trained)
    print("\n".join([*lines, *map(str, files)]))


if __name__ == "__main__":
    sys.exit(main())
