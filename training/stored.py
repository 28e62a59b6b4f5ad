"""Read a stored trained network: a run's checkpoint, or a pretrained network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Optional, Union

import numpy as np

from command import InputError, nearest
from data.spec import DatasetSpec, PhotographSpec, default_folder
from network.pretrained.cards import list_pretrained, read_pretrained
from training import checkpoint
from training.recipe import Recipe
from training.run import Run, RunInfo
from training.run_folder import CONFIG, parse_config, read_config, require_checkpoints


@dataclass(frozen=True)
class Stored:
    """A trained network read from its files."""

    name: str  # in titles of pictures
    folder: Path  # where files about it are written: the run's folder, or the current folder
    run: Run
    data: Dict[str, Any]  # number and checksum of its images
    values: Dict[str, np.ndarray]
    momenta: Dict[str, np.ndarray]
    row: Dict[str, Any]  # the log's row of its epoch
    # of a pretrained network, photographs, or a user's own data set
    spec: Union[DatasetSpec, PhotographSpec, None] = None
    pretrained: bool = False

    def output(self, name: str) -> Path:
        """Return the path of a file about the network; that of a pretrained one begins with it."""
        return self.folder / (f"{self.name}_{name}" if self.pretrained else name)


def read_stored(source: Union[str, Path], epoch: Optional[int] = None) -> Stored:
    """Return the network in a run's folder, or the pretrained network of that name.

    Args:
        epoch: an epoch with a checkpoint; None means the newest.

    Raises:
        InputError: there is no such run, checkpoint or pretrained network, or it is damaged.
    """
    path, name = Path(source), str(source)
    names = list_pretrained()
    named = path.name == name and (name in names or not path.is_dir())
    if not named or (path / CONFIG).exists():
        return _read_run(path, epoch)
    if name not in names:
        known = f"there are {', '.join(names)}" if names else "there is none yet"
        raise InputError(
            f"there is no folder {name}, and no pretrained network of that name"
            f"{nearest(name, names)} ({known})"
        )
    if epoch is not None:
        raise InputError(f"{name} has no checkpoints of epochs: leave epoch out", argument="epoch")
    return _read_pretrained(name)


def _read_run(folder, epoch):
    run, info = parse_config(read_config(folder), folder, Run, RunInfo)
    require_checkpoints(folder)
    checkpoints = folder / checkpoint.FOLDER
    if epoch is None:
        path = checkpoint.latest(checkpoints)
    else:
        path = checkpoint.checkpoint_path(checkpoints, epoch)
    if path is None or not path.is_dir():
        there = [*map(checkpoint.parse_epoch, checkpoint.list_checkpoints(checkpoints))]
        what = "" if epoch is None else f" of epoch {epoch} (there are: {there or 'none'})"
        raise InputError(f"{folder} has no checkpoint{what}")
    values, momenta, rows = checkpoint.load(path)
    name, spec = folder.resolve().parent.name, _read_spec(folder, run, info)
    return Stored(name, folder, run, info.data, values, momenta, rows[-1], spec)


def _read_spec(folder, run, info):
    """Return the spec in a run's config, or None: of a built-in data set, or an old run."""
    kind = DatasetSpec if run.classes is None else PhotographSpec
    try:
        return None if info.described is None else kind.from_json(info.described)
    except ValueError as error:
        raise InputError(f"{folder / CONFIG} is damaged: described: {error}") from None


def _read_pretrained(name):
    card, values = read_pretrained(name)
    run = Run(
        network=card.network,
        depth=card.depth,
        dataset=card.dataset,
        data_dir=str(default_folder(card.dataset)),
        recipe_name=card.recipe_name,
        recipe=Recipe.from_json(card.recipe),
        widen_factor=card.widen_factor,
        seed=card.seed,
        data_shape=card.image_size,
    )
    row = {"epoch": card.epochs, "test_error": card.test_error}
    if card.column_errors:
        row["column_errors"] = card.column_errors
    spec = DatasetSpec(
        name=card.dataset,
        class_names=tuple(card.classes),
        mean=tuple(card.mean),
        std=tuple(card.std),
        train_count=card.data["train"]["examples"],
        test_count=card.data["test"]["examples"],
        size=card.image_size,
    )
    return Stored(name, Path(), run, card.data, values, {}, row, spec, pretrained=True)
