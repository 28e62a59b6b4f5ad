"""A network without its classifier: images -> feature vectors, for embeddings and transfer."""

import json

import mxnet as mx
from mxnet.gluon import HybridBlock, SymbolBlock

from network.complexity import WEIGHT_LAYERS
from network.graph import INPUT, to_symbol


def features(net: HybridBlock) -> HybridBlock:
    """Return the network that computes the input of the classifier of ``net``.

    The classifier is the last weight layer before the (first) output. If it is a dense layer, the
    features are its flattened input, so ``net.classifier(features(net)(x))`` equals ``net(x)``. If
    it is a convolution, as in gluoncv's MobileNetV2, they are its input's mean over height and
    width. Members of an ensemble share one classifier: its features are their mean.

    Args:
        net: a network of ``get_model``, a column, a member or any other HybridBlock with one input;
            initialized or not.

    Returns:
        A HybridBlock that shares the parameters of ``net``: images (batch, 3, height, width) ->
        features (batch, channels).
    """
    graph = to_symbol(net)[0]  # the first of several outputs; the others are auxiliary
    nodes = json.loads(graph.tojson())["nodes"]
    classifier = [node for node in nodes if node["op"] in WEIGHT_LAYERS][-1]
    vectors = [
        _make_vector(_find_input(graph, nodes, node), node["op"])
        for node in nodes
        if node["op"] == classifier["op"] and node["inputs"][1] == classifier["inputs"][1]
    ]
    vector = vectors[0] if len(vectors) == 1 else mx.sym.add_n(*vectors) / len(vectors)
    parameters = net.collect_params()
    dtype = next(iter(parameters.values())).dtype
    return SymbolBlock(vector, mx.sym.var(INPUT, dtype=dtype), params=parameters)


def _find_input(graph, nodes, node):
    """Return the symbol of the first input of ``node``, one of the graph's ``nodes``."""
    source, output, *_ = node["inputs"][0]
    name, internals = nodes[source]["name"], graph.get_internals()
    names = (f"{name}_output", f"{name}_output{output}")
    return internals[next(each for each in internals.list_outputs() if each in names)]


def _make_vector(x, operator):
    """Return ``x``, the input of a classifier that is an ``operator``, as (batch, channels)."""
    return mx.sym.flatten(x) if operator == "FullyConnected" else mx.sym.mean(x, axis=(2, 3))
