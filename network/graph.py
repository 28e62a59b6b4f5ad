"""Compile a network to a graph, MXNet's symbol, in the form that other modules read."""

import json
from typing import Any

import mxnet as mx
from mxnet.gluon import HybridBlock

INPUT = "data"  # name of the images in every compiled graph
PIXEL_CONSTANTS = ("pixel_mean", "pixel_std")  # constants of an exported graph that takes pixels


def to_symbol(net: HybridBlock) -> Any:
    """Return the symbol of ``net``, in which every operator has a unique name.

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

    Checkpoints and ``net.load_parameters`` use names without the prefix.
    """
    content, start = json.loads(graph.tojson()), len(prefix)
    for node in content["nodes"]:
        if node["name"].startswith(prefix):
            node["name"] = node["name"][start:]
    graph = mx.sym.load_json(json.dumps(content))
    stripped = {n[start:] if n.startswith(prefix) else n: v for n, v in values.items()}
    return graph, stripped
