"""Results over several runs, beside the papers'."""

import csv
import io
import json
import math
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from typing import Optional

from plotting.tables import aligned, markdown
from results.papers import paper_error
from training.run_folder import find_runs, read_run


@dataclass(frozen=True)
class Statistics:
    """Errors (%) of the last epoch over runs, as the papers give them."""

    median: float  # an actual run's; with an even count the worse of the middle two
    mean: float
    std: float  # over the population
    best: float

    def __str__(self):
        return f"{self.median:.2f} ({self.mean:.2f} +/- {self.std:.2f}, {self.best:.2f})"


def statistics(errors):
    """Statistics of a non-empty list of errors, one a run."""
    ordered = sorted(errors)
    mean = math.fsum(ordered) / len(ordered)
    variance = math.fsum((error - mean) ** 2 for error in ordered) / len(ordered)
    return Statistics(_median(ordered), mean, math.sqrt(variance), ordered[0])


def median_run(records):
    """Of RunRecords of one setting, the one whose error is the median of the Statistics."""
    return _median(sorted(records, key=lambda record: record.rows[-1]["test_error"]))


def _median(ordered):
    return ordered[len(ordered) // 2]


@dataclass(frozen=True)
class Result:
    """A line of the table: every finished run of one setting, or a column of their network."""

    dataset: str
    network: str
    column: Optional[int]  # None: the whole network
    depth: Optional[int]
    widen_factor: int
    layers: int
    parameters: int
    epochs: int
    recipe: str  # its name, and each value that was changed
    runs: int
    test_error: Statistics
    train_error: Optional[Statistics]  # None for a column
    paper: Optional[float]


def collect(path):
    """Read every run at or below ``path``.

    Returns:
        (Results by data set, network and size; RunRecords that could not be used, with why).

    Raises:
        InputError: ``path`` does not exist.
    """
    settings, left_out = read_settings(path)
    return tabulate(settings), left_out


def read_settings(path):
    """``collect`` before it counts: (lists of RunRecords of one setting; those left out)."""
    groups, left_out = defaultdict(list), []
    for record in map(read_run, find_runs(path)):
        if record.problem:
            left_out.append(record)
        else:
            groups[_setting(record)].append(record)
    return sorted(groups.values(), key=_order), left_out


def tabulate(settings):
    """The Results of ``read_settings``."""
    return [result for records in settings for result in _results(records)]


def _order(records):
    run, facts = records[0].run, records[0].facts
    depth = run.depth or facts.layers
    return run.dataset, run.network, depth, run.widen_factor, run.recipe.epochs


def _setting(record):
    """What runs have in common that may be averaged: all that decides a result but the seed."""
    same = replace(record.run, seed=0, data_dir="", train_file="", test_file="")
    facts = record.facts
    return same, json.dumps([facts.data, facts.devices, facts.workers], sort_keys=True)


def describe_recipe(record):
    """The recipe's name, and each value that was changed."""
    run, facts = record.run, record.facts
    changes = [f"{k} {v}" for k, v in facts.recipe_changes.items() if k != "epochs"]
    if run.val_split:
        changes.append(f"on {run.val_split} held out")
    if run.dtype != "float32":
        changes.append(run.dtype)
    if run.classes is not None:
        changes.append(f"{run.data_shape} x {run.data_shape} pixels")
    if facts.devices > 1:
        changes.append(f"{facts.devices} devices")
    if facts.workers > 1:
        changes.append(f"{facts.workers} workers")
    return ", ".join([run.recipe_name, *changes])


def _results(records):
    """The Result of runs of one setting, then one for each column that all of them tested."""
    run, facts = records[0].run, records[0].facts
    last = [record.rows[-1] for record in records]
    whole = Result(
        dataset=run.dataset,
        network=run.network,
        column=None,
        depth=run.depth,
        widen_factor=run.widen_factor,
        layers=facts.layers,
        parameters=facts.parameters,
        epochs=run.recipe.epochs,
        recipe=describe_recipe(records[0]),
        runs=len(records),
        test_error=statistics([row["test_error"] for row in last]),
        train_error=statistics([row["train_error"] for row in last]),
        paper=paper_error(run),
    )
    columns = list(zip(*(row.get("column_errors", ()) for row in last)))
    return [whole] + [
        replace(
            whole,
            column=index,
            depth=run.depth and run.depth >> (len(columns) - 1 - index),
            test_error=statistics(errors),
            train_error=None,
            paper=paper_error(run, index),
        )
        for index, errors in enumerate(columns)
    ]


COLUMNS = {
    "network": lambda r: r.network if r.column is None else f"- column {r.column} alone",
    "depth": lambda r: "-" if r.depth is None else str(r.depth),
    "widen": lambda r: str(r.widen_factor),
    "layers": lambda r: str(r.layers) if r.column is None else "",
    "parameters": lambda r: f"{r.parameters:,}" if r.column is None else "",
    "epochs": lambda r: str(r.epochs),
    "recipe": lambda r: r.recipe,
    "runs": lambda r: str(r.runs),
    "test error %": lambda r: str(r.test_error),
    "train error %": lambda r: str(r.train_error or ""),
    "paper %": lambda r: "" if r.paper is None else f"{r.paper:.2f}",
}
CAPTION = "errors of the last epoch: median (mean +/- std, best)"


def as_text(results, left_out):
    """A table a data set, aligned; then the runs left out."""
    return _tables(results, left_out, aligned, heading="{}: " + CAPTION)


def as_markdown(results, left_out):
    """The same in Markdown."""
    return _tables(results, left_out, markdown, heading="### {}\n\n" + CAPTION.capitalize() + "\n")


def _tables(results, left_out, table, heading):
    parts = []
    for dataset in sorted({result.dataset for result in results}):
        rows = [
            [show(result) for show in COLUMNS.values()]
            for result in results
            if result.dataset == dataset
        ]
        parts.append(heading.format(dataset) + "\n" + table([list(COLUMNS), *rows]))
    if left_out:
        lines = [f"- {record.folder}: {record.problem}" for record in left_out]
        parts.append("\n".join(["left out:", *lines]))
    return "\n\n".join(parts) or "no runs yet"


def as_csv(results, left_out):
    """A line a setting; runs left out have their folder and problem in the last two columns."""
    out = io.StringIO()
    names = [name for name in Result.__dataclass_fields__ if not name.endswith("_error")]
    figures = [
        f"{part}_{kind}"
        for part in ("test_error", "train_error")
        for kind in Statistics.__dataclass_fields__
    ]
    writer = csv.DictWriter(out, [*names, *figures, "left_out", "problem"], lineterminator="\n")
    writer.writeheader()
    for result in results:
        row = {name: getattr(result, name) for name in names}
        for part in ("test_error", "train_error"):
            if getattr(result, part) is not None:
                values = asdict(getattr(result, part))
                row.update({f"{part}_{kind}": value for kind, value in values.items()})
        writer.writerow(row)
    for record in left_out:
        writer.writerow({"left_out": record.folder, "problem": record.problem})
    return out.getvalue().rstrip("\n")


def as_json(results, left_out):
    """An object of ``results`` and ``left_out``."""
    left = [{"folder": str(record.folder), "problem": record.problem} for record in left_out]
    return json.dumps({"results": [asdict(r) for r in results], "left_out": left}, indent=1)


REPORT_FORMATS = {"text": as_text, "markdown": as_markdown, "csv": as_csv, "json": as_json}
