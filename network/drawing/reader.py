"""Read the architecture of a network from its compiled graph.

The compiled graph has a node for every operator and parameter. ``read_graph`` reduces it to units
and merges: batch normalisation, activations and dropout become names of layers in their node.
"""

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Dict, Tuple

from network.complexity import infer_shapes
from network.drawing.architecture import MERGES, Node
from network.drawing.roles import assign_numbers, assign_roles, sort_by_depth
from network.graph import INPUT, SUMS, to_symbol

WEIGHT_UNITS = {"Convolution": "conv", "FullyConnected": "dense"}  # operator -> kind of its node
LAYER_NAMES = {"BatchNorm": "BN", "Flatten": "flatten", "Dropout": "dropout", "mean": "average"}


@dataclass(frozen=True)
class Op:
    """A node of a compiled graph."""

    op: str  # name of the operator; "null" for the input and parameters
    name: str
    inputs: Tuple[int, ...]  # positions of the ops that feed it
    shape: Tuple[int, ...]  # of its first output, for a batch of one image
    attrs: Dict[str, str] = field(default_factory=dict)

    def numbers(self, name):
        """Return an attribute such as ``(3, 3)`` as a tuple of numbers, or () if it is missing."""
        text = self.attrs.get(name, "()").strip("()")
        return tuple(int(number) for number in text.split(",") if number.strip())

    def layer_name(self):
        """Return the layer's name in a picture."""
        if self.op == "Activation":
            return {"relu": "ReLU"}.get(self.attrs["act_type"], self.attrs["act_type"])
        if self.op == "Pooling":
            return "average" if self.attrs.get("global_pool") == "True" else "pool"
        return LAYER_NAMES.get(self.op, self.op.lower().lstrip("_"))

    def divides_by(self, count):
        """Return whether the op divides its input by ``count``."""
        scalar = float(self.attrs.get("scalar", "nan"))
        return (self.op == "_mul_scalar" and scalar * count == 1) or (
            self.op == "_div_scalar" and scalar == count
        )


