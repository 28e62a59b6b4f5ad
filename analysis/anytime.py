"""Measure the anytime property: time and error of a network and of each of its columns."""

import time
from dataclasses import dataclass
from itertools import product
from statistics import median
from typing import Dict, List, Optional, Sequence

import numpy as np

from network.complexity import complexity
from training.evaluation import TrainedRun
from training.metrics import Predictions

BATCH_SIZES = (1, 100)
ROUNDS = 15


@dataclass(frozen=True)
class Point:
    """The time and error of a whole network, or of one of its columns."""

    name: str
    depth: Optional[int]  # None if the depth is part of the network's name
    parameters: int
    multiply_adds: int
    error: float  # percent
    loss: float
    seconds: Dict[int, float]  # batch size -> time of a prediction, from images to logits


def measure_latency(engine, subnetworks, shape):
    """Return {batch size: median seconds of a prediction} for each of ``subnetworks``.

    For each batch size, they are timed in turn, ``ROUNDS`` times, after a warm-up round that is not
    counted. Sizes do not take turns: MXNet plans a network's memory again for each change of size.

    Args:
        subnetworks: indices of columns; None is the whole network.
        shape: shape of an image, (channels, height, width).
    """
    times = {(index, size): [] for index in subnetworks for size in BATCH_SIZES}
    for size, _, index in product(BATCH_SIZES, range(ROUNDS + 1), subnetworks):
        images = np.zeros((size, *shape), np.float32)
        started = time.perf_counter()
        engine.to_numpy(engine.predict(images, index))
        times[index, size].append(time.perf_counter() - started)
    return [{size: median(times[index, size][1:]) for size in BATCH_SIZES} for index in subnetworks]


def measure_columns(trained: TrainedRun, found: Sequence[Predictions]) -> List[Point]:
    """Measure the latency of every column and of the whole network; return their Points.

    Args:
        trained: the run.
        found: Predictions of each column, shallowest first, and of the whole network.
    """
    engine, shape = trained.engine, trained.data.image_shape
    indices, points = [*range(engine.num_subnetworks), None], []
    for index, predicted, seconds in zip(indices, found, measure_latency(engine, indices, shape)):
        cost = complexity(engine.network(index), shape)
        points.append(
            Point(
                name="whole" if index is None else f"column {index}",
                depth=trained.run.depth if index is None else engine.net.depths[index],
                parameters=cost.parameters,
                multiply_adds=cost.multiply_adds,
                error=predicted.error(),
                loss=predicted.loss,
                seconds=seconds,
            )
        )
    return points


def anytime_table(points: Sequence[Point]) -> List[List[str]]:
    """Return the rows of a table of Points, the heading first."""
    head = ["network", "depth", "parameters", "M multiply-adds", "error %", "loss"]
    for size in BATCH_SIZES:
        head += [f"ms, batch {size}", f"images/s, batch {size}"]
    rows = [head]
    for point in points:
        cells = [point.name, str(point.depth), f"{point.parameters:,}"]
        cells += [f"{point.multiply_adds / 1e6:.1f}", f"{point.error:.2f}", f"{point.loss:.4f}"]
        for size in BATCH_SIZES:
            seconds = point.seconds[size]
            cells += [f"{1000 * seconds:.2f}", f"{size / seconds:,.0f}"]
        rows.append(cells)
    return rows
