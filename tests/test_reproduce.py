"""Claims: their rules on made-up runs, and the queue on real ones."""

import errno
import json
import math
import re
import shutil
import signal
import time
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import reproduce
import show_results
from analysis import costs, reproduction, run_queue
from analysis.claims import CLAIMS, CROSS, FUSE3, MIXED, RESNET, UNDROPPED, Setting, list_queue
from analysis.paths import compare_path_lengths
from analysis.reproduction import (
    CONTRADICTED,
    SUPPORTED,
    UNDECIDED,
    find_evidence,
    interval,
    judge,
    judge_claims,
    read_members,
    summarize,
)
from analysis.reproduction_page import make_page
from command import CommandError, InputError, Interrupted, StorageError
from engine import devices
from engine.distributed import Alone
from network import list_models
from results.papers import explain_difference, paper_error
from tests.record_files import write_random_rec
from tests.test_run_folder import ROW
from tests.test_scripts import refused
from tools.publish import publish
from training import checkpoint, fitting
from training.recipe import RECIPES
from training.run import Run, RunInfo, RuntimeConfig
from training.run_folder import find_runs, locked, read_config, write_config
from training.run_log import RunLog
from training.run_record import RunRecord, read_run

pytestmark = pytest.mark.medium


@pytest.fixture(autouse=True)
def same_priority(monkeypatch):
    """The queue lowers the priority of its process, which here is that of all tests."""
    monkeypatch.setattr(run_queue.os, "nice", lambda by: 0)


BY_NAME = {claim.name: claim for claim in CLAIMS}


def record(setting, seed, error, tmp_path=Path("nowhere"), **row):
    """A finished run of a Setting."""
    run = Run(
        setting.network,
        setting.depth,
        setting.dataset,
        "somewhere",
        setting.recipe_name,
        setting.recipe,
        setting.widen_factor,
        seed=seed,
    )
    data = {"train": {"examples": 50_000}, "test": {"examples": 10_000}}
    info = RunInfo({}, 1, 1, 1, 1, data)
    return RunRecord(tmp_path, run, info, ({"test_error": error, **row},))


def judged(name, first, second):
    claim = BY_NAME[name]
    records = [
        record(setting["cpu"], seed, error)
        for setting, errors in zip(claim.settings, (first, second))
        for seed, error in enumerate(errors)
    ]
    return judge(claim, "cpu", records)


def test_welchs_interval_is_that_of_a_textbook():
    """Two samples with means 3 and 6.5: their difference, by hand."""
    low, high = interval([[2.0, 3.0, 4.0], [5.0, 8.0]])
    squared = 1 / 3 + 4.5 / 2
    freedom = squared**2 / ((1 / 3) ** 2 / 2 + (4.5 / 2) ** 2 / 1)
    assert freedom == pytest.approx(1.304, abs=1e-3)
    assert (low + high) / 2 == pytest.approx(-3.5)
    assert (high - low) / 2 > 3 * math.sqrt(squared)  # far wider than the normal's 1.96
    assert interval([[1.0, 3.0]]) == pytest.approx((2 - 12.706, 2 + 12.706), abs=1e-2)
    assert interval([[1.0], [2.0, 3.0]]) == (None, None)


@pytest.mark.parametrize(
    "cross,resnet,verdict",
    [
        ([12.0, 12.1, 12.2], [14.0, 14.1, 14.2], SUPPORTED),
        ([14.0, 14.1, 14.2], [12.0, 12.1, 12.2], CONTRADICTED),
        ([12.0, 14.0, 13.0], [12.5, 13.5, 13.0], UNDECIDED),
        ([12.0], [14.0], UNDECIDED),
        ([12.0, 12.1], [], UNDECIDED),
    ],
)
def test_a_difference_is_judged_by_its_interval(cross, resnet, verdict):
    found = judged("merge-and-run-below-resnet", cross, resnet)
    assert found.verdict == verdict
    if cross and resnet:
        difference = sum(cross) / len(cross) - sum(resnet) / len(resnet)
        assert found.effect == pytest.approx(difference)
    assert [runs.finished for runs in found.runs.values()] == [len(cross), len(resnet)]


def test_what_is_no_evidence_is_left_out():
    setting = CROSS["cpu"]
    good = record(setting, 0, 12.0)
    again = record(setting, 0, 11.0)
    others = [
        replace(good.run, val_split=5000),
        replace(good.run, init_from="x"),
        replace(good.run, dtype="bfloat16"),
        replace(good.run, depth=38),
        replace(good.run, recipe=replace(good.run.recipe, lr=0.3)),
    ]
    records = [replace(good, run=run) for run in others]
    few = {"train": {"examples": 100}, "test": {"examples": 10_000}}
    for info in (replace(good.info, data=few), replace(good.info, devices=2)):
        records.append(replace(good, info=info))
    assert find_evidence(records, setting) == []
    assert find_evidence([good, *records, again], setting) == [again]  # a seed counts once


