"""Define the ``Engine`` protocol, and the shared code of both engines.

An engine runs the compiled graph of a network on its devices. It takes training steps, predicts,
and exports and imports arrays as NumPy arrays by parameter name. No other package uses arrays on
devices.
"""

from typing import Any, Dict, Iterable, List, Optional, Protocol, Tuple

import numpy as np

from command import InputError
from engine.optimizer_state import OptimizerState
from network.graph import read_bn_momentum, to_symbol

Arrays = Dict[str, np.ndarray]
Subnetwork = Optional[int]  # index of a sub-network; None stands for the whole network


class Engine(Protocol):
    """The interface of an engine for the training loop, the meters and the checkpoints."""

    net: Any  # the HybridBlock that is trained
    workers: Any  # the processes that train together; see engine.distributed
    devices: List[Any]
    last_lr: Optional[float]  # rate of the last step; ``load_state_dict`` restores it

    @property
    def num_subnetworks(self) -> int:
        """Return the number of sub-networks of the network."""

    @property
    def loss_weights(self) -> Dict[Subnetwork, float]:
        """Return the loss weights that every step must use, or {} if the caller chooses them."""

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
            labels: integers (n,); they determine which predictions are wrong.
            lr: learning rate of this step.
            loss_weights: {sub-network: weight of its loss}; without it, the whole network with
                weight 1. Parameters that none of them uses have a gradient of zero, but momentum
                and decay still change them. ``combine_sums`` defines the returned sums.
            total: number of examples in the batch over all workers, if they share it.
            targets: float32 (n, classes), the probabilities of the classes for the loss,
                -sum(targets * log_softmax(logits)). None means 1 for the label and 0 otherwise.
        """

    def fetch(self, steps: List[Any]) -> np.ndarray:
        """Wait for the sums of steps; return an array (steps, 2) of losses and wrong answers."""

    def predict(self, images: Any, subnetwork: Subnetwork = None) -> Any:
        """Start a prediction; return a handle for ``to_numpy``."""

    def to_numpy(self, handle: Any) -> np.ndarray:
        """Wait for a prediction; return its logits (batch, classes)."""

    def recompute_bn_statistics(
        self, batches: Iterable[Any], subnetwork: Subnetwork = None
    ) -> None:
        """Recompute the moving averages of batch normalisation from ``batches`` (precise BN).

        Nothing else changes. After training, moving averages are those of activations with dropout
        and drop-path, or are missing for a sub-network that was not trained separately. Here they
        are computed from the activations in prediction. With momentum m, an average that starts
        from 0 is divided by 1 - m^n after n batches, so its first value has no weight.
        """

    def seed(self, seed: int) -> None:
        """Seed the random operators of the network."""

    def state_dict(self) -> Tuple[Arrays, Arrays]:
        """Return (parameters and moving averages, state of the optimizer), arrays by name.

        The first are the arrays for prediction, with the names that ``net.load_parameters`` reads.
        The second are the arrays of an ``OptimizerState``.
        """

    def load_state_dict(self, values: Arrays, state: Arrays) -> None:
        """Load the arrays that ``state_dict`` of any engine returned; resuming is bit-exact.

        ``state`` may be empty, which sets the momenta to 0, or contain only momenta, as in
        checkpoints of runs without an average.

        Raises:
            InputError: the names or shapes of the arrays are not those of this network.
        """

    def cache_on_device(self, pixels: np.ndarray, mean: Any, std: Any) -> Any:
        """Keep images on the device and return them, or None if this is not useful."""


class NetworkEngine:
    """The shared code of both engines: the network, and the names of its parameters.

    A network may have ``subnetworks``: networks that share its parameters, such as FractalNet's
    columns. A step trains the whole network or sub-networks; a prediction is of one of them.

    Args:
        net: an initialized HybridBlock, images -> logits (batch, classes).
        predictor: the network for prediction, with the same parameters but without the dropout and
            drop-path of ``net``.
        workers: the processes that train together; see engine.distributed.
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
        """Return the number of sub-networks of the network."""
        return len(getattr(self.net, "subnetworks", ()))

    @property
    def loss_weights(self):
        """Return {sub-network: weight of its loss} for every step, or {} if the caller chooses."""
        return getattr(self.net, "loss_weights", {})

    def network(self, subnetwork=None):
        """Return the network or a sub-network for prediction, without dropout and drop-path."""
        return select_subnetwork(self.predictor, subnetwork)

    def strip_prefix(self, name):
        """Return a parameter's name without the net's prefix, as in ``net.load_parameters``."""
        return name[len(self.net.prefix) :] if name.startswith(self.net.prefix) else name

    def trainable(self):
        """Return the parameters that have a gradient; the others are moving averages."""
        return [p for p in self.parameters.values() if p.grad_req != "null"]

    def cache_on_device(self, pixels, mean, std):
        """Keep images on the device to make batches there; return None if this is not useful.

        Args:
            pixels: uint8 (N, channels, height, width).
            mean, std: per channel, for pixels from 0 to 255.
        """
        return None

    def bn_momentum(self, subnetwork):
        """Return {moving average: momentum} of a sub-network; see network.graph."""
        return read_bn_momentum(to_symbol(self.network(subnetwork)))

    def correct_momenta(self, lr):
        """Return the factor of the momenta before a step at the rate ``lr``."""
        previous, self.last_lr = self.last_lr, lr
        return lr / previous if self._momentum_correction and previous and lr else 1.0

    def next_average_share(self):
        """Return the share of the newest weights in the average, 1 - d_t."""
        t = self._averaged_steps
        self._averaged_steps += 1
        return 1 - min(self._ema_decay, (1 + t) / (10 + t))

    def pack_state(self, momenta, raw):
        """Return the arrays of the OptimizerState.

        Args:
            momenta: {name: array}.
            raw: the trained weights before averaging if ``ema_decay`` is on, {name: array}.
        """
        last_lr = self.last_lr if self._momentum_correction else None
        return OptimizerState(momenta, raw, self._averaged_steps, last_lr).to_arrays()

    def unpack_state(self, values, arrays):
        """Return (momenta, weights before averaging) from the result of ``state_dict``.

        Raises:
            InputError: a name or a shape is not that of this network.
        """
        state = OptimizerState.from_arrays(arrays)
        shapes = {self.strip_prefix(p.name): p.shape for p in self.parameters.values()}
        raw = state.raw or values
        for each in (values, raw):
            _require_same_shapes(shapes, each)
        if state.momenta:  # there are none before the first step, and without momentum
            trainable = {self.strip_prefix(p.name): p.shape for p in self.trainable()}
            _require_same_shapes(trainable, state.momenta)
        self.last_lr, self._averaged_steps = state.last_lr, state.steps
        return state.momenta, raw


def select_subnetwork(net, subnetwork):
    """Return ``net``, or one of its sub-networks."""
    return net if subnetwork is None else net.subnetworks[subnetwork]


def combine_sums(sums, loss_weights):
    """Return the whole network's sums or, if only sub-networks were trained, their mean.

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
            raise InputError(f"array {name} has shape {theirs}, but the network has {ours}")
