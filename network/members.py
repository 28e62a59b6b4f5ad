"""Members: the networks that a deeply-fused network is an ensemble of.

A block sums routes. A path through the network takes one of them at each block, and is a network of
its own: a member. Zhao et al., "On the Connection of Deep Fusion to Ensembling".
"""

import random

from mxnet.gluon import HybridBlock, nn

from command import InputError
from network.layers import global_average, own_statistics


class Member(HybridBlock):
    """logits = classifier(global average(r_n(... r_1(stem(x))))), r_i = relu(a route of block i).

    It shares weights, gamma and beta with ``net``. Its moving averages are its own, and start from
    mean 0 and variance 1: where nothing is added to a route, layers meet other activations.

    Images (batch, 3, 32, 32) -> logits (batch, classes).

    Args:
        net: a FusionNet.
        path: name of the route at each block.
    """

    def __init__(self, net, path, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.stem = own_statistics(net.stem, "stem_")
            self.blocks = nn.HybridSequential(prefix="")
            with self.blocks.name_scope():
                for number, (block, route) in enumerate(zip(net.blocks, path), 1):
                    layers = [*block.routes()[route], nn.Activation("relu")]
                    self.blocks.add(own_statistics(layers, f"block{number}_"))
            self.classifier = net.classifier

    def hybrid_forward(self, F, x):
        return self.classifier(global_average(F, self.blocks(self.stem(x))))


def count(net):
    """How many members the FusionNet ``net`` has."""
    return sum(_ways(net)[0].values())


def every(net):
    """The path of each member; that of routes named first in their blocks comes first.

    Raises:
        InputError: ``net`` is no network of blocks that sum routes.
    """
    paths = [()]
    for routes in _routes(net):
        paths = [(*p, r) for p in paths for r in routes if not p or net.may_follow(r, p[-1])]
    return paths


def sample(net, size, seed):
    """Paths of ``size`` different members, each member as likely; every one if there are no more.

    Raises:
        InputError: ``net`` is no network of blocks that sum routes.
    """
    if size >= count(net):
        return every(net)
    rng, ways, paths = random.Random(seed), _ways(net), {}
    while len(paths) < size:
        path = []
        for onward in ways:
            possible = {r: n for r, n in onward.items() if not path or net.may_follow(r, path[-1])}
            index = rng.randrange(sum(possible.values()))  # whole numbers: exact however many
            for route, number in possible.items():
                index -= number
                if index < 0:
                    path.append(route)
                    break
        paths[tuple(path)] = True
    return list(paths)


def _ways(net):
    """For each block, {route: number of ways on from there to the network's end, itself one}."""
    ways = []
    for routes in reversed(_routes(net)):
        after = ways[-1].items() if ways else ()
        ways.append(
            {r: sum(n for s, n in after if net.may_follow(s, r)) if ways else 1 for r in routes}
        )
    return ways[::-1]


def _routes(net):
    """Names of the routes of each block."""
    blocks = net.blocks if hasattr(net, "may_follow") else ()
    if not all(hasattr(block, "routes") for block in blocks or (None,)):
        raise InputError(f"{net.name} has no members: its blocks name no routes that they sum")
    return [tuple(block.routes()) for block in blocks]
