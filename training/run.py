"""What a run is, and where it is carried out; both as they stand in ``config.json``."""

import os
from dataclasses import asdict, dataclass
from typing import Optional

from command import InputError
from training.recipe import Recipe
from training.serialization import from_plain

ENGINES = ("mxnet", "torch")


@dataclass(frozen=True)
class Run:
    """What decides a result."""

    network: str
    depth: Optional[int]  # None for a peer, which has it in its name
    dataset: str
    data_dir: str
    recipe_name: str
    recipe: Recipe
    widen_factor: int = 1
    train_file: str = "train.rec"
    test_file: str = "test.rec"
    val_split: int = 0  # training examples held out and reported on in the test set's place
    seed: int = 0
    data_shape: int = 32  # height and width of what the network sees
    classes: Optional[int] = None  # of photographs; None: the data set's
    dtype: str = "float32"  # see engine/precision.py

    def __post_init__(self):
        for name in ("seed", "val_split"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must be 0 or more, not {getattr(self, name)}")
        if self.data_shape < 1:
            raise InputError(f"data_shape must be at least 1, not {self.data_shape}")

    @property
    def tested_on(self):
        """The images that the log's test errors are of: "test", or "held-out" ones."""
        return "held-out" if self.val_split else "test"

    def to_json(self):
        """Return plain values for ``config.json``."""
        return {**asdict(self), "recipe": self.recipe.to_json()}

    @classmethod
    def from_json(cls, config):
        """The run that ``config.json`` tells of.

        Raises:
            InputError: it lacks a setting, or one is impossible.
        """
        return from_plain(cls, {**config, "recipe": Recipe.from_json(config.get("recipe"))})


@dataclass(frozen=True)
class RuntimeConfig:
    """Where and how a run is carried out.

    Of this, only the number of devices, of all workers together, changes a result beyond the order
    of sums: batch statistics are each device's own.
    """

    engine: str = ENGINES[0]  # see engine/mxnet_engine.py
    gpus: Optional[str] = None
    kv_store: str = "device"
    wait_limit: int = 600  # seconds that a worker waits for the others
    test_batch_size: int = 250
    log_dir: str = "snapshot"
    exp_name: str = "run"
    log_iters: int = 100
    checkpoint_epochs: Optional[int] = None  # None: an eighth of the epochs
    log_columns: bool = False
    tensorboard: bool = False
    quiet: bool = False

    def __post_init__(self):
        for name in ("wait_limit", "test_batch_size", "log_iters", "checkpoint_epochs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} must be at least 1, not {value}")
        if self.engine not in ENGINES:
            raise InputError(f"engine must be {' or '.join(ENGINES)}, not {self.engine!r}")
        if self.engine == "torch" and self.kv_store == "dist_sync":
            raise InputError("--kv-store dist_sync is the MXNet engine's: leave --engine out")
        if os.path.basename(self.exp_name) != self.exp_name:
            raise InputError(f"exp_name must be a plain name, not {self.exp_name!r}")

    @classmethod
    def from_json(cls, config):
        """The machine that ``config.json`` tells of.

        Raises:
            InputError: it lacks a setting, or one is impossible.
        """
        return from_plain(cls, config.get("machine"))


@dataclass(frozen=True)
class RunInfo:
    """What became of a run's settings, as ``config.json`` has it."""

    recipe_changes: dict  # values that differ from the named recipe's
    parameters: int
    multiply_adds: int
    layers: int  # on the longest path
    devices: int
    data: dict  # number and checksum of the images
    workers: int = 1  # each with so many devices

    def __post_init__(self):
        for name in ("parameters", "multiply_adds", "layers", "devices", "workers"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
