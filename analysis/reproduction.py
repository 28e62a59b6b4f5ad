"""Judge the papers' claims from finished runs: effects, intervals and verdicts."""

import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, variance
from typing import Dict, List, Optional, Tuple, Union

from analysis.claims import (
    CLAIMS,
    IMAGENET_TEST_IMAGES,
    IMAGENET_TRAIN_IMAGES,
    TEST_IMAGES,
    TRAIN_IMAGES,
    Claim,
    require_scale,
)
from command import InputError
from filesystem import write_text
from training.run_folder import find_runs, is_published
from training.run_record import keep_newest, read_run

MEMBERS = "members.json"  # beside a run's log: errors with and without its members
SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"


@dataclass(frozen=True)
class Counts:
    """Numbers of runs of a setting; each seed counts once."""

    finished: int
    unmeasured: int  # of these, runs without the results that the claim needs
    diverged: int  # runs whose loss diverged

    def __str__(self):
        more = [f"{self.unmeasured} not measured"] if self.unmeasured else []
        more += [f"{self.diverged} diverged"] if self.diverged else []
        if not more:
            return str(self.finished)
        return f"{self.finished} finished, {', '.join(more)}"


@dataclass(frozen=True)
class Judgement:
    """A claim at a scale, with its effect and verdict from the runs."""

    claim: Claim
    scale: str
    runs: Dict[str, Counts]  # by setting, in words
    folders: Tuple[str, ...]
    effect: Optional[float]  # points, or nats; None if it cannot be computed yet
    low: Optional[float]  # of the 95% interval; None with too few runs
    high: Optional[float]
    verdict: str

    def describe_effect(self) -> str:
        """Return the effect and its interval in words, or "-"."""
        if self.effect is None:
            return "-"
        if self.low is None:
            return f"{self.effect:+.2f}"
        return f"{self.effect:+.2f} ({self.low:+.2f} to {self.high:+.2f})"


def judge_claims(folder: Union[str, Path], scale: str) -> List[Judgement]:
    """Return the Judgement of every claim from the runs at or below ``folder``.

    Raises:
        InputError: ``scale`` is not one of analysis.claims.SCALES.
    """
    require_scale(scale)
    records = list_ended(folder)
    return [judge(claim, scale, records) for claim in CLAIMS]


def list_ended(folder):
    """Return the RunRecords of the runs at or below ``folder`` that finished or diverged."""
    try:
        records = map(read_run, find_runs(folder))
    except InputError:  # without the folder, nothing has been trained
        return []
    return [record for record in records if record.diverged or not record.problem]


def find_evidence(records, setting):
    """Return the finished RunRecords of ``setting``, one for each seed; see ``keep_newest``.

    They were trained in float32 on all training images, on one device, from random values, and were
    tested on the test set.
    """
    return _find(records, setting, diverged=False)


def find_diverged(records, setting):
    """Return the RunRecords of ``setting`` whose loss diverged, one for each seed."""
    return _find(records, setting, diverged=True)


def _find(records, setting, diverged):
    matching = (each for each in records if _matches(each, setting) and each.diverged is diverged)
    found = keep_newest(matching)
    return [found[seed] for seed in sorted(found)]


def _matches(record, setting):
    run, info = record.run, record.info
    images = TRAIN_IMAGES, TEST_IMAGES
    if setting.dataset == "imagenet":
        images = IMAGENET_TRAIN_IMAGES, IMAGENET_TEST_IMAGES
    return (
        (run.network, run.depth, run.widen_factor, run.dataset, run.dtype)
        == (setting.network, setting.depth, setting.widen_factor, setting.dataset, "float32")
        and run.recipe == setting.recipe
        and not (run.val_split or run.init_from)
        and info.devices * info.workers == 1
        and tuple(info.images(which).get("examples") for which in ("train", "test")) == images
    )


def choose_images(records, settings):
    """Return those of ``records`` that used one version of the images.

    If there are several, such as a data set's own images and JPEG copies of them, it is the version
    on which the setting with the fewest finished runs has the most. Of equal versions, runs that
    diverged decide in the same way, and then the number of runs that are not published.
    """
    by_images = {}
    for record in records:
        by_images.setdefault(json.dumps(record.info.data, sort_keys=True), []).append(record)

    def count_runs(same):
        found = [[find(same, each) for each in settings] for find in (find_evidence, find_diverged)]
        ended = (record for kind in found for records in kind for record in records)
        own = sum(not is_published(record.folder) for record in ended)
        return [sorted(map(len, kind)) for kind in found], own

    return max(by_images.values(), key=count_runs, default=[])


