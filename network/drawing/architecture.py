"""The architecture of a network, read off its compiled graph: convolutions, merges, paths.

``read_graph`` reduces the graph to what one draws and reasons about: units (convolutions, pooling,
classifiers) with the layers that belong to them, merges, and who takes whose output.
"""

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Dict, List, Optional, Tuple

from network.complexity import infer_shapes
from network.graph import to_symbol

UNITS = {"Convolution": "conv", "FullyConnected": "dense"}  # those with a weight
MERGES = ("sum", "mean", "join", "concat")
SUMS = ("elemwise_add", "broadcast_add", "add_n")
SPOKEN = {"BatchNorm": "BN", "Flatten": "flatten", "Dropout": "dropout", "mean": "average"}


@dataclass(frozen=True)
class Op:
    """A node of a compiled graph."""

    op: str  # "null": the input or a parameter
    name: str
    inputs: Tuple[int, ...]  # positions of the ops whose output it takes
    shape: Tuple[int, ...]  # of its first output, for a batch of one
    attrs: Dict[str, str] = field(default_factory=dict)


def trace(net, input_shape=(3, 32, 32)):
    """The compiled graph of ``net``: its ops in topological order, and the outputs' positions.

    A parameter that is used twice is one op with two users.

    Raises:
        InputError: the network cannot take such an image (channels, height, width).
    """
    graph = to_symbol(net)
    shapes = infer_shapes(net, graph, input_shape)
    content = json.loads(graph.tojson())
    ops = []
    for node in content["nodes"]:
        name = node["name"]
        names = [name] if node["op"] == "null" else [f"{name}_output", f"{name}_output0"]
        shape = next(shapes[output] for output in names if output in shapes)
        inputs = tuple(source for source, *_ in node["inputs"])
        ops.append(Op(node["op"], name, inputs, shape, node.get("attrs") or {}))
    return ops, [head[0] for head in content["heads"]]


@dataclass(frozen=True)
class Node:
    """The input, a unit, or a merge.

    ``kind`` is input, conv, dense, pool, one of ``MERGES``, or layer: one that belongs to no unit.
    Any other operator of several inputs is a merge whose kind is its own name.
    """

    kind: str
    inputs: Tuple[int, ...]  # positions of the nodes it takes; all come before it
    shape: Tuple[int, ...]  # (channels, height, width) or (channels,) of what it gives
    before: Tuple[str, ...] = ()  # layers in front of it that are its own
    layers: Tuple[str, ...] = ()  # layers behind it that are its own
    weight: Optional[str] = None  # name of a unit's parameter; shared weights have one name
    number: int = 0  # of a convolution's weight, counted from 1 in order
    in_channels: int = 0
    kernel: Tuple[int, ...] = ()
    stride: Tuple[int, ...] = ()
    stage: int = 0  # counted from 0; a new one at each new height
    role: str = "branch"  # of a convolution: branch, shortcut or projection
    count: int = 1  # how often it stands here (see ``fold``)

    @property
    def weighs(self):
        """Weight layers it counts for on a path."""
        return self.count if self.weight else 0

    @property
    def merges(self):
        """Whether several inputs become one here."""
        return self.kind not in ("input", "conv", "dense", "pool", "layer")


