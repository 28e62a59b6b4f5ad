"""Lesions: a trained network without some of what its blocks add or average.

Every summand with weights ends in a batch normalisation, so that it is taken out by gamma = beta =
0. Where a join averages, gamma and beta of the inputs that stay are multiplied by (inputs) /
(inputs that stay): what follows them is ReLU, pooling and linear, and the join's mean becomes that
of those that stay. So a lesion is a change of parameters, and moving averages stay what they were.
After Veit et al., "Residual Networks Behave Like Ensembles of Relatively Shallow Networks".
"""

import random
from dataclasses import dataclass
from typing import Dict

from mxnet.gluon import nn

from command import InputError


@dataclass(frozen=True)
class Fusion:
    """A sum or a mean in a network."""

    norms: Dict[str, nn.BatchNorm]  # of each summand with weights, by name, the last it passes
    is_mean: bool
    keeps: bool  # whether it also adds what has no weights and cannot be taken out: an identity


def fusions(net):
    """The Fusions of several summands in ``net``, in order.

    Raises:
        InputError: nothing is fused in it.
    """
    found = []
    for number, block in enumerate(getattr(net, "blocks", ()), 1):
        if hasattr(block, "joins"):
            for join, units in enumerate(block.joins(), 1):
                norms = {f"block{number} join{join} column{c}": _norm(u) for c, u in units.items()}
                found.append(Fusion(norms, is_mean=True, keeps=False))
        elif hasattr(block, "routes"):
            routes = {name: _norm(layers) for name, layers in block.routes().items()}
            norms = {f"block{number} {name}": norm for name, norm in routes.items() if norm}
            found.append(Fusion(norms, is_mean=False, keeps=len(norms) < len(routes)))
    found = [fusion for fusion in found if len(fusion.norms) + fusion.keeps > 1]
    if not found:
        raise InputError(f"{net.name} fuses nothing that could be taken out")
    return found


def single(found):
    """Names of what is taken out in turn: {label: names}, each summand, and whole blocks.

    A block's branches go together where an identity stays, which then is the block.
    """
    lesions = {}
    for fusion in found:
        lesions.update({name: (name,) for name in fusion.norms})
        if fusion.keeps and len(fusion.norms) > 1:
            lesions[next(iter(fusion.norms)).split()[0]] = tuple(fusion.norms)
    return lesions


def draw(found, seed):
    """Names of summands in random order, so that any number of them, from the first on, may go.

    Of each fusion something stays.
    """
    rng, order = random.Random(seed), []
    for fusion in found:
        names = list(fusion.norms)
        rng.shuffle(names)
        order += names if fusion.keeps else names[1:]
    rng.shuffle(order)
    return order


def factors(net, found, removed):
    """{parameter: what it is multiplied by} where ``removed`` names are taken out of ``net``.

    Parameters are named as ``net.load_parameters`` has them, without the prefix of ``net``.

    Raises:
        ValueError: nothing would stay of a fusion.
    """
    result = {}
    for fusion in found:
        staying = len(fusion.norms) - len(set(fusion.norms) & set(removed))
        if not staying + fusion.keeps:
            raise ValueError(f"nothing would stay of {', '.join(fusion.norms)}")
        for name, norm in fusion.norms.items():
            factor = len(fusion.norms) / staying if fusion.is_mean and staying else 1
            for parameter in (norm.gamma, norm.beta):
                result[parameter.name[len(net.prefix) :]] = 0 if name in removed else factor
    return result


def _norm(layers):
    """The last batch normalisation of layers in a row, however nested; None if there is none."""
    for layer in reversed(list(layers)):
        if isinstance(layer, nn.BatchNorm):
            return layer
        if isinstance(layer, nn.HybridSequential):
            norm = _norm(layer)
            if norm:
                return norm
    return None
