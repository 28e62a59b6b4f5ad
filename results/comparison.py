"""Compare settings: compute the values that every kind of figure shows."""

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from plotting.figure import COLOURS, MARKERS
from results.aggregate import describe_recipes, median_run, table_name
from results.papers import explain_difference, paper_error
from training.run_record import RunRecord

SPLITS = ("train", "test")
COST_MARGIN = 1.6  # factor by which an axis of costs extends on both sides


@dataclass(frozen=True)
class Line:
    """Errors (%) over epochs: those of the median run, and the range over all runs.

    A run that stopped early keeps its last error in the later epochs of the others.
    """

    median: Tuple[float, ...]
    lowest: Tuple[float, ...]
    highest: Tuple[float, ...]


@dataclass(frozen=True)
class Setting:
    """The finished runs of one setting, as shown in a figure."""

    label: str
    colour: str
    marker: str  # matplotlib's name; unique together with the colour for up to 36 settings
    parameters: int
    multiply_adds: int
    train: Line
    test: Line  # on the images that ``tested_on`` names
    tested_on: str  # "test" or "held-out"; the same in all settings of a figure
    paper: Optional[float]  # the paper's error (%), if recipe and data are the paper's
    diverged: Tuple[int, ...]  # seeds of runs whose loss diverged

    @property
    def legend(self) -> str:
        """Return the last error of the median run, the label, and the seeds that diverged."""
        seeds = ", ".join(map(str, self.diverged))
        end = f", diverged: seed {seeds}" if seeds else ""
        return f"{self.test.median[-1]:.2f}%  {self.label}{end}"


def compare_settings(settings: Sequence[Sequence[RunRecord]]) -> Dict[str, List[Setting]]:
    """Return ``{name: the Settings of its figure}``, with one figure for each table of results.

    The settings of a figure are in the order of their median errors, the lowest first.

    Args:
        settings: settings of results.aggregate.read_settings.
    """
    figures = defaultdict(list)
    for records in settings:
        figures[table_name(records[0].run)].append(records)
    return {name: _rank(groups) for name, groups in figures.items()}


def legend_title(settings: Sequence[Setting]) -> str:
    """Return what the numbers are with which the legend of a figure names its settings."""
    return f"{settings[0].tested_on} error, last epoch, median run"


def curve_limit(settings: Sequence[Setting]) -> Optional[float]:
    """Return the upper limit (%) of a panel of curves, or None if all errors are 0.

    The first tenth of the epochs, where errors are often high, is ignored.
    """
    highest = (
        error
        for setting in settings
        for split in SPLITS
        for error in getattr(setting, split).highest[len(setting.test.median) // 10 :]
    )
    return 1.05 * max(highest) or None


def cost_ticks(costs: Sequence[float]) -> List[float]:
    """Return ticks for a logarithmic axis of costs: usually 1, 2 and 5 of each decade, or fewer.

    The axis extends beyond ``costs`` by the factor COST_MARGIN. It has at least 2 ticks, because
    one does not show the scale, and at most 7, so that their labels do not overlap at the width of
    a phone.
    """
    low, high = min(costs) / COST_MARGIN, max(costs) * COST_MARGIN
    usual = (((1, 2, 5), 1), ((1, 3), 1), ((1,), 1), ((1,), 2), ((1,), 3))
    for digits, step in (*usual, ((1, 1.5, 2, 3, 5, 7), 1)):
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [digit * 10.0**k for k in decades if k % step == 0 for digit in digits]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if 2 <= len(ticks) <= 7:
            break
    return ticks


def _rank(groups):
    """Return the Settings of a figure, from the lowest median error to the highest."""
    ranked = sorted(groups, key=lambda records: median_run(records).rows[-1]["test_error"])
    return [
        _setting(index, label, records)
        for index, (label, records) in enumerate(zip(_labels(ranked), ranked))
    ]


def _setting(index, label, records):
    run, info = records[0].run, records[0].info
    return Setting(
        label=f"{label} ({len(records)} runs)" if len(records) > 1 else label,
        colour=COLOURS[index % len(COLOURS)],
        marker=MARKERS[(index + index // len(COLOURS)) % len(MARKERS)],
        parameters=info.parameters,
        multiply_adds=info.multiply_adds,
        train=_line(records, "train"),
        test=_line(records, "test"),
        tested_on=run.tested_on,
        paper=None if explain_difference(run, info) else paper_error(run),
        diverged=tuple(record.run.seed for record in records if record.diverged),
    )


def _line(records, split):
    """Return the Line of runs of one setting."""
    longest = max(len(record.rows) for record in records)

    def list_errors(record):
        errors = [row[f"{split}_error"] for row in record.rows]
        return errors + errors[-1:] * (longest - len(errors))

    epochs = list(zip(*map(list_errors, records)))
    return Line(
        median=tuple(list_errors(median_run(records))),
        lowest=tuple(map(min, epochs)),
        highest=tuple(map(max, epochs)),
    )


def _labels(groups):
    """Return a name for each setting, with its recipe and epochs where these differ."""
    labels = [_size(records[0]) for records in groups]
    epochs = [f"{records[0].run.recipe.epochs} epochs" for records in groups]
    for extras in (describe_recipes(groups), epochs):
        if len(set(extras)) > 1:
            labels = [f"{label}, {extra}" for label, extra in zip(labels, extras)]
    return labels


def _size(record):
    run = record.run
    return f"{run.network} {run.depth or record.info.layers} widen {run.widen_factor}"
