"""Settings side by side: what a figure shows of each, however it is drawn."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Optional

from plotting.figure import COLOURS, MARKERS
from results.aggregate import describe_recipe, median_run
from results.papers import paper_error

SPLITS = ("train", "test")


@dataclass(frozen=True)
class Line:
    """Errors (%) over epochs: those of the median run, and the range over all."""

    median: tuple
    lowest: tuple
    highest: tuple


@dataclass(frozen=True)
class Setting:
    """The finished runs of one setting, as a figure shows them."""

    label: str
    colour: str
    marker: str  # matplotlib's name; with the colour it is the setting's alone up to 36 settings
    parameters: int
    multiply_adds: int
    train: Line
    test: Line
    paper: Optional[float]


def compare_settings(settings):
    """{data set: its Settings}, from results.aggregate.read_settings."""
    by_dataset = defaultdict(list)
    for records in settings:
        by_dataset[records[0].run.dataset].append(records)
    return {
        dataset: [
            _setting(index, label, records)
            for index, (label, records) in enumerate(zip(_labels(groups), groups))
        ]
        for dataset, groups in by_dataset.items()
    }


def curve_limit(settings):
    """Height of a panel of curves, or None: of all but the first tenth of epochs, often high."""
    highest = (
        error
        for setting in settings
        for part in SPLITS
        for error in getattr(setting, part).highest[len(setting.test.median) // 10 :]
    )
    return 1.05 * max(highest) or None


def _setting(index, label, records):
    run, facts = records[0].run, records[0].facts
    return Setting(
        label=f"{label} ({len(records)} runs)" if len(records) > 1 else label,
        colour=COLOURS[index % len(COLOURS)],
        marker=MARKERS[(index + index // len(COLOURS)) % len(MARKERS)],
        parameters=facts.parameters,
        multiply_adds=facts.multiply_adds,
        train=_line(records, "train"),
        test=_line(records, "test"),
        paper=paper_error(run),
    )


def _line(records, part):
    """Epoch by epoch; runs of one setting have as many epochs."""
    key = f"{part}_error"
    epochs = list(zip(*([row[key] for row in record.rows] for record in records)))
    return Line(
        median=tuple(row[key] for row in median_run(records).rows),
        lowest=tuple(map(min, epochs)),
        highest=tuple(map(max, epochs)),
    )


def _labels(groups):
    """A name for each setting, with as much of it as tells it from the others."""
    labels = [_size(records[0]) for records in groups]
    for describe in (describe_recipe, _epochs):
        extras = [describe(records[0]) for records in groups]
        found = defaultdict(set)
        for label, extra in zip(labels, extras):
            found[label].add(extra)
        labels = [
            f"{label}, {extra}" if len(found[label]) > 1 else label
            for label, extra in zip(labels, extras)
        ]
    return labels


def _size(record):
    run = record.run
    return f"{run.network} {run.depth or record.facts.layers} widen {run.widen_factor}"


def _epochs(record):
    return f"{record.run.recipe.epochs} epochs"
