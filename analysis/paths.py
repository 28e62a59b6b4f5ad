"""Compute the lengths of the paths through a network exactly, from its compiled graph.

A path leads from the images to an output; its length is the number of weight layers on it. They are
computed by dynamic programming over the graph, in integers and Fractions. There are two
distributions, each {length: amount}:

- ``count_lengths``: the number of paths of the length.
- ``walk_lengths``: the probability that a random path has the length. The path is drawn backwards
  from the output and takes one of the summands of each sum, all with the same probability. A sum
  that is only added to other sums, as the merged shortcuts of merge-and-run, is merged with them.

A 1x1 convolution with a stride is a shortcut where the width changes. It has no length, as in Zhao
et al., "On the Connection of Deep Fusion to Ensembling", unless ``projections`` asks for it.
"""

import json
import math
from collections import Counter
from fractions import Fraction
from typing import Any, Dict, Mapping, Tuple, Union

from network import get_model
from network.complexity import WEIGHT_LAYERS
from network.graph import INPUT, SCALES, SUMS, to_symbol

CUTS = ("BlockGrad", "zeros_like", "ones_like", "shape_array")  # do not pass the image on
# network -> probability that a path takes a branch in a block, from the paper
PAPER_CHANCES = {"resnet": Fraction(1, 2), "half": Fraction(2, 3), "cross": Fraction(1, 3)}
FUSIONS = 9  # blocks of the networks whose path lengths the paper prints


def count_lengths(net: Any, projections: bool = False) -> Dict[int, int]:
    """Return {length: number of paths} from the images to the output of ``net``."""
    nodes, inputs = _read_graph(net)
    return _lengths(nodes, inputs, lambda count: 1, projections)


def walk_lengths(net: Any, projections: bool = False) -> Dict[int, Fraction]:
    """Return {length: probability} of a random path through ``net``; the sum is 1."""
    nodes, inputs = _read_graph(net)
    return _lengths(
        nodes, _find_summands(nodes, inputs), lambda count: Fraction(1, count), projections
    )


def binomial_lengths(blocks: int, chance: Fraction) -> Dict[int, Fraction]:
    """Return {length: probability} of 2 Binomial(``blocks``, ``chance``) + 2.

    This is the model of Zhao et al.: at each of ``blocks`` fusions, a path takes a branch of two
    convolutions with probability ``chance``, or else a shortcut; stem and classifier add 2.
    """
    chance = Fraction(chance)
    return {
        2 * taken + 2: math.comb(blocks, taken) * chance**taken * (1 - chance) ** (blocks - taken)
        for taken in range(blocks + 1)
    }


def mean_and_deviation(lengths: Mapping[int, Union[int, Fraction]]) -> Tuple[float, float]:
    """Return mean and standard deviation of {length: number or probability}."""
    total = sum(lengths.values())
    mean = Fraction(sum(length * weight for length, weight in lengths.items())) / total
    squares = Fraction(sum(length**2 * weight for length, weight in lengths.items())) / total
    return float(mean), math.sqrt(squares - mean**2)


def compare_path_lengths():
    """Return {network: ((mean, deviation) of random paths, the same by the paper's formula)}.

    The values are exact and need no training. The networks have nine fusions (resnet has as many
    convolutions). Zhao et al. print 8 +- 2.83 for cross.
    """
    found = {}
    for network, chance in PAPER_CHANCES.items():
        net = get_model(network, 4 * FUSIONS + 2)
        blocks = len(net.blocks)
        formula = binomial_lengths(blocks, chance)
        found[network] = (mean_and_deviation(walk_lengths(net)), mean_and_deviation(formula))
    return found


def _lengths(nodes, inputs, weight, projections):
    """Return {length: amount} of the paths to the last node.

    A path through a node with n inputs is multiplied by ``weight(n)`` there.

    Args:
        inputs: for each node, the positions of its inputs; none where paths begin.
    """
    lengths = []
    for node, sources in zip(nodes, inputs):
        step = int(_is_layer(node, projections))
        here = Counter() if sources else Counter({0: 1})
        for source in sources:
            for length, amount in lengths[source].items():
                here[length + step] += amount * weight(len(sources))
        lengths.append(here)
    return dict(sorted(lengths[-1].items()))


def _is_layer(node, projections):
    """Return whether a node adds 1 to the length of a path."""
    attributes = node.get("attrs", {})
    strided = attributes.get("stride", "(1, 1)") != "(1, 1)"
    projection = attributes.get("kernel") == "(1, 1)" and strided
    return node["op"] in WEIGHT_LAYERS and (projections or not projection)


def _read_graph(net):
    """Return the nodes that depend on the images: (nodes, the positions of each node's inputs).

    The first node is the images, the last the output; inputs precede the nodes that use them.
    """
    nodes, inputs, places = [], [], {}
    for index, node in enumerate(json.loads(to_symbol(net).tojson())["nodes"]):
        sources = [places[source] for source, *_ in node["inputs"] if source in places]
        if node["name"] == INPUT or (sources and node["op"] not in CUTS):
            places[index] = len(nodes)
            nodes.append(node)
            inputs.append(sources)
    return nodes, inputs


def _find_summands(nodes, inputs):
    """Return the inputs of each node; a sum that is only added to sums is replaced by its inputs.

    Multiplication by a constant is ignored.
    """
    users = [[] for _ in nodes]
    for user, sources in enumerate(inputs):
        for source in sources:
            users[source].append(user)

    def only_added(place):
        """Return whether a sum, or a multiple of it, is only an input of sums."""
        return bool(users[place]) and all(
            nodes[user]["op"] in SUMS or (nodes[user]["op"] in SCALES and only_added(user))
            for user in users[place]
        )

    summands = []  # for each node: those of a sum, or of a multiple of one; else the node itself
    result = []
    for place, (node, sources) in enumerate(zip(nodes, inputs)):
        if node["op"] in SUMS:
            flat = [summand for source in sources for summand in summands[source]]
        elif node["op"] in SCALES:
            flat = list(summands[sources[0]])
        else:
            flat = sources
        result.append(flat)
        passes = node["op"] in (*SUMS, *SCALES) and only_added(place)
        summands.append(flat if passes else [place])
    return result
