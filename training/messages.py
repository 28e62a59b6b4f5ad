"""Format the lines of ``log.txt`` and of errors: the run, its epochs, and how to resume it."""

import shlex
import sys
from dataclasses import fields
from pathlib import Path

from command import flag_name
from network.registry import describe_rounding
from training.recipe import DIGITS
from training.run import FIXED, RuntimeConfig
from training.run_folder import read_config
from training.schedule import count_drops


def describe_run(run, info, data, engine, folder):
    """Yield lines about the network, and about its images, devices and folder."""
    yield (
        f"{run.network} depth {run.depth or info.layers} widen {run.widen_factor}: "
        f"{info.parameters:,} parameters, {info.multiply_adds / 1e6:,.1f} M multiply-adds, "
        f"longest path {info.layers} layers"
    )
    workers = f" of each of {info.workers} workers" if info.workers > 1 else ""
    yield (
        f"{run.dataset}: {len(data.train):,} training images, "
        f"{len(data.test):,} {'held out' if run.val_split else 'test'} images; "
        f"on {', '.join(map(str, engine.devices))}{workers}; in {folder}"
    )
    yield from _warn(run, info)


def _warn(run, info):
    """Yield warnings about settings whose effect may be unexpected."""
    rounding = describe_rounding(run.depth, info.built_depth)
    if rounding:
        yield rounding
    recipe = run.recipe
    if run.dataset in DIGITS and recipe.augmentation in ("+", "++"):
        yield (
            f"augmentation {recipe.augmentation} mirrors the images, which makes digits wrong: use "
            "--aug-type 0"
        )
    if recipe.schedule != "step" or recipe.momentum_correction or not recipe.momentum:
        return
    for epoch in range(1, recipe.epochs + 1):
        drops = count_drops(epoch, recipe.epochs, recipe.lr_steps)
        if drops > 1:
            yield (
                f"the learning rate drops {drops} times at once before epoch {epoch}, but the "
                "momentum still contains the old rate for some steps, so the loss may rise: train "
                "more epochs, or use --momentum-correction on"
            )


def describe_epoch(row, epochs, tested_on, left):
    """Return the line of ``log.txt`` about an epoch.

    Args:
        row: the epoch's row of ``log.jsonl``.
        tested_on: name of the images that were tested: "test" or "held-out".
        left: time until the run ends, as h:mm:ss.
    """
    mark = "  diverged" if row.get("diverged") else ""
    highest = f" (highest {row['lr_max']:g})" if "lr_max" in row else ""
    return (
        f"epoch {row['epoch']}/{epochs}  lr {row.get('lr_last', row['lr']):g}{highest}  "
        f"train loss {row['train_loss']:.4f} error {row['train_error']:.2f}%  "
        f"{tested_on} loss {row['test_loss']:.4f} error {row['test_error']:.2f}%  "
        f"{row['seconds']:.1f} s  {row['images_per_second']:.0f} images/s  left {left}{mark}"
    )


def describe_resuming(folder, run, config, launcher):
    """Return the command, or in a notebook the call, that resumes the run in ``folder``.

    Args:
        config: RuntimeConfig of the process that is interrupted.
        launcher: text before the command in a distributed job; see engine.distributed.
    """
    if "ipykernel" in sys.modules:
        return f"fit(run, config, folder=Path({str(folder)!r}))"
    program = "train_cifar.py" if run.classes is None else "train_imagenet.py"
    if Path(sys.argv[0]).name == program:
        program = sys.argv[0]
    words = ["python", program, "--resume", str(folder)]
    stored = read_config(folder)
    if stored.get("data_dir") != run.data_dir:  # the images have moved
        words += ["--data-dir", run.data_dir]
    for flag, value in _list_changes(config, RuntimeConfig.from_json(stored)):
        words += [flag, value]
    return launcher + " ".join(map(shlex.quote, words))


def _list_changes(config, started):
    """Yield (flag, value) of the machine's settings that differ from those of the first start."""
    for each in fields(RuntimeConfig):
        value, before = getattr(config, each.name), getattr(started, each.name)
        if each.name not in FIXED and value not in (before, None):
            if isinstance(value, bool):
                value = "on" if value else "off"
            yield flag_name(each.name), str(value)


def begin_error(folder):
    """Return the start of an error's message: the run's folder, if this worker knows it."""
    return f"{folder}: " if folder else ""