def test_a_published_run_counts_where_no_other_has_its_seed(tmp_path):
    """Whatever the times of its files, which a checkout sets."""
    setting = CROSS["cpu"]
    own = replace(record(setting, 0, 12.0, tmp_path / "abc1"), written=1)
    copy, other = (
        replace(record(setting, seed, 12.0, tmp_path / f"published{seed}"), written=2)
        for seed in (0, 1)
    )
    for records in ([own, copy, other], [copy, own, other]):
        assert find_evidence(records, setting) == [own, other]
    newer = replace(own, folder=tmp_path / "run9", written=3)
    assert find_evidence([newer, copy, own], setting) == [newer]


def test_runs_of_a_claim_are_compared_on_the_same_images():
    copies = {"train": {"examples": 50_000, "crc32": 7}, "test": {"examples": 10_000, "crc32": 8}}
    cross, resnet = CROSS["cpu"], RESNET["cpu"]
    originals = [record(cross, seed, 10.0) for seed in (0, 1, 2)]
    same = [record(setting, 0, error) for setting, error in ((cross, 12.0), (resnet, 13.0))]
    same = [replace(each, info=replace(each.info, data=copies)) for each in same]
    found = judge(BY_NAME["merge-and-run-below-resnet"], "cpu", [*originals, *same])
    assert (found.effect, list(map(str, found.runs.values()))) == (-1.0, ["1", "1"])


def test_of_equal_numbers_of_runs_your_own_count(tmp_path):
    copies = {"train": {"examples": 50_000, "crc32": 7}, "test": {"examples": 10_000, "crc32": 8}}
    settings = ((CROSS["cpu"], 12.0), (RESNET["cpu"], 13.0))
    own = [record(setting, 0, error, tmp_path / "run1") for setting, error in settings]
    published = [record(setting, 0, 14.0, tmp_path / "published1") for setting, _ in settings]
    published = [replace(each, info=replace(each.info, data=copies)) for each in published]
    for records in ([*own, *published], [*published, *own]):
        assert judge(BY_NAME["merge-and-run-below-resnet"], "cpu", records).effect == -1.0


def test_hours_are_in_proportion_to_measured_speeds():
    cross26, resnet26 = CROSS["cpu"], RESNET["cpu"]
    speeds = (
        costs.Speed("cross", 26, 1, 100, "A", "x.md"),
        costs.Speed("cross", 110, 1, 10, "A", "x.md"),
        costs.Speed("fractal", 20, 1, 1, "A", "x.md"),
        costs.Speed("cross", 26, 1, 1000, "B", "x.md"),
    )
    found = costs.estimate_cost(cross26, 3, speeds)
    assert found.measured and found.runs == 3
    hours = 15 * 50_000 / 100 / 3600
    assert found.hours == pytest.approx({"A": hours, "B": hours / 10})
    assert found.multiply_adds == 15 * 50_000 * 52_871_808
    similar = costs.estimate_cost(resnet26, 1, speeds)
    assert not similar.measured
    share = similar.multiply_adds / found.multiply_adds
    assert similar.hours["A"] == pytest.approx(share * hours)
    mixed = Setting("fractal", 20, "fractal-fast-sgd")
    whole = costs.estimate_cost(replace(mixed, changes=(("drop_path", "none"),)), 1, speeds)
    assert costs.estimate_cost(mixed, 1, speeds).hours["A"] < 0.6 * whole.hours["A"]
    head, *rows, total = costs.tabulate_costs([found, similar])
    assert "hours per run, B" in head and [row[-1] for row in rows] == ["measured", "estimated"]
    assert total[1] == "4" and total[3] == f"{3 * hours + share * hours:.1f}"


def test_what_has_all_of_its_seeds_is_not_missing():
    runs = [record(CROSS["cpu"], seed, 12.0) for seed in (0, 1, 2)]
    missing = {str(cost.setting): cost.runs for cost in costs.list_missing(runs[:2], "cpu")}
    assert missing[str(CROSS["cpu"])] == 1 and missing[str(RESNET["cpu"])] == 3
    photographs = {"train": {"examples": 1_281_167}, "test": {"examples": 50_000}}
    for setting in costs.FIGURES:
        run = record(setting, 0, 4.0)
        if setting.dataset == "imagenet":
            run = replace(run, info=replace(run.info, data=photographs))
        missing = [cost.setting for cost in costs.list_missing([run], "paper")]
        assert setting not in missing and sum(each in missing for each in costs.FIGURES) == 2
    assert CROSS["cpu"] not in [cost.setting for cost in costs.list_missing(runs, "cpu")]
    other = {**runs[2].info.data, "train": {"examples": 50_000, "crc32": 7}}
    mixed = [*runs[:2], replace(runs[2], info=replace(runs[2].info, data=other))]
    (first, *_) = costs.list_missing(mixed, "cpu")
    assert (first.setting, first.runs) == (CROSS["cpu"], 1)


def test_a_summary_names_claims_without_an_effect_if_there_are_some():
    judged = [SimpleNamespace(verdict="supported", effect=-1.0)] * 2
    assert summarize(judged) == "2 claims: 2 supported, 0 contradicted, 0 undecided."
    judged.append(SimpleNamespace(verdict="undecided", effect=None))
    assert summarize(judged).endswith("For 1 of the undecided ones, no effect can be computed yet.")


