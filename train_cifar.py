"""Train a network on 32x32 images: CIFAR-10, CIFAR-100, SVHN or the embedded digits."""

import sys

from command import Parser, command
from data.augment import AUG_TYPES
from data.spec import list_datasets
from network import default_depth, image_shape, list_models
from network.drop_path import MODES
from training.cli import add_machine_flags, add_recipe_flags, settings_of, train
from training.recipe import default_recipe
from training.run import Run

EXAMPLES = """examples:
  python train_cifar.py --dataset digits --network cross --depth 26
  python train_cifar.py --dataset cifar10 --network cross --depth 110 --gpus 0,1
  python train_cifar.py --dataset cifar100 --network resnet --depth 110 --runs 5
  python train_cifar.py --network fractal --depth 20 --widen-factor 4 --drop-path mixed
  python train_cifar.py --network gluoncv:cifar_resnet56_v1
  python train_cifar.py --network resnet --depth 56 --tensorboard
  python train_cifar.py --resume snapshot/cifar10/cross_d110w1/run1

A flag left out takes the value of the recipe, which follows from the data set and the network.
python -m data.prepare makes the data sets; python show_results.py shows the results."""

AUGMENTATIONS = (
    "none",
    "mirror and shift, padded with the mean",
    "the same, padded by reflection",
)
NETWORKS = ", ".join(name for name in list_models() if image_shape(name) == (3, 32, 32))


def make_parser():
    """The command line."""
    parser = Parser(description=__doc__, epilog=EXAMPLES)
    what = parser.add_argument_group("network and data")
    what.add_argument(
        "--network",
        default="cross",
        metavar="NAME",
        help=f"{NETWORKS}, or gluoncv:NAME for one of gluoncv's; default: cross",
    )
    what.add_argument(
        "--depth",
        type=int,
        help="weight layers of the corresponding plain network; FractalNet's is 5, 10, 20, 40, 80 "
        "or 160; default: 56 (FractalNet: 20, tapered 40)",
    )
    what.add_argument(
        "--widen-factor",
        type=int,
        default=Run.widen_factor,
        help="multiplies the widths 16-32-64 (FractalNet: 16-32-64-128-128); default: 1",
    )
    what.add_argument(
        "--dataset", choices=list_datasets(), default="cifar10", help="default: cifar10"
    )
    what.add_argument("--data-dir", help="folder of the .rec files; default: data/<dataset>")
    what.add_argument("--train-dataset", default=Run.train_file, help="default: train.rec")
    what.add_argument("--val-dataset", default=Run.test_file, help="default: test.rec")
    what.add_argument(
        "--val-split",
        type=int,
        default=Run.val_split,
        metavar="N",
        help="hold N training images out and report on them, not on the test set",
    )
    add_recipe_flags(parser, AUGMENTATIONS, MODES)
    add_machine_flags(parser)
    return parser


def run_of(args):
    """The run that the flags describe."""
    name = args.recipe or default_recipe(args.dataset, args.network)
    return Run(
        network=args.network,
        depth=default_depth(args.network) if args.depth is None else args.depth,
        val_split=args.val_split,
        **settings_of(args, name, AUG_TYPES),
    )


@command
def main(argv=None):
    """Train every run that the flags ask for."""
    train(argv, make_parser, run_of, AUG_TYPES, say=print)


if __name__ == "__main__":
    sys.exit(main())
