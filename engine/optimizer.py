"""Define the optimizers: those of the papers, and Muon."""

from dataclasses import dataclass

import mxnet as mx
from mxnet import gluon

from command import InputError, nearest
from engine.mxnet_muon import Muon

OPTIMIZERS = {"nesterov": mx.optimizer.NAG, "sgd": mx.optimizer.SGD, "muon": Muon}
DECAYED = ("all", "weights")


@dataclass(frozen=True)
class OptimizerSettings:
    """How an engine updates parameters: the values of a recipe with the same names.

    Attributes:
        momentum, weight_decay: m and d of the formulas in ``make_trainer``.
        optimizer: one of OPTIMIZERS.
        decayed: "all" parameters (including gamma, beta and biases), or only the "weights" of
            convolutions and dense layers.
        momentum_correction: whether a new learning rate multiplies the momenta, which contain the
            rate (v' = m v - lr g), by lr_new / lr_old. Without it, momenta of the old rate are
            still applied after a drop. There is no correction if a rate is 0. Goyal et al.,
            "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", section 3, remark 2.
        clip_norm: largest norm of the mean gradient over all parameters, devices and workers; a
            larger gradient is multiplied by clip_norm / (norm + 1e-6), as by
            ``torch.nn.utils.clip_grad_norm_``. 0 clips nothing.
        ema_decay: d of the exponential average e of the parameters and moving averages w: after
            step t, counted from 0, e' = d_t e + (1 - d_t) w with d_t = min(d, (1 + t) / (10 + t)).
            The average is used for prediction and is in the values of ``state_dict``. 0 keeps no
            average.

    Raises:
        InputError: there is no such optimizer, or no such group of parameters.
    """

    momentum: float
    weight_decay: float
    optimizer: str = "nesterov"
    decayed: str = "all"
    momentum_correction: bool = False
    clip_norm: float = 0.0
    ema_decay: float = 0.0

    def __post_init__(self) -> None:
        for name, known in ((self.optimizer, OPTIMIZERS), (self.decayed, DECAYED)):
            if name not in known:
                raise InputError(f"{name!r} is not one of {', '.join(known)}{nearest(name, known)}")


def make_trainer(parameters, settings, kv_store):
    """Return the Gluon Trainer that updates by ``settings``.

    For a parameter w, the mean gradient g of a batch, learning rate lr, momentum m and decay d,
    "sgd" (FractalNet's) is

        v' = m v - lr (g + d w)
        w' = w + v'

    and "nesterov" (deep fusion's)

        w' = w + m^2 v - (1 + m) lr (g + d w)
        v' = m v - lr (g + d w')

    which is the measured behaviour of MXNet 1.9.1's ``nag``: its documentation omits lr in v, and
    the decay in v' uses the updated weight (a difference of the order lr^2 d).

    "muon" is described in engine/muon.py.

    Updates are made on the devices, not in the KVStore, so that their state can be read and written
    as arrays.

    Args:
        parameters: a gluon ParameterDict.
        settings: OptimizerSettings.
        kv_store: how gradients are summed, a KVStore or its name.
    """
    for parameter in parameters.values():
        if not decays(parameter.name, settings.decayed):
            parameter.wd_mult = 0.0
    optimizer = OPTIMIZERS[settings.optimizer](momentum=settings.momentum, wd=settings.weight_decay)
    return gluon.Trainer(parameters, optimizer, kvstore=kv_store, update_on_kvstore=False)


def decays(name, decayed):
    """Return whether weight decay applies to the parameter ``name``, for the given ``decayed``."""
    return decayed == "all" or name.endswith("weight")
