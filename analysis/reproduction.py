"""Judge the papers' claims from finished runs: effects, intervals and verdicts."""

import json
import math
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import mean, variance
from typing import Dict, List, Optional, Tuple, Union

from analysis.claims import CLAIMS, TEST_IMAGES, TRAIN_IMAGES, Claim, require_scale
from analysis.paths import PAPER_CHANCES, binomial_lengths, mean_and_deviation, walk_lengths
from command import InputError
from network import get_model
from training.run_folder import find_runs, keep_newest, read_run
from training.serialization import write_whole

MEMBERS = "members.json"  # beside a run's log: errors with and without its members
SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"
FUSIONS = 9  # blocks of the networks whose path lengths the paper prints


@dataclass(frozen=True)
class Judgement:
    """A claim at a scale, with its effect and verdict from the runs."""

    claim: Claim
    scale: str
    runs: Dict[str, int]  # setting, in words -> number of runs
    folders: Tuple[str, ...]
    effect: Optional[float]  # points; None if a setting has no run
    low: Optional[float]  # of the 95% interval; None with too few runs
    high: Optional[float]
    verdict: str


def judge_claims(folder: Union[str, Path], scale: str) -> List[Judgement]:
    """Return the Judgement of every claim from the finished runs at or below ``folder``.

    Raises:
        InputError: ``scale`` is not one of analysis.claims.SCALES.
    """
    require_scale(scale)
    records = list_finished(folder)
    return [judge(claim, scale, records) for claim in CLAIMS]


def list_finished(folder):
    """Return the RunRecords of the finished runs at or below ``folder``."""
    try:
        records = map(read_run, find_runs(folder))
    except InputError:  # without the folder, nothing has been trained
        return []
    return [record for record in records if not record.problem]


def find_evidence(records, setting):
    """Return the RunRecords of ``setting``, one for each seed; see ``keep_newest``.

    They were trained on all training images, on one device, from random values, and were tested on
    the test set.
    """
    found = keep_newest(record for record in records if _matches(record, setting))
    return [found[seed] for seed in sorted(found)]


def _matches(record, setting):
    run, info = record.run, record.info
    return (
        (run.network, run.depth, run.widen_factor, run.dataset)
        == (setting.network, setting.depth, setting.widen_factor, setting.dataset)
        and run.recipe == setting.recipe
        and not (run.val_split or run.init_from)
        and info.devices * info.workers == 1
        and info.data["train"]["examples"] == TRAIN_IMAGES
        and info.data["test"]["examples"] == TEST_IMAGES
    )


def group_evidence(records, settings):
    """Return the evidence for each of ``settings``, all of it on the same images.

    If there are runs on different images, such as a data set's own and JPEG copies of them, those
    images are chosen on which the setting with the fewest runs has the most runs.
    """
    by_images = {}
    for record in records:
        by_images.setdefault(json.dumps(record.info.data, sort_keys=True), []).append(record)
    groups = [[find_evidence(same, each) for each in settings] for same in by_images.values()]
    return max(groups, key=lambda group: sorted(map(len, group)), default=[[] for _ in settings])


def judge(claim, scale, records):
    """Return the Judgement of a claim from RunRecords."""
    groups = group_evidence(records, [setting[scale] for setting in claim.settings])
    runs = {str(s[scale]): len(group) for s, group in zip(claim.settings, groups)}
    folders = tuple(str(record.folder) for group in groups for record in group)
    rows = [[_read_row(record) for record in group] for group in groups]
    try:
        samples = claim.effect(*rows) if all(rows) else None
    except KeyError:  # the members have not been measured
        samples = None
    if samples is None:
        return Judgement(claim, scale, runs, folders, None, None, None, UNDECIDED)
    effect = mean(samples[0]) - (mean(samples[1]) if len(samples) > 1 else 0)
    low, high = interval(samples)
    return Judgement(claim, scale, runs, folders, effect, low, high, decide(low, high, claim.bound))


def summarize(judgements):
    """Return how many claims have which verdict, as a sentence."""
    counts = Counter(each.verdict for each in judgements)
    bare = sum(each.effect is None for each in judgements)
    return (
        f"Of {len(judgements)} claims {counts[SUPPORTED]} are supported, {counts[CONTRADICTED]} "
        f"contradicted and {counts[UNDECIDED]} undecided, {bare} of these without any run."
    )


def tabulate_judgements(judgements):
    """Return Judgements as rows of a table, the heading first."""
    rows = [["claim", "effect (95% interval)", "claimed", "the paper", "runs", "verdict"]]
    for each in judgements:
        effect = "-" if each.effect is None else f"{each.effect:+.2f}"
        if each.low is not None:
            effect += f" ({each.low:+.2f} to {each.high:+.2f})"
        runs = "; ".join(f"{setting}: {count}" for setting, count in each.runs.items())
        cells = [each.claim.sentence, effect, f"below {each.claim.bound:g}"]
        rows.append([*cells, each.claim.paper or "-", runs, each.verdict])
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
    row = dict(record.rows[-1])
    path = record.folder / MEMBERS
    if path.exists():
        row["members_without"] = json.loads(path.read_text(encoding="utf-8"))["without"]
    return row


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
    write_whole(folder / MEMBERS, json.dumps(content, indent=1) + "\n")


def compare_path_lengths():
    """Return {network: ((mean, deviation) of random paths, the same by the paper's formula)}.

    The figures are exact and need no training. The networks have nine fusions (resnet has as many
    convolutions). Zhao et al. print 8 +- 2.83 for cross.
    """
    found = {}
    for network, chance in PAPER_CHANCES.items():
        net = get_model(network, 4 * FUSIONS + 2)
        blocks = len(net.blocks)
        formula = binomial_lengths(blocks, Fraction(chance))
        found[network] = (mean_and_deviation(walk_lengths(net)), mean_and_deviation(formula))
    return found
