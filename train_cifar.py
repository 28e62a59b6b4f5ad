"""Train a network on 32x32 images: CIFAR-10, CIFAR-100, SVHN or the embedded digits."""

import shlex
import sys
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path

from command import InputError, Interrupted, Parser, command
from data.augment import AUG_TYPES
from data.spec import list_datasets
from network import default_depth, list_models
from network.drop_path import MODES
from training import tensorboard
from training.checkpoint import FOLDER, path_of
from training.experiment import ROOT, find, fit
from training.log import read_config, read_run
from training.recipe import RECIPES, default_recipe, get_recipe
from training.run import Machine, Run

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


def steps(text):
    """Parse "200,300,350" or "1/2,3/4,7/8"."""
    try:
        return tuple(Fraction(part) for part in text.split(",") if part.strip())
    except ZeroDivisionError as error:
        raise ValueError(str(error)) from None


def make_parser():
    """The command line."""
    parser = Parser(description=__doc__, epilog=EXAMPLES)
    what = parser.add_argument_group("network and data")
    what.add_argument(
        "--network",
        default="cross",
        metavar="NAME",
        help=f"{', '.join(list_models())}, or gluoncv:NAME for one of gluoncv's; default: cross",
    )
    what.add_argument(
        "--depth",
        type=int,
        help="weight layers of the corresponding plain network; FractalNet's is 5, 10, 20, 40, 80 "
        "or 160; default: 56 (FractalNet: 20)",
    )
    what.add_argument(
        "--widen-factor",
        type=int,
        default=1,
        help="multiplies the widths 16-32-64 (FractalNet: 16-32-64-128-128); default: 1",
    )
    what.add_argument(
        "--dataset", choices=list_datasets(), default="cifar10", help="default: cifar10"
    )
    what.add_argument("--data-dir", help="folder of the .rec files; default: data/<dataset>")
    what.add_argument("--train-dataset", default="train.rec", help="default: train.rec")
    what.add_argument("--val-dataset", default="test.rec", help="default: test.rec")
    what.add_argument(
        "--val-split",
        type=int,
        default=0,
        metavar="N",
        help="hold N training images out and report on them, not on the test set",
    )
    how = parser.add_argument_group("recipe")
    how.add_argument("--recipe", help=f"{', '.join(RECIPES)}; default: by data set and network")
    how.add_argument("--num-epochs", type=int, help="passes over the training set")
    how.add_argument("--batch-size", type=int, help="images a step, over all devices together")
    how.add_argument("--lr", type=float, help="learning rate at the start")
    how.add_argument("--lr-factor", type=float, help="what the rate is multiplied by at each step")
    how.add_argument(
        "--lr-steps",
        type=steps,
        metavar="STEPS",
        help="when: epochs done (200,300,350) or fractions of all (1/2,3/4,7/8)",
    )
    how.add_argument("--weight-decay", type=float, help="of the parameters the recipe decays")
    how.add_argument(
        "--drop-path",
        choices=MODES,
        help="FractalNet: what a mini-batch trains. local: the network but for paths dropped at "
        "joins; global: one column; mixed: either; tied: the network and all columns",
    )
    how.add_argument(
        "--drop-path-rate", type=float, help="at which joins drop inputs (local); paper: 0.15"
    )
    how.add_argument(
        "--dropout",
        type=float,
        help="FractalNet: rates are 0, 1, 2, 3, 4 times this in its blocks; paper: 0.1",
    )
    how.add_argument(
        "--aug-type",
        type=int,
        choices=range(len(AUG_TYPES)),
        help="0 none; 1 mirror and shift, padded with the mean; 2 the same, padded by reflection",
    )
    how.add_argument("--rand-seed", type=int, default=0, help="seed of the (first) run; default: 0")
    how.add_argument("--runs", type=int, default=1, help="train so many seeds, one after the other")
    where = parser.add_argument_group("machine and files")
    where.add_argument(
        "--gpus",
        help="such as 0,1, or cpu; default: every GPU that MXNet sees, else the CPU. Each takes a "
        "share of the batch, with batch statistics of its own",
    )
    where.add_argument(
        "--kv-store",
        choices=("device", "local", "nccl"),
        default=Machine.kv_store,
        help="how gradients of several devices are summed; default: device",
    )
    where.add_argument(
        "--test-batch-size",
        type=int,
        default=Machine.test_batch_size,
        help="images tested at once; default: 250",
    )
    where.add_argument("--log-dir", default=Machine.log_dir, help="default: snapshot")
    where.add_argument(
        "--exp-name",
        default=Machine.exp_name,
        help="the run's folder is <exp-name><k>; default: run",
    )
    where.add_argument(
        "--log-iters",
        type=int,
        default=Machine.log_iters,
        help="steps between lines of the log; default: 100",
    )
    where.add_argument(
        "--log-columns",
        action="store_true",
        help="test every column of FractalNet each epoch, not the last alone, and draw columns.png",
    )
    where.add_argument(
        "--tensorboard",
        action="store_true",
        help="write the figures of each epoch to the run's folder tensorboard, too; look with "
        "tensorboard --logdir snapshot (needs tensorboardX)",
    )
    where.add_argument(
        "--checkpoint-epochs",
        type=int,
        help="keep a checkpoint every so many epochs; default: an eighth of them. The newest is "
        "always kept",
    )
    where.add_argument(
        "--resume",
        nargs="?",
        const=True,
        metavar="RUN",
        help="go on with the run in folder RUN; without RUN, with the newest that has the same "
        "settings and seed, where there is one",
    )
    where.add_argument("--quiet", action="store_true", help="show nothing but errors")
    return parser


