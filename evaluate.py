"""Evaluate a checkpoint: loss and errors, classes, confusion; the columns of a FractalNet."""

import sys
from dataclasses import replace
from pathlib import Path

from command import InputError, Parser, command
from training.anytime import anytime_table, draw_anytime
from training.confusion import draw_confusion
from training.curves import require_place
from training.experiment import (
    estimate,
    load_images,
    points_of,
    predictions,
    reported_on,
    restore,
    source_of,
    training_images,
)
from training.run import ENGINES
from training.tables import FORMATS

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
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    parser.add_argument(
        "--engine", choices=ENGINES, default=ENGINES[0], help="what computes; default: mxnet"
    )
    parser.add_argument("--gpus", help="such as 0, or cpu; default: every GPU that MXNet sees")
    parser.add_argument(
        "--test-batch-size", type=int, default=250, help="images predicted at once; default: 250"
    )
    return parser


def summary(found):
    """Predictions in a line."""
    errors = f"top-1 error {found.error():.2f}%  top-5 error {found.error(5):.2f}%"
    return f"{len(found):,} images  loss {found.loss:.4f}  {errors}"


@command
def main(argv=None):
    """Evaluate a run's checkpoint."""
    args = make_parser().parse_args(argv)
    table, folder = FORMATS[args.format], args.run
    if args.confusion:
        require_place(args.confusion)
    run, engine, row = restore(folder, args.gpus, args.epoch, args.engine)
    if args.columns and not hasattr(engine.net, "column"):
        raise InputError(f"{run.network} has no columns")
    if args.data_dir:
        run = replace(run, data_dir=args.data_dir)
    kind = args.images or reported_on(run)
    if kind == "held-out" and not run.val_split:
        raise InputError(f"{folder} holds no training images out")
    images, source = load_images(run, kind), source_of(run)
    crops = ", 10 crops" if args.crops == 10 else ""
    title = f"{folder.resolve().parent.name} on {run.dataset}, epoch {row['epoch']}, {kind}{crops}"
    if args.columns and "column_errors" not in row:
        train = training_images(folder, run)
        for part in range(engine.parts):
            estimate(run, engine, train, part)

    def predict(part):
        return predictions(run, engine, images, part, args.test_batch_size, args.crops)

    whole = predict(None)
    print(f"{title}\n{summary(whole)}")
    if args.classes:
        errors = [f"{error:.2f}" for error in whole.class_errors()]
        print(table([["class", "error %"], *zip(source.class_names, errors)]))
    if args.confusion:
        draw_confusion(whole.confusion(), source.class_names, args.confusion, title)
        print(args.confusion)
    if args.columns:
        found = [*map(predict, range(engine.parts)), whole]
        points = points_of(run, engine, found)
        picture = folder / f"anytime_{kind}_epoch{row['epoch']:04d}.png"
        draw_anytime(points, picture, title)
        print(f"{table(anytime_table(points))}\n{picture}")


if __name__ == "__main__":
    sys.exit(main())
