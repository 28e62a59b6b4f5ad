"""What the training programs share: flags, the run that they describe, resuming, several seeds."""

import shlex
import sys
from dataclasses import fields, replace
from pathlib import Path

from command import InputError, Interrupted
from engine.distributed import DISTRIBUTED
from engine.precision import DTYPES
from training import tensorboard
from training.checkpoint import FOLDER, checkpoint_path
from training.provenance import ROOT
from training.recipe import RECIPES, get_recipe, parse_step
from training.run import ENGINES, Run, RuntimeConfig
from training.run_folder import find_run, read_config, read_run
from training.trainer import fit


def steps(text):
    """Parse "200,300,350" or "1/2,3/4,7/8"."""
    return tuple(parse_step(part.strip()) for part in text.split(",") if part.strip())


def add_recipe_flags(parser, augmentations, drop_paths):
    """Add the flags that change a recipe.

    Args:
        augmentations: what --aug-type 0, 1, ... do, in words.
        drop_paths: the ways of drop-path.
    """
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
        choices=drop_paths,
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
        choices=range(len(augmentations)),
        help="; ".join(f"{number} {words}" for number, words in enumerate(augmentations)),
    )
    how.add_argument(
        "--dtype",
        choices=DTYPES,
        default=Run.dtype,
        help="what convolutions compute in; bfloat16 is for CPUs that have it and, with --engine "
        "torch, for GPUs; float16 for GPUs, without --engine torch. Default: float32",
    )
    how.add_argument("--rand-seed", type=int, default=0, help="seed of the (first) run; default: 0")
    how.add_argument("--runs", type=int, default=1, help="train so many seeds, one after the other")


def add_machine_flags(parser, test_batch_size=RuntimeConfig.test_batch_size):
    """Add the flags that say where and how to train."""
    where = parser.add_argument_group("machine and files")
    where.add_argument(
        "--engine",
        choices=ENGINES,
        default=RuntimeConfig.engine,
        help="what computes: MXNet, or PyTorch running the network that MXNet compiled, also on "
        "GPUs that MXNet has no code for. A run goes on with either. Default: mxnet",
    )
    where.add_argument(
        "--gpus",
        help="such as 0,1, or cpu; default: every GPU that MXNet sees, else the CPU. Each takes a "
        "share of the batch, with batch statistics of its own",
    )
    where.add_argument(
        "--kv-store",
        choices=("device", "local", "nccl", DISTRIBUTED),
        default=RuntimeConfig.kv_store,
        help="how gradients of several devices are summed; dist_sync: of several machines, too, as "
        "a worker of a job that python -m tools.launch starts. Default: device",
    )
    where.add_argument(
        "--wait-limit",
        type=int,
        default=RuntimeConfig.wait_limit,
        metavar="SECONDS",
        help="with dist_sync, end when the others are not heard of for so long, which must be more "
        f"than a step takes; default: {RuntimeConfig.wait_limit}",
    )
    where.add_argument(
        "--test-batch-size",
        type=int,
        default=test_batch_size,
        help=f"images tested at once; default: {test_batch_size}",
    )
    where.add_argument("--log-dir", default=RuntimeConfig.log_dir, help="default: snapshot")
    where.add_argument(
        "--exp-name",
        default=RuntimeConfig.exp_name,
        help="the run's folder is <exp-name><k>; default: run",
    )
    where.add_argument(
        "--log-iters",
        type=int,
        default=RuntimeConfig.log_iters,
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


def recipe_of(args, name, augmentations):
    """The recipe ``name`` as the flags change it; ``augmentations``: names by --aug-type."""
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
        augmentation=None if args.aug_type is None else augmentations[args.aug_type],
    )
    if args.lr_steps is not None:
        fractions = (step if step < 1 else step / recipe.epochs for step in args.lr_steps)
        recipe = replace(recipe, lr_steps=tuple(fractions))
    return recipe