@dataclass(frozen=True)
class Fold:
    """Blocks drawn as one: nodes ``first`` to ``last``, there ``count`` times."""

    first: int
    last: int
    count: int
    channels: Tuple[int, ...]  # of each repetition, widest convolution


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order; the input is the first."""

    nodes: List[Node]
    folds: Tuple[Fold, ...] = ()

    def consumers(self):
        """Of each node the positions of those that take its output, each once, in order."""
        taken = [[] for _ in self.nodes]
        for position, node in enumerate(self.nodes):
            for source in dict.fromkeys(node.inputs):
                taken[source].append(position)
        return taken


def read_graph(net, input_shape=(3, 32, 32)):
    """The Graph of ``net`` for an image of ``input_shape``.

    Batch normalisation, activations and dropout belong to the unit or merge before them, averages
    to the classifier behind them. Sums of sums are one sum; a sum of n over n is a mean, and a
    join where one operator adds all n, as ``network.drop_path.Join`` does.

    Raises:
        InputError: the network cannot take such an image.
    """
    ops, heads = trace(net, input_shape)
    users = [[] for _ in ops]
    for position, op in enumerate(ops):
        for source in op.inputs:
            users[source].append(position)
    uses = Counter(heads) + Counter({source: len(taken) for source, taken in enumerate(users)})
    nodes, place, before = [], {}, {}

    def leads_to_dense(position):
        (user,) = users[position] if len(users[position]) == 1 else (None,)
        return user is not None and (
            ops[user].op == "FullyConnected" or (ops[user].op == "Flatten" and leads_to_dense(user))
        )

    for position, op in enumerate(ops):
        sources = [source for source in op.inputs if source in place]
        if not sources and op.name != "data":
            continue  # a parameter, or what is computed of no image
        inputs = tuple(place[source] for source in sources)
        shape = tuple(op.shape[1:])
        alone = len(sources) == 1 and uses[sources[0]] == 1 and nodes[inputs[0]].kind != "input"
        previous = nodes[inputs[0]] if alone else None
        node = None
        if op.op == "null":
            node = Node("input", (), shape)
        elif op.op in UNITS:
            node = Node(
                UNITS[op.op],
                inputs,
                shape,
                before=before.pop(sources[0], ()),
                weight=ops[op.inputs[1]].name,
                in_channels=ops[sources[0]].shape[1],
                kernel=numbers_of(op, "kernel"),
                stride=numbers_of(op, "stride"),
            )
        elif len(sources) > 1:
            kind = "sum" if op.op in SUMS else op.op.lower().lstrip("_")
            if kind == "sum":
                inputs = tuple(spliced(nodes, sources, inputs, uses))
            node = Node(kind, inputs, shape)
        elif previous and previous.kind == "sum" and averages(op, len(previous.inputs)):
            kind = "join" if ops[sources[0]].op == "add_n" else "mean"
            nodes[inputs[0]] = replace(previous, kind=kind)
        elif pools_globally(op) and leads_to_dense(position):
            before[position] = (*before.pop(sources[0], ()), spoken(op))
        elif op.op == "Pooling" and spoken(op) != "average":
            node = Node(
                "pool",
                inputs,
                shape,
                kernel=numbers_of(op, "kernel"),
                stride=numbers_of(op, "stride"),
                layers=(op.attrs["pool_type"] + "-pool",),
            )
        elif alone:
            nodes[inputs[0]] = replace(previous, layers=(*previous.layers, spoken(op)), shape=shape)
        else:
            node = Node("layer", inputs, shape, layers=(spoken(op),))
        if node is None:
            place[position] = inputs[0]
        else:
            place[position] = len(nodes)
            nodes.append(node)
    return with_roles(numbered(in_rows(with_one_head(nodes))))


def numbers_of(op, name):
    """(3, 3) of an attribute written ``(3, 3)``; () where there is none."""
    text = op.attrs.get(name, "()").strip("()")
    return tuple(int(part) for part in text.split(",") if part.strip())


def averages(op, count):
    """Whether ``op`` makes a mean of a sum of ``count``."""
    scalar = float(op.attrs.get("scalar", "nan"))
    return (op.op == "_mul_scalar" and scalar * count == 1) or (
        op.op == "_div_scalar" and scalar == count
    )


def pools_globally(op):
    """Whether ``op`` leaves a number a channel, or lays out those that are left."""
    return op.op in ("mean", "Flatten") or spoken(op) == "average"


def spoken(op):
    """What a layer is called in a picture."""
    if op.op == "Activation":
        return {"relu": "ReLU"}.get(op.attrs["act_type"], op.attrs["act_type"])
    if op.op == "Pooling":
        return "average" if op.attrs.get("global_pool") == "True" else "pool"
    return SPOKEN.get(op.op, op.op.lower().lstrip("_"))


def spliced(nodes, sources, inputs, uses):
    """Inputs of a sum, with those of a sum that is used for nothing else in its place."""
    for source, place in zip(sources, inputs):
        node = nodes[place]
        if node.kind == "sum" and not node.layers and uses[source] == 1:
            yield from node.inputs
            nodes[place] = None
        else:
            yield place


def with_one_head(nodes):
    """``nodes`` with all that several classifiers' outputs go through as one merge.

    It is a mean if any average is in it, else an output.
    """
    above, below = set(), set()  # classifiers, units
    for position, node in enumerate(nodes):
        if node and (node.kind == "dense" or above & set(node.inputs)):
            above.add(position)
    for position in reversed(range(len(nodes))):
        node = nodes[position]
        if node and (position in below or not (node.merges or node.kind == "layer")):
            below.update(node.inputs)
    head = [p for p in sorted(above - below) if nodes[p].merges or nodes[p].kind == "layer"]
    if len(head) == 0 or (len(head) == 1 and nodes[head[0]].kind in (*MERGES, "layer")):
        return nodes
    inputs = dict.fromkeys(i for p in head for i in nodes[p].inputs if i not in head)
    names = [name for p in head for name in (nodes[p].kind, *nodes[p].layers)]
    kind = "mean" if {"mean", "join", "average"} & set(names) else "output"
    merge = replace(nodes[head[-1]], kind=kind, inputs=tuple(inputs), layers=())
    return [
        None if p in head[:-1] else merge if p == head[-1] else nodes[p] for p in range(len(nodes))
    ]


def in_rows(nodes):
    """The Graph of those ``nodes`` that are not None, by how many weight layers lead to them.

    So blocks come one after the other, whatever the order in which branches were compiled.
    """
    kept = [position for position, node in enumerate(nodes) if node]
    graph = rearranged(nodes, kept)
    levels = [0] * len(kept)
    for alike in groups(graph):
        sources = {source for position in alike for source in graph.nodes[position].inputs}
        level = max((levels[source] for source in sources), default=0)
        for position in alike:
            levels[position] = level + graph.nodes[position].weighs
    return rearranged(graph.nodes, sorted(range(len(kept)), key=levels.__getitem__))


def rearranged(nodes, order):
    """The Graph of ``nodes[order[0]]``, ``nodes[order[1]]``, ..."""
    now = {position: index for index, position in enumerate(order)}
    return Graph([replace(nodes[p], inputs=tuple(now[i] for i in nodes[p].inputs)) for p in order])


def groups(graph):
    """The nodes' positions in topological order, those that share a weight together.

    Where no order has all that share a weight together, each position is alone.
    """
    first, alike, sources = {}, {}, {}
    for position, node in enumerate(graph.nodes):
        key = first.setdefault(node.weight, position) if node.weight else position
        first[position] = key
        alike.setdefault(key, []).append(position)
        sources.setdefault(key, set()).update(first[source] for source in node.inputs)
    order, placed = [], set()
    while len(order) < len(alike):
        ready = [key for key in alike if key not in placed and sources[key] <= placed]
        if not ready:
            return [[position] for position in range(len(graph.nodes))]
        order += [alike[key] for key in ready]
        placed.update(ready)
    return order


def numbered(graph):
    """The graph with the number of each convolution's weight, and the stage of each node."""
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


