"""Restore the network of a trained run, test it, and use it on new images.

Where training leaves unusable moving averages of batch normalisation, they are recomputed from
training batches before a test (precise BN; Wu and Johnson, "Rethinking 'Batch' in BatchNorm",
section 3). This concerns networks trained with dropout or drop-path, above all with dropout before
batch normalisation, and sub-networks that are not trained by themselves.
"""

from dataclasses import dataclass, replace
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, Dict, Iterable, Optional, Union

from command import InputError
from training.build import build_engine, build_networks, find_devices
from training.exporting import replace_values
from training.loop import evaluate
from training.metrics import Predictions
from training.run import Run, RuntimeConfig
from training.run_data import RunData
from training.stored import Stored, read_stored

BN_BATCHES = 50  # training batches of precise BN; 0.9^50 = 0.5% of the initial averages remains


@dataclass(frozen=True)
class TrainedRun:
    """A run with its network as it was after an epoch.

    The moving averages of the whole network are those of its test. The same holds for sub-networks
    if ``row`` has their errors; otherwise call ``prepare_subnetworks`` first.
    """

    stored: Stored
    run: Run
    data: RunData
    engine: Any  # an engine.base.Engine
    replaced: bool = False  # whether parameters of another file replace the checkpoint's

    @property
    def row(self) -> Dict[str, Any]:
        """The log's row of that epoch."""
        return self.stored.row

    def predictions(
        self,
        images: Any = None,
        subnetwork: Optional[int] = None,
        batch_size: int = 250,
        crops: int = 1,
    ) -> Predictions:
        """Return the Predictions of the network or a sub-network; see ``predict_images``."""
        return predict_images(self.data, self.engine, images, subnetwork, batch_size, crops)

    def prepare_subnetworks(self, indices: Optional[Iterable[int]] = None) -> None:
        """Recompute the moving averages of sub-networks unless the run did so at that epoch.

        Args:
            indices: of the sub-networks; None takes all.

        Raises:
            InputError: the training images are not there any more, or others are.
        """
        tested = {"column_errors", "member_errors"} & set(self.row)
        if tested and not self.replaced:
            return
        self.require_training_images()
        for index in range(self.engine.num_subnetworks) if indices is None else indices:
            refresh_bn_statistics(self.run, self.data, self.engine, index)

    def require_training_images(self) -> None:
        """Make sure that the training images are those that the run was trained on.

        Raises:
            InputError: they are not there any more, or others are.
        """
        if self.stored.data.get("train") != self.data.source.facts(self.data.train):
            name = self.stored.name if self.stored.spec else f"the run in {self.stored.folder}"
            raise InputError(f"the training images are not those that {name} began with")


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
        epoch: one that has a checkpoint; None takes the newest.
        engine: one of training.run.ENGINES; each restores what another trained.
        dtype: what to compute in; None takes the run's.
        data_dir: folder of the .rec files; None takes the run's.
        parameters: a .safetensors file whose arrays replace the checkpoint's; see
            ``training.exporting.replace_values``.

    Raises:
        InputError: there is no such run, checkpoint or pretrained network, or it is damaged.
    """
    stored = read_stored(source, epoch)
    values = replace_values(stored.values, parameters) if parameters else stored.values
    changes: Dict[str, Any] = {"dtype": dtype, "data_dir": data_dir}
    run = replace(stored.run, **{name: value for name, value in changes.items() if value})
    devices, data = find_devices(run, engine, gpus), RunData(run, stored.spec)
    built = build_engine(run, data, build_networks(run, data), devices, engine)
    built.load_state_dict(values, stored.momenta)
    return TrainedRun(stored, run, data, built, bool(parameters))


def predict_images(data, engine, images=None, subnetwork=None, batch_size=250, crops=1):
    """Return the Predictions of the network, or of a sub-network.

    Args:
        data: a RunData.
        images: what ``data.images`` gives; None takes those that the run is tested on.
        crops: of each image, whose mean probabilities it gets: 1 or, of photographs, 10.
    """
    images = data.test if images is None else images
    return evaluate(engine, data.test_batches(images, batch_size, crops), subnetwork, crops)


def refresh_bn_statistics(run, data, engine, subnetwork=None):
    """Recompute moving averages (precise BN) where training leaves them unusable.

    Dropout and drop-path are off, and the images are the same each time. A network of one column is
    recomputed as that column is, so that both have the same figures.
    """
    plain = subnetwork is None and not run.recipe.dropout and run.recipe.drop_path == "none"
    usable = plain and engine.num_subnetworks != 1
    if not (usable or engine.loss_weights):
        recompute_bn_statistics(data, engine, subnetwork)


def recompute_bn_statistics(data, engine, subnetwork=None):
    """Recompute moving averages (precise BN) from 50 training batches."""
    # a small set has few batches, so more than one epoch of them
    epochs = (data.train_batches(epoch, engine.workers, regularized=False) for epoch in count())
    batches = islice(chain.from_iterable(epochs), BN_BATCHES)
    engine.recompute_bn_statistics(batches, subnetwork)
