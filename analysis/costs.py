"""What runs would take: hours, from speeds that were measured."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Dict, List, Sequence, Tuple

from analysis.claims import CLAIMS, IMAGENET_TRAIN_IMAGES, SEEDS, TRAIN_IMAGES, Setting
from analysis.reproduction import choose_images, find_diverged, find_evidence
from network import default_classes, get_model, image_shape, recipe_family
from network.complexity import complexity


@dataclass(frozen=True)
class Speed:
    """A speed of training that was measured."""

    network: str
    depth: int
    widen_factor: int
    images_per_second: float
    device: str
    source: str  # the page in docs/ that has it
    drop_path: str = "none"


TWO_CORES, H200 = "two CPU cores", "an H200, TF32"
SPEEDS = (  # each device becomes a column of the page of reproduction
    Speed("cross", 26, 1, 445, TWO_CORES, "benchmarks.md#growth"),
    Speed("cross", 56, 1, 210, TWO_CORES, "benchmarks.md#growth"),
    Speed("cross", 110, 1, 109, TWO_CORES, "benchmarks.md#growth"),
    Speed("cross", 56, 4, 19, TWO_CORES, "benchmarks.md#growth"),
    Speed("fractal", 20, 1, 525, TWO_CORES, "benchmarks.md#training", "mixed"),
    Speed("cross", 110, 1, 5943, H200, "benchmarks.md#on-a-gpu"),
    # twice the images per second of processor time
    Speed("cross_imagenet", 50, 1, 2 * 2.3, TWO_CORES, "imagenet.md#speed-and-memory"),
)
# Time of a FractalNet's training step, relative to a step without drop-path, which computes all of
# it: from the published runs of fractal 20 without augmentation, on one thread (219, 270 and 395
# images/s).
STEP_TIMES = {"none": 1.0, "local": 0.81, "mixed": 0.56}
# The papers' results that no claim is about.
FIGURES = (
    Setting("cross", 62, "deep-fusion", widen_factor=4),
    Setting("cross", 98, "deep-fusion", widen_factor=4),
    Setting("cross_imagenet", 50, "deep-fusion-imagenet", dataset="imagenet"),
)


@dataclass(frozen=True)
class Cost:
    """What the missing runs of a setting would take."""

    setting: Setting
    runs: int  # that are missing
    multiply_adds: float  # of the forward passes of a run's training
    hours: Dict[str, float]  # of a run, on each device that a speed is known of
    measured: bool  # whether the network's own speed was measured, on every device


def estimate_cost(setting: Setting, runs: int, speeds: Sequence[Speed] = SPEEDS) -> Cost:
    """Return the Cost of ``runs`` runs.

    Where a network's speed was not measured, it is that of the measured network of the same kind
    with the most similar number of multiply-adds, in proportion to these numbers and to STEP_TIMES.
    """
    own = _count_multiply_adds(*_size(setting))
    images = IMAGENET_TRAIN_IMAGES if setting.dataset == "imagenet" else TRAIN_IMAGES
    images *= setting.recipe.epochs
    hours, measured = {}, True
    for device in {speed.device: None for speed in speeds}:
        similar = [s for s in speeds if s.device == device and _kind(s) == _kind(setting)]
        counts = {speed: _count_multiply_adds(*_size(speed)) for speed in similar}
        if counts:
            nearest = min(similar, key=lambda speed: abs(math.log(counts[speed] / own)))
            seconds = images / nearest.images_per_second * own / counts[nearest]
            seconds *= STEP_TIMES[setting.recipe.drop_path] / STEP_TIMES[nearest.drop_path]
            hours[device] = seconds / 3600
            same = _size(nearest) == _size(setting)
            measured = measured and same and nearest.drop_path == setting.recipe.drop_path
    return Cost(setting, runs, float(own) * images, hours, measured)


def list_missing(records, scale: str) -> List[Cost]:
    """Return the Cost of every setting of the claims that has fewer runs than seeds.

    A run that diverged is not trained again. Of runs on several versions of the images, those on
    one version count.

    At the scale "paper", those of FIGURES that have no run follow, one run each.
    """
    settings = {str(each[scale]): each[scale] for claim in CLAIMS for each in claim.settings}
    missing = [(s, SEEDS[scale] - _count_seeds(records, s)) for s in settings.values()]
    figures = FIGURES if scale == "paper" else ()
    missing += [(setting, 1 - _count_seeds(records, setting)) for setting in figures]
    return [estimate_cost(setting, runs) for setting, runs in missing if runs > 0]


def _count_seeds(records, setting):
    same = choose_images(records, [setting])
    ended = (*find_evidence(same, setting), *find_diverged(same, setting))
    return len({record.run.seed for record in ended})


def tabulate_costs(costs: Sequence[Cost]) -> List[List[str]]:
    """Return Costs as rows of words, the heading first, their sum last."""
    devices = list({device: None for cost in costs for device in cost.hours})
    head = ["runs", "missing", "10^15 multiply-adds per run"]
    rows = [[*head, *(f"hours per run, {device}" for device in devices), "speed"]]
    for cost in costs:
        cells = [str(cost.setting), str(cost.runs), f"{cost.multiply_adds / 1e15:.2f}"]
        cells += [_hours(cost.hours.get(device)) for device in devices]
        rows.append([*cells, "measured" if cost.measured else "estimated"])
    sums = [sum(c.runs * c.hours.get(device, math.nan) for c in costs) for device in devices]
    work = sum(c.runs * c.multiply_adds for c in costs) / 1e15
    total = [f"{work:.2f}", *map(_hours, sums)]
    return [*rows, ["all of them together", str(sum(c.runs for c in costs)), *total, ""]]


def _hours(hours):
    if hours is None or math.isnan(hours):
        return "-"
    digits = 0 if hours >= 10 else 1 if hours >= 0.1 else 2
    return f"{hours:,.{digits}f}"


def _kind(what) -> Tuple[bool, int]:
    fractal = recipe_family(what.network).startswith("fractal")
    return fractal, image_shape(what.network)[1]


def _size(what):
    return what.network, what.depth, what.widen_factor


@lru_cache(maxsize=None)
def _count_multiply_adds(network: str, depth: int, widen_factor: int) -> int:
    net = get_model(network, depth, default_classes(network), widen_factor)
    return complexity(net, image_shape(network)).multiply_adds
