"""Train a network on photographs: ImageNet, or any that python -m data.prepare imagenet packed."""

import sys
from pathlib import Path

from command import InputError, Parser, command, nearest
from data.lists import read_classes
from data.photographs import SETS
from data.stream import AUG_TYPES
from network import default_depth, image_shape, list_models
from network.drop_path import MODES
from network.gluoncv_zoo import is_gluoncv
from training.cli import add_machine_flags, add_recipe_flags, settings_of, train
from training.recipe import default_photograph_recipe
from training.run import Run

EXAMPLES = """examples:
  python train_imagenet.py --network cross --gpus 0,1,2,3
  python train_imagenet.py --network fractal --drop-path mixed
  python train_imagenet.py --network gluoncv:resnet50_v1b
  python train_imagenet.py --dataset birds --depth 26 --data-shape 64 --batch-size 16 --lr 0.0002
  python train_imagenet.py --resume snapshot/imagenet/cross_imagenet_d50w1/run1

A flag left out takes the value of the recipe, which follows from the network. Classes are those of
classes.txt beside the images. python show_results.py shows the results."""

AUGMENTATIONS = (
    "none",
    "random crop and mirror",
    "also scale, aspect, hue, saturation, lightness",
)
SUFFIX = "_imagenet"  # of networks' names, which may be left out here
NETWORKS = {
    name.replace(SUFFIX, ""): name for name in list_models() if image_shape(name) == (3, 224, 224)
}


def make_parser():
    """The command line."""
    parser = Parser(description=__doc__, epilog=EXAMPLES)
    what = parser.add_argument_group("network and data")
    what.add_argument(
        "--network",
        default="cross",
        metavar="NAME",
        help=f"{', '.join(NETWORKS)}, or gluoncv:NAME for one of gluoncv's; default: cross",
    )
    what.add_argument(
        "--depth",
        type=int,
        help="weight layers of the corresponding plain network: cross 50 or 26, resnet 98 or 26, "
        "fractal 34, 18, 10 or 6; default: the first",
    )
    what.add_argument(
        "--widen-factor", type=int, default=1, help="multiplies the network's widths; default: 1"
    )
    what.add_argument(
        "--data-shape",
        type=int,
        default=224,
        help="height and width of what the network sees; scales of the augmentation are in "
        "proportion; default: 224",
    )
    what.add_argument(
        "--dataset", default="imagenet", help="name in results and folders; default: imagenet"
    )
    what.add_argument("--data-dir", help="folder of the .rec files; default: data/<dataset>")
    for flag, name in zip(("--train-dataset", "--val-dataset"), SETS.values()):
        what.add_argument(flag, default=name, help=f"default: {name}")
    add_recipe_flags(parser, AUGMENTATIONS, MODES)
    add_machine_flags(parser, test_batch_size=50)
    return parser


def run_of(args):
    """The run that the flags describe."""
    network = args.network
    if not is_gluoncv(network):
        network = NETWORKS.get(network.replace(SUFFIX, ""))
        if network is None:
            raise InputError(
                f"no network for photographs is named {args.network!r}"
                f"{nearest(args.network, NETWORKS)} (there are {', '.join(NETWORKS)}, and "
                "gluoncv:NAME for one of gluoncv's)"
            )
    if Path(args.dataset).name != args.dataset or args.dataset in (".", ".."):
        raise InputError(f"--dataset must be a plain name, not {args.dataset!r}")
    settings = settings_of(args, args.recipe or default_photograph_recipe(network), AUG_TYPES)
    return Run(
        network=network,
        depth=default_depth(network) if args.depth is None else args.depth,
        data_shape=args.data_shape,
        classes=len(read_classes(Path(settings["data_dir"]))),
        **settings,
    )


@command
def main(argv=None):
    """Train every run that the flags ask for."""
    train(argv, make_parser, run_of, AUG_TYPES, say=print)


if __name__ == "__main__":
    sys.exit(main())