def test_the_page_has_the_runs_that_count_and_their_curves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = ((MIXED, 0, 18.5), (MIXED, 1, 18.25), (UNDROPPED, 0, 14.0))
    for k, (setting, seed, error) in enumerate(runs, 1):
        folder = tmp_path / "snapshot" / "cifar10" / "fractal_d20w1" / f"published{k}"
        folder.mkdir(parents=True)
        made = record(setting["cpu"], seed, error)
        info = asdict(made.info)
        info["data"]["train"]["crc32"] = 42
        machine = {"threads": "2", "processor": "a processor", "versions": {"gpus": "a GPU"}}
        machine["machine"] = {"engine": "torch", "gpus": "0" if setting is UNDROPPED else "cpu"}
        write_config(folder, {**made.run.to_json(), **info, **machine})
        row = {**ROW, "test_error": error, "train_error": 20.0, "column_errors": [25.0, 20, 19]}
        RunLog(folder, print).rewrite([{**row, "epoch": epoch} for epoch in range(1, 16)])
        (folder / "curves.png").touch()
    page = make_page("snapshot", "cpu")
    for words in (
        "/published2` | fractal 20 on cifar10, fractal-fast-sgd | 1 | 15 | 20.00 | 18.25 | "
        "25.00, 20",
        "/published3` | fractal 20 on cifar10, fractal-fast-sgd, drop_path none | 0 | 15 | "
        "20.00 | 14",
        "(../snapshot/cifar10/fractal_d20w1/published1/curves.png)",
        "fractal-fast-sgd, drop_path none: error and loss over epochs](../snapshot/",
        "For 14 of the undecided ones, no effect can be computed yet.",
        "18.50 | 25.00, 20.00, 19.00 | CRC-32 0000002a | float32 | torch | 2 | a processor |",
        " | CRC-32 0000002a | float32 | torch | 2 | a processor, a GPU |",
    ):
        assert words in page
    assert page.count("curves.png") == 2
    verdicts, tests = (
        re.findall(r"^\| (\d+) \| (.*) \|$", part, re.MULTILINE) for part in page.split("## Rules")
    )
    number = next(number for number, row in verdicts if row.startswith("The deepest column alone"))
    assert dict(tests)[number].startswith("test error of the deepest column minus")
    effects = [" | - | below" not in row for _, row in verdicts]
    assert len(verdicts) == len(CLAIMS) and effects == sorted(effects, reverse=True)
    assert any(effects) and not all(effects)
    assert "augmentation +, dropout 0.0 | 1 |" in page


def test_the_page_of_results_has_the_claims_of_each_scale_with_runs(tmp_path):
    assert show_results.claims_sections(tmp_path) == []
    for name in ("paper", "cpu"):
        made = record(CROSS[name], 0, 15.0)
        folder = tmp_path / "cifar10" / f"cross_{name}" / "run1"
        folder.mkdir(parents=True)
        write_config(folder, {**made.run.to_json(), **asdict(made.info)})
        epochs = range(1, made.run.recipe.epochs + 1)
        RunLog(folder, print).rewrite([{**ROW, "epoch": epoch} for epoch in epochs])
        found = [section.title for section in show_results.claims_sections(tmp_path)]
        scales = ["paper"] if name == "paper" else ["cpu", "paper"]
        assert found == [f"The papers' claims, scale {scale}" for scale in scales]


def test_the_effects_are_drawn_and_stand_in_the_pictures_description(tmp_path, capsys):
    for network, error in ((CROSS, 14.0), (RESNET, 15.0)):
        made = record(network["cpu"], 0, error)
        folder = tmp_path / "cifar10" / made.run.network / "run1"
        folder.mkdir(parents=True)
        write_config(folder, {**made.run.to_json(), **asdict(made.info)})
        rows = [{**ROW, "epoch": epoch, "test_error": error} for epoch in range(1, 16)]
        RunLog(folder, print).rewrite(rows)
    picture = tmp_path / "claims.png"
    reproduce.main([str(tmp_path), "--plot", str(picture)])
    assert capsys.readouterr().out == f"{picture}\n"
    reproduce.main([str(tmp_path), "--summary"])
    verdicts, claim, lengths = capsys.readouterr().out.splitlines()
    assert "ResNet" in claim and "-1.00, claimed below 0" in claim
    with Image.open(picture) as drawn:
        drawn_in_words = drawn.info["Description"].splitlines()
    assert drawn_in_words[:2] == [verdicts, claim]
    assert drawn_in_words[-1] == "the paper: CIFAR-100++: 31.75 - 31.31 = 0.44"
    assert "](claims.png)" in make_page(tmp_path, "cpu")
    assert "](claims.png)" not in make_page(tmp_path, "paper")


def test_columns_and_members_are_judged_within_a_run(tmp_path):
    mixed = MIXED["cpu"]
    rows = [
        record(mixed, s, 18.0 + s / 10, column_errors=[25.0, 20.0, 19.0 + s / 10]) for s in (0, 1)
    ]
    assert judge(BY_NAME["deepest-column-as-good"], "cpu", rows).effect == pytest.approx(1.0)
    assert judge(BY_NAME["deepest-column-as-good"], "cpu", rows).verdict == SUPPORTED
    assert judge(BY_NAME["anytime"], "cpu", rows).effect == pytest.approx(-0.95)


