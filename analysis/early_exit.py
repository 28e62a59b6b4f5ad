"""Measure early exit: an image is given to a deeper network if the shallower one is not confident.

The networks of a FractalNet, cheapest first (its columns, then the whole), form a chain. An image
leaves the chain at the first network whose largest probability is at least the threshold; the last
network classifies the remaining images. With r_i the share of images that reach network i and c_i
its cost (seconds, or multiply-adds), the mean cost of an image is sum_i r_i c_i. Every network
starts from the image: a deeper network reuses nothing of a shallower one.

Threshold 0 uses only the first network; NEVER_REACHED runs every image through the whole chain.
"""

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

import numpy as np

from analysis.anytime import Point
from training.early_exit import answer_early
from training.metrics import Predictions

MOST_PICKED = 5000
NEVER_REACHED = 2.0  # a threshold above every probability
THRESHOLDS = 200  # number of thresholds of a curve: quantiles of the networks' confidence


@dataclass(frozen=True)
class Exit:
    """A chain of networks at a threshold, on a set of images."""

    chain: Tuple[int, ...]  # indices of the networks, cheapest first
    threshold: float
    error: float  # percent
    multiply_adds: float  # mean of an image
    seconds: float  # mean over images with batch size 1, in all networks that an image reaches
    shares: Tuple[float, ...]  # share of the images that each network classifies


def choose_picking_images(trained):
    """Return (images on which thresholds are chosen, a description of them).

    They are the held-out images of the run or, if it has none, a tenth of its training images, at
    most 5,000. The networks are more confident on training images than on new ones.

    Raises:
        InputError: the run's training images are missing or have changed.
    """
    data = trained.data
    trained.require_training_images()
    if trained.run.val_split:
        return data.held_out, f"the {len(data.held_out):,} held-out training images"
    count = max(1, min(MOST_PICKED, len(data.train) // 10))
    images = data.source.sample(data.train, count)
    return images, f"{count:,} of the training images, on which the networks were trained"


def list_chains(points):
    """Return the chains: the columns, and the columns followed by the whole network.

    Args:
        points: analysis.anytime.Points of the columns, shallowest first, and of the whole network.

    Returns:
        Tuples of indices of ``points``.
    """
    columns = tuple(range(len(points) - 1))
    return [chain for chain in (columns, (*columns, len(columns))) if len(chain) > 1]


def choose_thresholds(found):
    """Return ascending thresholds that divide the images evenly by the networks' confidence.

    Args:
        found: Predictions of every network on the same images.
    """
    sure = np.concatenate([each.confidences for each in found])
    quantiles = np.quantile(sure, np.linspace(0, 1, THRESHOLDS))
    return [0.0, *np.unique(quantiles).tolist(), NEVER_REACHED]


def measure_exit(
    points: Sequence[Point],
    found: Sequence[Predictions],
    chain: Tuple[int, ...],
    threshold: float,
) -> Exit:
    """Return the Exit of ``chain`` at ``threshold``.

    Args:
        points, found: Points and Predictions of every network, in the same order.
    """
    logits, answered = answer_early(
        lambda index, rows: (found[index].logits[rows], found[index].confidences[rows]),
        len(found[0]),
        chain,
        threshold,
    )
    shares = [float((answered == position).mean()) for position in range(len(chain))]
    reached = 1 - np.cumsum([0, *shares[:-1]])
    return Exit(
        chain=chain,
        threshold=threshold,
        error=Predictions(logits, found[0].labels).error(),
        multiply_adds=float(reached @ [points[index].multiply_adds for index in chain]),
        seconds=float(reached @ [points[index].seconds[1] for index in chain]),
        shares=tuple(shares),
    )


def trace_curves(points, found, thresholds):
    """Return, for each chain, its Exits at ``thresholds``; see ``measure_exit``."""
    return [
        [measure_exit(points, found, chain, threshold) for threshold in thresholds]
        for chain in list_chains(points)
    ]


def match_costs(
    points: Sequence[Point], picking: Sequence[Predictions], testing: Sequence[Predictions]
) -> List[Optional[Exit]]:
    """Return, for each network, the best Exit that costs no more than it, or None.

    The cost is multiply-adds, which do not depend on other work on the machine. Chain and threshold
    are those with the lowest error on the images for picking; of equal errors, the cheapest. The
    Exit is measured on the images for testing, where the mean cost may differ slightly.

    Args:
        points: Points of the networks.
        picking, testing: Predictions of every network on the two sets of images.
    """
    curves = trace_curves(points, picking, choose_thresholds(picking))
    exits = sorted((e for curve in curves for e in curve), key=lambda e: (e.error, e.multiply_adds))
    chosen = (
        next((each for each in exits if each.multiply_adds <= point.multiply_adds), None)
        for point in points
    )
    return [each and measure_exit(points, testing, each.chain, each.threshold) for each in chosen]


def early_exit_table(points: Sequence[Point], matched: Sequence[Optional[Exit]]) -> List[List[str]]:
    """Return rows of a table, heading first: each network beside its Exit of ``match_costs``."""
    costs = ["error %", "ms", "M multiply-adds"]
    rows = [["network", *costs, *(f"early exit: {each}" for each in costs), "threshold", "shares"]]
    for point, found in zip(points, matched):
        cells = [point.name, *_words(point.error, point.seconds[1], point.multiply_adds)]
        if found is None:
            rows.append([*cells, *["-"] * 5])
            continue
        cells += [
            *_words(found.error, found.seconds, found.multiply_adds),
            str(found.threshold),  # exact: networks are often sure to 99.9999%
        ]
        shares = (f"{points[i].name} {100 * s:.0f}%" for i, s in zip(found.chain, found.shares))
        rows.append([*cells, ", ".join(shares)])
    return rows


def _words(error, seconds, multiply_adds):
    return f"{error:.2f}", f"{1000 * seconds:.2f}", f"{multiply_adds / 1e6:.1f}"