def settings_of(args, recipe_name, augmentations):
    """Values of the Run that the flags describe, those that every data set's run has.

    Args:
        recipe_name: of the recipe that the flags change.
        augmentations: names by --aug-type.
    """
    return {
        "widen_factor": args.widen_factor,
        "dataset": args.dataset,
        "data_dir": str(Path(args.data_dir or ROOT / "data" / args.dataset).resolve()),
        "train_file": args.train_dataset,
        "test_file": args.val_dataset,
        "recipe_name": recipe_name,
        "recipe": recipe_of(args, recipe_name, augmentations),
        "seed": args.rand_seed,
        "dtype": args.dtype,
    }


def train(argv, make_parser, run_of, augmentations, say):
    """Train every run that the command line ``argv`` asks for.

    Args:
        make_parser: gives the program's parser, with the flags above.
        run_of: flags -> the Run that they describe.
        augmentations: names by --aug-type.
        say: shows a line.
    """
    args = make_parser().parse_args(argv)
    if isinstance(args.resume, str):
        folder = Path(args.resume)
        config = read_config(folder)
        run, machine = Run.from_json(config), RuntimeConfig.from_json(config)
        _resume(
            folder, run, _flags_of(run, machine, augmentations), argv, make_parser(), run_of, say
        )
        return
    run, machine = run_of(args), _runtime_config(args)
    if args.runs < 1:
        raise InputError(f"--runs must be at least 1, not {args.runs}")
    if args.runs > 1 and machine.kv_store == DISTRIBUTED:
        raise InputError(f"--kv-store {DISTRIBUTED} trains one seed a job: leave --runs out")
    try:
        for seed in range(run.seed, run.seed + args.runs):
            one = replace(run, seed=seed)
            _finish(one, machine, say, find_run(one, machine) if args.resume else None)
    except (Interrupted, KeyboardInterrupt):
        if args.runs == 1:
            raise
        words = sys.argv if argv is None else [sys.argv[0], *argv]
        again = " ".join(map(shlex.quote, [w for w in words if w != "--resume"]))
        raise Interrupted(f"interrupted; go on with: python {again} --resume") from None


def _runtime_config(args):
    """Where and how to train, from the flags."""
    return RuntimeConfig(
        **{field.name: getattr(args, field.name) for field in fields(RuntimeConfig)}
    )


def _flags_of(run, machine, augmentations):
    """The flags, by their names in the parsers, that describe a run and its machine."""
    recipe = run.recipe
    if recipe.augmentation not in augmentations:
        raise InputError(f"config.json: there is no augmentation {recipe.augmentation!r}")
    return {
        **{field.name: getattr(machine, field.name) for field in fields(RuntimeConfig)},
        "network": run.network,
        "depth": run.depth,
        "widen_factor": run.widen_factor,
        "data_shape": run.data_shape,
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
        "aug_type": augmentations.index(recipe.augmentation),
        "dtype": run.dtype,
        "rand_seed": run.seed,
        "quiet": False,
    }


def _resume(folder, run, flags, argv, parser, run_of, say):
    """Go on with ``run`` in ``folder``, by its own settings; flags may change the machine's."""
    began = {**flags, "runs": 1}
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
    moved = replace(run, data_dir=str(Path(args.data_dir).resolve()))
    _finish(moved, _runtime_config(args), say, folder)


def _finish(run, machine, say, folder=None):
    """Train a run to its end, and say where to look."""
    if folder is not None and not read_run(folder).problem:
        lines = [f"finished already: {folder}"]
    else:
        folder = fit(run, machine, folder)
        if folder is None:  # another worker's
            return
        lines = [
            f"log         {folder / 'log.txt'} and log.jsonl",
            f"curves      {folder / 'curves.png'}",
            f"checkpoint  {checkpoint_path(folder / FOLDER, run.recipe.epochs)}",
        ]
        if machine.tensorboard:
            lines.append(f"tensorboard {folder / tensorboard.FOLDER}")
    if not machine.quiet:
        say("\n".join(lines))