def fused(folder, without):
    """Finished runs of fuse3, with the errors without each of their members."""
    records = []
    for seed, errors in enumerate(without):
        place = folder / f"run{seed + 1}"
        place.mkdir(parents=True)
        if errors is not None:
            (place / "members.json").write_text(json.dumps({"without": errors}))
        records.append(record(FUSE3["cpu"], seed, 15.0, place))
    return records


COUPLED = BY_NAME["deepest-member-coupled"]


def test_the_deepest_member_is_compared_with_a_rival_that_other_seeds_choose(tmp_path):
    """In each run, the first or the second member has the largest error only by chance."""
    records = fused(tmp_path, [[17.0, 20.0, 16.0], [19.0, 17.0, 16.5]])
    found = judge(COUPLED, "cpu", records)
    assert found.effect == pytest.approx(mean([16.0 - 17.0, 16.5 - 17.0]))
    assert judge(COUPLED, "cpu", records[:1]).effect is None  # one seed has no other to choose it
    best = fused(tmp_path / "more", [[20.0, 18.0, 16.0], [20.1, 18.0, 16.0]])
    assert judge(COUPLED, "cpu", best).verdict == SUPPORTED
    assert judge(COUPLED, "cpu", best).effect == pytest.approx(-4.05)


def test_the_rule_of_the_deepest_member_favours_no_side():
    """Without a difference between members, the mean effect over many trials is near 0."""
    errors = np.random.RandomState(0).normal(15, 1, (2000, 3, 8)).tolist()
    trials = [COUPLED.effect([{"members_without": run} for run in runs])[0] for runs in errors]
    assert abs(np.mean(trials)) < 0.1  # the largest of seven is 1.35 above their mean


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"without": null}', '{"without": [1, "a"]}', '{"without": [NaN, 1]}']
    + ['{"without": [16.0]}', '{"without": [17.0, 16.0]}', "[" * 100_000],
)
def test_runs_whose_members_were_not_measured_are_counted(tmp_path, text):
    """They do not hide the effect of the others; a damaged file is no measurement."""
    records = fused(tmp_path, [[20.0, 18.0, 16.0], [20.1, 18.0, 16.0], None, [1.0]])
    (records[3].folder / "members.json").write_text(text)
    found = judge(COUPLED, "cpu", records)
    (counts,) = found.runs.values()
    assert found.effect == pytest.approx(-4.05) and found.verdict == SUPPORTED
    assert str(counts) == "4 finished, 2 not measured"


def test_columns_are_usable_by_ten_points():
    def effect(worst):
        rows = [
            record(setting["cpu"], seed, 20.0, column_errors=[column + seed / 10, column])
            for setting, column in zip(BY_NAME[name].settings, (worst, 40.0))
            for seed in (0, 1, 2)
        ]
        return judge(BY_NAME[name], "cpu", rows)

    name = "drop-path-makes-columns-usable"
    assert effect(28.0).verdict == SUPPORTED and effect(28.0).effect == pytest.approx(-11.9)
    assert effect(32.0).verdict == CONTRADICTED  # better, but all columns are usable


@pytest.mark.parametrize(
    "changes",
    [
        {"problem": "diverged: the loss exploded"},
        {"problem": "diverged: the loss exploded", "rows": ()},
        {"rows": ({"test_error": 11.0, "diverged": True}, {"test_error": 11.0})},
        {"rows": ({"test_error": 90.0, "train_loss": 11.0},)},
    ],
)
def test_a_claim_whose_runs_diverged_is_undecided(changes):
    """Leaving them out would favour the setting, and so would training the seed again."""
    cross, resnet = CROSS["cpu"], RESNET["cpu"]
    records = [record(cross, seed, 12.0 + seed / 10) for seed in (0, 1, 2)]
    records += [record(resnet, seed, 14.0 + seed / 10) for seed in (0, 1, 2)]
    claim = BY_NAME["merge-and-run-below-resnet"]
    assert judge(claim, "cpu", records).verdict == SUPPORTED
    diverged = replace(records[0], **changes)
    found = judge(claim, "cpu", [*records, diverged, diverged])
    assert (found.verdict, found.effect) == (UNDECIDED, pytest.approx(-2.0))
    assert list(map(str, found.runs.values())) == ["3 finished, 1 diverged", "3"]
    assert str(diverged.folder) in found.folders
    missing = [cost.setting for cost in costs.list_missing([diverged, *records[1:]], "cpu")]
    assert cross not in missing


def test_runs_that_diverged_count_though_runs_of_another_setting_used_other_images():
    cross, resnet = CROSS["cpu"], RESNET["cpu"]
    copies = {"train": {"examples": 50_000, "crc32": 7}, "test": {"examples": 10_000, "crc32": 8}}
    first = record(FUSE3["cpu"], 0, 12.0)
    others = [replace(first, info=replace(first.info, data=copies))]
    diverged = [replace(record(cross, s, 90.0), problem="diverged: it exploded") for s in range(3)]
    found = judge(BY_NAME["merge-and-run-below-resnet"], "cpu", [*others, *diverged])
    assert list(map(str, found.runs.values())) == ["0 finished, 3 diverged", "0"]
    missing = {each.setting: each.runs for each in costs.list_missing([*others, *diverged], "cpu")}
    assert cross not in missing and missing[resnet] == 3


