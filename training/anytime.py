"""The anytime property: how fast and how good a network and each of its columns are."""

import time
from dataclasses import dataclass
from statistics import median

import numpy as np

from training.curves import BLACK, COLOURS, new_figure, save_figure

BATCH_SIZES = (1, 100)
ROUNDS = 15


@dataclass(frozen=True)
class Point:
    """A network of its own, or a part of one."""

    name: str
    depth: int
    parameters: int
    multiply_adds: int
    error: float  # percent
    loss: float
    seconds: dict  # batch size -> what its prediction takes, images in to logits out


def measure(engine, parts, shape, rounds=ROUNDS):
    """Seconds that a prediction takes: for each of ``parts``, {batch size: median over rounds}.

    All are timed by turns, after a round that is not counted.

    Args:
        shape: of an image, (channels, height, width).
    """
    times = {(part, size): [] for part in parts for size in BATCH_SIZES}
    for _ in range(rounds + 1):
        for (part, size), taken in times.items():
            images = np.zeros((size, *shape), np.float32)
            started = time.perf_counter()
            engine.gather(engine.predict(images, part))
            taken.append(time.perf_counter() - started)
    return [{size: median(times[part, size][1:]) for size in BATCH_SIZES} for part in parts]


def anytime_table(points):
    """Points as rows of words, the heading first."""
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


def draw_anytime(points, path, title):
    """Draw error over latency, a panel a batch size, into the PNG at ``path``.

    Args:
        points: of the columns, shallowest first, then of the whole network.
    """
    figure = new_figure()
    for axes, size in zip(figure.subplots(1, len(BATCH_SIZES)), BATCH_SIZES):
        places = [(1000 * point.seconds[size], point.error) for point in points]
        axes.plot(*zip(*places[:-1]), "-o", color=COLOURS[0])
        axes.plot(*places[-1], "s", color=BLACK)
        for point, place in zip(points, places):
            axes.annotate(point.name, place, xytext=(6, 4), textcoords="offset points")
        axes.set(xlabel=f"latency (ms), batch {size}", ylabel="error (%)")
        axes.margins(x=0.25, y=0.15)
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    save_figure(figure, path)
