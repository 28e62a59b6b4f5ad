"""Lesions: a trained network without some of what its blocks add or average.

Every summand with weights ends in a batch normalisation, so that it is taken out by gamma = beta =
0. Where a join averages, gamma and beta of the inputs that stay are multiplied by (inputs) /
(inputs that stay): what follows them is ReLU, pooling and linear, and the join's mean becomes that
of those that stay. So a lesion is a change of parameters, and moving averages stay what they were.
After Veit et al., "Residual Networks Behave Like Ensembles of Relatively Shallow Networks".
"""

import random
from dataclasses import dataclass
from typing import Dict, Tuple

import numpy as np
from mxnet.gluon import nn
from tqdm import tqdm

from command import InputError


@dataclass(frozen=True)
class Fusion:
    """A sum or a mean in a network."""

    norms: Dict[str, nn.BatchNorm]  # of each summand with weights, by name, the last it passes
    is_mean: bool
    keeps: bool  # whether it also adds what has no weights and cannot be taken out: an identity


def find_fusions(net):
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


def list_single(found):
    """Names of what is taken out in turn: {label: names}, each summand, and whole blocks.

    A block's branches go together where an identity stays, which then is the block.
    """
    lesions = {}
    for fusion in found:
        lesions.update({name: (name,) for name in fusion.norms})
        if fusion.keeps and len(fusion.norms) > 1:
            lesions[next(iter(fusion.norms)).split()[0]] = tuple(fusion.norms)
    return lesions


def draw_order(found, seed):
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


def scale_factors(net, found, removed):
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


@dataclass(frozen=True)
class LesionStudy:
    """Errors (%) of a network with parts taken out."""

    whole: float
    single: Dict[str, float]  # what is taken out -> error
    random: Dict[int, Tuple[float, ...]]  # how many are taken out at random -> error of each draw


def doubling(most):
    """1, 2, 4, ... up to ``most``."""
    return [2**power for power in range(most.bit_length())]


def lesion_study(error, single, orders):
    """A LesionStudy of a network.

    Args:
        error: called with the names of what is taken out; the network's error (%) without.
        single: {label: names} to take out in turn.
        orders: lists of names, all as long; of each its first 1, 2, 4, ... are taken out.
    """
    return LesionStudy(
        whole=error(()),
        single={label: error(names) for label, names in single.items()},
        random={
            size: tuple(error(order[:size]) for order in orders)
            for size in doubling(len(orders[0]))
        },
    )


def measure_lesions(trained, draws, seed):
    """Return the LesionStudy of a trained network, on the images that the run is tested on.

    Args:
        trained: a training.evaluation.TrainedRun; its network loses its parameters' values.
        draws, seed: how many random orders to remove summands in, and what decides them.

    Raises:
        InputError: the network fuses nothing.
    """
    engine = trained.engine
    fusions = find_fusions(engine.net)
    values, momenta = engine.state_dict()
    single = list_single(fusions)
    orders = [draw_order(fusions, f"{seed} {number}") for number in range(draws)]
    total = 1 + len(single) + draws * len(doubling(len(orders[0])))
    with tqdm(desc="lesions", total=total, leave=False, disable=None) as bar:

        def error(removed):
            bar.update()
            factors = scale_factors(engine.net, fusions, removed)
            changed = {name: values[name] * np.float32(f) for name, f in factors.items()}
            engine.load_state_dict({**values, **changed}, momenta)
            return trained.predictions().error()

        return lesion_study(error, single, orders)


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
