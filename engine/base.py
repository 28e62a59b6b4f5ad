"""What an engine is: the ``Engine`` protocol, and what both engines share.

An engine runs the compiled graph of a network on its devices: training steps, predictions, and its
arrays in and out as NumPy arrays by parameter name. Nothing above this package knows what a device
array is.
"""

from typing import Any, Dict, Iterable, List, Optional, Protocol, Tuple

import numpy as np

from command import InputError

Arrays = Dict[str, np.ndarray]
Subnetwork = Optional[int]  # index of a sub-network; None stands for the whole network


class Engine(Protocol):
    """What the training loop, the meters and the checkpoints ask of an engine."""

    net: Any  # the HybridBlock that trains
    workers: Any  # who trains together; see engine.distributed
    devices: List[Any]

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
    ) -> Any:
        """Update once with the mean gradient of a batch; return its sums, for ``fetch``."""

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
        """Return (parameters and moving averages, momenta)."""

    def load_state_dict(self, values: Arrays, momenta: Arrays) -> None:
        """Take back what ``state_dict`` of any engine returned."""

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
    """

    def __init__(self, net, workers, predictor=None):
        self.net = net
        self.predictor = predictor or net
        self.parameters = net.collect_params()
        self.workers = workers

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

    def require_fit(self, values, momenta):
        """Refuse arrays that are not this network's.

        Raises:
            InputError: a name or a shape differs.
        """
        shapes = {self.strip_prefix(p.name): p.shape for p in self.parameters.values()}
        _require_same_shapes(shapes, values)
        if momenta:  # before the first step, and without momentum, there are none
            trainable = {self.strip_prefix(p.name): p.shape for p in self.trainable()}
            _require_same_shapes(trainable, momenta)


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
