"""Members: the networks that a deeply-fused network is an ensemble of.

A block sums routes. A path takes one route of each block; the network with only these routes is a
member. Zhao et al., "On the Connection of Deep Fusion to Ensembling".
"""

import random

from mxnet.gluon import HybridBlock, nn

from command import InputError
from network.layers import global_average, with_own_statistics


class Member(HybridBlock):
    """logits = classifier(global average(r_n(... r_1(stem(x))))), r_i = relu(a route of block i).

    It shares weights, gamma and beta with ``net``. It has its own moving averages, which start from
    mean 0 and variance 1, because the activations of its layers differ from the whole network's.

    Images (batch, 3, 32, 32) -> logits (batch, classes).

    Args:
        net: a FusionNet.
        path: name of the route of each block.
    """

    def __init__(self, net, path, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.stem = with_own_statistics(net.stem, "stem_")
            self.blocks = nn.HybridSequential(prefix="")
            with self.blocks.name_scope():
                for number, (block, route) in enumerate(zip(net.blocks, path), 1):
                    layers = [*block.routes()[route], nn.Activation("relu")]
                    self.blocks.add(with_own_statistics(layers, f"block{number}_"))
            self.classifier = net.classifier

    def hybrid_forward(self, F, x):
        return self.classifier(global_average(F, self.blocks(self.stem(x))))


def count_members(net):
    """Return how many members the FusionNet ``net`` has.

    Raises:
        InputError: ``net`` is not a network whose blocks sum routes.
    """
    return sum(_count_continuations(net)[0].values())


def list_paths(net):
    """Return the path of each member, in the order in which the blocks name their routes.

    Raises:
        InputError: ``net`` is not a network whose blocks sum routes.
    """
    paths = [()]
    for routes in _list_routes(net):
        paths = [(*p, r) for p in paths for r in routes if not p or net.may_follow(r, p[-1])]
    return paths


def sample_paths(net, size, seed):
    """Return the paths of ``size`` different members, each equally likely, or of all if fewer.

    Raises:
        InputError: ``net`` is not a network whose blocks sum routes.
    """
    if size >= count_members(net):
        return list_paths(net)
    rng, continuations, paths = random.Random(seed), _count_continuations(net), {}
    while len(paths) < size:
        path = []
        for counts in continuations:
            possible = {r: n for r, n in counts.items() if not path or net.may_follow(r, path[-1])}
            index = rng.randrange(sum(possible.values()))  # integers: exact for any number of paths
            for route, number in possible.items():
                index -= number
                if index < 0:
                    path.append(route)
                    break
        paths[tuple(path)] = True
    return list(paths)


def _count_continuations(net):
    """Return, for each block, {route: number of paths from there to the network's end}."""
    counts = []
    for routes in reversed(_list_routes(net)):
        after = counts[-1].items() if counts else ()
        counts.append(
            {r: sum(n for s, n in after if net.may_follow(s, r)) if counts else 1 for r in routes}
        )
    return counts[::-1]


def _list_routes(net):
    """Return the names of the routes of each block."""
    blocks = net.blocks if hasattr(net, "may_follow") else ()
    if not all(hasattr(block, "routes") for block in blocks or (None,)):
        raise InputError(f"{net.name} has no members: its blocks do not sum routes")
    return [tuple(block.routes()) for block in blocks]
