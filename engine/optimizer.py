"""The optimizers of the papers."""

from mxnet import gluon

from command import InputError, nearest

OPTIMIZERS = {"nesterov": "nag", "sgd": "sgd"}  # name -> MXNet's
DECAYED = ("all", "weights")


def make_trainer(parameters, optimizer, momentum, weight_decay, decayed, kv_store):
    """Gluon Trainer of one of the OPTIMIZERS.

    For a parameter w, the mean gradient g of a batch, learning rate lr, momentum m and decay d,
    "sgd" (FractalNet's) is

        v' = m v - lr (g + d w)
        w' = w + v'

    and "nesterov" (deep fusion's)

        w' = w + m^2 v - (1 + m) lr (g + d w)
        v' = m v - lr (g + d w')

    which is MXNet 1.9.1's ``nag`` as measured: its documentation leaves lr out of v, and the decay
    in v' is of the weight already updated (a difference of the order lr^2 d). Updates are made on
    the devices, not in the KVStore, so that their state can be read and written as arrays.

    Args:
        parameters: a gluon ParameterDict.
        kv_store: how gradients are summed, a KVStore or its name.
        decayed: "all" parameters (gamma, beta and biases too), or the "weights" of convolutions and
            dense layers alone.

    Raises:
        InputError: there is no such optimizer, or no such group of parameters.
    """
    require_known(optimizer, decayed)
    for parameter in parameters.values():
        if not decays(parameter.name, decayed):
            parameter.wd_mult = 0.0
    return gluon.Trainer(
        parameters,
        OPTIMIZERS[optimizer],
        {"momentum": momentum, "wd": weight_decay},
        kvstore=kv_store,
        update_on_kvstore=False,
    )


def decays(name, decayed):
    """Whether the parameter ``name`` is among those that are ``decayed``."""
    return decayed == "all" or name.endswith("weight")


def require_known(optimizer, decayed):
    """Refuse what is not among OPTIMIZERS, or not among DECAYED."""
    for name, known in ((optimizer, OPTIMIZERS), (decayed, DECAYED)):
        if name not in known:
            raise InputError(f"{name!r} is none of {', '.join(known)}{nearest(name, known)}")
