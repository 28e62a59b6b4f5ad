"""Evaluate a checkpoint: loss, errors, confusion matrix, and the columns of a FractalNet."""

import json
import math
import sys
from dataclasses import asdict
from pathlib import Path

from analysis.anytime import anytime_table, measure_columns
from analysis.early_exit import (
    choose_picking_images,
    choose_thresholds,
    early_exit_table,
    match_costs,
    trace_curves,
)
from command import InputError, Parser, command, require_file_path, require_picture_path
from engine.precision import DTYPES
from filesystem import write_text
from network.registry import require_columns
from plotting.confusion import draw_confusion
from plotting.studies import draw_anytime, draw_early_exit
from plotting.tables import TABLE_FORMATS
from training.evaluation import restore
from training.run import ENGINES

EXAMPLES = """examples:
  python evaluate.py snapshot/cifar10/cross_d110w1/run1
  python evaluate.py snapshot/cifar10/cross_d110w1/run1 --classes --confusion confusion.png
  python evaluate.py snapshot/imagenet/fractal_imagenet_d34w1/run1 --crops 10
  python evaluate.py snapshot/cifar10/fractal_d20w4/run1 --columns
  python evaluate.py snapshot/cifar10/fractal_d20w4/run1 --early-exit
  python evaluate.py cross26-cifar10

Column c of a FractalNet has 2^c convolutions in each block: 0 is the shallowest. If the run did not
test a column at that epoch, its moving averages are recomputed from the training images first.

--early-exit chooses thresholds on the held-out images or, if the run has none, on a tenth of the
training images, and tests them on the test images. An image is classified by the first network of a
chain whose largest probability is at least the threshold; see analysis/early_exit.py."""


def make_parser():
    """Return the parser of the command line."""
    parser = Parser(description=__doc__, epilog=EXAMPLES)
    parser.add_argument(
        "run",
        help="folder of a run, or name of a pretrained network, whose pictures and JSON files are "
        "written to the current folder",
    )
    parser.add_argument("--epoch", type=int, help="epoch of the checkpoint; default: the newest")
    parser.add_argument(
        "--parameters",
        type=Path,
        metavar="FILE",
        help="a .safetensors file whose arrays replace the checkpoint's, such as a file of "
        "export.py --format torch --trainable after training in another program",
    )
    add_image_flags(parser.add_argument_group("images"))
    add_study_flags(parser.add_argument_group("what is shown in addition to loss and error"))
    add_machine_flags(parser.add_argument_group("machine"))
    return parser


def add_image_flags(group):
    """Add the flags that say which images are evaluated, and how."""
    group.add_argument(
        "--images",
        choices=("test", "held-out", "train"),
        help="images to evaluate on, without augmentation; default: those that the run tested on",
    )
    group.add_argument(
        "--crops",
        type=int,
        choices=(1, 10),
        default=1,
        help="crops of each photograph: 1, the centre; or 10, the corners, the centre and their "
        "mirror images, whose probabilities are averaged. Default: 1",
    )
    group.add_argument("--data-dir", help="folder of the .rec files; default: the run's")


def add_study_flags(group):
    """Add the flags that say what is measured and shown."""
    group.add_argument(
        "--columns",
        action="store_true",
        help="show size, error, latency and throughput of every column and the whole network; the "
        "picture of error over latency is written to the run's folder; latency and multiply-adds "
        "are those of one crop, whatever --crops is",
    )
    group.add_argument(
        "--early-exit",
        action="store_true",
        help="measure early exit, which gives an image to a deeper column only if the shallower "
        "one is not confident: error over mean latency, compared with each column; picture and "
        "JSON are written to the run's folder",
    )
    group.add_argument("--classes", action="store_true", help="show the error of each class")
    group.add_argument(
        "--confusion", metavar="FILE", help="draw the confusion matrix into this .png or .svg"
    )
    group.add_argument(
        "--format", choices=TABLE_FORMATS, default="text", help="format of tables; default: text"
    )


def add_machine_flags(group):
    """Add the flags that say where and how the network is computed."""
    group.add_argument(
        "--engine",
        choices=ENGINES,
        default=ENGINES[0],
        help="library that computes; default: mxnet",
    )
    group.add_argument(
        "--dtype", choices=DTYPES, help="data type to compute in; default: the run's"
    )
    group.add_argument("--gpus", help="such as 0, or cpu; default: every GPU that the engine sees")
    group.add_argument(
        "--test-batch-size",
        type=int,
        default=250,
        help="number of images predicted at once; default: 250",
    )


def summarize(found):
    """Return a line that summarizes Predictions."""
    errors = f"top-1 error {found.error():.2f}%"
    if found.logits.shape[1] > 5:  # otherwise every label is among the five largest logits
        errors += f"  top-5 error {found.error(5):.2f}%"
    return f"{len(found):,} images  loss {found.loss:.4f}  {errors}"


def describe_class_errors(found):
    """Return the error (%) of each class, or "no images"."""
    return ["no images" if math.isnan(e) else f"{e:.2f}" for e in found.class_errors()]


