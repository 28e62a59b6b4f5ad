"""Compute statistics over the runs of each setting."""

import json
import math
import os
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import List, Optional, Sequence, Tuple, Union

from results.papers import explain_difference, paper_error
from training.build import column_depths
from training.recipe import RECIPES, differences, show_value
from training.run_folder import find_runs, is_published, shorten_source
from training.run_record import RunRecord, keep_newest, read_run


@dataclass(frozen=True)
class Statistics:
    """Errors (%) of the last epoch over runs, as the papers give them."""

    median: float  # the error of an actual run; with an even count, the worse of the middle two
    mean: float
    std: float  # population standard deviation
    best: float
    errors: Tuple[float, ...]  # errors of all runs, lowest first

    def __str__(self):
        if len(self.errors) < 3:  # too few for statistics: list the errors
            return ", ".join(f"{error:.2f}" for error in self.errors)
        return f"{self.median:.2f} ({self.mean:.2f} +/- {self.std:.2f}, {self.best:.2f})"


def statistics(errors: Sequence[float]) -> Statistics:
    """Return the Statistics of errors (%), one for each run.

    Raises:
        IndexError: there are no errors.
    """
    ordered = sorted(errors)
    median = _median(ordered)
    mean = math.fsum(ordered) / len(ordered)
    variance = math.fsum((error - mean) ** 2 for error in ordered) / len(ordered)
    return Statistics(median, mean, math.sqrt(variance), ordered[0], tuple(ordered))


def median_run(records: Sequence[RunRecord]) -> RunRecord:
    """Return, of the records of one setting, the run whose error is the median of Statistics."""
    return _median(sorted(records, key=lambda record: record.rows[-1]["test_error"]))


