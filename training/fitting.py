"""Prepare everything that a run needs, and train it in its folder."""

import re
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Optional, Tuple

from command import CommandError, InputError, Interrupted, StorageError
from engine.distributed import connect_workers
from engine.torch_process import require_compiler
from engine.torch_workers import connect_torch_workers
from network.registry import require_columns
from training import checkpoint, tensorboard
from training.build import Networks, build_engine, build_networks, find_devices
from training.initialization import initialize_from
from training.messages import begin_error, describe_resuming
from training.provenance import describe_environment
from training.recipe import differences
from training.run import Run, RunInfo, RuntimeConfig
from training.run_data import RunData
from training.run_folder import create_run_dir, is_published, locked, parent_folder, write_config
from training.trainer import Trainer


def fit(run: Run, config: RuntimeConfig, folder: Optional[Path] = None) -> Optional[Path]:
    """Train ``run`` to its last epoch; return its folder.

    Of several workers, the one of rank 0 writes the run's files; the others return None.

    Args:
        folder: folder of an unfinished run, which is resumed from its newest checkpoint; None makes
            a new folder.

    Raises:
        InputError: a setting or a file cannot be used. Nothing has been written then, unless a file
            of images has changed while the run was trained.
        Interrupted: the process was interrupted; the message says how to resume.
        CommandError: the loss is no longer finite, or a device has too little memory.
    """
    devices, data, networks = plan(run, config)
    info = RunInfo(
        recipe_changes=differences(run.recipe, run.recipe_name),
        parameters=networks.cost.parameters,
        multiply_adds=networks.cost.multiply_adds,
        layers=networks.cost.layers,
        built_depth=run.depth and getattr(networks.net, "built_depth", run.depth),
        devices=len(devices),
        data=data.facts(),
        described=data.describe(),
    )
    with _connect(config, devices) as workers:
        _require_shares(run.recipe.batch_size, len(data.test), workers.count)
        info = replace(info, workers=workers.count)
        options = {"workers": workers, "compile": config.compile}
        with _enough_memory("another program may use it: choose others with gpus", "gpus"):
            engine = build_engine(run, data, networks, devices, config.engine, **options)
            data.cache_on_device(engine)
        origin = _initialize(engine, run, folder)
        if folder is None and workers.rank == 0:
            folder = _start_folder(run, config, info)
        with _resumable(folder, run, config, workers):
            Trainer(run, config, folder, info, data, engine, origin).train()
    return folder if workers.rank == 0 else None


def plan(run: Run, config: RuntimeConfig) -> Tuple[list, RunData, Networks]:
    """Return devices, data and networks of a run, which does not read its images yet.

    Raises:
        InputError: a device, the network or an option cannot be used.
    """
    devices = find_devices(run, config.engine, config.gpus)
    data, networks = plan_networks(run, config)
    _require_usable(config, devices)
    return devices, data, networks


def plan_networks(run: Run, config: RuntimeConfig) -> Tuple[RunData, Networks]:
    """Return data and networks of a run, which may be meant for another machine.

    Raises:
        InputError: the network or an option cannot be used on any machine.
    """
    data = RunData(run)
    if config.log_columns:
        require_columns(run.network, "log_columns")
    return data, build_networks(run, data)


def _require_usable(config, devices):
    """Raise an InputError for options of ``config`` that cannot be used."""
    if config.compile:
        require_compiler(devices[0].type)
    if config.tensorboard:
        tensorboard.require()
    if is_published(f"{config.exp_name}1"):
        raise InputError(
            f"exp_name must not be {config.exp_name!r}: published runs, which cannot be resumed, "
            "have this name",
            argument="exp_name",
        )


def _initialize(engine, run, folder):
    """Load the initial parameters of a new run, if it has any; return a line about them."""
    begun = folder is not None and checkpoint.list_checkpoints(folder / checkpoint.FOLDER)
    return initialize_from(engine, run.init_from) if run.init_from and not begun else ""


def _connect(config, devices):
    """Return the group of workers to which this process belongs."""
    if config.engine == "torch":
        if config.kv_store != RuntimeConfig.kv_store:
            raise InputError(
                "kv_store is for the engine mxnet: start processes of torch with torchrun",
                argument="kv_store",
            )
        return connect_torch_workers(*devices, config.wait_limit)
    return connect_workers(config.kv_store, config.wait_limit)


def _require_shares(batch_size, test_images, workers):
    if test_images < workers:
        raise InputError(f"{test_images} test images cannot be shared by {workers} workers")
    if batch_size % workers:
        raise InputError(
            f"a batch of {batch_size} cannot be shared by {workers} workers: set batch_size to a "
            "multiple of their number",
            argument="batch_size",
        )


def _start_folder(run, config, info):
    """Make the folder of a new run, with its ``config.json``."""
    folder = create_run_dir(parent_folder(run, config, info.layers), config.exp_name)
    write_config(folder, {**run.to_json(), **asdict(info), **describe_environment(config)})
    return folder


@contextmanager
def _resumable(folder, run, config, workers):
    """Lock ``folder``; convert exceptions in the block to errors that say how to resume."""
    again = "" if workers.rank else describe_resuming(folder, run, config, workers.launcher)
    memory = _enough_memory("lower batch_size", "batch_size", begin_error(folder))
    try:
        with locked(folder) if workers.rank == 0 else nullcontext(), memory:
            yield
    except KeyboardInterrupt:
        if workers.rank:
            raise Interrupted("interrupted") from None
        raise Interrupted(f"interrupted; resume with: {again}") from None
    except OSError as error:
        if workers.rank:
            raise
        if error.errno is None and not isinstance(error, StorageError):
            raise  # not an error of the system
        raise StorageError(f"{error}; after fixing this, resume with: {again}") from None


@contextmanager
def _enough_memory(advice, argument, where=""):
    """Convert an error in the block that says that a device lacks memory to one with ``advice``."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # MXNet's and PyTorch's; NumPy's
        if not _lacks_memory(error):
            raise
        message = f"{where}a device is out of memory: {advice}"
        raise CommandError(message, argument=argument) from None


def _lacks_memory(error):
    """Return whether an error, or an earlier one that led to it, is a lack of memory."""
    words = "out of memory|alloc_failed|can(no|')t allocate memory|bad_alloc"  # GPUs'; CPUs'
    while error is not None:
        if isinstance(error, MemoryError) or re.search(words, str(error), re.IGNORECASE):
            return True
        error = error.__context__
    return False
