"""Move factors of activations into the small arrays of the layers around them.

Merge-and-run halves a sum in every block. A join of FractalNet multiplies each input by a weight
that is drawn for the batch. Each such product is a pass over all activations, for which MXNet also
leaves oneDNN's memory layout. Three rules give a network without these products, for a factor
f > 0 (and for f = 0, the factor of a dropped path):

- conv(f x, w) = conv(x, f w), and the same for a dense layer;
- f BN(x; gamma, beta) = BN(x; f gamma, f beta);
- ReLU, pooling, means and sums commute with f.

A power of two only changes the exponents of floating-point numbers, so results are bit-identical.
Training moves powers of two and joins' weights; exports move all positive factors.
"""

import json
from collections import Counter
from math import log2

from network.graph import INPUT, SCALES, SUMS, with_nodes

LARGEST_EXPONENT = 8  # activations are stored at no more than 2^8 times their value
COMMUTING = ("Flatten", "Pooling", "mean")  # and ReLU
WEIGHTED = ("Convolution", "FullyConnected")


def move_powers_of_two(symbol):
    """Return a symbol with the same results, bit for bit, as ``symbol`` and fewer products.

    Products of activations with powers of two are removed if their factors can move.

    Args:
        symbol: an mx.sym.Symbol whose input is named ``data``. Parameters keep their names, shapes
            and values.
    """
    return _move(symbol, lambda exponent: exponent.is_integer())


def move_positive_factors(symbol):
    """Return a symbol with the same results as ``symbol``, up to rounding, and fewer products.

    Like ``move_powers_of_two``, for products with any positive number.
    """
    return _move(symbol, lambda exponent: True)


def _move(symbol, movable):
    """Return a symbol without the products with 2^e that can move, if ``movable(e)``."""
    content = json.loads(symbol.tojson())
    found = MovedFactors(content["nodes"], _count_users(content), movable)
    if any(found.exponents[source] for source, *_ in content["heads"]):
        return symbol
    exponents = {place: round(exponent, 9) for place, exponent in found.moved.items()}
    factors = {place: 2.0**exponent for place, exponent in exponents.items() if exponent}
    return _rewrite(content, found.removed, factors)


def move_join_weights(symbol):
    """Return a symbol with the same results as ``symbol``, but joins that sum without products.

    A weight that drop-path draws multiplies gamma and beta of the batch normalisation before the
    join, if only ReLU and pooling are between them. See ``move_powers_of_two``.
    """
    content = json.loads(symbol.tojson())
    return _rewrite(content, *_find_join_weights(content["nodes"], _count_users(content)))


def _count_users(content):
    """Return {node: how often its values are used}."""
    users = Counter(source for source, *_ in content["heads"])
    users.update(source for node in content["nodes"] for source, *_ in _value_inputs(node))
    return users


def _value_inputs(node):
    """Return the inputs of a node, except those of which it only uses the shape."""
    if node["op"] == "_contrib_arange_like":
        return []
    return node["inputs"][:1] if node["op"] == "broadcast_like" else node["inputs"]


class MovedFactors:
    """Find products with numbers 2^e that can be removed.

    Each node gets an exponent e: the new graph computes 2^e times its value. If a single node uses
    a batch normalisation, the exponent of the latter is open until that node determines it.

    Attributes:
        exponents: {node: e}.
        removed: {product: its input}.
        moved: {(node, position of an input): exponent of the factor of this input}.
    """

    def __init__(self, nodes, users, movable):
        self.exponents, self.removed, self.moved = {}, {}, {}
        self._movable, self._open = movable, set()
        for index, node in enumerate(nodes):
            self.exponents[index] = self._visit(index, node)
            scaled = node["op"] == "BatchNorm" and node["attrs"].get("fix_gamma") == "False"
            if scaled and users[index] == 1:
                self._open.add(index)

    def _visit(self, index, node):
        """Return the exponent of a node."""
        inputs = [source for source, *_ in node["inputs"]]
        change = _read_exponent(node)
        if _commutes(node):
            return self._settle(inputs[0])
        if node["op"] in WEIGHTED:
            self.moved[index, 1] = -self._settle(inputs[0])
            return 0
        if change and self._movable(change):
            exponent = self._settle(inputs[0]) - change
            if abs(exponent) <= LARGEST_EXPONENT:
                self.removed[index] = inputs[0]
                return exponent
        known = [self.exponents[source] for source in inputs if source not in self._open]
        exponent = max(known, default=0) if node["op"] in SUMS else 0
        for position, source in enumerate(inputs):
            self.moved[index, position] = exponent - self._settle(source, exponent)
        return exponent

    def _settle(self, source, exponent=0):
        """Return the exponent of an input; if it is open, set it to ``exponent``."""
        if source in self._open:
            self._open.remove(source)
            self.exponents[source] = exponent
            self.moved.update({(source, position): exponent for position in (1, 2)})
        return self.exponents[source]