def judge(claim, scale, records):
    """Return the Judgement of a claim from the RunRecords of runs that finished or diverged."""
    settings = [setting[scale] for setting in claim.settings]
    same = choose_images(records, settings)
    runs, folders, rows = {}, [], []
    for setting, need in zip(settings, claim.needs):
        finished, diverged = find_evidence(same, setting), find_diverged(same, setting)
        rows.append(_select_measured(map(_read_row, finished), need))
        unmeasured = len(finished) - len(rows[-1])
        runs[str(setting)] = Counts(len(finished), unmeasured, len(diverged))
        folders += [str(record.folder) for record in (*finished, *diverged)]
    samples = claim.effect(*rows) if all(rows) else [[]]
    if not all(samples):
        return Judgement(claim, scale, runs, tuple(folders), None, None, None, UNDECIDED)
    effect = mean(samples[0]) - (mean(samples[1]) if len(samples) > 1 else 0)
    low, high = interval(samples)
    verdict = decide(low, high, claim.bound)
    if any(counts.diverged for counts in runs.values()):
        verdict = UNDECIDED
    return Judgement(claim, scale, runs, tuple(folders), effect, low, high, verdict)


def _select_measured(rows, name):
    """Return the rows with a value ``name``; of lists, those with the most members or columns."""
    found = [row for row in rows if row.get(name) is not None]
    lengths = [len(row[name]) if isinstance(row[name], (list, dict)) else 2 for row in found]
    longest = max(lengths, default=0)  # a list of fewer than two is damaged
    return [row for row, length in zip(found, lengths) if length == longest > 1]


def summarize(judgements):
    """Return how many claims have which verdict, as a sentence."""
    counts = Counter(each.verdict for each in judgements)
    bare = sum(each.effect is None for each in judgements)
    more = f" For {bare} of the undecided ones, no effect can be computed yet." if bare else ""
    return (
        f"{len(judgements)} claims: {counts[SUPPORTED]} supported, {counts[CONTRADICTED]} "
        f"contradicted, {counts[UNDECIDED]} undecided.{more}"
    )


def tabulate_judgements(judgements):
    """Return Judgements as rows of a table, the heading first."""
    heading = ["claim", "source", "effect", "found (95% interval)", "claimed", "the paper"]
    rows = [[*heading, "runs", "verdict"]]
    for each in judgements:
        claim = each.claim
        runs = "; ".join(f"{setting}: {counts}" for setting, counts in each.runs.items())
        cells = [claim.sentence, claim.source, claim.statistic, each.describe_effect()]
        rows.append([*cells, f"below {claim.bound:g}", claim.quotes or "-", runs, each.verdict])
    return rows


def decide(low, high, bound):
    """Return the verdict on "the effect is below ``bound``" from its interval."""
    if low is None:
        return UNDECIDED
    if high < bound:
        return SUPPORTED
    return CONTRADICTED if low > bound else UNDECIDED


def interval(samples):
    """Return the 95% interval (low, high) of a mean, or of the difference of two means.

    It is Student's for one sample and Welch's for two, or (None, None) if a sample has only one
    number.
    """
    from scipy.stats import t

    if min(map(len, samples)) < 2:
        return None, None
    errors = [variance(sample) / len(sample) for sample in samples]  # squared, of each mean
    middle = mean(samples[0]) - (mean(samples[1]) if len(samples) > 1 else 0)
    total = sum(errors)
    if total == 0:
        return middle, middle
    freedom = total**2 / sum(e**2 / (len(s) - 1) for e, s in zip(errors, samples))
    margin = float(t.ppf(0.975, freedom)) * math.sqrt(total)
    return middle - margin, middle + margin


def _read_row(record):
    """Return the last row of a run's log, with its members' errors if they were measured."""
    return {**record.rows[-1], "members_without": read_members(record.folder)}


def read_members(folder):
    """Return the errors without each member of the run in ``folder``, from shallow to deep.

    None if they have not been measured, or if their file is damaged.
    """
    try:
        errors = json.loads((folder / MEMBERS).read_text(encoding="utf-8"))["without"]
        usable = isinstance(errors, list) and all(map(math.isfinite, errors)) and len(errors) > 1
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return errors if usable else None


def write_members(folder, study):
    """Write the errors of a run's members and ensembles to ``members.json`` in its folder.

    Args:
        study: an analysis.ensembling.Study.
    """
    content = {
        "whole": study.whole,
        "ensemble": study.ensemble,
        "lengths": [each.length for each in study.contributions],
        "alone": [each.alone for each in study.contributions],
        "without": [each.without for each in study.contributions],
    }
    write_text(folder / MEMBERS, json.dumps(content, indent=1) + "\n")
