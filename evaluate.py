"""Evaluate a checkpoint: loss and errors, classes, confusion; the columns of a FractalNet."""

import sys
from pathlib import Path

from analysis.anytime import anytime_table, measure_columns
from command import InputError, Parser, command, require_picture_path
from plotting.confusion import draw_confusion
from plotting.studies import draw_anytime
from plotting.tables import TABLE_FORMATS
from training.evaluation import restore
from training.run import ENGINES

EXAMPLES = """examples:
  python evaluate.py snapshot/cifar10/cross_d110w1/run1
  python evaluate.py snapshot/cifar10/cross_d110w1/run1 --classes --confusion confusion.png
  python evaluate.py snapshot/imagenet/fractal_imagenet_d34w1/run1 --crops 10
  python evaluate.py snapshot/cifar10/fractal_d20w4/run1 --columns

Column c of a FractalNet has 2^c convolutions a block: 0 is the shallowest. Moving averages of a
column that the run did not test at that epoch are estimated from its training images first."""


def make_parser():
    """The command line."""
    parser = Parser(description=__doc__, epilog=EXAMPLES)
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--epoch", type=int, help="of the checkpoint; default: the newest")
    parser.add_argument(
        "--images",
        choices=("test", "held-out", "train"),
        help="what to evaluate on, without augmentation; default: what the log's errors are of",
    )
    parser.add_argument(
        "--crops",
        type=int,
        choices=(1, 10),
        default=1,
        help="of each photograph: the centre; or corners, centre and the mirrors of these, whose "
        "mean probabilities count. Default: 1",
    )
    parser.add_argument("--data-dir", help="folder of the .rec files; default: the run's")
    parser.add_argument(
        "--columns",
        action="store_true",
        help="every column and the whole network: size, error, latency, throughput; the picture of "
        "error over latency goes to the run's folder",
    )
    parser.add_argument("--classes", action="store_true", help="the error of each class")
    parser.add_argument("--confusion", metavar="PNG", help="draw the confusion matrix")
    parser.add_argument("--format", choices=TABLE_FORMATS, default="text", help="default: text")
    parser.add_argument(
        "--engine", choices=ENGINES, default=ENGINES[0], help="what computes; default: mxnet"
    )
    parser.add_argument("--gpus", help="such as 0, or cpu; default: every GPU that MXNet sees")
    parser.add_argument(
        "--test-batch-size", type=int, default=250, help="images predicted at once; default: 250"
    )
    return parser


def summarize(found):
    """Return Predictions in a line."""
    errors = f"top-1 error {found.error():.2f}%"
    if found.logits.shape[1] > 5:  # else every label is among the five largest logits
        errors += f"  top-5 error {found.error(5):.2f}%"
    return f"{len(found):,} images  loss {found.loss:.4f}  {errors}"


def describe_class_errors(found):
    """Return the error (%) of each class, or that it has no images."""
    return ["no images" if e != e else f"{e:.2f}" for e in found.class_errors()]


def show_columns(trained, columns, whole, picture, title):
    """Return the table of columns as rows, and draw their error over latency.

    Args:
        columns: Predictions of each.
    """
    points = measure_columns(trained, [*columns, whole])
    draw_anytime(points, picture, title)
    return anytime_table(points)


@command
def main(argv=None):
    """Evaluate a run's checkpoint."""
    args = make_parser().parse_args(argv)
    table, folder = TABLE_FORMATS[args.format], args.run
    if args.confusion:
        require_picture_path(args.confusion)
    trained = restore(folder, args.gpus, args.epoch, args.engine, data_dir=args.data_dir)
    run, epoch = trained.run, trained.row["epoch"]
    if args.columns and not hasattr(trained.engine.net, "column"):
        raise InputError(f"{run.network} has no columns")
    kind = args.images or run.tested_on
    if kind == "held-out" and not run.val_split:
        raise InputError(f"{folder} holds no training images out")
    images, names = trained.data.images(kind), trained.data.source.class_names
    crops = ", 10 crops" if args.crops == 10 else ""
    title = f"{folder.resolve().parent.name} on {run.dataset}, epoch {epoch}, {kind}{crops}"
    if args.columns:
        trained.prepare_subnetworks()

    def predict(subnetwork):
        return trained.predictions(images, subnetwork, args.test_batch_size, args.crops)

    whole = predict(None)
    print(f"{title}\n{summarize(whole)}")
    if args.classes:
        print(table([["class", "error %"], *zip(names, describe_class_errors(whole))]))
    if args.confusion:
        draw_confusion(whole.confusion(), names, args.confusion, title)
        print(args.confusion)
    if args.columns:
        columns = map(predict, range(trained.engine.num_subnetworks))
        picture = folder / f"anytime_{kind}_epoch{epoch:04d}.png"
        print(table(show_columns(trained, columns, whole, picture, title)))
        print(picture)


if __name__ == "__main__":
    sys.exit(main())
