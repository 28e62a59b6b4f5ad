"""Lengths of the paths through a network, exactly, off its compiled graph.

A path leads from the images to an output; its length is the number of weight layers on it. They are
counted by dynamic programming over the graph in whole numbers and fractions, however many there
are. Two questions have two answers, each {length: how much}:

- ``count_lengths``: how many paths have the length, each counted once.
- ``walk_lengths``: how likely a random path has it, that is drawn from the output back and takes at
  each sum one of the summands, each as likely. A sum that is only added to others, as the merged
  shortcuts of merge-and-run, is no fork of its own: its summands count with those of the other.

A 1x1 convolution with a stride is a shortcut where the width changes. It has no length, as in Zhao
et al., "On the Connection of Deep Fusion to Ensembling", unless ``projections`` asks for it.
"""

import json
import math
from collections import Counter
from fractions import Fraction

from network.complexity import WEIGHT_LAYERS
from network.graph import to_symbol

SUMS = ("elemwise_add", "broadcast_add", "add_n")
SCALES = ("_mul_scalar", "_div_scalar")
CUTS = ("BlockGrad", "zeros_like", "ones_like", "shape_array")  # the image goes no further
# network -> how likely a path takes a branch at a block, in the paper
PAPER_CHANCES = {"resnet": Fraction(1, 2), "half": Fraction(2, 3), "cross": Fraction(1, 3)}


def count_lengths(net, projections=False):
    """{length: number of paths} from the images to the output of ``net``, whole numbers."""
    nodes, inputs = _graph(net)
    return _lengths(nodes, inputs, lambda count: 1, projections)


def walk_lengths(net, projections=False):
    """{length: probability} of a random path through ``net``, Fractions whose sum is 1."""
    nodes, inputs = _graph(net)
    return _lengths(nodes, _summands(nodes, inputs), lambda count: Fraction(1, count), projections)


def binomial_lengths(blocks, chance):
    """{length: probability} of 2 Binomial(``blocks``, ``chance``) + 2.

    The paper's figure: ``blocks`` fusions, at each of which a path takes a branch of two
    convolutions with probability ``chance`` or else a shortcut; stem and classifier.
    """
    chance = Fraction(chance)
    return {
        2 * taken + 2: math.comb(blocks, taken) * chance**taken * (1 - chance) ** (blocks - taken)
        for taken in range(blocks + 1)
    }


def mean_and_deviation(lengths):
    """Mean and standard deviation of {length: number or probability}."""
    total = sum(lengths.values())
    mean = Fraction(sum(length * weight for length, weight in lengths.items())) / total
    squares = Fraction(sum(length**2 * weight for length, weight in lengths.items())) / total
    return float(mean), math.sqrt(squares - mean**2)


def _lengths(nodes, inputs, weight, projections):
    """{length: sum over paths to the last node}, each arrival at a node times ``weight(arrivals)``.

    Args:
        inputs: for each node the places of those it is computed from, none where paths begin.
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
    """Whether a node has a length of 1."""
    attributes = node.get("attrs", {})
    strided = attributes.get("stride", "(1, 1)") != "(1, 1)"
    projection = attributes.get("kernel") == "(1, 1)" and strided
    return node["op"] in WEIGHT_LAYERS and (projections or not projection)


def _graph(net):
    """What images pass on their way through ``net``: (nodes, for each the places of its inputs).

    The first is the images, the last the output; an input comes before what is computed from it.
    """
    nodes, inputs, places = [], [], {}
    for index, node in enumerate(json.loads(to_symbol(net).tojson())["nodes"]):
        sources = [places[source] for source, *_ in node["inputs"] if source in places]
        if node["name"] == "data" or (sources and node["op"] not in CUTS):
            places[index] = len(nodes)
            nodes.append(node)
            inputs.append(sources)
    return nodes, inputs


def _summands(nodes, inputs):
    """For each node its inputs, and in place of sums that are only added to others what they add.

    Multiplying by a number changes nothing in that.
    """
    users = [[] for _ in nodes]
    for user, sources in enumerate(inputs):
        for source in sources:
            users[source].append(user)

    def only_added(place):
        """Whether a sum, or a multiple of one, is used in sums alone."""
        return bool(users[place]) and all(
            nodes[user]["op"] in SUMS or (nodes[user]["op"] in SCALES and only_added(user))
            for user in users[place]
        )

    summands = []  # of each node that is a sum or a multiple of one, itself for others
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
