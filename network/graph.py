"""The compiled graph of a network, MXNet's symbol, in the form in which other modules read it."""

import json
from typing import Any

import mxnet as mx
from mxnet.gluon import HybridBlock

INPUT = "data"  # name of the images in every compiled graph
PIXEL_CONSTANTS = ("pixel_mean", "pixel_std")  # what an exported graph that takes pixels adds


def to_symbol(net: HybridBlock) -> Any:
    """Return the symbol of ``net``, in which every operator has a name of its own.

    In the symbol that Gluon makes, a layer that is used twice has the same name both times.

    Args:
        net: a HybridBlock with one input, ``data``.
    """
    outputs = net(mx.sym.var(INPUT))
    graph = mx.sym.Group(list(outputs)) if isinstance(outputs, (list, tuple)) else outputs
    content = json.loads(graph.tojson())
    for index, node in enumerate(content["nodes"]):
        if node["op"] != "null":
            node["name"] += f"_{index}"
    return mx.sym.load_json(json.dumps(content))


def strip_prefix(graph, values, prefix):
    """Return (graph, values) in which no name of a parameter begins with ``prefix``.

    These are the names that a checkpoint and ``net.load_parameters`` have.
    """
    content, start = json.loads(graph.tojson()), len(prefix)
    for node in content["nodes"]:
        if node["name"].startswith(prefix):
            node["name"] = node["name"][start:]
    graph = mx.sym.load_json(json.dumps(content))
    stripped = {n[start:] if n.startswith(prefix) else n: v for n, v in values.items()}
    return graph, stripped
