"""What an engine is: the ``Engine`` protocol, and what both engines share.

An engine runs the compiled graph of a network on its devices: training steps, predictions, and its
arrays in and out as NumPy arrays by parameter name. Nothing above this package knows what a device
array is.
"""

from typing import Any, Dict, Iterable, List, Optional, Protocol, Tuple

import numpy as np

from command import InputError
from engine.optimizer_state import OptimizerState

Arrays = Dict[str, np.ndarray]
Subnetwork = Optional[int]  # index of a sub-network; None stands for the whole network


class Engine(Protocol):
    """What the training loop, the meters and the checkpoints ask of an engine."""

    net: Any  # the HybridBlock that trains
    workers: Any  # who trains together; see engine.distributed
    devices: List[Any]
    last_lr: Optional[float]  # rate of the step before; ``load_state_dict`` restores it

    @property
    def num_subnetworks(self) -> int:
        """Number of sub-networks of the network."""

    @property
    def loss_weights(self) -> Dict[Subnetwork, float]:
        """The loss weights that every step must use; empty where the caller decides."""

    def train_step(
        self,
        images: Any,
        labels: np.ndarray,
        lr: float,
        loss_weights: Optional[Dict[Subnetwork, float]] = None,
        total: Optional[int] = None,
        targets: Optional[Any] = None,
    ) -> Any:
        """Update once with the mean gradient of a batch; return its sums, for ``fetch``.

        Args:
            images: float32 (n, channels, height, width).
            labels: integers (n,), which wrong answers are counted by.
            lr: learning rate of this step.
            loss_weights: {sub-network: weight of its loss}; without it, the whole network with
                weight 1. Parameters that none of them uses have a gradient of zero: momentum and
                decay still move them. For what is returned see ``combine_sums``.
            total: examples of the batch where workers share it.
            targets: float32 (n, classes), the probabilities of the classes, which the loss is of:
                -sum(targets * log_softmax(logits)). None takes those of the labels, 1 and 0.
        """

    def fetch(self, steps: List[Any]) -> np.ndarray:
        """Wait for the sums of steps: array (steps, 2) of loss and wrong answers."""

    def predict(self, images: Any, subnetwork: Subnetwork = None) -> Any:
        """Start a prediction; return a handle for ``to_numpy``."""

    def to_numpy(self, handle: Any) -> np.ndarray:
        """Wait for a prediction: logits (batch, classes)."""

    def recompute_bn_statistics(
        self, batches: Iterable[Any], subnetwork: Subnetwork = None
    ) -> None:
        """Recompute the moving averages of batch normalisation from ``batches``."""

    def seed(self, seed: int) -> None:
        """Seed what is random inside the network."""

    def state_dict(self) -> Tuple[Arrays, Arrays]:
        """Return (parameters and moving averages, state of the optimizer), arrays by name.

        The first are those that predict, under the names that ``net.load_parameters`` reads. The
        second are those of an ``OptimizerState``.
        """

    def load_state_dict(self, values: Arrays, state: Arrays) -> None:
        """Take back what ``state_dict`` of any engine returned; training resumes bit for bit.

        ``state`` may be empty, or momenta alone, as in checkpoints of runs without an average.

        Raises:
            InputError: the arrays are not this network's, by name or shape.
        """

    def cache_on_device(self, pixels: np.ndarray, mean: Any, std: Any) -> Any:
        """Keep images on the device, where that is of use; else return None."""


