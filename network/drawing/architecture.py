"""A network's architecture as a graph of layers and merges, and the paths through it.

``network.drawing.reader`` builds a Graph from a network's compiled graph.
"""

from dataclasses import dataclass, replace
from typing import List, Optional, Tuple

UNITS = ("input", "conv", "dense", "pool", "layer")  # kinds of nodes with at most one input
MERGES = ("sum", "mean", "join", "concat")  # the usual kinds of nodes with several


@dataclass(frozen=True)
class Node:
    """The input, a unit (a convolution, a pooling, a classifier) or a merge.

    ``kind`` is one of ``UNITS`` or ``MERGES``; a "layer" is a layer that belongs to no other node.
    Any other operator with several inputs is a merge whose kind is the operator's own name.
    """

    kind: str
    inputs: Tuple[int, ...]  # positions of the nodes that feed it; all come before it
    shape: Tuple[int, ...]  # of its own output: (channels, height, width) or (channels,)
    before: Tuple[str, ...] = ()  # layers in front of it that belong to it
    layers: Tuple[str, ...] = ()  # layers behind it that belong to it
    weight: Optional[str] = None  # name of its weight; nodes that share a weight have one name
    number: int = 0  # of a convolution's weight, counted from 1 in order
    in_channels: int = 0
    kernel: Tuple[int, ...] = ()
    stride: Tuple[int, ...] = ()
    stage: int = 0  # counted from 0; a new one begins at each new height
    # of a convolution: branch, shortcut or projection; "hidden": a dense layer, no classifier
    role: str = "branch"
    count: int = 1  # how often it is repeated here (see ``network.drawing.repetition``)

    @property
    def weight_layers(self):
        """Return how many weight layers the node adds to a path."""
        return self.count if self.weight else 0

    @property
    def is_merge(self):
        """Return whether the node turns several inputs into one output."""
        return self.kind not in UNITS


@dataclass(frozen=True)
class Fold:
    """Blocks drawn as one: the nodes ``first`` to ``last`` stand for ``count`` repetitions."""

    first: int
    last: int
    count: int
    channels: Tuple[int, ...]  # of the widest node in each repetition


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order; the first is the input."""

    nodes: List[Node]
    folds: Tuple[Fold, ...] = ()

    def consumers(self):
        """Return, for each node, the positions of the nodes that use its output, in order."""
        found = [[] for _ in self.nodes]
        for position, node in enumerate(self.nodes):
            for source in dict.fromkeys(node.inputs):
                found[source].append(position)
        return found


def rearrange(nodes, order):
    """Return the Graph of ``nodes[order[0]]``, ``nodes[order[1]]``, ..."""
    index = {position: i for i, position in enumerate(order)}
    return Graph(
        [replace(nodes[p], inputs=tuple(index[i] for i in nodes[p].inputs)) for p in order]
    )


def group_by_weight(graph):
    """Return groups of the nodes' positions in topological order; each shares one weight.

    A node without a weight is its own group. If no order keeps every group together, each position
    is its own group.
    """
    groups, keys, first, sources = {}, [], {}, {}  # a group's key: the position of its first node
    for position, node in enumerate(graph.nodes):
        key = first.setdefault(node.weight, position) if node.weight else position
        keys.append(key)
        groups.setdefault(key, []).append(position)
        sources.setdefault(key, set()).update(keys[source] for source in node.inputs)
    order, placed = [], set()
    while len(order) < len(groups):
        ready = [key for key in groups if key not in placed and sources[key] <= placed]
        if not ready:
            return [[position] for position in range(len(graph.nodes))]
        order += [groups[key] for key in ready]
        placed.update(ready)
    return order


def find_components(graph, positions):
    """Return ``positions`` as connected sets; no line leads from one set to another."""
    components = []
    for position in positions:
        merged = {position}.union(graph.nodes[position].inputs).intersection(positions)
        for other in [other for other in components if other & merged]:
            merged |= other
            components.remove(other)
        components.append(merged)
    return components


def count_layers_above(graph):
    """Return, for each node, the weight layers on the longest path from the input to it.

    The node's own weight layers are included.
    """
    layers = []
    for node in graph.nodes:
        above = max((layers[source] for source in node.inputs), default=0)
        layers.append(above + node.weight_layers)
    return layers


def count_layers_below(graph, best=max):
    """Return, for each node, the weight layers on the longest path from it to an output.

    The node's own weight layers are included. With ``best=min``, the shortest path counts.
    """
    consumers, layers = graph.consumers(), [0] * len(graph.nodes)
    for position in reversed(range(len(graph.nodes))):
        below = best((layers[user] for user in consumers[position]), default=0)
        layers[position] = graph.nodes[position].weight_layers + below
    return layers


def find_extreme_path(graph, best=max):
    """Return the positions of the nodes on a longest path, or with ``best=min`` a shortest."""
    layers, consumers, path = count_layers_below(graph, best), graph.consumers(), [0]
    while consumers[path[-1]]:
        path.append(best(consumers[path[-1]], key=layers.__getitem__))
    return path


def find_path_through(graph, weights):
    """Return a path on which every weight is one of ``weights``, names of parameters."""
    consumers = graph.consumers()
    possible = [node.weight is None or node.weight in weights for node in graph.nodes]
    for position in reversed(range(len(graph.nodes))):
        users = consumers[position]
        onwards = not users or any(possible[user] for user in users)
        possible[position] = possible[position] and onwards
    path = [0]
    while consumers[path[-1]]:
        path.append(next(user for user in consumers[path[-1]] if possible[user]))
    return path


def count_layers(graph, path):
    """Return the number of weight layers on ``path``, a list of node positions."""
    return sum(graph.nodes[position].weight_layers for position in path)