def with_roles(graph):
    """The graph with the role of each convolution.

    A 1x1 convolution with no layers of its own that is no shortcut is a projection.
    """
    shortcuts, nodes = find_shortcuts(graph), []
    for position, node in enumerate(graph.nodes):
        role = "branch"
        if position in shortcuts:
            role = "shortcut"
        elif node.kind == "conv" and set(node.kernel) == {1} and not node.layers:
            role = "projection"
        nodes.append(replace(node, role=role))
    return replace(graph, nodes=nodes)


def find_shortcuts(graph):
    """Positions of the shortcuts: one at most between a fork and a merge, none beside an identity.

    A shortcut has no activation, stands alone between a fork and a merge other than a join, and is
    on no longest path. Where several are like that, it is the one with the smallest kernel.
    """
    taken = graph.consumers()
    down, up = layers_above(graph), layers_below(graph)
    longest, found = max(down), {}
    for position, node in enumerate(graph.nodes):
        if node.kind != "conv" or set(node.layers) - {"BN"} or len(taken[position]) != 1:
            continue
        (fork,), (end,) = node.inputs, taken[position]
        merge = graph.nodes[end]
        if (
            len(taken[fork]) > 1
            and merge.merges
            and merge.kind != "join"
            and fork not in merge.inputs
            and down[position] + up[position] - 1 < longest
        ):
            found.setdefault((fork, end), []).append(position)
    return {min(alike, key=lambda p: graph.nodes[p].kernel) for alike in found.values()}


def layers_above(graph):
    """Of each node, weight layers on the longest path from the input to it, its own included."""
    layers = []
    for node in graph.nodes:
        layers.append(max((layers[source] for source in node.inputs), default=0) + node.weighs)
    return layers


def layers_below(graph, best=max):
    """Of each node, weight layers on the longest path from it to an output, its own included.

    ``best`` min gives the shortest.
    """
    taken, layers = graph.consumers(), [0] * len(graph.nodes)
    for position in reversed(range(len(graph.nodes))):
        after = (layers[user] for user in taken[position])
        layers[position] = graph.nodes[position].weighs + best(after, default=0)
    return layers


def extreme_path(graph, best=max):
    """Positions of the nodes of a longest path through the network (``best`` min: a shortest)."""
    layers, taken, path = layers_below(graph, best), graph.consumers(), [0]
    while taken[path[-1]]:
        path.append(best(taken[path[-1]], key=layers.__getitem__))
    return path


