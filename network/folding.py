"""Batch normalisation and constants folded: the same predictions from fewer operators."""

import json
from collections import Counter
from itertools import chain, count

import mxnet as mx

from network.factors import move_positive_factors
from network.graph import with_nodes


def simplify(graph, values):
    """Return (graph, values) with the same predictions from fewer operators.

    Factors of activations, operators on parameters, and batch normalisation move into the
    parameters. An array has the name of the parameter that it replaces; a convolution's new bias
    has the name of its weight, with another ending. If several arrays replace one parameter,
    because convolutions shared it, all but the first have names with a number: weight_2.

    Args:
        graph: a symbol for prediction.
        values: {name: NDArray} of its parameters and moving averages.
    """
    return fold_batch_norm(*fold_constants(move_positive_factors(graph), values))


def fold_batch_norm(graph, values):
    """Fold each BatchNorm that is the only user of a convolution's output into the convolution.

    The convolution gets the weight W' = g W and the bias b' = g (b - mean) + beta, with g = gamma /
    sqrt(variance + epsilon) for each channel. Convolutions that shared a weight get separate ones.

    Args:
        graph: a symbol for prediction.
        values: {name: NDArray} of its parameters and moving averages.

    Returns:
        (graph, values): the folded symbol, and {name: NDArray} of what it needs.
    """
    content = json.loads(graph.tojson())
    nodes, users = content["nodes"], _count_users(content)
    norms = _find_foldable(nodes, users)
    for conv, norm in norms.items():  # their own parameters are no longer used
        for unused, *_ in (*nodes[norm]["inputs"][1:], *nodes[conv]["inputs"][1:]):
            users[unused] -= 1
    folded = _fold_arrays(nodes, users, norms, values)
    kept, places = _rewrite_nodes(nodes, users, norms, folded)
    graph = with_nodes(content, kept, places)
    values = {**values, **{name: a for arrays in folded.values() for name, a in arrays.items()}}
    return graph, {name: values[name] for name in graph.list_inputs() if name in values}


def fold_constants(graph, values):
    """Replace each operator that uses parameters alone by its result.

    Args:
        graph: a symbol.
        values: {name: NDArray} of its parameters and moving averages.

    Returns:
        (graph, values): the symbol, and {name: NDArray} of what it needs. A result has the name of
        the operator's first parameter.
    """
    content, values = json.loads(graph.tojson()), dict(values)
    nodes, constants = content["nodes"], {}  # node -> name of its first parameter
    for index, node in enumerate(nodes):
        sources = [source for source, *_ in node["inputs"]]
        if node["name"] in values:
            constants[index] = node["name"]
        elif sources and constants.keys() >= set(sources):
            constants[index] = constants[sources[0]]
    used = {source for source, *_ in content["heads"]}
    used.update(s for i, node in enumerate(nodes) if i not in constants for s, *_ in node["inputs"])
    operators = [index for index in constants if index in used and nodes[index]["op"] != "null"]
    if not operators:
        return graph, values
    names = _Names(nodes[index]["name"] for index in used - set(operators))
    named = {index: names.make(constants[index]) for index in operators}
    places = dict(enumerate(range(len(nodes))))
    heads = {**content, "heads": [[index, 0, 0] for index in operators]}
    computed = with_nodes(heads, nodes, places)
    results = mx.nd.CachedOp(computed)(*(values[name] for name in computed.list_inputs()))
    values.update(zip(named.values(), results if isinstance(results, list) else [results]))
    kept = [
        {"op": "null", "name": named[index], "inputs": []} if index in named else node
        for index, node in enumerate(nodes)
    ]
    graph = with_nodes(content, kept, places)
    return graph, {name: values[name] for name in graph.list_inputs() if name in values}


class _Names:
    """Makes names that differ from each other and from those that are ``taken``."""

    def __init__(self, taken):
        self._taken = set(taken)

    def make(self, name):
        """Return ``name``, or if it is taken, ``name`` with the first number that is free."""
        numbered = (f"{name}_{number}" for number in count(2))
        free = next(each for each in chain([name], numbered) if each not in self._taken)
        self._taken.add(free)
        return free


def _count_users(content):
    """Return {node: how often its output is used} of a graph read from JSON."""
    users = Counter(source for node in content["nodes"] for source, *_ in node["inputs"])
    users.update(source for source, *_ in content["heads"])
    return users


def _find_foldable(nodes, users):
    """Return {convolution: the BatchNorm to fold into it}, as indices of ``nodes``."""
    norms = {}
    for index, node in enumerate(nodes):
        source = node["inputs"][0][0] if node["op"] == "BatchNorm" else None
        if source is not None and nodes[source]["op"] == "Convolution" and users[source] == 1:
            norms[source] = index
    return norms


def _rewrite_nodes(nodes, users, norms, folded):
    """Return the nodes of the folded graph, and {old index: new index}.

    Args:
        users: {node: how often its output is still used}.
        norms: {convolution: the BatchNorm to fold into it}.
        folded: {convolution: {name: array} of its weight and bias}.
    """
    kept, places = [], {}
    removed = set(norms.values())
    for index, node in enumerate(nodes):
        if index in removed:
            places[index] = places[node["inputs"][0][0]]
            continue
        if node["op"] == "null" and not users[index]:
            continue
        sources = node["inputs"]
        if index in norms:
            node = {**node, "attrs": {**node["attrs"], "no_bias": "False"}}
            sources = sources[:1]
        inputs = [[places[source], *rest] for source, *rest in sources]
        if index in norms:
            inputs += [[len(kept) + k, 0, 0] for k in range(len(folded[index]))]
            kept += [{"op": "null", "name": name, "inputs": []} for name in folded[index]]
        places[index] = len(kept)
        kept.append({**node, "inputs": inputs})
    return kept, places


def _fold_arrays(nodes, users, norms, values):
    """Return {convolution: {name: array}}: its weight and bias with the BatchNorm in them."""
    names = _Names(node["name"] for i, node in enumerate(nodes) if users[i] or node["op"] != "null")
    folded = {}
    for index, norm in norms.items():
        weight = nodes[nodes[index]["inputs"][1][0]]["name"]
        bias = weight[: -len("weight")] + "bias" if weight.endswith("weight") else f"{weight}_bias"
        arrays = _fold(nodes[index], nodes[norm], nodes, values)
        folded[index] = dict(zip((names.make(weight), names.make(bias)), arrays))
    return folded


def _fold(conv, norm, nodes, values):
    """Return weight and bias of the convolution ``conv`` with the BatchNorm ``norm`` in them."""
    weight, *bias = (values[nodes[source]["name"]] for source, *_ in conv["inputs"][1:])
    gamma, beta, mean, variance = (
        values[nodes[source]["name"]] for source, *_ in norm["inputs"][1:]
    )
    if norm["attrs"].get("fix_gamma", "True") == "True":
        gamma = mx.nd.ones_like(gamma)
    scale = gamma / (variance + float(norm["attrs"].get("eps", 1e-3))).sqrt()
    offset = bias[0] - mean if bias else -mean
    return weight * scale.reshape((-1, 1, 1, 1)), offset * scale + beta
