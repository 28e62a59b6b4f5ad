"""Measure lesions: remove (ablate) branches of a trained network and measure its error.

Every branch with weights ends in a batch normalisation and is removed by gamma = beta = 0. In a
join that averages n inputs, of which m remain, gamma and beta of the remaining ones are multiplied
by n / m. Because only ReLU, pooling and linear operations follow, the join then gives the mean of
the remaining inputs. A lesion only changes parameters; moving averages are not recomputed.
After Veit et al., "Residual Networks Behave Like Ensembles of Relatively Shallow Networks".
"""

import random
from dataclasses import dataclass
from typing import Dict, Tuple

import numpy as np
from mxnet.gluon import nn
from tqdm import tqdm

from command import InputError
from network.layers import require_no_norm
from training.evaluation import TrainedRun


@dataclass(frozen=True)
class Fusion:
    """A sum or a mean in a network; for two streams, the sums of a block count as one."""

    norms: Dict[str, nn.BatchNorm]  # name of a summand with weights -> its last batch normalisation
    is_mean: bool
    keeps: bool  # whether it also adds an identity, which has no weights and cannot be removed


def find_fusions(net):
    """Return the Fusions of several summands in ``net``, in order.

    Raises:
        InputError: the network has no fusions.
    """
    found = []
    for number, block in enumerate(getattr(net, "blocks", ()), 1):
        if hasattr(block, "joins"):
            for join, units in enumerate(block.joins(), 1):
                norms = {
                    f"block{number} join{join} column{c}": _find_norm(u) for c, u in units.items()
                }
                found.append(Fusion(norms, is_mean=True, keeps=False))
        elif hasattr(block, "routes"):
            routes = {name: _find_norm(layers) for name, layers in block.routes().items()}
            norms = {f"block{number} {name}": norm for name, norm in routes.items() if norm}
            found.append(Fusion(norms, is_mean=False, keeps=len(norms) < len(routes)))
    found = [fusion for fusion in found if len(fusion.norms) + fusion.keeps > 1]
    if not found:
        raise InputError(f"{net.name} has no fusion whose summands can be removed")
    return found


def list_single(found):
    """Return the single lesions, {label: names of summands}: each summand, and whole blocks.

    A whole block can only be removed if an identity remains.
    """
    lesions = {}
    for fusion in found:
        lesions.update({name: (name,) for name in fusion.norms})
        if fusion.keeps and len(fusion.norms) > 1:
            lesions[next(iter(fusion.norms)).split()[0]] = tuple(fusion.norms)
    return lesions


def draw_order(found, seed):
    """Return names of summands in a random order in which they can be removed.

    Each fusion keeps at least one summand.
    """
    rng, order = random.Random(seed), []
    for fusion in found:
        names = list(fusion.norms)
        rng.shuffle(names)
        order += names if fusion.keeps else names[1:]
    rng.shuffle(order)
    return order


def scale_factors(net, found, removed):
    """Return {parameter: factor} of the lesion of ``net`` that removes the ``removed`` names.

    Parameters are named as in ``net.load_parameters``, without the prefix of ``net``.

    Raises:
        ValueError: no summand of a fusion would remain.
    """
    result = {}
    for fusion in found:
        staying = len(fusion.norms) - len(set(fusion.norms) & set(removed))
        if not staying + fusion.keeps:
            raise ValueError(f"no summand would remain of {', '.join(fusion.norms)}")
        for name, norm in fusion.norms.items():
            factor = len(fusion.norms) / staying if fusion.is_mean and staying else 1
            for parameter in (norm.gamma, norm.beta):
                result[parameter.name[len(net.prefix) :]] = 0 if name in removed else factor
    return result


@dataclass(frozen=True)
class LesionStudy:
    """Errors (%) of a network with branches removed."""

    whole: float
    single: Dict[str, float]  # removed summands -> error
    random: Dict[int, Tuple[float, ...]]  # summands removed at random -> error of each draw


def doubling(most):
    """Return [1, 2, 4, ...] up to ``most``."""
    return [2**power for power in range(most.bit_length())]


def lesion_study(error, single, orders):
    """Return the LesionStudy of a network.

    Args:
        error: function from names of summands to the network's error (%) without them.
        single: {label: names} of the single lesions.
        orders: lists of names of equal length; the first 1, 2, 4, ... of each are removed.
    """
    return LesionStudy(
        whole=error(()),
        single={label: error(names) for label, names in single.items()},
        random={
            size: tuple(error(order[:size]) for order in orders)
            for size in doubling(len(orders[0]))
        },
    )


def measure_lesions(trained: TrainedRun, draws: int, seed: int) -> LesionStudy:
    """Return the LesionStudy of a trained network, on the images that the run is tested on.

    Args:
        trained: the run; the parameters of its network are overwritten.
        draws: number of random orders in which summands are removed.
        seed: seed of these orders.

    Raises:
        InputError: the network has no fusion.
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


def _find_norm(layers):
    """Return the last batch normalisation in nested sequential layers; None if there is none.

    Raises:
        InputError: it is in a layer of another kind.
    """
    for layer in reversed(list(layers)):
        if isinstance(layer, nn.BatchNorm):
            return layer
        if isinstance(layer, nn.HybridSequential):
            norm = _find_norm(layer)
            if norm:
                return norm
        else:
            require_no_norm(layer)
    return None
