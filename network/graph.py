"""The compiled graph of a network, MXNet's symbol, as other modules read it."""

import json

import mxnet as mx

INPUT = "data"  # name of the images in every compiled graph
PIXEL_CONSTANTS = ("pixel_mean", "pixel_std")  # what an exported graph that takes pixels adds


def to_symbol(net):
    """Return the symbol of ``net``, every operator with a name of its own.

    A layer that a network uses more than once has the same name each time in Gluon's.
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
