"""Shared code of the training programs: flags, runs, resuming, several seeds."""

import json
import shlex
import sys
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Callable, Tuple

from command import (
    CommandError,
    InputError,
    Interrupted,
    Parser,
    flag_name,
    require_positive,
    show_flags,
)
from data.spec import default_folder
from engine.distributed import DISTRIBUTED
from engine.torch_workers import is_torchrun_job
from filesystem import is_path
from network import list_pretrained
from network.drop_path import LOCAL_MODES, MODES
from training import tensorboard
from training.checkpoint import FOLDER, checkpoint_path
from training.fitting import fit, plan, plan_networks
from training.options import add_flags, given
from training.parameter_files import load_parameters
from training.recipe import RECIPES, Recipe, compare, get_recipe
from training.run import FIXED, Run, RunInfo, RuntimeConfig
from training.run_folder import CONFIG, find_run, parse_config, read_config, require_checkpoints
from training.run_record import read_run

# (option of a Recipe, another one, values of the other with which the first has an effect)
NEEDED = (
    ("lr_steps", "schedule", ("step",)),
    ("lr_factor", "schedule", ("step",)),
    ("drop_path_rate", "drop_path", LOCAL_MODES),
)


@dataclass(frozen=True)
class Program:
    """The differences between the training programs."""

    description: str
    examples: str
    augmentations: Tuple[str, ...]  # names by --aug-type
    words: Tuple[str, ...]  # a description of each
    complete: Callable  # adds options that follow from the given {name: value} of a Run
    run_flags: dict  # changes of the Run's flags; see training.options.add_flags
    runtime_flags: dict  # changes of the RuntimeConfig's flags
    skip: Tuple[str, ...] = ()  # options of a Run or a Recipe that have no flag
    prepare_data: Callable = lambda run, say: None  # prepares the images of a new run


def make_parser(program):
    """Return the parser of a training program's command line."""
    parser = Parser(description=program.description, epilog=program.examples)
    what = parser.add_argument_group("network and data")
    skip = ("seed", "dtype", *program.skip)
    add_flags(what, Run, skip=skip, **program.run_flags)
    how = parser.add_argument_group(
        "recipe", "how the network is trained; a flag replaces the recipe's value"
    )
    how.add_argument("--recipe", help=f"{', '.join(RECIPES)}; default: by data set and network")
    numbered = (f"{number} {words}" for number, words in enumerate(program.words))
    augmentation = {
        "type": int,
        "choices": range(len(program.words)),
        "help": "; ".join(numbered),
    }
    changes = {"augmentation": augmentation, "drop_path": {"choices": MODES}}
    add_flags(how, Recipe, skip=program.skip, show_defaults=False, **changes)
    others = [each.name for each in fields(Run) if each.name not in ("seed", "dtype")]
    add_flags(how, Run, skip=others)
    how.add_argument(
        "--runs", type=int, help="number of seeds to train, one after the other; default: 1"
    )
    where = parser.add_argument_group("machine and files")
    add_flags(where, RuntimeConfig, **program.runtime_flags)
    where.add_argument(
        "--resume",
        nargs="?",
        const=True,
        metavar="RUN",
        help="resume the run in folder RUN; without RUN, the newest one with the same settings and "
        "seed, if there is one",
    )
    where.add_argument(
        "--print-config",
        action="store_true",
        help="print the settings of the run in the form of config.json, and exit",
    )
    return parser


def build_run(args, program):
    """Return the Run that the flags describe.

    Raises:
        InputError: a value is impossible.
    """
    values = program.complete(_given_run(args))
    folder = values.get("data_dir") or default_folder(values["dataset"])
    recipe_name = args.recipe or values["recipe_name"]
    recipe = _change_recipe(get_recipe(recipe_name), args, program)
    data_dir = str(Path(folder).resolve())
    return Run(**{**values, "data_dir": data_dir, "recipe_name": recipe_name, "recipe": recipe})


