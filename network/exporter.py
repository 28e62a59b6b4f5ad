"""Write a compiled network as MXNet's symbol files, and prepare it for every exported format."""

import warnings
from pathlib import Path

import mxnet as mx
import numpy as np
from mxnet import gluon

from network.graph import INPUT, PIXEL_CONSTANTS


def read_parameters(graph, net):
    """Return {name: NDArray} of the inputs of ``graph``, compiled from ``net``, except images."""
    parameters = net.collect_params()
    return {name: parameters[name].data() for name in graph.list_inputs() if name in parameters}


def from_pixels(graph, values, mean, std):
    """Return (graph, values) that take RGB pixels, 0 to 255: graph((pixels - mean) / std)."""
    constants = {
        name: mx.nd.array(value).reshape((1, -1, 1, 1))
        for name, value in zip(PIXEL_CONSTANTS, (mean, std))
    }
    subtracted, divisor = map(mx.sym.var, PIXEL_CONSTANTS)
    centred = mx.sym.broadcast_sub(mx.sym.var(INPUT), subtracted, name="centred")
    scaled = mx.sym.broadcast_div(centred, divisor, name="normalized")
    return graph(**{INPUT: scaled}), {**values, **constants}


def to_pixels(images, mean, std):
    """Return the pixels, 0 to 255, of normalised images (N, 3, height, width)."""
    mean, std = (np.array(value, np.float32).reshape(-1, 1, 1) for value in (mean, std))
    return np.rint(images * std + mean)


def write_symbol(graph, values, shape, stem):
    """Write ``<stem>-symbol.json`` and ``<stem>-0000.params``, which MXNet's front ends read.

    Args:
        graph: a symbol with the input ``data``.
        values: {name: NDArray} of its other inputs.
        shape: shape of an image, which the writers of other formats need.
        stem: path of the files without their endings.

    Returns:
        The paths of the files.
    """
    symbol, params = _symbol_files(stem)
    kinds = {"arg": graph.list_arguments(), "aux": graph.list_auxiliary_states()}
    graph.save(str(symbol))
    named = {f"{kind}:{n}": values[n] for kind, names in kinds.items() for n in names if n != INPUT}
    mx.nd.save(str(params), named)
    return [symbol, params]


def load_symbol(stem):
    """Return the network that ``write_symbol`` wrote as a function: images -> logits."""
    symbol, params = map(str, _symbol_files(stem))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Cannot decide type")  # it means the type of the input
        net = gluon.SymbolBlock.imports(symbol, [INPUT], params)
    net.hybridize(static_alloc=True, static_shape=True)
    return lambda images: net(mx.nd.array(images)).asnumpy()


def _symbol_files(stem):
    return Path(f"{stem}-symbol.json"), Path(f"{stem}-0000.params")
