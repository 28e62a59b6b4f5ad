"""Batch normalisation and constants folded: the same predictions from fewer operators."""

import json
from collections import Counter

import mxnet as mx

from network.factors import move_positive_factors
from network.graph import with_nodes


def simplify(graph, values):
    """Return (graph, values) with the same predictions from fewer operators.

    Factors of activations, operators on parameters, and batch normalisation move into the
    parameters.

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
    kept, places, folded = _rewrite_nodes(nodes, users, norms, values)
    graph, values = with_nodes(content, kept, places), {**values, **folded}
    return graph, {name: values[name] for name in graph.list_inputs() if name in values}


def fold_constants(graph, values):
    """Replace each operator that uses parameters alone by its result.

    Args:
        graph: a symbol.
        values: {name: NDArray} of its parameters and moving averages.

    Returns:
        (graph, values): the symbol, and {name: NDArray} of what it needs. A result has the name of
        its operator.
    """
    content, values = json.loads(graph.tojson()), dict(values)
    nodes, constants = content["nodes"], set()
    for index, node in enumerate(nodes):
        sources = [source for source, *_ in node["inputs"]]
        if node["name"] in values or (sources and constants.issuperset(sources)):
            constants.add(index)
    operators = [index for index in sorted(constants) if nodes[index]["op"] != "null"]
    if not operators:
        return graph, values
    places = dict(enumerate(range(len(nodes))))
    heads = {**content, "heads": [[index, 0, 0] for index in operators]}
    computed = with_nodes(heads, nodes, places)
    results = mx.nd.CachedOp(computed)(*(values[name] for name in computed.list_inputs()))
    results = results if isinstance(results, list) else [results]
    values.update(zip((nodes[index]["name"] for index in operators), results))
    kept = [
        {"op": "null", "name": node["name"], "inputs": []} if index in operators else node
        for index, node in enumerate(nodes)
    ]
    graph = with_nodes(content, kept, places)
    return graph, {name: values[name] for name in graph.list_inputs() if name in values}


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


def _rewrite_nodes(nodes, users, norms, values):
    """Return the nodes of the folded graph, {old index: new index}, and the folded arrays."""
    users = Counter(users)
    for conv, norm in norms.items():  # their own parameters are no longer used
        for unused, *_ in (*nodes[norm]["inputs"][1:], *nodes[conv]["inputs"][1:]):
            users[unused] -= 1
    kept, places, folded = [], {}, {}
    removed = set(norms.values())
    for index, node in enumerate(nodes):
        if index in removed:
            places[index] = places[node["inputs"][0][0]]
            continue
        if node["op"] == "null" and not users[index]:
            continue
        sources = node["inputs"]
        if index in norms:
            arrays = _fold_arrays(node, nodes[norms[index]], nodes, values)
            arrays = {f"{node['name']}_{kind}": array for kind, array in arrays.items()}
            folded.update(arrays)
            node = {**node, "attrs": {**node["attrs"], "no_bias": "False"}}
            sources = sources[:1]
        inputs = [[places[source], *rest] for source, *rest in sources]
        if index in norms:
            inputs += [[len(kept) + k, 0, 0] for k in range(len(arrays))]
            kept += [{"op": "null", "name": name, "inputs": []} for name in arrays]
        places[index] = len(kept)
        kept.append({**node, "inputs": inputs})
    return kept, places, folded


def _fold_arrays(conv, norm, nodes, values):
    """Return weight and bias of the convolution ``conv`` with the BatchNorm ``norm`` in them."""
    weight, *bias = (values[nodes[source]["name"]] for source, *_ in conv["inputs"][1:])
    gamma, beta, mean, variance = (
        values[nodes[source]["name"]] for source, *_ in norm["inputs"][1:]
    )
    if norm["attrs"].get("fix_gamma", "True") == "True":
        gamma = mx.nd.ones_like(gamma)
    scale = gamma / (variance + float(norm["attrs"].get("eps", 1e-3))).sqrt()
    offset = bias[0] - mean if bias else -mean
    return {
        "folded_weight": weight * scale.reshape((-1, 1, 1, 1)),
        "folded_bias": offset * scale + beta,
    }
