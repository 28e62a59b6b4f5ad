"""Evaluate a checkpoint: loss and errors, classes, confusion; the columns of a FractalNet."""

import sys
from dataclasses import replace
from pathlib import Path

from command import InputError, Parser, command
from network.complexity import complexity
from training.anytime import Point, anytime_table, draw_anytime, measure
from training.confusion import draw_confusion
from training.experiment import estimate, load_images, predictions, restore, source_of
from training.extract import engine_of_extracted, extract
from training.tables import FORMATS

EXAMPLES = """examples:
  python evaluate.py snapshot/cifar10/cross_d110w1/run1
  python evaluate.py snapshot/cifar10/cross_d110w1/run1 --classes --confusion confusion.png
  python evaluate.py snapshot/imagenet/fractal_imagenet_d34w1/run1 --crops 10
  python evaluate.py snapshot/cifar10/fractal_d20w4/run1 --columns
  python evaluate.py snapshot/cifar10/fractal_d20w4/run1 --extract-column 2 --out column2

Column c of a FractalNet has 2^c convolutions a block: 0 is the shallowest. Moving averages of a
column, and of a network that was trained with dropout or drop-path, are estimated from training
images first, as the last epoch of training does, so that those are needed, too."""


def make_parser():
    """The command line."""
    parser = Parser(description=__doc__, epilog=EXAMPLES)
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--epoch", type=int, help="of the checkpoint; default: the newest")
    parser.add_argument(
        "--images",
        choices=("test", "train"),
        default="test",
        help="what to evaluate on, training images without augmentation; default: test",
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
        "error over latency goes to anytime.png in the run's folder",
    )
    parser.add_argument("--classes", action="store_true", help="the error of each class")
    parser.add_argument("--confusion", metavar="PNG", help="draw the confusion matrix")
    parser.add_argument(
        "--extract-column",
        type=int,
        metavar="C",
        help="write column C as a plain network, symbol and parameters, and evaluate the files",
    )
    parser.add_argument("--out", metavar="DIR", help="folder for --extract-column")
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    parser.add_argument("--gpus", help="such as 0, or cpu; default: the first that MXNet sees")
    parser.add_argument(
        "--test-batch-size", type=int, default=250, help="images predicted at once; default: 250"
    )
    return parser


def summary(found):
    """Predictions in a line."""
    errors = f"top-1 error {found.error():.2f}%  top-5 error {found.error(5):.2f}%"
    return f"{len(found):,} images  loss {found.loss:.4f}  {errors}"


def points_of(run, engine, shape, predict):
    """Points of every column and of the whole network, for images of ``shape``."""
    parts = [*range(engine.parts), None]
    points = []
    for part, seconds in zip(parts, measure(engine, parts, shape)):
        cost, found = complexity(engine.network(part), shape), predict(part)
        points.append(
            Point(
                name="whole" if part is None else f"column {part}",
                depth=run.depth if part is None else engine.net.depths[part],
                parameters=cost.parameters,
                multiply_adds=cost.multiply_adds,
                error=found.error(),
                loss=found.loss,
                seconds=seconds,
            )
        )
    return points


@command
def main(argv=None):
    """Evaluate a run's checkpoint."""
    args = make_parser().parse_args(argv)
    table = FORMATS[args.format]
    run, engine, epoch = restore(args.run, args.gpus, args.epoch)
    column = args.extract_column
    if (args.columns or column is not None) and not hasattr(engine.net, "column"):
        raise InputError(f"{run.network} has no columns")
    if column is not None and (column not in range(engine.parts) or not args.out):
        raise InputError(f"--extract-column takes 0 to {engine.parts - 1}, and a folder by --out")
    if args.data_dir:
        run = replace(run, data_dir=args.data_dir)
    images = load_images(run, args.images)
    source = source_of(run)
    shape = (3, source.size, source.size)
    title = f"{args.run.parent.name} on {run.dataset}, epoch {epoch}, {args.images} images"
    title += ", 10 crops" if args.crops == 10 else ""

    train = load_images(run, "train") if engine.parts else None

    def predict(part):
        estimate(run, engine, part, train)
        return predictions(run, engine, images, part, args.test_batch_size, args.crops)

    if args.columns:
        points = points_of(run, engine, shape, predict)
        picture = args.run / "anytime.png"
        draw_anytime(points, picture, title)
        print(f"{title}\n{table(anytime_table(points))}\n{picture}")
    elif column is not None:
        estimate(run, engine, column, train)
        files = extract(engine.network(column), Path(args.out), f"column{column}", shape)
        written = engine_of_extracted(*files, engine.contexts)
        found = predictions(run, written, images, None, args.test_batch_size, args.crops)
        print("\n".join([title, summary(found), *map(str, files)]))
    else:
        found = predict(None)
        names = source.class_names if args.classes or args.confusion else ()
        print(f"{title}\n{summary(found)}")
        if args.classes:
            errors = [f"{error:.2f}" for error in found.class_errors()]
            print(table([["class", "error %"], *zip(names, errors)]))
        if args.confusion:
            draw_confusion(found.confusion(), names, args.confusion, title)
            print(args.confusion)


if __name__ == "__main__":
    sys.exit(main())
