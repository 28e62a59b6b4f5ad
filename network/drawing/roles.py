"""Assign order, number, stage and role to the nodes of a graph."""

from dataclasses import replace

from network.drawing.architecture import (
    count_layers_above,
    count_layers_below,
    group_by_weight,
    rearrange,
)


def sort_by_depth(nodes):
    """Return the Graph of the ``nodes`` that are not None, by the weight layers that lead to them.

    Blocks then follow one another, whatever the order in which branches were compiled.
    """
    kept = [position for position, node in enumerate(nodes) if node]
    graph = rearrange(nodes, kept)
    levels = [0] * len(kept)
    for group in group_by_weight(graph):
        sources = {source for position in group for source in graph.nodes[position].inputs}
        level = max((levels[source] for source in sources), default=0)
        for position in group:
            levels[position] = level + graph.nodes[position].weight_layers
    return rearrange(graph.nodes, sorted(range(len(kept)), key=levels.__getitem__))


def assign_numbers(graph):
    """Return the Graph with the number of each convolution's weight and the stage of each node."""
    numbers, heights, nodes = {}, {}, []
    for node in graph.nodes:
        if node.kind == "conv":
            stage = heights.setdefault(node.shape[1], len(heights))
            number = numbers.setdefault(node.weight, len(numbers) + 1)
            nodes.append(replace(node, stage=stage, number=number))
        else:
            stage = max((nodes[source].stage for source in node.inputs), default=0)
            nodes.append(replace(node, stage=stage))
    return replace(graph, nodes=nodes)


def assign_roles(graph):
    """Return the Graph with the role of each convolution: branch, shortcut or projection.

    A projection is a 1x1 convolution without layers of its own that is not a shortcut. A dense
    layer that leads to other weights is hidden.
    """
    shortcuts, below, nodes = find_shortcuts(graph), count_layers_below(graph), []
    for position, node in enumerate(graph.nodes):
        role = "branch"
        if position in shortcuts:
            role = "shortcut"
        elif node.kind == "conv" and set(node.kernel) == {1} and not node.layers:
            role = "projection"
        elif node.kind == "dense" and below[position] > node.weight_layers:
            role = "hidden"
        nodes.append(replace(node, role=role))
    return replace(graph, nodes=nodes)


def find_shortcuts(graph):
    """Return the positions of the convolutions that are shortcuts.

    A shortcut has no activation, is the only node between a fork and a merge other than a join, and
    lies on no longest path; no identity runs beside it. If several convolutions between the same
    fork and merge qualify, the one with the smallest kernel is the shortcut.
    """
    consumers = graph.consumers()
    above, below = count_layers_above(graph), count_layers_below(graph)
    longest, found = max(above), {}
    for position, node in enumerate(graph.nodes):
        if node.kind != "conv" or set(node.layers) - {"BN"} or len(consumers[position]) != 1:
            continue
        (fork,), (end,) = node.inputs, consumers[position]
        merge = graph.nodes[end]
        if (
            len(consumers[fork]) > 1
            and merge.is_merge
            and merge.kind != "join"
            and fork not in merge.inputs
            and above[position] + below[position] - 1 < longest
        ):
            found.setdefault((fork, end), []).append(position)
    return {min(rivals, key=lambda p: graph.nodes[p].kernel) for rivals in found.values()}