def trace(net, input_shape=(3, 32, 32)):
    """Return the ops of the compiled graph of ``net`` in topological order, and its outputs.

    The outputs are given as positions of ops. A parameter that is used twice is one op with two
    users.

    Raises:
        InputError: the network cannot take an image of ``input_shape`` (channels, height, width).
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


def read_graph(net, input_shape=(3, 32, 32)):
    """Return the Graph of ``net`` for an image of ``input_shape`` (channels, height, width).

    Batch normalisation, activations and dropout belong to the unit or merge before them, and
    averages belong to the classifier after them. Sums of sums are one sum. A sum of n inputs
    divided by n is a mean; it is a join if one operator adds all n, as ``network.drop_path.Join``
    does.

    Raises:
        InputError: the network cannot take such an image.
    """
    nodes = merge_heads(OpReader(*trace(net, input_shape)).read())
    return assign_roles(assign_numbers(sort_by_depth(nodes)))


class OpReader:
    """Reduces the ops of a compiled graph to nodes, one op after the other.

    Each op becomes a node of its own, a layer of an earlier node, or changes the earlier node's
    kind. ``choose`` selects the method for it, which returns the position of the node.

    Attributes:
        nodes: the Nodes so far; None stands for a sum that has become part of another.
        place: position of an op -> position of the node that contains it.
        before: position of an op -> names of layers that belong to a classifier not yet read.
    """

    def __init__(self, ops, heads):
        self.ops = ops
        self.users = [[] for _ in ops]
        for position, op in enumerate(ops):
            for source in op.inputs:
                self.users[source].append(position)
        self.uses = Counter(heads) + Counter({p: len(users) for p, users in enumerate(self.users)})
        self.nodes, self.place, self.before = [], {}, {}

    def read(self):
        """Return the nodes of all ops that depend on the input."""
        for position, op in enumerate(self.ops):
            if op.name == INPUT or self.sources(position):
                self.place[position] = self.choose(position)(position)
        return self.nodes

    def choose(self, position):
        """Return the method that reads the op at ``position``."""
        op = self.ops[position]
        if op.op == "null":
            return self.add_input
        if op.op in WEIGHT_UNITS:
            return self.add_unit
        if len(self.sources(position)) > 1:
            return self.add_merge
        if self.makes_mean(position):
            return self.turn_sum_into_mean
        if self.pools_for_classifier(position):
            return self.keep_for_classifier
        if op.op == "Pooling" and op.layer_name() != "average":
            return self.add_pool
        return self.append_layer if self.owner(position) is not None else self.add_layer

    def sources(self, position):
        """Return the positions of the ops whose output is an op's input, without parameters."""
        return [source for source in self.ops[position].inputs if source in self.place]

    def owner(self, position):
        """Return the position of the node before an op, if the op is its only user, else None."""
        sources = self.sources(position)
        if len(sources) != 1 or self.uses[sources[0]] != 1:
            return None
        place = self.place[sources[0]]
        return None if self.nodes[place].kind == "input" else place

    def add(self, kind, position, inputs=None, **values):
        """Add a node for the op at ``position``, with its inputs and shape."""
        if inputs is None:
            inputs = tuple(self.place[source] for source in self.sources(position))
        shape = tuple(self.ops[position].shape[1:])
        self.nodes.append(Node(kind, tuple(inputs), shape, **values))
        return len(self.nodes) - 1

    def add_input(self, position):
        """Add the image."""
        return self.add("input", position)

    def add_unit(self, position):
        """Add a convolution or a dense layer, with the layers that wait for it."""
        op, source = self.ops[position], self.sources(position)[0]
        return self.add(
            WEIGHT_UNITS[op.op],
            position,
            before=self.before.pop(source, ()),
            weight=self.ops[op.inputs[1]].name,
            in_channels=self.ops[source].shape[1],
            kernel=op.numbers("kernel"),
            stride=op.numbers("stride"),
        )

    def add_merge(self, position):
        """Add an op with several inputs; the inputs of sums within a sum become its own."""
        op = self.ops[position]
        if op.op in SUMS:
            return self.add("sum", position, list(self.splice_sums(position)))
        return self.add(op.op.lower().lstrip("_"), position)

    def splice_sums(self, position):
        """Yield the inputs of a sum; a sum used for nothing else is replaced by its own inputs."""
        for source in self.sources(position):
            node = self.nodes[self.place[source]]
            if node.kind == "sum" and not node.layers and self.uses[source] == 1:
                yield from node.inputs
                self.nodes[self.place[source]] = None
            else:
                yield self.place[source]

    def makes_mean(self, position):
        """Return whether an op divides a sum by the number of its inputs."""
        place = self.owner(position)
        if place is None or self.nodes[place].kind != "sum":
            return False
        return self.ops[position].divides_by(len(self.nodes[place].inputs))

    def turn_sum_into_mean(self, position):
        """Make the sum before an op a mean, or a join where one operator adds all inputs."""
        (source,) = self.sources(position)
        kind = "join" if self.ops[source].op == "add_n" else "mean"
        self.nodes[self.place[source]] = replace(self.nodes[self.place[source]], kind=kind)
        return self.place[source]

    def pools_for_classifier(self, position):
        """Return whether an op is a global average or a flattening before a classifier."""
        op = self.ops[position]
        pools = op.op in ("mean", "Flatten") or op.layer_name() == "average"
        return pools and self.leads_to_dense(position)

    def leads_to_dense(self, position):
        """Return whether only a dense layer follows an op, directly or after flattening."""
        if len(self.users[position]) != 1:
            return False
        (user,) = self.users[position]
        op = self.ops[user].op
        return op == "FullyConnected" or (op == "Flatten" and self.leads_to_dense(user))

    def keep_for_classifier(self, position):
        """Keep a layer's name for the classifier that follows."""
        (source,) = self.sources(position)
        waiting = self.before.pop(source, ())
        self.before[position] = (*waiting, self.ops[position].layer_name())
        return self.place[source]

    def add_pool(self, position):
        """Add a pooling layer."""
        op = self.ops[position]
        return self.add(
            "pool",
            position,
            kernel=op.numbers("kernel"),
            stride=op.numbers("stride"),
            layers=(op.attrs["pool_type"] + "-pool",),
        )

    def append_layer(self, position):
        """Append an op's name to the layers of the node that it follows."""
        place = self.owner(position)
        layers = (*self.nodes[place].layers, self.ops[position].layer_name())
        self.nodes[place] = replace(self.nodes[place], layers=layers)
        return place

    def add_layer(self, position):
        """Add a layer that belongs to no node, because several ops use the output before it."""
        return self.add("layer", position, layers=(self.ops[position].layer_name(),))


def merge_heads(nodes):
    """Return ``nodes`` with everything after several classifiers replaced by one merge.

    The merge's kind is mean if it contains an average, otherwise output. Nodes that are None stay
    None.
    """
    head = [p for p in find_heads(nodes) if nodes[p].is_merge or nodes[p].kind == "layer"]
    if not head or (len(head) == 1 and nodes[head[0]].kind in (*MERGES, "layer")):
        return nodes
    inputs = dict.fromkeys(i for p in head for i in nodes[p].inputs if i not in head)
    names = [name for p in head for name in (nodes[p].kind, *nodes[p].layers)]
    kind = "mean" if {"mean", "join", "average"} & set(names) else "output"
    merge = replace(nodes[head[-1]], kind=kind, inputs=tuple(inputs), layers=())
    return [
        None if p in head[:-1] else merge if p == head[-1] else nodes[p] for p in range(len(nodes))
    ]


def find_heads(nodes):
    """Return the positions of classifiers and later nodes, except those that lead to a unit."""
    after, leading = set(), set()  # nodes after a classifier; nodes that lead to a unit
    for position, node in enumerate(nodes):
        if node and (node.kind == "dense" or after & set(node.inputs)):
            after.add(position)
    for position in reversed(range(len(nodes))):
        node = nodes[position]
        if node and (position in leading or not (node.is_merge or node.kind == "layer")):
            leading.update(node.inputs)
    return sorted(after - leading)
