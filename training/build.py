"""Build the network and the engine of a run."""

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import mxnet as mx

from command import InputError, nearest
from engine import precision
from engine.devices import contexts, torch_device
from engine.mxnet_engine import STATIC, MXNetEngine
from engine.optimizer import OptimizerSettings
from engine.torch_engine import TorchEngine
from network import drop_path, get_model, has_columns, image_shape
from network.complexity import Complexity, complexity
from network.gluoncv_zoo import is_gluoncv
from network.initializer import INITIALIZERS
from network.registry import list_options
from training.run import RuntimeConfig


@dataclass(frozen=True)
class Networks:
    """The network of a run, in one form for training and one for prediction."""

    net: Any
    predictor: Any  # the same parameters, without dropout and drop-path
    cost: Complexity


def build_networks(run, data):
    """Return the Networks of ``run``, not yet initialized.

    Args:
        data: the RunData of the run.

    Raises:
        InputError: the network cannot be built, or a value of the recipe is not possible for it.
    """
    recipe = run.recipe
    _require(recipe.augmentation, data.source.augmentations, "augmentation")
    _require(recipe.initializer, INITIALIZERS, "initializer")
    _require(recipe.drop_path, drop_path.MODES, "drop-path")
    local = recipe.drop_path in drop_path.LOCAL_MODES
    options = {"dropout": recipe.dropout, "drop_path": recipe.drop_path_rate if local else 0.0}
    known = list_options(run.network)
    size = (run.network, run.depth, data.classes, run.widen_factor)
    predictor = net = get_model(*size, **dict.fromkeys(known & {*options}, 0.0))
    if recipe.drop_path != "none" and not has_columns(run.network):
        raise InputError(
            f"{run.network} has no columns: drop-path is for FractalNet; give drop_path none",
            argument="drop_path",
        )
    if recipe.dropout and is_gluoncv(run.network):
        raise InputError(f"{run.network} has no option dropout: give 0", argument="dropout")
    if any(options.values()):
        chosen = {name: value for name, value in options.items() if value or name in known}
        net = get_model(*size, params=predictor.collect_params(), **chosen)
    if has_columns(run.network) and not getattr(net, "subnetworks", ()):
        raise InputError(f"{run.network} is registered with has_columns, but has no subnetworks")
    return Networks(net, predictor, _measure(run, net, data))


def _measure(run, net, data):
    """Return the Complexity of ``net`` on the run's images; check that it accepts them."""
    usual, given = image_shape(run.network)[1], data.image_shape[1]
    if given < usual // 7:  # the last stage would have no pixel
        raise _too_small(run, given, usual // 7)
    try:
        cost = complexity(net, data.image_shape)
    except InputError:
        if given >= usual:
            raise
        raise _too_small(run, given, usual) from None
    if cost.outputs != ((data.classes,),):
        raise InputError(f"{run.network} gives outputs {cost.outputs}, not {data.classes} logits")
    return cost


def _too_small(run, given, size):
    """Return the error that the images are too small for the network, and a sufficient ``size``."""
    problem = f"images of {given} pixels are too small for {run.network}"
    if run.classes is not None:
        return InputError(f"{problem}: give data_shape {size} or more", argument="data_shape")
    return InputError(
        f"{problem}: {size} pixels are enough; python -m data.prepare folder --size {size} makes "
        "your own images that large"
    )


@lru_cache(maxsize=None)
def column_depths(network, depth):
    """Return the depths of a network's columns, shallowest first.

    The result is empty if the network has no columns, or is not registered here.
    """
    try:
        return getattr(get_model(network, depth), "depths", ())
    except InputError:
        return ()


def find_devices(run, kind, gpus):
    """Prepare the devices of an engine of ``kind`` for the run's dtype, and return them.

    Raises:
        InputError: a device is missing, or it cannot compute in the run's dtype.
    """
    if kind == "torch":
        device = torch_device(gpus)
        precision.use_in_torch(run.dtype, device)  # refuses a type early; the engine calls it, too
        return [device]
    devices = contexts(gpus)
    precision.use(run.dtype, devices)
    return devices


def build_engine(run, data, networks, devices, kind=RuntimeConfig.engine, **options):
    """Initialize the parameters of ``networks`` with the run's seed; return their engine.

    Args:
        options: see ``wrap_network``.
    """
    net = networks.net
    places = [mx.cpu()] if kind == "torch" else devices
    net.initialize(INITIALIZERS[run.recipe.initializer](run.seed), ctx=places)
    for place in places:  # gives parameters of gluoncv's networks their shapes
        net(mx.nd.zeros((1, *data.image_shape), ctx=place))
    return wrap_network(run, net, networks.predictor, devices, kind, **options)


def wrap_network(
    run, net, predictor, devices, kind=RuntimeConfig.engine, workers=None, compile=False
):
    """Return an engine of ``net``, which must be initialized.

    Args:
        workers: see engine.distributed; None means only this process.
        compile: whether the PyTorch engine compiles its steps.
    """
    names = [field.name for field in fields(OptimizerSettings)]
    settings = OptimizerSettings(**{name: getattr(run.recipe, name) for name in names})
    how = {"predictor": predictor, "dtype": run.dtype, "workers": workers}
    if kind == "torch":
        return TorchEngine(net, *devices, settings, compile=compile, **how)
    for each in (net, predictor):
        each.hybridize(**STATIC)
    return MXNetEngine(net, devices, settings, **how)


def _require(name, known, what):
    if name not in known:
        raise InputError(
            f"there is no {what} {name!r} here{nearest(name, known)} (possible: {', '.join(known)})"
        )
