"""The optimizers of the papers."""

from mxnet import gluon


def nesterov(parameters, momentum, weight_decay, kv_store):
    """Trainer of Nesterov's accelerated gradient, with weight decay on every parameter.

    For every parameter w (gamma, beta and biases too: deep fusion's), the mean gradient g of a
    batch, learning rate lr, momentum m and decay d:

        w' = w + m^2 v - (1 + m) lr (g + d w)
        v' = m v - lr (g + d w')

    This is MXNet 1.9.1's ``nag`` as measured: its documentation leaves lr out of v, and the decay
    in v' is of the weight already updated (a difference of the order lr^2 d). Updates are made on
    the devices, not in the KVStore, so that their state can be read and written as arrays.
    """
    return gluon.Trainer(
        parameters,
        "nag",
        {"momentum": momentum, "wd": weight_decay},
        kvstore=kv_store,
        update_on_kvstore=False,
    )
