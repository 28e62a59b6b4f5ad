"""Train a network on photographs: ImageNet, or any that python -m data.prepare imagenet packed."""

import sys
from pathlib import Path

from command import InputError, command, nearest
from data.lists import read_classes
from data.photographs import SETS
from data.spec import default_folder
from data.stream import AUG_TYPES
from filesystem import is_path
from network import default_depth, image_shape, list_models
from network.gluoncv_zoo import is_gluoncv
from training import cli
from training.recipe import default_photograph_recipe

EXAMPLES = """examples:
  python train_imagenet.py --network cross --gpus 0,1,2,3
  python train_imagenet.py --network fractal --drop-path mixed
  python train_imagenet.py --network gluoncv:resnet50_v1b
  python train_imagenet.py --dataset birds --depth 26 --data-shape 64 --batch-size 16 --lr 0.001
  python train_imagenet.py --resume snapshot/imagenet/cross_imagenet_d50w1/run1

Without a flag, the recipe's value is used; the default recipe depends on the network. The classes
are those in classes.txt beside the images. python show_results.py shows the results."""

FILES = dict(zip(("train_file", "test_file"), SETS.values()))
SUFFIX = "_imagenet"  # suffix of networks' names, which may be omitted here
NETWORKS = {
    name.replace(SUFFIX, ""): name for name in list_models() if image_shape(name) == (3, 224, 224)
}


def find_network(name):
    """Return the full name of a network for photographs.

    Raises:
        InputError: there is no such network.
    """
    if is_gluoncv(name):
        return name
    full = NETWORKS.get(name, name)
    if full not in NETWORKS.values():
        raise InputError(
            f"no network for photographs is named {name!r}{nearest(name, NETWORKS)} (there are "
            f"{', '.join(NETWORKS)}, and gluoncv:NAME for one of gluoncv's)"
        )
    return full


def complete(values):
    """Add the options that follow from data set and network to the given options of a Run."""
    network = find_network(values.get("network", "cross"))
    dataset = values.get("dataset", "imagenet")
    if is_path(dataset):
        raise InputError(f"dataset must be a plain name, not {dataset!r}", argument="dataset")
    folder = Path(values.get("data_dir") or default_folder(dataset))
    follows = {
        "depth": default_depth(network),
        "dataset": dataset,
        "recipe_name": default_photograph_recipe(network),
        "data_shape": 224,
        "classes": len(read_classes(folder)),
        **FILES,
    }
    return {**follows, **values, "network": network}


PROGRAM = cli.Program(
    description=__doc__,
    examples=EXAMPLES,
    augmentations=AUG_TYPES,
    words=(
        "none",
        "random crop and mirror",
        "also random scale, aspect, hue, saturation, lightness",
    ),
    complete=complete,
    run_flags={
        "network": {
            "help": f"{', '.join(NETWORKS)}, or gluoncv:NAME for one of gluoncv's; default: cross"
        },
        "depth": {
            "help": "weight layers of the corresponding plain network: cross 50 or 26, resnet 98 "
            "or 26, fractal 34, 18, 10 or 6; default: the first"
        },
        "dataset": {"help": "name of the data set, in data/ and in results; default: imagenet"},
        "data_shape": {
            "default": 224,
            "help": "height and width of the network's input; the augmentation is scaled with it",
        },
        **{option: {"default": name} for option, name in FILES.items()},
    },
    runtime_flags={"test_batch_size": {"default": 50}},
    skip=("val_split", "early_stop"),  # no photographs are held out
)


@command
def main(argv=None):
    """Train every run that the flags ask for."""
    cli.train(argv, PROGRAM, say=print)


if __name__ == "__main__":
    sys.exit(main())
