"""Compile a network to a graph, MXNet's symbol, in the form that other modules read."""

import json
from typing import Any, Dict, List

import mxnet as mx
from mxnet.gluon import HybridBlock

INPUT = "data"  # name of the images in every compiled graph
SUMS = ("elemwise_add", "broadcast_add", "add_n")  # operators that add their inputs
SCALES = ("_mul_scalar", "_div_scalar")  # operators that multiply by a number
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


def with_nodes(content: Dict[str, Any], nodes: List[dict], places: Dict[int, int]) -> Any:
    """Return the symbol of a graph read from JSON, with other nodes.

    Args:
        content: the graph that ``tojson`` wrote.
        nodes: the new nodes, in topological order.
        places: {old index: new index} of at least the nodes that are outputs.
    """
    changed = {key: value for key, value in content.items() if key != "node_row_ptr"}
    changed["nodes"] = nodes
    changed["heads"] = [[places[source], *rest] for source, *rest in content["heads"]]
    changed["arg_nodes"] = [index for index, node in enumerate(nodes) if node["op"] == "null"]
    return mx.sym.load_json(json.dumps(changed))


def read_bn_momentum(graph: Any) -> Dict[str, float]:
    """Return {moving average: momentum}, the share of its value that a training batch keeps.

    For layers that are used n times, it is the n-th power of the layer's momentum.
    """
    nodes = json.loads(graph.tojson())["nodes"]
    found: Dict[str, float] = {}
    for node in nodes:
        if node["op"] == "BatchNorm" and node["attrs"].get("use_global_stats") != "True":
            for source, *_ in node["inputs"][3:]:
                name, momentum = nodes[source]["name"], node["attrs"].get("momentum", "0.9")
                found[name] = found.get(name, 1.0) * float(momentum)
    return found


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
