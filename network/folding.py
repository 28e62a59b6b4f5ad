"""Batch normalisation folded into convolutions: the same predictions, with less to do."""

import json
from collections import Counter

import mxnet as mx


def fold_batch_norm(graph, values):
    """(graph, values) in which no BatchNorm follows a convolution that is its alone.

    The convolution gets the weight W' = g W and the bias b' = g (b - mean) + beta, with g = gamma /
    sqrt(variance + epsilon) for each channel, and predicts what both did. They are its own, also
    where convolutions shared a weight.

    Args:
        graph: a symbol, of prediction.
        values: {name: NDArray} of its parameters and moving averages.
    """
    content = json.loads(graph.tojson())
    nodes, values = content["nodes"], dict(values)
    users = Counter(source for node in nodes for source, *_ in node["inputs"])
    users.update(source for source, *_ in content["heads"])
    norms = {}  # of a convolution -> the BatchNorm that goes into it
    for index, node in enumerate(nodes):
        source = node["inputs"][0][0] if node["op"] == "BatchNorm" else None
        if source is not None and nodes[source]["op"] == "Convolution" and users[source] == 1:
            norms[source] = index
            for unused, *_ in (*node["inputs"][1:], *nodes[source]["inputs"][1:]):
                users[unused] -= 1
    kept, places = [], {}  # places: of a node in ``nodes`` -> in ``kept``
    for index, node in enumerate(nodes):
        if index in norms.values():
            places[index] = places[node["inputs"][0][0]]
        elif index in norms:
            arrays = _with_norm(node, nodes[norms[index]], nodes, values)
            for kind, array in arrays.items():
                name = f"{node['name']}_{kind}"
                values[name] = array
                kept.append({"op": "null", "name": name, "inputs": []})
            inputs = [[places[node["inputs"][0][0]], *node["inputs"][0][1:]]]
            inputs += [[len(kept) - 2, 0, 0], [len(kept) - 1, 0, 0]]
            places[index] = len(kept)
            attributes = {**node["attrs"], "no_bias": "False"}
            kept.append({**node, "attrs": attributes, "inputs": inputs})
        elif node["op"] != "null" or users[index]:
            inputs = [[places[source], *rest] for source, *rest in node["inputs"]]
            places[index] = len(kept)
            kept.append({**node, "inputs": inputs})
    content["nodes"] = kept
    content["heads"] = [[places[source], *rest] for source, *rest in content["heads"]]
    content["arg_nodes"] = [index for index, node in enumerate(kept) if node["op"] == "null"]
    del content["node_row_ptr"]
    graph = mx.sym.load_json(json.dumps(content))
    return graph, {name: values[name] for name in graph.list_inputs() if name in values}


def _with_norm(conv, norm, nodes, values):
    """Weight and bias of the convolution ``conv`` with the BatchNorm ``norm`` in them."""
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
