"""The compiled graph of a network, MXNet's symbol, as other modules read it."""

import json

import mxnet as mx


def to_symbol(net):
    """The symbol of ``net``, every operator with a name of its own.

    A layer that a network uses more than once has the same name each time in Gluon's.
    """
    outputs = net(mx.sym.var("data"))
    graph = mx.sym.Group(list(outputs)) if isinstance(outputs, (list, tuple)) else outputs
    content = json.loads(graph.tojson())
    for index, node in enumerate(content["nodes"]):
        if node["op"] != "null":
            node["name"] += f"_{index}"
    return mx.sym.load_json(json.dumps(content))