def _median(ordered):
    return ordered[len(ordered) // 2]


@dataclass(frozen=True)
class Result:
    """A line of the table: all finished runs of one setting, or a column of their network."""

    dataset: str
    network: str
    column: Optional[int]  # None: the whole network
    depth: Optional[int]
    widen_factor: int
    layers: Optional[int]  # on the longest path; None for a column
    parameters: Optional[int]  # None for a column, which shares the whole network's
    epochs: int
    recipe: str  # its name, and each value that was changed
    runs: int
    test_error: Statistics  # on the images that ``tested_on`` names
    train_error: Optional[Statistics]  # None for a column
    paper: Optional[float]  # the paper's error (%), if recipe and data are the paper's
    paper_note: str  # why ``paper`` is None although the paper has this network
    tested_on: str  # "test", or "held-out" images of the training set
    diverged: Tuple[int, ...]  # seeds of the runs of which RunRecord.diverged is true
    stopped_after: Tuple[int, ...] = ()  # epochs of the runs that --early-stop ended


def collect(path: Union[str, Path]) -> Tuple[List[Result], List[RunRecord]]:
    """Read every run at or below ``path``.

    Returns:
        (Results by data set, network and size; excluded RunRecords, each with a ``problem`` that
        says why).

    Raises:
        InputError: ``path`` does not exist.
    """
    settings, left_out = read_settings(path)
    return tabulate(settings), left_out


def read_settings(path: Union[str, Path]) -> Tuple[List[List[RunRecord]], List[RunRecord]]:
    """Read every run at or below ``path`` and group the runs that differ only in the seed.

    Of several runs with the same setting and seed, one counts; see ``keep_newest``.

    Returns:
        (a list of RunRecords for each setting; excluded RunRecords).

    Raises:
        InputError: ``path`` does not exist.
    """
    groups, left_out = defaultdict(list), []
    records = [read_run(folder) for folder in find_runs(path)]
    sources = _list_sources(records)
    for record in records:
        if record.problem:
            left_out.append(record)
        else:
            groups[_setting(record, sources)].append(record)
    settings = []
    for records in groups.values():
        counted, repeated = _split_repeated(records)
        settings.append(counted)
        left_out += repeated
    return sorted(settings, key=_order), left_out


def tabulate(settings: Sequence[Sequence[RunRecord]]) -> List[Result]:
    """Return the Results of ``read_settings``."""
    recipes = describe_recipes(settings)
    return [r for records, recipe in zip(settings, recipes) for r in _results(records, recipe)]


def table_name(what) -> str:
    """Return the heading of the table that contains a Run or a Result.

    Errors on held-out images have separate tables and figures.
    """
    return what.dataset if what.tested_on == "test" else f"{what.dataset} {what.tested_on}"


def _split_repeated(records):
    """Split runs of one setting into those that count, one for each seed, and the others.

    The ``problem`` of the others says which run counts instead.
    """
    counted = keep_newest(records)
    kept = [record for record in records if counted[record.run.seed] is record]
    repeated = [record for record in records if counted[record.run.seed] is not record]
    return kept, [
        replace(record, problem=_describe_repetition(record, counted[record.run.seed]))
        for record in repeated
    ]


def _describe_repetition(record, counted):
    why = "is newer"
    if is_published(record.folder) and not is_published(counted.folder):
        why = "takes precedence over a published run"
    return f"repeats seed {record.run.seed}: {counted.folder} has the same setting and {why}"


def _order(records):
    run, info = records[0].run, records[0].info
    depth = run.depth or info.layers
    return run.dataset, run.network, depth, run.widen_factor, run.recipe.epochs


def _list_sources(records):
    """Return {source without folders, as in a published run: the paths that it may stand for}."""
    sources = defaultdict(set)
    for record in records:
        if record.run and os.path.isabs(record.run.init_from or ""):
            path = os.path.normpath(record.run.init_from)
            sources[shorten_source(path)].add(path)
    return sources


def _setting(record, sources):
    """Return a key of everything that determines a result except the seed.

    Args:
        sources: the value of ``_list_sources``. If a published run's source can be only one path,
            the run has the setting of the runs from this path.
    """
    run, info = record.run, record.info
    source = run.init_from and os.path.normpath(run.init_from)
    if len(sources.get(source, ())) == 1:
        (source,) = sources[source]
    same = replace(run, seed=0, data_dir="", train_file="", test_file="", init_from=source)
    return same, json.dumps([info.data, info.devices, info.workers], sort_keys=True)


def describe_recipes(settings: Sequence[Sequence[RunRecord]]) -> List[str]:
    """Return, for each setting, its recipe's name and each value that was changed.

    If settings of one table have the same names of files but different images, such as CIFAR-10
    and copies of it, the checksums of their training and test images follow. The path of trained
    parameters that a run started from is shortened if this leaves different paths different.
    """
    images, sources = defaultdict(set), _name_sources(settings)
    for first, *_ in settings:
        images[_name_images(first)].add(_show_checksums(first))
    return [
        _describe_recipe(first, sources)
        + _show_checksums(first) * (len(images[_name_images(first)]) > 1)
        for first, *_ in settings
    ]


def _name_images(record):
    run = record.run
    return run.dataset, run.val_split, run.train_file, run.test_file


def _show_checksums(record):
    found = (record.info.images(part).get("crc32") for part in ("train", "test"))
    shown = (f"{each:08x}" if isinstance(each, int) else "unknown" for each in found)
    return f", images CRC-32 {' and '.join(shown)}"


def _describe_recipe(record, sources):
    """Return the recipe's name, and each value that was changed; see ``_name_sources``."""
    run, info = record.run, record.info
    known = run.recipe_name in RECIPES  # a later version may have changed a recipe's values
    changes = differences(run.recipe, run.recipe_name) if known else info.recipe_changes
    changes = [f"{k} {show_value(v)}" for k, v in changes.items() if k != "epochs"]
    usual = ("train.rec", "test.rec" if run.classes is None else "val.rec")
    files = [name for name, own in zip((run.train_file, run.test_file), usual) if name != own]
    if files:
        changes.append(f"with {' and '.join(files)}")
    if run.val_split:
        changes.append(f"on {run.val_split} held out")
    if run.init_from:
        changes.append(f"from {sources[run.init_from]}")
    if run.dtype != "float32":
        changes.append(run.dtype)
    if run.classes is not None:
        changes.append(f"{run.data_shape} x {run.data_shape} pixels")
    if info.devices > 1:
        changes.append(f"{info.devices} devices")
    if info.workers > 1:
        changes.append(f"{info.workers} workers")
    return ", ".join([run.recipe_name, *changes])


def _name_sources(settings):
    """Return {init_from: its name in tables}: its end, or the whole path if others end equally."""
    sources = {first.run.init_from for first, *_ in settings} - {None}
    ends = Counter(map(_name_source, sources))
    return {s: _name_source(s) if ends[_name_source(s)] == 1 else s for s in sources}


def _name_source(source):
    """Return the path of a run from its data set's folder on; of others, the last two names."""
    short = shorten_source(source)
    return short if "/" in short else "/".join(Path(source).parts[-2:])


def _results(records, recipe):
    """Return the Result of one setting, then one for each column that all of its runs tested."""
    run, info = records[0].run, records[0].info
    last = [record.rows[-1] for record in records]
    note = explain_difference(run, info)
    whole = Result(
        dataset=run.dataset,
        network=run.network,
        column=None,
        depth=run.depth,
        widen_factor=run.widen_factor,
        layers=info.layers,
        parameters=info.parameters,
        epochs=run.recipe.epochs,
        recipe=recipe,
        runs=len(records),
        test_error=statistics([row["test_error"] for row in last]),
        train_error=statistics([row["train_error"] for row in last]),
        paper=None if note else paper_error(run),
        paper_note=note,
        tested_on=run.tested_on,
        diverged=tuple(sorted(record.run.seed for record in records if record.diverged)),
        stopped_after=tuple(sorted(row["epoch"] for row in last if row.get("stopped_early"))),
    )
    columns = list(zip(*(row.get("column_errors", ()) for row in last)))
    return [whole] + [
        _column_result(whole, run, index, errors) for index, errors in enumerate(columns)
    ]


def _column_result(whole, run, index, errors):
    """Return the Result of column ``index``, from its errors in the runs."""
    paper = paper_error(run, index)
    depths = column_depths(run.network, run.depth)
    return replace(
        whole,
        column=index,
        depth=depths[index] if index < len(depths) else None,
        layers=None,
        parameters=None,
        test_error=statistics(errors),
        train_error=None,
        paper=None if whole.paper_note else paper,
        paper_note="" if paper is None else whole.paper_note,
    )