def _given_run(args):
    """Return {name: value} of a Run's given options, with an absolute path ``init_from``."""
    values = given(args, Run)
    values.pop("recipe", None)  # a name, which ``build_run`` reads
    source = values.get("init_from")
    if source is not None and (Path(source).exists() or source not in list_pretrained()):
        values["init_from"] = str(Path(source).absolute())
    return values


def build_config(args, program):
    """Return the RuntimeConfig that the flags describe."""
    defaults = {
        name: words["default"]
        for name, words in program.runtime_flags.items()
        if "default" in words
    }
    return RuntimeConfig(**{**defaults, **given(args, RuntimeConfig)})


def _change_recipe(recipe, args, program):
    """Return ``recipe`` with the values whose flags were given.

    Raises:
        InputError: a value is impossible, or a flag has no effect with the others.
    """
    changes = given(args, Recipe)
    if "augmentation" in changes:
        changes["augmentation"] = program.augmentations[changes["augmentation"]]
    if "lr_steps" in changes:
        epochs = changes.get("epochs", recipe.epochs)
        require_positive(epochs=epochs)
        steps = changes["lr_steps"]
        changes["lr_steps"] = tuple(step if step < 1 else step / epochs for step in steps)
    changed = replace(recipe, **changes)
    for name, setting, needed in NEEDED:
        chosen = getattr(changed, setting)
        if name in changes and chosen not in needed:
            raise InputError(
                f"{name} is for {setting} {' or '.join(needed)}, not {chosen}: leave it out",
                argument=(name, setting),
            )
    return changed


def train(argv, program, say):
    """Train every run that the command line ``argv`` asks for.

    Args:
        program: a Program.
        say: function that shows a line.
    """
    args = make_parser(program).parse_args(argv)
    if isinstance(args.resume, str):
        _resume(Path(args.resume), args, program, say)
        return
    run, config = build_run(args, program), build_config(args, program)
    if args.print_config:
        plan_networks(run, config)
        say(_format_config(run, config))
        return
    runs = 1 if args.runs is None else args.runs
    require_positive(runs=runs)
    if runs > 1 and config.kv_store == DISTRIBUTED:
        raise InputError(f"--kv-store {DISTRIBUTED} trains one seed in each job: leave --runs out")
    if runs > 1 and config.engine == "torch" and is_torchrun_job():
        raise InputError("torchrun trains one seed in each job: leave --runs out")
    if not (Path(run.data_dir) / run.train_file).exists():
        _require_possible(run, config)
    program.prepare_data(run, _silent if config.quiet else say)
    try:
        if runs == 1:
            _finish(run, config, say, find_run(run, config) if args.resume else None)
        else:
            _train_seeds(run, range(run.seed, run.seed + runs), config, args.resume, say)
    except (Interrupted, KeyboardInterrupt):
        if runs == 1:
            raise
        words = sys.argv if argv is None else [sys.argv[0], *argv]
        again = " ".join(map(shlex.quote, [w for w in words if w != "--resume"]))
        raise Interrupted(f"interrupted; resume with: python {again} --resume") from None


def _train_seeds(run, seeds, config, resume, say):
    """Train a run with each of ``seeds``; one whose loss diverges does not end the others.

    Raises:
        CommandError: runs diverged; the message has their seeds.
    """
    failed = []
    for seed in seeds:
        one = replace(run, seed=seed)
        folder = find_run(one, config) if resume else None
        try:
            record = read_run(folder) if folder else None
            if record and record.problem and record.diverged and config.on_divergence == "stop":
                raise CommandError(f"{folder} diverged: try a smaller lr", argument="lr")
            _finish(one, config, say, folder)
        except CommandError as error:
            if error.argument != "lr":
                raise  # the other seeds would fail, too
            failed.append(str(seed))
            sys.stderr.write(f"seed {seed}: {show_flags(error)}\n")
    if failed:
        raise CommandError(f"no result of seed {', '.join(failed)}")


def _format_config(run, config):
    """Return the settings as in ``config.json``."""
    return json.dumps({**run.to_json(), "machine": asdict(config)}, indent=1)


def _require_possible(run, config):
    """Check a run before its data set is downloaded.

    Raises:
        InputError: its network, devices or initial parameters cannot be used.
    """
    plan(run, config)
    if run.init_from:
        load_parameters(run.init_from)