def _read_exponent(node):
    """Return e if a node multiplies by 2^e, else 0."""
    factor = float(node["attrs"]["scalar"]) if node["op"] in SCALES else 0
    if factor <= 0:
        return 0
    return -log2(factor) if node["op"] == "_div_scalar" else log2(factor)


def _commutes(node):
    relu = node["op"] == "Activation" and node["attrs"]["act_type"] == "relu"
    return relu or node["op"] in COMMUTING


def _find_join_weights(nodes, users):
    """Find products of joins whose weight can move into gamma and beta of batch normalisation.

    Returns:
        Products to remove, {node: its input}, and {(BatchNorm, position): source of the weight}.
    """
    removed, weights = {}, {}
    for index, node in enumerate(nodes):
        blocked = nodes[node["inputs"][1][0]] if node["op"] == "elemwise_mul" else None
        if blocked is None or blocked["op"] != "BlockGrad":
            continue
        repeated = nodes[blocked["inputs"][0][0]]
        norm = _find_norm(node["inputs"][0][0], nodes, users)
        drawn = repeated["op"] == "broadcast_like" and _is_drawn(repeated["inputs"][0], nodes)
        if drawn and norm is not None:
            removed[index] = node["inputs"][0][0]
            weights.update({(norm, position): repeated["inputs"][0] for position in (1, 2)})
    return removed, weights


def _is_drawn(source, nodes):
    """Return whether a source is one of the numbers that ``Join`` draws, which are not negative."""
    split = nodes[source[0]]
    if split["op"] != "SliceChannel" or split["attrs"].get("axis") != "0":
        return False
    drawn = nodes[split["inputs"][0][0]]
    return drawn["op"] == "Reshape" and drawn["attrs"]["shape"] == "(-1, 1, 1, 1)"


def _find_norm(index, nodes, users):
    """Return the BatchNorm that feeds only this node, through ReLU and pooling, or None."""
    while users[index] == 1:
        if nodes[index]["op"] == "BatchNorm":
            return index if nodes[index]["attrs"].get("fix_gamma") == "False" else None
        if not _commutes(nodes[index]):
            return None
        index = nodes[index]["inputs"][0][0]
    return None


def _rewrite(content, removed, factors):
    """Return the symbol of a graph read from JSON, with removed products and moved factors.

    Args:
        removed: {product: its input}.
        factors: {(node, position of an input): a number, or the source of a weight}.
    """
    nodes, rewriting = content["nodes"], _Rewriting(content["nodes"])
    for index in _order(nodes, factors):
        if index in removed:
            rewriting.places[index] = rewriting.places[removed[index]]
        else:
            rewriting.keep(index, factors)
    return with_nodes(content, rewriting.kept, rewriting.places)


class _Rewriting:
    """The nodes of the new graph, and the position of each old node in it."""

    def __init__(self, nodes):
        self._nodes = nodes
        self.kept, self.places = [], {}

    def place(self, source):
        """Return the source's counterpart in the new graph."""
        index, *rest = source
        return [self.places[index], *rest]

    def keep(self, index, factors):
        """Add an old node, with its inputs multiplied by their factors."""
        node = self._nodes[index]
        if node["op"] == "_contrib_arange_like":  # it only needs the images' batch size
            inputs = [[self.places[_find_input(self._nodes)], 0, 0]]
        else:
            inputs = [self.place(source) for source in node["inputs"]]
        for position, source in enumerate(inputs):
            if (index, position) in factors:
                name = f"{node['name']}_input{position}"
                inputs[position] = self._multiply(source, factors[index, position], name)
        attrs = dict(node.get("attrs", {}))
        if node["name"] != INPUT:  # the images determine all types; Gluon's types can be outdated
            attrs.pop("__dtype__", None)
        self.places[index] = len(self.kept)
        self.kept.append({**node, "inputs": inputs, "attrs": attrs})

    def _multiply(self, source, factor, name):
        """Add the product of a source with its factor; return the product's source."""
        if isinstance(factor, float):
            return self._add("_mul_scalar", f"{name}_scaled", source, scalar=str(factor))
        weight = self._add("Reshape", f"{name}_weight", self.place(factor), shape="(-1,)")
        weight = self._add("BlockGrad", f"{name}_constant", weight)
        return self._add("broadcast_mul", f"{name}_scaled", source, weight)

    def _add(self, op, name, *inputs, **attrs):
        self.kept.append({"op": op, "name": name, "inputs": [*inputs], "attrs": attrs})
        return [len(self.kept) - 1, 0, 0]


def _find_input(nodes):
    return next(index for index, node in enumerate(nodes) if node["name"] == INPUT)


def _order(nodes, factors):
    """Return the indices of nodes in an order in which weights are drawn before they are used."""
    waiting = [factor[0] for factor in factors.values() if not isinstance(factor, float)]
    first = {_find_input(nodes)}
    while waiting:
        index = waiting.pop()
        if index not in first:
            first.add(index)
            waiting += [source for source, *_ in _value_inputs(nodes[index])]
    return sorted(range(len(nodes)), key=lambda index: (index not in first, index))
