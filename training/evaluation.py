"""Restore the network of a trained run, test it, and use it on new images.

Training with dropout or drop-path, especially dropout before batch normalisation, leaves unusable
moving averages, and so does training of sub-networks only as parts of the whole. They are
recomputed from training batches before a test (precise BN; Wu and Johnson, "Rethinking 'Batch' in
BatchNorm", section 3).
"""

import sys
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Dict, FrozenSet, Iterable, Optional, Union

from command import InputError
from data.lists import CLASSES
from data.spec import PhotographSpec
from training.build import build_engine, build_networks, find_devices
from training.loop import evaluate
from training.metrics import Predictions
from training.parameter_files import replace_values
from training.run import Run, RuntimeConfig
from training.run_data import RunData
from training.stored import Stored, read_stored

BN_BATCHES = 50  # training batches of precise BN; the newest 20 have 88% of the weight


@dataclass(frozen=True)
class TrainedRun:
    """A run with its network after an epoch.

    The moving averages of the whole network are those used in its test. The same is true of
    sub-networks if ``row`` has their errors; otherwise call ``prepare_subnetworks`` first.
    """

    stored: Stored
    run: Run
    data: RunData
    engine: Any  # an engine.base.NetworkEngine
    replaced: FrozenSet[str] = frozenset()  # arrays that another file gave, not the checkpoint

    @property
    def row(self) -> Dict[str, Any]:
        """Return the log's row of that epoch."""
        return self.stored.row

    def predictions(
        self,
        images: Any = None,
        subnetwork: Optional[int] = None,
        batch_size: int = 250,
        crops: int = 1,
    ) -> Predictions:
        """Return the Predictions of the network, or of a sub-network.

        Args:
            images: images from ``data.images``; None means those that the run is tested on.
            crops: crops of each image, whose probabilities are averaged: 1 or, for photographs, 10.
        """
        images = self.data.test if images is None else images
        batches = self.data.test_batches(images, batch_size, crops)
        return evaluate(self.engine, batches, subnetwork, crops)

    def prepare_subnetworks(self, indices: Optional[Iterable[int]] = None) -> None:
        """Recompute the moving averages of sub-networks unless they are already known.

        They are known if the run recomputed them at that epoch and no array of the sub-network was
        replaced, or if all of them were replaced.

        Args:
            indices: indices of the sub-networks; None means all.

        Raises:
            InputError: the run's training images are missing or have changed.
        """
        indices = range(self.engine.num_subnetworks) if indices is None else indices
        unknown = [index for index in indices if not self._knows_averages(index)]
        if unknown:
            self.require_training_images()
        for index in unknown:
            refresh_bn_statistics(self.run, self.data, self.engine, index)

    def _knows_averages(self, subnetwork):
        """Return whether the moving averages of a sub-network belong to its parameters."""
        engine, net = self.engine, self.engine.network(subnetwork)
        parameters = {engine.strip_prefix(name) for name in net.collect_params()}
        tested = {"column_errors", "member_errors"} & set(self.row)
        if tested and not parameters & self.replaced:
            return True
        averages = {engine.strip_prefix(name) for name in engine.bn_momentum(subnetwork)}
        return averages <= self.replaced

    def knows_images(self, which: str) -> bool:
        """Return whether images are those that the run was trained or tested on.

        Args:
            which: "train", or the run's ``tested_on``.
        """
        stored = self.stored.data.get("train" if which == "train" else "test")
        return stored == self.data.source.facts(self.data.images(which))

    def note_other_images(self, which: str) -> None:
        """Print a note on stderr if images are not those that the run was trained or tested on.

        Its training images may be among them after a data set was prepared again.

        Args:
            which: "train", "test" or "held-out".
        """
        if which in ("train", self.run.tested_on) and not self.knows_images(which):
            name = self.stored.name if self.stored.pretrained else "the run"
            sys.stderr.write(
                f"note: the {which} images in {self.run.data_dir} are not those of {name}\n"
            )

    def require_training_images(self) -> None:
        """Check that the training images are those that the run was trained on.

        For a pretrained network, whose images may be unavailable, other images of its data set are
        accepted, with a note on stderr.

        Raises:
            InputError: the run's training images are missing or have changed.
        """
        if self.stored.pretrained:
            self.note_other_images("train")
        elif not self.knows_images("train"):
            folder = self.stored.folder
            raise InputError(f"the training images are not those of the run in {folder}")


def _note_other_names(spec, run, data):
    """Print a note on stderr if the classes of photographs have other names than in training."""
    names = data.class_names if isinstance(spec, PhotographSpec) else None
    if names and spec.class_names and tuple(names) != spec.class_names:
        path = Path(run.data_dir) / CLASSES
        sys.stderr.write(f"note: {path} has other names than when the run was trained\n")


def restore(
    source: Union[str, Path],
    gpus: Optional[str] = None,
    epoch: Optional[int] = None,
    engine: str = RuntimeConfig.engine,
    dtype: Optional[str] = None,
    data_dir: Optional[str] = None,
    parameters: Union[str, Path, None] = None,
) -> TrainedRun:
    """Return the TrainedRun of a run or of a pretrained network.

    Args:
        source: the run's folder, or the pretrained network's name.
        gpus: see engine.devices.
        epoch: an epoch with a checkpoint; None means the newest.
        engine: one of training.run.ENGINES; each engine can restore the runs of the other.
        dtype: data type of the computation; None means the run's.
        data_dir: folder of the .rec files; None means the run's.
        parameters: a .safetensors file whose arrays replace the checkpoint's; see
            ``training.parameter_files.replace_values``.

    Raises:
        InputError: there is no such run, checkpoint or pretrained network, or it is damaged.
    """
    stored = read_stored(source, epoch)
    values = stored.values
    replaced: FrozenSet[str] = frozenset()
    if parameters:
        values, replaced = replace_values(stored.values, parameters)
    changes: Dict[str, Any] = {"dtype": dtype, "data_dir": data_dir}
    run = replace(stored.run, **{name: value for name, value in changes.items() if value})
    devices, data = find_devices(run, engine, gpus), RunData(run, stored.spec)
    _note_other_names(stored.spec, run, data)
    built = build_engine(run, data, build_networks(run, data), devices, engine)
    built.load_state_dict(values, stored.momenta)
    return TrainedRun(stored, run, data, built, replaced)


def refresh_bn_statistics(run, data, engine, subnetwork=None):
    """Recompute moving averages (precise BN) if training leaves them unusable.

    Dropout and drop-path are off, and the images are the same each time. For a network of one
    column, the same is done as for its column, so that both have the same errors.
    """
    plain = subnetwork is None and not run.recipe.dropout and run.recipe.drop_path == "none"
    usable = plain and engine.num_subnetworks != 1
    if not (usable or engine.loss_weights):
        recompute_bn_statistics(data, engine, subnetwork)


def recompute_bn_statistics(data, engine, subnetwork=None):
    """Recompute moving averages (precise BN) from 50 training batches."""
    batches = islice(data.plain_batches(engine.workers), BN_BATCHES)
    engine.recompute_bn_statistics(batches, subnetwork)