def _silent(line):
    """Show nothing."""


def _resume(folder, args, program, say):
    """Resume the run in ``folder`` with its own settings; flags may change those of the machine.

    Raises:
        InputError: a flag would change a setting of the run.
    """
    stored = read_config(folder)
    run, config, _ = parse_config(stored, folder, Run, RuntimeConfig, RunInfo)
    if not isinstance(stored.get("resumed", []), list):
        raise InputError(f"{folder / CONFIG} is damaged: resumed is not a list")
    require_checkpoints(folder)
    differ = _changed_settings(run, config, args, program)
    if differ:
        epochs = args.epochs is not None and args.epochs != run.recipe.epochs
        more = f" (to train it longer, --init-from {folder} starts a new run)" if epochs else ""
        raise InputError(
            f"{folder} was started with another {' and '.join(differ)}: leave those flags out, or "
            f"start a new run without --resume{more}"
        )
    config = replace(config, **given(args, RuntimeConfig))
    if args.data_dir:  # the folder may have moved; its content is compared
        run = replace(run, data_dir=str(Path(args.data_dir).resolve()))
    if args.print_config:
        plan_networks(run, config)
        say(_format_config(run, config))
        return
    try:
        _finish(run, config, say, folder)
    except InputError as error:
        if "dtype" not in (error.argument or ()):
            raise
        raise InputError(
            f"{error}. A resumed run keeps its dtype: resume it where {run.dtype} is possible, or "
            f"start a new run with --init-from {folder}",
            argument=error.argument,
        ) from None


def _changed_settings(run, config, args, program):
    """Return the flags that would change settings although these are fixed."""
    asked = _given_run(args)
    folder = asked.pop("data_dir", None)
    if not folder:  # a data set that is given as a path is in that folder
        folder = None if is_path(asked.get("dataset", run.dataset)) else run.data_dir
    if {"network", "dataset"} & set(asked):
        completed = program.complete({"dataset": run.dataset, **asked, "data_dir": folder})
        asked = {name: completed[name] for name in asked}
    differ = [flag_name(name) for name, value in asked.items() if getattr(run, name) != value]
    changed = compare(_change_recipe(run.recipe, args, program), run.recipe)
    if args.recipe and args.recipe != run.recipe_name:
        differ.append("--recipe")
    elif changed:
        differ.append(f"recipe ({', '.join(map(flag_name, changed))})")
    fixed = {**{name: getattr(config, name) for name in FIXED}, "runs": 1}
    return differ + [
        flag_name(name) for name, value in fixed.items() if getattr(args, name) not in (None, value)
    ]


def _finish(run, config, say, folder=None):
    """Train a run to its end, and show where its files are."""
    if folder is not None and not read_run(folder).problem:
        lines = [f"finished already: {folder}"]
    else:
        folder = fit(run, config, folder)
        if folder is None:  # another worker has the folder
            return
        lines = [*_describe_end(run, folder)]
        if config.tensorboard:
            lines.append(f"tensorboard {folder / tensorboard.FOLDER}")
    if not config.quiet:
        say("\n".join(lines))


def _describe_end(run, folder):
    """Yield lines about a run's final errors and its files."""
    record = read_run(folder)
    if not record.rows:  # the log was changed while the run was trained
        raise InputError(f"{folder} is {record.problem}: --resume {folder} writes its log again")
    rows = record.rows
    best = min(rows, key=lambda row: row["test_error"])
    yield (
        f"{run.tested_on} error  {rows[-1]['test_error']:.2f}% after the last epoch; "
        f"lowest {best['test_error']:.2f}% after epoch {best['epoch']}"
    )
    yield f"log         {folder / 'log.txt'} and log.jsonl"
    yield f"curves      {folder / 'curves.png'}"
    yield f"checkpoint  {checkpoint_path(folder / FOLDER, len(rows))}"
    if run.recipe.early_stop:
        yield f"best        {checkpoint_path(folder / FOLDER, best['epoch'])}"