class NetworkEngine:
    """What both engines share: the network that they run, and the names of its parameters.

    A network may have ``subnetworks``: networks that share its parameters, such as FractalNet's
    columns. A step trains the whole network or sub-networks; a prediction is of one of them.

    Args:
        net: an initialized HybridBlock, images -> logits (batch, classes).
        predictor: the same network with the same parameters, without dropout and drop-path, where
            ``net`` has them; it predicts.
        workers: who trains together; see engine.distributed.
        settings: OptimizerSettings.
    """

    def __init__(self, net, workers, settings, predictor=None):
        self.net = net
        self.predictor = predictor or net
        self.parameters = net.collect_params()
        self.workers = workers
        self.last_lr = None
        self._momentum_correction = settings.momentum_correction
        self._clip_norm = settings.clip_norm
        self._ema_decay = settings.ema_decay
        self._averaged_steps = 0

    @property
    def num_subnetworks(self):
        """Number of sub-networks of the network."""
        return len(getattr(self.net, "subnetworks", ()))

    @property
    def loss_weights(self):
        """{sub-network: weight of its loss} for every step; empty where the caller decides."""
        return getattr(self.net, "loss_weights", {})

    def network(self, subnetwork=None):
        """Return what predicts: the network or a sub-network, without dropout and drop-path."""
        return select_subnetwork(self.predictor, subnetwork)

    def strip_prefix(self, name):
        """Return a parameter's name without the net's prefix, as ``net.load_parameters`` has it."""
        return name[len(self.net.prefix) :] if name.startswith(self.net.prefix) else name

    def trainable(self):
        """Return the parameters that have a gradient; the others are moving averages."""
        return [p for p in self.parameters.values() if p.grad_req != "null"]

    def cache_on_device(self, pixels, mean, std):
        """Keep images on the device to make batches there; None: batches are better made here.

        Args:
            pixels: uint8 (N, channels, height, width).
            mean, std: per channel, of pixels from 0 to 255.
        """
        return None

    def correct_momenta(self, lr):
        """Return what the momenta are multiplied by before a step at the rate ``lr``."""
        previous, self.last_lr = self.last_lr, lr
        return lr / previous if self._momentum_correction and previous and lr else 1.0

    def next_average_share(self):
        """Return the share that the newest weights have in the average, 1 - d_t."""
        t = self._averaged_steps
        self._averaged_steps += 1
        return 1 - min(self._ema_decay, (1 + t) / (10 + t))

    def pack_state(self, momenta, raw):
        """Return the arrays of the OptimizerState.

        Args:
            momenta: {name: array}.
            raw: the weights that train where ``ema_decay`` is on, {name: array}.
        """
        last_lr = self.last_lr if self._momentum_correction else None
        return OptimizerState(momenta, raw, self._averaged_steps, last_lr).to_arrays()

    def unpack_state(self, values, arrays):
        """Return (momenta, weights that train) of what ``state_dict`` returned.

        Raises:
            InputError: a name or a shape is not this network's.
        """
        state = OptimizerState.from_arrays(arrays)
        shapes = {self.strip_prefix(p.name): p.shape for p in self.parameters.values()}
        raw = state.raw or values
        for each in (values, raw):
            _require_same_shapes(shapes, each)
        if state.momenta:  # before the first step, and without momentum, there are none
            trainable = {self.strip_prefix(p.name): p.shape for p in self.trainable()}
            _require_same_shapes(trainable, state.momenta)
        self.last_lr, self._averaged_steps = state.last_lr, state.steps
        return state.momenta, raw


def select_subnetwork(net, subnetwork):
    """Return ``net``, or one of its sub-networks."""
    return net if subnetwork is None else net.subnetworks[subnetwork]


def combine_sums(sums, loss_weights):
    """Return the whole network's sums or, where only sub-networks were trained, their mean.

    The mean is weighted by the loss weights.

    Args:
        sums, loss_weights: {sub-network: value}.
    """
    if None in loss_weights:
        return sums[None]
    weighted = sum(weight * sums[index] for index, weight in loss_weights.items())
    return weighted / sum(loss_weights.values())


def _require_same_shapes(expected, arrays):
    for name in sorted(set(expected) | set(arrays)):
        ours = expected.get(name)
        theirs = arrays[name].shape if name in arrays else None
        if ours != theirs:
            raise InputError(f"array {name} has shape {theirs} where the network has {ours}")
