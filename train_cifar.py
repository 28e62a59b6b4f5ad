"""Train a network on small images: CIFAR-10, CIFAR-100, SVHN, MNIST, digits, or your own."""

import sys

from command import command
from data.augment import AUG_TYPES
from data.packing import ensure_prepared
from data.spec import default_folder, list_datasets, locate
from network import default_depth, image_shape, list_models
from training import cli
from training.recipe import default_recipe
from training.run import Run

EXAMPLES = """examples:
  python train_cifar.py --dataset digits --network cross --depth 26
  python train_cifar.py --dataset cifar10 --network cross --depth 110 --gpus 0,1
  python train_cifar.py --dataset cifar100 --network resnet --depth 110 --runs 5
  python train_cifar.py --network fractal --depth 20 --widen-factor 4 --drop-path mixed
  python train_cifar.py --dataset data/flowers --network cross --depth 26
  python train_cifar.py --network gluoncv:cifar_resnet56_v1
  python train_cifar.py --network resnet --depth 56 --tensorboard
  python train_cifar.py --resume snapshot/cifar10/cross_d110w1/run1

Without a flag, the recipe's value is used; the default recipe depends on data set and network.
A built-in data set is downloaded and prepared first if it is missing; python -m data.prepare makes
others. python show_results.py shows the results."""

NETWORKS = ", ".join(name for name in list_models() if image_shape(name) == (3, 32, 32))


def complete(values):
    """Add the options that follow from data set and network to the given options of a Run."""
    network = values.get("network", "cross")
    spec, folder = locate(values.get("dataset", "cifar10"), values.get("data_dir"))
    follows = {
        "network": network,
        "depth": default_depth(network),
        "recipe_name": default_recipe(spec.name, network),
        "data_shape": spec.size,
    }
    return {**follows, **values, "dataset": spec.name, "data_dir": str(folder)}


def prepare_data(run, say):
    """Prepare a missing built-in data set, unless another folder is named."""
    files = (run.data_dir, run.train_file, run.test_file)
    default = (str(default_folder(run.dataset).resolve()), Run.train_file, Run.test_file)
    if run.dataset in list_datasets() and files == default:
        ensure_prepared(run.dataset, say)


PROGRAM = cli.Program(
    description=__doc__,
    examples=EXAMPLES,
    augmentations=AUG_TYPES,
    words=("none", "mirror and shift, padded with the mean", "the same, padded with reflection"),
    complete=complete,
    prepare_data=prepare_data,
    run_flags={
        "network": {"help": f"{NETWORKS}, or gluoncv:NAME for one of gluoncv's; default: cross"},
        "depth": {
            "help": "weight layers of the corresponding plain network; FractalNet's is 5, 10, 20, "
            "40, 80 or 160; default: 56 (FractalNet: 20, tapered 40)"
        },
        "widen_factor": {
            "help": "multiplies the widths 16-32-64 (FractalNet: 16-32-64-128-128)",
        },
        "dataset": {
            "help": f"{', '.join(list_datasets())}, or the name or folder of a data set made by "
            "python -m data.prepare folder; default: cifar10"
        },
    },
    runtime_flags={},
    skip=("data_shape",),
)


@command
def main(argv=None):
    """Train every run that the flags ask for."""
    cli.train(argv, PROGRAM, say=print)


if __name__ == "__main__":
    sys.exit(main())
