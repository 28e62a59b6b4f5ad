"""A run: network + dataset + recipe + seed. The one place that joins network, data and training."""

import os
import platform
import subprocess
import sys
import time
import zlib
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Optional

import mxnet as mx
import numpy as np
from tqdm import tqdm

from command import CommandError, InputError, Interrupted
from data import records
from data.spec import get_spec
from network import get_model
from network.complexity import complexity
from network.initializer import INITIALIZERS
from training import checkpoint
from training.curves import draw_curves
from training.devices import contexts
from training.engine import MXNetEngine
from training.log import (
    RunLog,
    claim,
    find_runs,
    locked,
    read_config,
    read_log,
    write_config,
)
from training.loop import evaluate, train_epoch
from training.plain import from_plain
from training.recipe import Recipe, differences
from training.schedule import step_lr
from training.tally import NonFiniteLoss

ROOT = Path(__file__).resolve().parent.parent
SIZE = 32  # height and width of an image


@dataclass(frozen=True)
class Run:
    """What decides a result."""

    network: str
    depth: Optional[int]  # None for a peer, which has it in its name
    widen_factor: int
    dataset: str
    data_dir: str
    train_file: str
    test_file: str
    val_split: int  # training examples held out and reported on in the test set's place; 0: none
    recipe_name: str
    recipe: Recipe
    seed: int

    def __post_init__(self):
        for name in ("seed", "val_split"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must be 0 or more, not {getattr(self, name)}")

    def to_json(self):
        """Plain values for ``config.json``."""
        return {**asdict(self), "recipe": self.recipe.to_json()}

    @classmethod
    def from_json(cls, config):
        """The run that ``config.json`` tells of.

        Raises:
            InputError: it lacks a setting, or one is impossible.
        """
        plain = {**config, "recipe": Recipe.from_json(config.get("recipe"))}
        return from_plain(cls, plain)


@dataclass(frozen=True)
class Machine:
    """Where and how a run is carried out; changes no result beyond the order of sums."""

    gpus: Optional[str] = None
    kv_store: str = "device"
    test_batch_size: int = 250
    log_dir: str = "snapshot"
    exp_name: str = "run"
    log_iters: int = 100
    checkpoint_epochs: Optional[int] = None  # None: an eighth of the epochs
    quiet: bool = False

    def __post_init__(self):
        for name in ("test_batch_size", "log_iters", "checkpoint_epochs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, not {value}")
        if os.path.basename(self.exp_name) != self.exp_name:
            raise InputError(f"exp_name must be a plain name, not {self.exp_name!r}")

    @classmethod
    def from_json(cls, config):
        """The machine that ``config.json`` tells of.

        Raises:
            InputError: it lacks a setting, or one is impossible.
        """
        return from_plain(cls, config.get("machine"))


def parent_folder(run, machine, layers):
    """Folder that holds every run of the same network on the same data set."""
    network = run.network.replace(":", "-")
    setting = f"{network}_d{run.depth or layers}w{run.widen_factor}"
    return Path(machine.log_dir) / run.dataset / setting


def find(run, machine):
    """The newest folder that holds a run with just these settings and this seed, or None."""
    top = Path(machine.log_dir) / run.dataset
    if not top.is_dir():
        return None
    for folder in reversed(find_runs(top)):
        try:
            if Run.from_json(read_config(folder)) == run:
                return folder
        except InputError:
            continue  # a damaged or foreign config is no match
    return None


def load_data(run):
    """(training images, test images, mean and std, facts for ``config.json``)."""
    train = _load_images(run, run.train_file)
    if run.val_split:
        train, test = records.split(train, run.val_split)
    else:
        test = _load_images(run, run.test_file)
    facts = {
        part: {"examples": len(images.labels), "crc32": zlib.crc32(images.pixels)}
        for part, images in (("train", train), ("test", test))
    }
    return train, test, facts


def _load_images(run, name):
    path = Path(run.data_dir) / name
    if not path.exists():
        raise InputError(
            f"there is no {path}: make it with python -m data.prepare {run.dataset}, or name the "
            "folder it is in with --data-dir"
        )
    return records.load(path, get_spec(run.dataset).classes, SIZE)


def fit(run, machine, folder=None):
    """Train ``run`` to its last epoch; returns its folder.

    Args:
        folder: an unfinished run's, to go on with from its newest checkpoint; None makes a new one.

    Raises:
        InputError: a setting or a file cannot be used; nothing has been written then.
        Interrupted: the process was told to stop; the message says how to go on.
        CommandError: the loss is not finite any more.
    """
    spec = get_spec(run.dataset)
    devices = contexts(machine.gpus)
    net = get_model(run.network, run.depth, spec.classes, run.widen_factor)
    cost = complexity(net, (3, SIZE, SIZE))
    if cost.outputs != ((spec.classes,),):
        raise InputError(f"{run.network} gives outputs {cost.outputs}, not {spec.classes} logits")
    train, test, facts = load_data(run)
    new = folder is None
    if new:
        folder = claim(parent_folder(run, machine, cost.layers), machine.exp_name)
    with locked(folder):
        if new:
            write_config(folder, _config(run, machine, cost, facts))
        elif read_config(folder).get("data") != facts:
            raise InputError(f"the images in {run.data_dir} are not those that {folder} began with")
        log = RunLog(folder, _echo(machine))
        log.say(
            f"{run.network} depth {run.depth or cost.layers} widen {run.widen_factor}: "
            f"{cost.parameters:,} parameters, {cost.multiply_adds / 1e6:,.1f} M multiply-adds, "
            f"longest path {cost.layers} layers"
        )
        log.say(
            f"{run.dataset}: {facts['train']['examples']:,} training images, "
            f"{facts['test']['examples']:,} {'held out' if run.val_split else 'test'} images; "
            f"on {', '.join(map(str, devices))}; in {folder}"
        )
        engine = _engine(run, machine, net, devices)
        try:
            _Fit(run, machine, folder, log, engine, train, test, spec).epochs()
        except KeyboardInterrupt:
            again = f"python {os.path.basename(sys.argv[0])} --resume {folder}"
            log.note("interrupted")
            raise Interrupted(f"interrupted; go on with: {again}") from None
    return folder


class _Fit:
    """The epochs of a run, from its newest checkpoint to the last."""

    def __init__(self, run, machine, folder, log, engine, train, test, spec):
        self.run, self.machine, self.folder, self.log = run, machine, folder, log
        self.engine, self.train, self.test, self.spec = engine, train, test, spec
        self.steps = records.number_of_batches(len(train.labels), run.recipe.batch_size)
        self.checkpoints = folder / "checkpoints"

    def epochs(self):
        """Train every epoch that is left."""
        recipe = self.run.recipe
        done = self._restore()
        self.first, self.started = done, time.perf_counter()
        for epoch in range(done + 1, recipe.epochs + 1):
            try:
                row = self._epoch(epoch)
            except NonFiniteLoss as error:
                self.log.note(f"epoch {epoch}: {error}")
                raise CommandError(
                    f"{self.folder}: in epoch {epoch} {error}; try a smaller --lr"
                ) from None
            self.log.write(**row)
            self._save(epoch)
            self.log.say(
                f"epoch {epoch}/{recipe.epochs}  lr {row['lr']:g}  "
                f"train loss {row['train_loss']:.4f} error {row['train_error']:.2f}%  "
                f"test loss {row['test_loss']:.4f} error {row['test_error']:.2f}%  "
                f"{row['seconds']:.1f} s  {row['images_per_second']:.0f} images/s  "
                f"left {self._left(epoch)}"
            )
        self._draw()

    def _restore(self):
        """Take up the newest checkpoint; the epochs done."""
        newest = checkpoint.latest(self.checkpoints)
        done = checkpoint.epoch_of(newest) if newest else 0
        if newest:
            self.engine.load(*checkpoint.load(newest))
            self.log.say(f"resumed after epoch {done}")
        rows = self.log.keep_until(done)
        if len(rows) != done:
            raise InputError(
                f"{self.folder}: the log has {len(rows)} epochs, the checkpoint {done}"
            )
        return done

    def _epoch(self, epoch):
        """Train and test one epoch, counted from 1; its row of the log."""
        run, recipe, spec = self.run, self.run.recipe, self.spec
        lr = step_lr(epoch - 1, recipe.epochs, recipe.lr, recipe.lr_factor, recipe.lr_steps)
        self.engine.seed(zlib.crc32(f"{run.seed} {epoch}".encode()) % 2**31)
        normalized = {"mean": spec.mean, "std": spec.std}
        started = time.perf_counter()
        with tqdm(
            total=self.steps,
            desc=f"epoch {epoch}/{recipe.epochs}",
            unit="step",
            leave=False,
            disable=self.machine.quiet or not sys.stderr.isatty(),
        ) as bar:

            def report(step, figures):
                speed = figures.examples / (time.perf_counter() - started)
                left = self._left(epoch - 1 + step / self.steps)
                tell = self.log.say if bar.disable else self.log.note
                tell(
                    f"epoch {epoch}/{recipe.epochs}  step {step}/{self.steps}  "
                    f"loss {figures.loss:.4f} error {figures.error:.2f}%  "
                    f"{speed:.0f} images/s  left {left}"
                )
                bar.set_postfix_str(
                    f"error {figures.error:.2f}%, {speed:.0f} images/s, left {left}"
                )
                bar.update(step - bar.n)

            batches = records.train_batches(
                self.train,
                recipe.batch_size,
                augmentation=recipe.augmentation,
                seed=run.seed,
                epoch=epoch,
                **normalized,
            )
            trained = train_epoch(
                self.engine, records.prefetch(batches), lr, report, self.machine.log_iters
            )
        trained_at = time.perf_counter()
        batches = records.test_batches(self.test, self.machine.test_batch_size, **normalized)
        tested = evaluate(self.engine, records.prefetch(batches))
        return {
            "epoch": epoch,
            "lr": lr,
            "train_loss": trained.loss,
            "train_error": trained.error,
            "test_loss": tested.loss,
            "test_error": tested.error,
            "seconds": time.perf_counter() - started,  # training and test
            "images_per_second": trained.examples / (trained_at - started),  # training alone
        }

    def _save(self, epoch):
        """Write the checkpoint of ``epoch``; of older ones, keep the milestones."""
        epochs = self.run.recipe.epochs
        every = self.machine.checkpoint_epochs or max(epochs // 8, 1)
        checkpoint.save(self.checkpoints, epoch, *self.engine.arrays())
        checkpoint.keep_only(self.checkpoints, {epoch, *range(every, epoch, every)})
        if epoch % every == 0:
            self._draw()

    def _draw(self):
        rows = read_log(self.folder)
        if rows:
            title = f"{self.folder.parent.name} on {self.run.dataset}"
            draw_curves(rows, self.folder / "curves.png", title)

    def _left(self, done):
        """Time until the last epoch ends, after ``done`` epochs (with a fraction), as h:mm:ss."""
        pace = (time.perf_counter() - self.started) / (done - self.first)
        return str(timedelta(seconds=round(pace * (self.run.recipe.epochs - done))))


def _engine(run, machine, net, devices):
    recipe = run.recipe
    net.initialize(INITIALIZERS[recipe.initializer](run.seed), ctx=devices)
    for device in devices:  # a peer learns the shapes of its parameters from its first images
        net(mx.nd.zeros((1, 3, SIZE, SIZE), ctx=device))
    net.hybridize(static_alloc=True, static_shape=True)
    return MXNetEngine(net, devices, recipe.momentum, recipe.weight_decay, machine.kv_store)


def _echo(machine):
    """Shows a line above the progress bar."""
    if machine.quiet:
        return lambda line: None
    return lambda line: tqdm.write(line, file=sys.stdout)


def _config(run, machine, cost, facts):
    return {
        **run.to_json(),
        "recipe_changes": differences(run.recipe, run.recipe_name),
        "parameters": cost.parameters,
        "multiply_adds": cost.multiply_adds,
        "layers": cost.layers,
        "data": facts,
        "machine": asdict(machine),
        "threads": os.environ["OMP_NUM_THREADS"],
        "versions": {
            "python": platform.python_version(),
            "mxnet": mx.__version__,
            "numpy": np.__version__,
            "platform": platform.platform(),
        },
        "commit": _commit(),
        "command": sys.argv,
    }


def _commit():
    """Commit of the project's checkout, with a + where files differ from it; None outside git."""
    try:
        words = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--dirty=+"]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