def test_damaged_facts_of_images_are_no_evidence(tmp_path, capsys):
    made = record(CROSS["cpu"], 0, 12.0)
    for number, data in enumerate(({}, {"train": 3}, {"train": {"examples": "all"}})):
        folder = tmp_path / "cifar10" / "cross_d26w1" / f"run{number}"
        folder.mkdir(parents=True)
        write_config(folder, {**made.run.to_json(), **asdict(made.info), "data": data})
        RunLog(folder, print).rewrite([{**ROW, "epoch": epoch} for epoch in range(1, 16)])
    reproduce.main([str(tmp_path), "--summary"])
    assert "For 17 of the undecided ones, no effect" in capsys.readouterr().out
    assert "No run is there yet" in make_page(tmp_path, "cpu")
    show_results.main([str(tmp_path), "--html", str(tmp_path / "page.html")])


def test_quoted_figures_are_those_of_the_settings_at_the_scale_paper():
    """The first is on the settings' own data set, the others on a data set that they name."""
    training_losses = {20: 0.037, 40: 0.580}  # Larsson et al., table 4
    quoting = [claim for claim in CLAIMS if claim.paper]
    assert len(quoting) == 6
    for claim in quoting:
        settings = [each["paper"] for each in claim.settings]
        for number, quote in enumerate(claim.paper):
            words = r"(CIFAR-10+)(\+*)(, training loss)?"
            name, signs, loss = re.fullmatch(words, quote.dataset).groups()
            first, second = float(quote.first), float(quote.second)
            dataset = name.lower().replace("-", "")
            if claim.name == "anytime":  # the only column that is worse than the one before
                found = [find_error(settings[0], dataset, column) for column in (3, 2)]
            elif len(settings) == 1:  # the deepest column and the whole
                found = [find_error(settings[0], dataset, column) for column in (2, None)]
            elif loss:
                found = [training_losses[each.depth] for each in settings]
            else:
                deepest = 3 if claim.needs[0] == "column_errors" else None
                columns = zip(settings, (deepest, None))
                found = [find_error(each, dataset, column) for each, column in columns]
            assert found == [first, second]
            assert {each.recipe.augmentation for each in settings} == {signs or "none"}
            assert number or {each.dataset for each in settings} == {dataset}


def find_error(setting, dataset, column):
    """The error of a Setting that the paper prints, if nothing but the seed is different."""
    run = replace(record(setting, 0, 1.0).run, dataset=dataset)
    info = record(setting, 0, 1.0).info
    assert explain_difference(run, info) == ""
    return paper_error(run, column)


def test_networks_that_a_claim_compares_have_the_same_widths_and_images():
    for claim in CLAIMS:
        settings = [each["paper"] for each in claim.settings]
        for fact in ("widen_factor", "dataset"):
            assert len({getattr(each, fact) for each in settings}) == 1, claim.name
        for fact in ("augmentation", "batch_size", "epochs"):
            assert len({getattr(each.recipe, fact) for each in settings}) == 1, claim.name


def test_every_claim_names_networks_recipes_and_its_rule():
    assert len(BY_NAME) == len(CLAIMS) >= 15
    for claim in CLAIMS:
        assert claim.sentence.endswith(".") and claim.source and claim.statistic
        for setting in claim.settings:
            for scale in ("cpu", "paper"):
                assert setting[scale].network in list_models()
                assert setting[scale].recipe_name in RECIPES and setting[scale].recipe
    queue = list_queue("cpu")
    assert queue[:2] == [(CROSS["cpu"], 0), (RESNET["cpu"], 0)]
    assert len(set(queue)) == len(queue)
    needed = {setting["cpu"] for claim in CLAIMS for setting in claim.settings}
    assert needed == {setting for setting, _ in queue}


def test_path_lengths_are_exact_and_need_no_training():
    found = compare_path_lengths()
    assert found["resnet"][0] == pytest.approx((20, 4.2426), abs=1e-4)
    assert found["half"][0] == pytest.approx((14, 2.8284), abs=1e-4)
    assert found["cross"][1] == pytest.approx((8, 2.8284), abs=1e-4)
    assert found["cross"][0][0] == pytest.approx(8 + 1 / 3)  # its last block differs


