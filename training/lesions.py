"""What a network loses when parts of it are taken out."""

from dataclasses import dataclass
from typing import Dict, Tuple


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