def check_network(args, trained):
    """Check that the run's network has what the flags request.

    Raises:
        InputError: it has not, or flags exclude one another.
    """
    run = trained.run
    for flag in ("columns", "early_exit"):
        if getattr(args, flag):
            require_columns(run.network, flag)
    if args.early_exit and trained.engine.num_subnetworks < 2:
        raise InputError(f"--early-exit needs two columns or more: this {run.network} has one")
    if args.early_exit and (args.images not in (None, "test") or args.crops != 1):
        raise InputError("--early-exit is measured on the test images, with one crop")


def choose_images(args, run):
    """Return which images to evaluate on: "test", "held-out" or "train".

    Raises:
        InputError: the run has no held-out images.
    """
    kind = "test" if args.early_exit else args.images or run.tested_on
    if kind == "held-out" and not run.val_split:
        raise InputError(f"{args.run} has no held-out training images")
    return kind


def show_classes(args, trained, whole, title):
    """Print the error of each class and draw the confusion matrix, if the flags request them."""
    data = trained.data
    names = data.shown_names
    if data.names_problem:
        sys.stderr.write(f"classes are shown as numbers: {data.names_problem}\n")
    if args.classes:
        rows = [["class", "error %"], *zip(names, describe_class_errors(whole))]
        print(TABLE_FORMATS[args.format](rows))
    if args.confusion:
        draw_confusion(whole.confusion(), names, args.confusion, title)
        print(args.confusion)


def name_outputs(args, trained, kind):
    """Return (title of the output, {flag: the files that it writes}); see ``choose_images``.

    Raises:
        InputError: a file that the flags request cannot be written.
    """
    epoch, source, end = trained.row["epoch"], "", ""
    if args.parameters:
        source, end = f" with {args.parameters.name}", f"_{args.parameters.stem}"
    crops, crops_end = (", 10 crops", "_10crops") if args.crops == 10 else ("", "")
    title = f"{trained.stored.name}{source} on {trained.run.dataset}, epoch {epoch}, {kind}{crops}"
    suffix, output = f"{kind}_epoch{epoch:04d}{end}{crops_end}", trained.stored.output
    early_exit = [output(f"early_exit_{suffix}.{ending}") for ending in ("png", "json")]
    files = {"columns": [output(f"anytime_{suffix}.png")], "early_exit": early_exit}
    for flag, paths in files.items():
        if getattr(args, flag):
            for path in paths:
                require_file_path(path)
    return title, files


def show_early_exit(args, trained, chosen, points, testing, files, title):
    """Print, draw and write the results of early exit, the columns and the whole network.

    Args:
        chosen: images for choosing thresholds, and their description.
        points, testing: Points and Predictions of the columns and of the whole, on the test images.
        files: paths of the picture and the JSON file.
        title: title of the picture.
    """
    images, picked_on = chosen
    indices = [*range(len(points) - 1), None]
    picking = [trained.predictions(images, index, args.test_batch_size) for index in indices]
    matched = match_costs(points, picking, testing)
    curves = trace_curves(points, testing, choose_thresholds(testing))
    print(f"thresholds chosen on {picked_on}")
    print(TABLE_FORMATS[args.format](early_exit_table(points, matched)))
    picture, written = files
    draw_early_exit(points, curves, matched, picture, title)
    content = {
        "epoch": trained.row["epoch"],
        "parameters": str(args.parameters) if args.parameters else None,
        "images": "test",
        "picked_on": picked_on,
        "networks": points,
        "matched": matched,
        "curves": curves,
    }
    write_text(written, json.dumps(content, default=asdict, indent=1, allow_nan=False) + "\n")
    print(f"{picture}\n{written}")


@command
def main(argv=None):
    """Evaluate a run's checkpoint."""
    args = make_parser().parse_args(argv)
    if args.confusion:
        require_picture_path(args.confusion)
    trained = restore(
        args.run, args.gpus, args.epoch, args.engine, args.dtype, args.data_dir, args.parameters
    )
    check_network(args, trained)
    kind = choose_images(args, trained.run)
    images = trained.data.images(kind)
    trained.note_other_images(kind)
    if args.parameters:
        count, total = len(trained.replaced), len(trained.stored.values)
        print(f"{count} of {total} arrays are those of {args.parameters}")
    title, files = name_outputs(args, trained, kind)
    if args.columns or args.early_exit:
        trained.prepare_subnetworks()
    chosen = choose_picking_images(trained) if args.early_exit else None

    def predict(subnetwork):
        return trained.predictions(images, subnetwork, args.test_batch_size, args.crops)

    whole = predict(None)
    print(f"{title}\n{summarize(whole)}")
    if args.classes or args.confusion:
        show_classes(args, trained, whole, title)
    if args.columns or args.early_exit:
        found = [*map(predict, range(trained.engine.num_subnetworks)), whole]
        points = measure_columns(trained, found)
        if args.columns:
            (picture,) = files["columns"]
            draw_anytime(points, picture, title)
            print(f"{TABLE_FORMATS[args.format](anytime_table(points))}\n{picture}")
        if args.early_exit:
            show_early_exit(args, trained, chosen, points, found, files["early_exit"], title)


if __name__ == "__main__":
    sys.exit(main())