def test_without_runs_all_is_undecided(tmp_path, capsys):
    assert {each.verdict for each in judge_claims(tmp_path / "none", "cpu")} == {UNDECIDED}
    reproduce.main([str(tmp_path)])
    text = capsys.readouterr().out
    for claim in CLAIMS:
        assert f"undecided: {claim.name}\n" in text
        for words in (claim.sentence, claim.statistic, claim.quotes):
            assert words in " ".join(text.split())
    assert text.count("none yet, claimed below") == len(CLAIMS)
    assert text.count("0 of cross 26 on cifar10, fast-sgd\n") == 2
    *lines, last = text.splitlines()
    assert max(map(len, lines)) <= 100
    reproduce.main([str(tmp_path), "--summary"])
    first, last = capsys.readouterr().out.splitlines()
    assert f"{len(CLAIMS)} undecided. For {len(CLAIMS)} of the undecided ones" in first
    assert "cross 8.33 (8.00)" in last
    reproduce.main([str(tmp_path), "--markdown"])
    page = capsys.readouterr().out
    assert page.count("| undecided |") == len(CLAIMS)
    for claim in CLAIMS:
        assert f"| {claim.sentence} |" in page
        assert f"| {claim.statistic} | {claim.quotes or '-'} | {claim.source} |" in page
    reproduce.main([str(tmp_path), "--json"])
    shown = json.loads(capsys.readouterr().out)
    facts = [(claim["claim"], claim["source"], claim["statistic"]) for claim in shown["claims"]]
    assert facts == [(claim.name, claim.source, claim.statistic) for claim in CLAIMS]


@pytest.fixture
def few_images(monkeypatch):
    """As if CIFAR had 64 training and 20 test images."""
    for module in (run_queue, reproduction):
        monkeypatch.setattr(module, "TRAIN_IMAGES", 64)
        monkeypatch.setattr(module, "TEST_IMAGES", 20)


@pytest.fixture
def short_queue(monkeypatch, few_images):
    setting = Setting("plain", 5, "quick", (("epochs", 1), ("batch_size", 32)))
    monkeypatch.setattr(run_queue, "list_queue", lambda scale: [(setting, 0), (setting, 1)])


def test_the_queue_trains_what_is_missing_and_no_more(short_queue, tmp_path):
    write_random_rec(tmp_path / "train.rec", 64, classes=10)
    write_random_rec(tmp_path / "test.rec", 20, classes=10)
    config = RuntimeConfig(log_dir=str(tmp_path / "snapshot"), quiet=True)
    said = []
    run_queue.train_queue("cpu", config, {"cifar10": tmp_path}, say=said.append)
    folders = sorted((tmp_path / "snapshot" / "cifar10" / "plain_d5w1").iterdir())
    assert [read_config(folder)["seed"] for folder in folders] == [0, 1]
    assert len(said) == 3 and "nothing is left" in said[-1]
    assert asdict(config) == read_config(folders[0])["machine"]


@pytest.fixture
def tiny(tmp_path):
    write_random_rec(tmp_path / "train.rec", 64, classes=10)
    write_random_rec(tmp_path / "test.rec", 20, classes=10)
    return tmp_path


def queue(tiny, **changes):
    """What the queue says, of two runs in the folder ``snapshot``."""
    said = []
    config = RuntimeConfig(log_dir=str(tiny / "snapshot"), quiet=True)
    run_queue.train_queue("cpu", config, {"cifar10": tiny}, say=said.append, **changes)
    return said


def spend_time():
    """Wait for the end of the queue's time, which is now."""
    _, again = signal.getitimer(signal.ITIMER_REAL)
    signal.setitimer(signal.ITIMER_REAL, 1e-6, again)
    time.sleep(60)


def test_the_end_of_the_time_is_no_error_and_ctrl_c_is_one(short_queue, tiny, monkeypatch):
    endings = [lambda: signal.raise_signal(signal.SIGINT), spend_time]

    def train_for_long(run, config, folder):
        with fitting._resumable(tiny, run, config, Alone()):
            endings.pop()()

    (tiny / "config.json").write_text(json.dumps({"machine": asdict(RuntimeConfig())}))
    monkeypatch.setattr(run_queue, "fit", train_for_long)
    before = signal.getsignal(signal.SIGALRM)
    said = queue(tiny, hours=1)
    assert len(said) == 2 and said[1].startswith("stopped after 1 hours; run the same")
    assert signal.getsignal(signal.SIGALRM) is before
    with pytest.raises(Interrupted, match="run the same command again"):
        queue(tiny, hours=1)
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_an_alarm_that_is_lost_is_repeated(short_queue, tiny, monkeypatch):
    """Python ignores exceptions in destructors, such as those of MXNet's arrays."""
    lost = []

    class Array:
        def __del__(self):
            try:
                spend_time()
            finally:
                lost.append(True)

    def train_for_long(*arguments):
        Array()
        time.sleep(60)

    monkeypatch.setattr(run_queue, "fit", train_for_long)
    monkeypatch.setattr(run_queue, "AGAIN", 1)
    said = queue(tiny, hours=1)
    assert lost and said[-1].startswith("stopped after")


def test_a_run_that_another_process_trains_or_that_diverges_is_left(short_queue, tiny, monkeypatch):
    setting, seed = run_queue.list_queue("cpu")[0]
    other = tiny / "snapshot" / run_queue.LOCKS / run_queue._name("cpu", setting, seed)
    other.mkdir(parents=True)

    def diverge(run, config, folder):
        assert run.seed == 1
        raise CommandError("the loss exploded")

    monkeypatch.setattr(run_queue, "fit", diverge)
    with locked(other):
        said = queue(tiny)
    assert len(said) == 3 and said[1] == "the loss exploded" and "nothing is left" in said[2]
    assert find_runs(tiny / "snapshot") == []  # the queue's locks are no runs