def path_through(graph, weights):
    """A path on which every unit with a weight is one of ``weights`` (names of parameters)."""
    taken = graph.consumers()
    able = [node.weight is None or node.weight in weights for node in graph.nodes]
    for position in reversed(range(len(graph.nodes))):
        ends = taken[position]
        able[position] = able[position] and (not ends or any(able[end] for end in ends))
    path = [0]
    while taken[path[-1]]:
        path.append(next(end for end in taken[path[-1]] if able[end]))
    return path


def layers_on(graph, path):
    """Weight layers on ``path``."""
    return sum(graph.nodes[position].weighs for position in path)


def fold(graph):
    """The graph with each run of equal blocks as one block and its count.

    Blocks are equal where kinds, shapes and layers are, and connections as seen from each node.
    Where no two are, as in FractalNet, blocks count as equal that differ in nothing but shapes.
    """
    for exact in (True, False):
        signs = [sign(graph.nodes, position, exact) for position in range(len(graph.nodes))]
        runs = sorted(repetitions(graph, graph.consumers(), signs, 1, len(signs)))
        if runs:
            break
    source, folds, kept = list(range(len(graph.nodes))), [], []
    for start, period, count in runs:
        for position in range(start + period, start + period * count):
            source[position] = start + (position - start) % period
    for position in range(len(graph.nodes)):
        if source[position] == position:
            kept.append(position)
    now = {position: index for index, position in enumerate(kept)}
    times = Counter(source)
    nodes = [
        replace(
            graph.nodes[position],
            inputs=tuple(now[source[i]] for i in graph.nodes[position].inputs),
            count=times[position],
        )
        for position in kept
    ]
    for start, period, count in runs:
        widths = [
            max(graph.nodes[p].shape[0] for p in range(first, first + period))
            for first in range(start, start + period * count, period)
        ]
        folds.append(Fold(now[start], now[start + period - 1], count, tuple(widths)))
    return Graph(nodes, tuple(folds))


def sign(nodes, position, exact):
    """What a node has in common with its like in an equal block."""
    node = nodes[position]
    inputs = tuple(position - source for source in node.inputs)
    shapes = (node.shape, node.in_channels, node.stride) if exact else ()
    return (node.kind, node.role, node.kernel, node.layers, inputs, shapes)


def repetitions(graph, taken, signs, begin, end):
    """Runs (start, period, count) of equal blocks in ``graph.nodes[begin:end]``.

    A run of one period is the one whose blocks fewest lines enter and leave: these are whole. First
    come the runs of the period that saves most nodes, then what is left before and behind them.
    """
    best, saved = None, 0
    for period in range(1, (end - begin) // 2 + 1):
        length, runs = 0, []
        for start in range(end - period - 1, begin - 1, -1):
            length = length + 1 if signs[start] == signs[start + period] else 0
            count = 1 + length // period
            if count > 1 and follows(graph, taken, start, period, count):
                runs.append((openness(graph, taken, start, period), -count, start))
        if runs:
            _, negative, start = min(runs)
            saves = (-negative - 1) * period
            if saves > saved:
                best, saved = (start, period, -negative), saves
    if best is None:
        return []
    start, period, count = best
    return [
        best,
        *repetitions(graph, taken, signs, begin, start),
        *repetitions(graph, taken, signs, start + period * count, end),
    ]


def follows(graph, taken, start, period, count):
    """Whether each block is of one stage, takes from the last one and gives to the next one alone.

    A block of two stages would split streams that the network has side by side.
    """
    first, last = range(start, start + period), start + period * (count - 1)
    for begin in range(start, start + period * count, period):
        nodes = graph.nodes[begin : begin + period]
        if len({node.shape[-1] for node in nodes if node.kind == "conv"}) > 1:
            return False
    return all(
        source >= start - period for position in first for source in graph.nodes[position].inputs
    ) and all(
        user < position - (position - start) % period + 2 * period
        for position in range(start, last)
        for user in taken[position]
    )


def openness(graph, taken, start, period):
    """How many nodes a block takes from, how many it gives to the next, how many weights it has."""
    inside = range(start, start + period)
    outer = {source for p in inside for source in graph.nodes[p].inputs if source not in inside}
    giving = sum(any(user not in inside for user in taken[p]) for p in inside)
    return len(outer) + giving + len({graph.nodes[p].weight for p in inside})


def connected(graph, positions):
    """``positions`` in sets that no line connects with one another."""
    parts = []
    for position in positions:
        part = {position}.union(graph.nodes[position].inputs).intersection(positions)
        for other in [other for other in parts if other & part]:
            part |= other
            parts.remove(other)
        parts.append(part)
    return parts