def run_of(args):
    """The run that the flags describe."""
    name = args.recipe or default_recipe(args.dataset, args.network)
    recipe = get_recipe(
        name,
        epochs=args.num_epochs,
        batch_size=args.batch_size,
        lr=args.lr,
        lr_factor=args.lr_factor,
        weight_decay=args.weight_decay,
        drop_path=args.drop_path,
        drop_path_rate=args.drop_path_rate,
        dropout=args.dropout,
        augmentation=None if args.aug_type is None else AUG_TYPES[args.aug_type],
    )
    if args.lr_steps is not None:
        fractions = (step if step < 1 else step / recipe.epochs for step in args.lr_steps)
        recipe = replace(recipe, lr_steps=tuple(fractions))
    return Run(
        network=args.network,
        depth=default_depth(args.network) if args.depth is None else args.depth,
        widen_factor=args.widen_factor,
        dataset=args.dataset,
        data_dir=str(Path(args.data_dir or ROOT / "data" / args.dataset).resolve()),
        train_file=args.train_dataset,
        test_file=args.val_dataset,
        val_split=args.val_split,
        recipe_name=name,
        recipe=recipe,
        seed=args.rand_seed,
    )


def machine_of(args):
    """Where and how to train, from the flags."""
    return Machine(**{field.name: getattr(args, field.name) for field in fields(Machine)})


def flags_of(run, machine):
    """The flags, by their names in the parser, that describe a run and its machine."""
    recipe = run.recipe
    if recipe.augmentation not in AUG_TYPES:
        raise InputError(f"config.json: there is no augmentation {recipe.augmentation!r}")
    return {
        **{field.name: getattr(machine, field.name) for field in fields(Machine)},
        "network": run.network,
        "depth": run.depth,
        "widen_factor": run.widen_factor,
        "dataset": run.dataset,
        "data_dir": run.data_dir,
        "train_dataset": run.train_file,
        "val_dataset": run.test_file,
        "val_split": run.val_split,
        "recipe": run.recipe_name,
        "num_epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "lr": recipe.lr,
        "lr_factor": recipe.lr_factor,
        "lr_steps": recipe.lr_steps,
        "weight_decay": recipe.weight_decay,
        "drop_path": recipe.drop_path,
        "drop_path_rate": recipe.drop_path_rate,
        "dropout": recipe.dropout,
        "aug_type": AUG_TYPES.index(recipe.augmentation),
        "rand_seed": run.seed,
        "quiet": False,
    }


def resume(folder, argv):
    """Go on with the run in ``folder``, by its own settings; flags may change the machine's."""
    config = read_config(folder)
    run, machine = Run.from_json(config), Machine.from_json(config)
    began = {**flags_of(run, machine), "runs": 1}
    parser = make_parser()
    parser.set_defaults(**began)
    args = parser.parse_args(argv)
    asked = replace(run_of(args), data_dir=run.data_dir)  # may have moved: its content is compared
    names = [field.name for field in fields(Run)]
    differ = [name for name in names if getattr(asked, name) != getattr(run, name)]
    fixed = ("log_dir", "exp_name", "runs")
    differ += [name for name in fixed if getattr(args, name) != began[name]]
    if differ:
        raise InputError(
            f"{folder} began with another {' and '.join(differ)}: leave those flags out, or start "
            "a new run without --resume"
        )
    finish(replace(run, data_dir=str(Path(args.data_dir).resolve())), machine_of(args), folder)


def finish(run, machine, folder=None):
    """Train a run to its end, and say where to look."""
    if folder is not None and not read_run(folder).problem:
        lines = [f"finished already: {folder}"]
    else:
        folder = fit(run, machine, folder)
        lines = [
            f"log         {folder / 'log.txt'} and log.jsonl",
            f"curves      {folder / 'curves.png'}",
            f"checkpoint  {path_of(folder / FOLDER, run.recipe.epochs)}",
        ]
        if machine.tensorboard:
            lines.append(f"tensorboard {folder / tensorboard.FOLDER}")
    if not machine.quiet:
        print("\n".join(lines))


@command
def main(argv=None):
    """Train every run that the flags ask for."""
    parser = make_parser()
    args = parser.parse_args(argv)
    if isinstance(args.resume, str):
        resume(Path(args.resume), argv)
        return
    run, machine = run_of(args), machine_of(args)
    if args.runs < 1:
        raise InputError(f"--runs must be at least 1, not {args.runs}")
    try:
        for seed in range(run.seed, run.seed + args.runs):
            one = replace(run, seed=seed)
            finish(one, machine, find(one, machine) if args.resume else None)
    except (Interrupted, KeyboardInterrupt):
        if args.runs == 1:
            raise
        words = sys.argv if argv is None else [sys.argv[0], *argv]
        again = " ".join(map(shlex.quote, [w for w in words if w != "--resume"]))
        raise Interrupted(f"interrupted; go on with: python {again} --resume") from None


if __name__ == "__main__":
    sys.exit(main())