def test_a_run_that_diverged_is_trained_again_only_without_its_folder(
    tiny, few_images, monkeypatch
):
    recipe = (("epochs", 1), ("batch_size", 8), ("lr", 1e6))
    setting = Setting("plain", 5, "quick", recipe)
    monkeypatch.setattr(run_queue, "list_queue", lambda scale: [(setting, 0)])
    first = queue(tiny)
    (folder,) = (tiny / "snapshot" / "cifar10" / "plain_d5w1").iterdir()
    assert len(first) == 3 and f"{folder}: in epoch 1 the loss" in first[1]
    with monkeypatch.context() as patch:
        patch.setattr(run_queue, "fit", None)  # is not called
        said = queue(tiny)
    assert len(said) == 2 and said[0].endswith(
        f"seed 0: diverged; remove {folder} to train it again"
    )
    copy = publish(folder, tiny / "snapshot")
    shutil.rmtree(folder)
    assert f"remove {copy} to" in queue(tiny)[0]  # so does the published copy, which counts, too
    shutil.rmtree(copy)
    assert queue(tiny) == first


def change_config(folder, **changes):
    write_config(folder, {**read_config(folder), **changes})


def test_runs_that_would_not_be_compared_are_trained_again(short_queue, tiny):
    """Those on other images, such as published ones on copies of them, or on two devices."""
    setting, _ = run_queue.list_queue("cpu")[0]
    queue(tiny)
    runs = tiny / "snapshot" / "cifar10" / "plain_d5w1"
    publish(runs / "run1", tiny / "snapshot")
    data = read_config(runs / "run1")["data"]
    others = {**data, "train": {**data["train"], "crc32": 7}}
    for name in ("run1", "published1"):
        change_config(runs / name, data=others)
    change_config(runs / "run2", devices=2)
    assert queue(tiny)[:2] == [f"{setting}, seed 0", f"{setting}, seed 1"]
    assert queue(tiny) == queue(tiny) and len(queue(tiny)) == 1
    found = find_evidence(map(read_run, find_runs(runs)), setting)
    assert [each.info.data for each in found] == [data, data]


def test_an_unfinished_run_is_resumed_where_its_images_have_moved(short_queue, tiny, monkeypatch):
    queue(tiny)
    (run, *_) = find_runs(tiny / "snapshot")
    change_config(run, data_dir="gone")
    (run / "log.jsonl").write_text("")
    resumed = []
    monkeypatch.setattr(run_queue, "fit", lambda run, config, folder: resumed.append(folder))
    queue(tiny)
    assert resumed == [run]


def test_a_run_without_its_checkpoints_does_not_hold_up_the_others(short_queue, tiny, monkeypatch):
    queue(tiny)
    run, *_ = find_runs(tiny / "snapshot")
    change_config(run, recipe={**read_config(run)["recipe"], "epochs": 2})  # it has one
    shutil.rmtree(run / "checkpoints")
    monkeypatch.setattr(run_queue, "_find_begun", lambda given, config, facts: run)
    monkeypatch.setattr(run_queue, "fit", None)  # is not called
    said = queue(tiny)
    assert f"its checkpoints are missing or damaged; remove {run}" in said[0]
    assert "nothing is left" in said[-1]


