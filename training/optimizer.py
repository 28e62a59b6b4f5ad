"""The optimizers of the papers."""

from mxnet import gluon


def nesterov(parameters, momentum, weight_decay, kv_store):
    """Trainer of Nesterov's accelerated gradient, with weight decay on every parameter.

    With learning rate lr and the mean gradient g of a batch, for every parameter w:
    v = momentum v + g + weight_decay w;  w = w - lr (g + weight_decay w + momentum v).
    Deep fusion's: gamma, beta and biases decay too. Updates are made on the devices, not in the
    KVStore, so that their state can be read and written as arrays.
    """
    return gluon.Trainer(
        parameters,
        "nag",
        {"momentum": momentum, "wd": weight_decay},
        kvstore=kv_store,
        update_on_kvstore=False,
    )