def test_a_full_disk_ends_the_queue(short_queue, tiny, monkeypatch):
    def fill(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save", fill)
    with pytest.raises(StorageError, match="No space left on device; after fixing this"):
        queue(tiny)
    assert len(find_runs(tiny / "snapshot")) == 1


@pytest.mark.parametrize(
    "scale,folders",
    [
        ("cpu", {"cifar10": "images"}),
        ("paper", {"cifar10": "images/cifar10", "cifar100": "images/cifar100"}),
    ],
)
def test_each_data_set_has_a_folder_of_its_own(monkeypatch, scale, folders):
    """CIFAR-10 has as many images as CIFAR-100, and labels that CIFAR-100 has, too."""
    seen = []
    monkeypatch.setattr(
        run_queue, "train_queue", lambda scale, config, found, *rest: seen.append(found)
    )
    reproduce.main(["--train", "--scale", scale, "--data-dir", "images"])
    assert seen == [{name: Path(folder) for name, folder in folders.items()}]


def test_images_that_are_not_all_end_the_queue_before_it_trains(short_queue, tiny, monkeypatch):
    monkeypatch.setattr(run_queue, "TRAIN_IMAGES", 50_000)
    with pytest.raises(InputError, match="64 training and 20 test .* need 50,000 and 20") as found:
        queue(tiny)
    assert found.value.argument == "data_dir"
    assert not (tiny / "snapshot").exists()


@pytest.mark.parametrize("hours", [1e-9, 1e-12, 1e-320])
def test_a_time_that_is_over_at_once_is_no_error(short_queue, tiny, hours, monkeypatch):
    monkeypatch.setattr(run_queue, "fit", lambda *arguments: time.sleep(60))
    assert queue(tiny, hours=hours)[-1].startswith(f"stopped after {hours:g} hours")


@pytest.mark.parametrize(
    "engine,gpus,given",
    [("mxnet", 0, None), ("mxnet", 1, None), ("mxnet", 4, "0"), ("torch", 4, None)],
)
def test_the_queue_uses_one_device(tmp_path, monkeypatch, engine, gpus, given):
    """Runs on several devices would not count."""
    seen = []
    monkeypatch.setattr(run_queue, "train_queue", lambda scale, config, *rest: seen.append(config))
    monkeypatch.setattr(devices, "count_gpus", lambda: gpus)
    reproduce.main([str(tmp_path), "--train", "--engine", engine])
    assert [config.gpus for config in seen] == [given]


def test_damaged_members_are_measured_again(short_queue, tiny, monkeypatch):
    """Also those of a run that has finished."""
    setting = Setting("fuse3", 26, "quick")
    made = record(setting, 0, 15.0, tiny)
    monkeypatch.setattr(run_queue, "find_evidence", lambda records, setting: [made])
    devices = []
    monkeypatch.setattr(
        run_queue, "restore", lambda folder, gpus, data_dir: devices.append(gpus) or "trained"
    )
    monkeypatch.setattr(run_queue, "measure_members", lambda *arguments, **seed: arguments[:1])
    monkeypatch.setattr(run_queue, "study_members", lambda trained: trained)
    written = []
    monkeypatch.setattr(run_queue, "write_members", lambda *arguments: written.append(arguments))
    for text, times in (("{", 1), ('{"without": [2.0, 3.0]}', 1), ("[]", 2)):
        (tiny / "members.json").write_text(text)
        run_queue._train(setting, made.run, RuntimeConfig(log_dir=str(tiny)), {}, print)
        assert len(written) == times
    (tiny / "members.json").write_text("{")
    for settings in ({"engine": "torch"}, {"gpus": "0"}):  # MXNet measures members
        run_queue._train(setting, made.run, RuntimeConfig(log_dir=str(tiny), **settings), {}, print)
    assert devices[-2:] == ["cpu", "0"]


def test_a_run_without_checkpoints_does_not_end_the_queue(tiny, few_images, monkeypatch):
    """Also if its images were in a folder that is no longer there."""
    fused = Setting("fuse3", 5, "quick", (("epochs", 1), ("batch_size", 32)))
    plain = replace(fused, network="plain")
    monkeypatch.setattr(run_queue, "list_queue", lambda scale: [(fused, 0), (plain, 0)])
    queue(tiny)
    (folder,) = (tiny / "snapshot" / "cifar10" / "fuse3_d5w1").iterdir()
    assert len(read_members(folder)) == 8
    write_config(folder, {**read_config(folder), "data_dir": "/lost"})
    (folder / "members.json").unlink()
    assert len(queue(tiny)) == 1 and len(read_members(folder)) == 8
    (folder / "members.json").unlink()
    shutil.rmtree(folder / "checkpoints")
    shutil.rmtree(tiny / "snapshot" / "cifar10" / "plain_d5w1")
    lost, trained, _ = queue(tiny)
    assert f"members cannot be measured: {folder} has no checkpoint" in lost
    assert trained == f"{plain}, seed 0"


def test_missing_images_end_the_queue(short_queue, tmp_path):
    with pytest.raises(InputError, match="there is no"):
        queue(tmp_path)


def test_an_unknown_scale_is_refused(tmp_path, capsys):
    for how in ([], ["--markdown"], ["--json"], ["--summary"], ["--plot", tmp_path / "a.png"]):
        status, err = refused(capsys, tmp_path, "--scale", "gpu", *how, main=reproduce.main)
        assert status == 2 and "--scale must be cpu or paper, not 'gpu'" in err


@pytest.mark.parametrize(
    "flags", [["--hours", "0"], ["--scale", "gpu"], ["--threads", "0"], ["--threads", "-3"]]
)
def test_impossible_flags_are_refused(tmp_path, capsys, flags):
    status, err = refused(capsys, tmp_path, "--train", *flags, main=reproduce.main)
    assert status == 2 and flags[0] in err and flags[1] in err


@pytest.mark.parametrize(
    "words,message",
    [
        (["none"], "there is no folder none"),
        (["none/", "--json"], "there is no folder none/"),
        ([".", "--hours", "1"], "--hours is for --train"),
        ([".", "--data-dir", "."], "--data-dir is for --train"),
        ([".", "--engine", "torch"], "--engine is for --train"),
        ([".", "--train", "--json"], "--json shows the claims"),
        ([".", "--train", "--plot", "x.png"], "--plot shows the claims"),
        ([".", "--plot", "x.jpg"], "a picture's name ends in .png or .svg"),
        ([".", "--plot", "x.png"], "no claim has an effect yet"),
    ],
)
def test_what_would_have_no_effect_is_refused(tmp_path, capsys, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    status, err = refused(capsys, *words, main=reproduce.main)
    assert status == 2 and message in err


def test_before_the_first_run_there_are_no_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reproduce.main(["--summary"])
    assert f"{len(CLAIMS)} undecided" in capsys.readouterr().out
