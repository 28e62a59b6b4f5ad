import csv
import io
import json
import os
import re
import shutil
import statistics as stdlib
from dataclasses import replace
from fractions import Fraction

import pytest

from command import InputError
from results import (
    REPORT_FORMATS,
    collect,
    compare_settings,
    paper_error,
    read_settings,
    statistics,
    tabulate,
)
from tests.test_run_folder import ROW, make_config
from training import run_folder, run_log
from training.recipe import get_recipe
from training.run import Run
from training.run_folder import read_config, write_config


def test_statistics_are_the_papers():
    even = statistics([5.0, 4.0, 7.0, 6.0])
    assert even.median == 6.0  # the worse of the middle two: an actual run's
    assert even.mean == 5.5
    assert even.std == pytest.approx(stdlib.pstdev([4, 5, 6, 7]))
    assert even.best == 4.0
    assert statistics([3.0, 1.0, 2.0]).median == 2.0
    assert even.errors == (4.0, 5.0, 6.0, 7.0)


def test_one_or_two_runs_are_their_errors():
    assert str(statistics([4.44])) == "4.44"
    assert str(statistics([4.6, 4.44])) == "4.44, 4.60"
    assert str(statistics([4.6, 4.44, 4.5])) == "4.50 (4.51 +/- 0.07, 4.44)"


def make_run(top, seed, errors, **changes):
    recipe = changes.pop("recipe", get_recipe("deep-fusion", epochs=len(errors)))
    changes = {"recipe_changes": {"epochs": len(errors)}, "seed": seed, **changes}
    config = make_config(recipe, **changes)
    folder = top / config["dataset"] / config["network"] / f"run{seed}"
    folder.mkdir(parents=True)
    run_folder.write_config(folder, config)
    rows = [
        {**ROW, "epoch": epoch, "test_error": error, "train_error": error / 2}
        for epoch, error in enumerate(errors, 1)
    ]
    run_log.RunLog(folder, print).rewrite(rows)
    return folder


def make_paper_run(top, seed, error, **changes):
    """Make a run with the paper's recipe on the whole training set, as far as can be seen."""
    recipe = changes.get("recipe", get_recipe("deep-fusion"))
    examples = {"train": {"examples": 50_000, "crc32": 1}, "test": {"examples": 10_000, "crc32": 2}}
    what = {"recipe": recipe, "recipe_changes": {}, "data": examples, **changes}
    return make_run(top, seed, [90.0] * (recipe.epochs - 1) + [error], **what)


@pytest.fixture
def snapshot(tmp_path):
    make_run(tmp_path, 1, [1.0, 5.0])  # the last epoch counts, not the best
    make_run(tmp_path, 2, [9.0, 6.0])
    make_run(tmp_path, 3, [9.0, 8.0])
    make_run(tmp_path, 4, [50.0, 40.0], val_split=1000)
    slow = get_recipe("deep-fusion", epochs=2, lr=0.05)
    make_run(tmp_path, 5, [30.0, 20.0], recipe=slow, recipe_changes={"epochs": 2, "lr": 0.05})
    make_run(tmp_path, 9, [35.0, 25.0], devices=2)
    make_run(tmp_path, 1, [70.0], dataset="digits", network="plain", depth=None)
    unfinished = make_run(tmp_path, 6, [2.0, 2.0])
    run_log.RunLog(unfinished, print).rewrite(run_log.read_log(unfinished)[:1])
    damaged = make_run(tmp_path, 7, [2.0, 2.0])
    (damaged / "log.jsonl").write_text("{}\n")
    foreign = make_run(tmp_path, 8, [2.0, 2.0])
    run_folder.write_config(foreign, {"recipe": get_recipe("deep-fusion").to_json()})
    return tmp_path


def test_runs_of_one_setting_and_only_those_are_one_line(snapshot):
    results, left_out = collect(snapshot)
    lines = {(r.dataset, r.recipe): r for r in results}
    assert len(lines) == len(results) == 5
    papers = lines["cifar10", "deep-fusion"]
    assert (papers.runs, str(papers.test_error)) == (3, "6.00 (6.33 +/- 1.25, 5.00)")
    assert str(papers.train_error) == "3.00 (3.17 +/- 0.62, 2.50)"
    assert (papers.paper, papers.tested_on) == (None, "test")  # 2 epochs are not the paper's 400
    held_out = lines["cifar10", "deep-fusion, on 1000 held out"]
    assert (held_out.runs, held_out.paper) == (1, None)
    assert lines["cifar10", "deep-fusion, lr 0.05"].runs == 1
    assert lines["cifar10", "deep-fusion, 2 devices"].runs == 1
    assert lines["digits", "deep-fusion"].depth is None
    problems = {record.folder.name: record.problem for record in left_out}
    assert problems["run6"] == "unfinished: stopped after epoch 1 of 2"
    assert "line 1 is damaged" in problems["run7"]
    assert "settings are missing: network" in problems["run8"]
    assert len(problems) == 3


def test_formats(snapshot):
    found = collect(snapshot)
    text = REPORT_FORMATS["text"](*found)
    assert "cifar10: errors of the last epoch" in text
    assert "6.00 (6.33 +/- 1.25, 5.00)" in text
    assert "run6: unfinished: stopped after epoch 1 of 2" in text
    markdown = REPORT_FORMATS["markdown"](*found)
    assert "| cross | 110 | 1 | 56 | 12,345 | 2 | deep-fusion | 3 |" in markdown
    rows = list(csv.DictReader(io.StringIO(REPORT_FORMATS["csv"](*found))))
    assert len(rows) == 5 + 3
    assert {float(row["test_error_median"]) for row in rows if not row["left_out"]} == {
        6.0,
        40.0,
        20.0,
        25.0,
        70.0,
    }
    assert sum(bool(row["problem"]) for row in rows) == 3
    loaded = json.loads(REPORT_FORMATS["json"](*found))
    assert len(loaded["results"]) == 5
    assert len(loaded["left_out"]) == 3


def test_one_run_or_one_data_set_will_do(snapshot):
    assert [r.runs for r in collect(snapshot / "cifar10" / "cross" / "run2")[0]] == [1]
    assert {r.dataset for r in collect(snapshot / "digits")[0]} == {"digits"}


def test_nothing_is_said_of_nothing(tmp_path):
    assert REPORT_FORMATS["text"](*collect(tmp_path)) == "no runs yet"
    with pytest.raises(InputError, match="there is no folder"):
        collect(tmp_path / "nothing")


def test_columns_and_the_papers_figures_stand_below_their_network(tmp_path):
    recipe = get_recipe("fractal", augmentation="+")
    what = {"network": "fractal", "depth": 20, "widen_factor": 4, "recipe_name": "fractal"}
    for seed, shift in ((1, 0.0), (2, 2.0), (3, 2.0)):
        folder = make_paper_run(tmp_path, seed, 5.0, recipe=recipe, dataset="cifar100", **what)
        *rows, last = run_log.read_log(folder)
        last["column_errors"] = [30.0, 20.0, 10.0 + shift]
        run_log.RunLog(folder, print).rewrite([*rows, last])
    found, _ = collect(tmp_path)
    assert [(r.column, r.depth) for r in found] == [(None, 20), (0, 5), (1, 10), (2, 20)]
    assert [r.paper for r in found] == [23.73, None, None, 24.32]
    assert str(found[3].test_error) == "12.00 (11.33 +/- 0.94, 10.00)"
    (line,) = (t for t in REPORT_FORMATS["text"](found, []).splitlines() if "column 2 alone" in t)
    assert line.startswith("- column 2 alone")
    assert line.endswith("24.32")
    rows = list(csv.DictReader(io.StringIO(REPORT_FORMATS["csv"](found, []))))
    assert [(row["parameters"], row["layers"]) for row in rows] == [
        ("12345", "56"),
        *[("", "")] * 3,
    ]
    loaded = json.loads(REPORT_FORMATS["json"](found, []))["results"]
    assert [line["parameters"] for line in loaded] == [12345, None, None, None]


def test_of_runs_with_one_seed_the_newest_counts(tmp_path):
    first, second, third = (
        make_run(tmp_path / name, 1, [error])
        for name, error in (("a", 9.0), ("b", 5.0), ("c", 8.0))
    )
    for folder, seconds in ((first, 100), (second, 300), (third, 200)):
        os.utime(folder / "log.jsonl", (seconds, seconds))
    make_run(tmp_path, 2, [7.0])
    results, left_out = collect(tmp_path)
    assert [(r.runs, r.test_error.errors) for r in results] == [(2, (5.0, 7.0))]
    newer = f"repeats seed 1: {second} has the same setting and is newer"
    assert [(r.folder, r.problem) for r in left_out] == [(first, newer), (third, newer)]
    assert newer in REPORT_FORMATS["text"](results, left_out)


def test_a_run_and_its_published_copy_count_once(tmp_path):
    run = make_run(tmp_path, 1, [5.0])
    copy = run.with_name("published1")
    shutil.copytree(run, copy)
    for own, published in ((100, 200), (200, 100)):
        os.utime(run / "log.jsonl", (own, own))
        os.utime(copy / "log.jsonl", (published, published))
        (result,), (left_out,) = collect(tmp_path)
        assert result.runs == 1 and left_out.folder == copy
        assert left_out.problem == (
            f"repeats seed 1: {run} has the same setting and takes precedence over a published run"
        )


def test_the_papers_figure_stands_beside_its_recipe_and_all_of_its_images_alone(tmp_path):
    make_paper_run(tmp_path, 1, 5.0)
    ((result,), _) = collect(tmp_path)
    assert (result.paper, result.paper_note) == (4.94, "")
    assert "4.94" in REPORT_FORMATS["text"]([result], [])
    for changes, note in (
        ({"recipe": get_recipe("deep-fusion", epochs=2)}, "epochs 2 instead of 400"),
        ({"recipe": get_recipe("deep-fusion", lr=0.05)}, "lr 0.05 instead of 0.1"),
        (
            {"data": {"train": {"examples": 500}}},
            "500 training images instead of 50,000",
        ),
        (
            {"data": {"train": {"examples": 50_000}, "test": {"examples": 1_000}}},
            "1,000 test images instead of 10,000",
        ),
        ({"data": {}}, "an unknown number of training images instead of 50,000"),
        (
            {"recipe": get_recipe("deep-fusion", epochs=3, batch_size=128), "data": {"train": []}},
            "epochs 3 instead of 400; batch_size 128 instead of 64; "
            "an unknown number of training images instead of 50,000",
        ),
    ):
        top = tmp_path / str(abs(hash(note)))
        make_paper_run(top, 1, 5.0, **changes)
        ((result,), _) = collect(top)
        assert (result.paper, result.paper_note) == (None, note)
        text = REPORT_FORMATS["text"]([result], [])
        assert "4.94" not in text
        assert f"[1] not comparable with the paper: {note}\n" in text
        assert re.search(r" \[1\]$", text, re.MULTILINE)
        (row,) = csv.DictReader(io.StringIO(REPORT_FORMATS["csv"]([result], [])))
        assert (row["paper"], row["paper_note"]) == ("", note)


def test_a_smaller_input_is_not_the_papers(tmp_path):
    recipe = get_recipe("deep-fusion-imagenet")
    data = {"train": {"examples": 1_281_167}, "test": {"examples": 50_000}}
    what = {"network": "cross_imagenet", "depth": 50, "dataset": "imagenet", "classes": 1000}
    what.update(recipe=recipe, recipe_name="deep-fusion-imagenet", data=data)
    make_paper_run(tmp_path / "224", 1, 5.0, data_shape=224, **what)
    make_paper_run(tmp_path / "128", 1, 5.0, data_shape=128, **what)
    found = {result.paper_note: result.paper for result in collect(tmp_path)[0]}
    assert found == {"": 23.16, "images of 128 pixels instead of 224": None}


def test_other_files_and_steps_are_named(tmp_path):
    steps = replace(get_recipe("deep-fusion", epochs=1), lr_steps=(Fraction(1, 3), Fraction(2, 3)))
    data = {"train": {"examples": 300}}
    make_run(tmp_path, 1, [5.0])
    make_run(tmp_path, 2, [6.0], train_file="few.rec", data=data, recipe=steps)
    make_run(tmp_path, 3, [7.0], dataset="birds", train_file="a.rec", test_file="b.rec")
    held = {"test": {"examples": 30}}
    make_run(tmp_path, 4, [8.0], dataset="birds", test_file="val.rec", data=held)
    assert {result.recipe for result in collect(tmp_path)[0]} == {
        "deep-fusion",
        "deep-fusion, lr_steps 1/3, 2/3, with few.rec",
        "deep-fusion, with a.rec and b.rec",
        "deep-fusion, with val.rec",
    }


@pytest.mark.parametrize(
    "network, depth, depths",
    [
        ("fractal_imagenet", 34, [6, 10, 18, 34]),
        ("fractal_imagenet", 10, [6, 10]),
        ("fractal_tapered", 40, [5, 10, 20, 40]),
        ("somebodys", 40, [None, None]),
    ],
)
def test_columns_have_the_depths_of_their_network(tmp_path, network, depth, depths):
    folder = make_run(tmp_path, 1, [5.0], network=network, depth=depth)
    (row,) = run_log.read_log(folder)
    run_log.RunLog(folder, print).rewrite([{**row, "column_errors": [9.0] * len(depths)}])
    assert [result.depth for result in collect(tmp_path)[0]] == [depth, *depths]


def test_one_footnote_serves_equal_remarks(tmp_path):
    make_run(tmp_path, 1, [5.0])
    make_run(tmp_path, 2, [5.0], depth=62, widen_factor=4)
    make_run(tmp_path, 3, [5.0, 4.0], depth=98, widen_factor=4)
    make_run(tmp_path, 4, [5.0], depth=26)  # of which no paper has a figure
    text = REPORT_FORMATS["text"](*collect(tmp_path))
    assert (text.count("[1]"), text.count("[2]"), text.count("[3]")) == (3, 2, 0)


def test_what_median_and_deviation_are_stands_below_the_tables(snapshot):
    for name in ("text", "markdown"):
        text = " ".join(REPORT_FORMATS[name](*collect(snapshot)).split())
        table, explanation = text.split("Errors are those of the last epoch, in percent.")
        assert "train error %" in table
        assert "if their number is even, the higher of the two in the middle" in explanation
        assert "(std) divides by the number of runs" in explanation


def test_held_out_errors_are_called_so_and_stand_apart(snapshot):
    results, left_out = collect(snapshot)
    text = REPORT_FORMATS["text"](results, left_out)
    tables = {block.split(":")[0]: block for block in text.split("\n\n")}
    assert "held-out error %" in tables["cifar10 held-out"]
    assert "test" not in tables["cifar10 held-out"]
    assert "held-out" not in tables["cifar10"]
    assert {r.tested_on for r in results if r.test_error.errors == (40.0,)} == {"held-out"}


def test_a_diverged_run_is_marked(tmp_path):
    for seed in (1, 2):
        make_run(tmp_path, seed, [5.0])
    folder = make_run(tmp_path, 3, [90.0])
    (row,) = run_log.read_log(folder)
    run_log.RunLog(folder, print).rewrite([{**row, "train_loss": 1e28}])
    results, left_out = collect(tmp_path)
    assert [result.diverged for result in results] == [(3,)]
    text = REPORT_FORMATS["text"](results, left_out)
    assert (
        "[1] diverged (the loss exploded, or its last value is worse than guessing): seed 3\n"
        in text
    )
    assert "5.00 (33.33 +/- 40.07, 5.00) [1]" in text
    (row,) = csv.DictReader(io.StringIO(REPORT_FORMATS["csv"](results, [])))
    assert row["diverged"] == "3"


@pytest.mark.parametrize(
    "network,depth,widen,augmentation,drop_path,dropout,column,error",
    [
        ("fractal_square", 20, 4, "++", "none", 0.0, None, 22.85),
        ("fractal_tapered", 40, 4, "+", "none", 0.0, None, 22.49),
        ("fractal", 160, 1, "++", "none", 0.0, None, 27.38),
        ("fractal_plain", 40, 1, "++", "none", 0.0, None, 38.84),
        ("fractal", 40, 1, "++", "mixed", 0.0, 3, 31.75),
        ("fractal", 40, 1, "++", "mixed", 0.1, 3, None),
        ("fractal", 40, 1, "+", "mixed", 0.0, 3, None),
    ],
)
def test_the_papers_figures_go_with_how_a_network_was_trained(
    network, depth, widen, augmentation, drop_path, dropout, column, error
):
    recipe = get_recipe("fractal", augmentation=augmentation, drop_path=drop_path, dropout=dropout)
    size = {"network": network, "depth": depth, "widen_factor": widen}
    run = Run.from_json(make_config(recipe, dataset="cifar100", **size))
    assert paper_error(run, column) == error
    assert paper_error(replace(run, val_split=10), column) is None


def test_a_run_from_trained_parameters_says_so_and_is_not_the_papers(tmp_path):
    make_paper_run(tmp_path, 0, 5.0)
    source = str(tmp_path / "elsewhere" / "cross_d110w1" / "run3")
    make_paper_run(tmp_path, 1, 4.0, init_from=source)
    first, second = sorted(collect(tmp_path)[0], key=lambda result: len(result.recipe))
    assert (first.recipe, second.recipe) == (
        "deep-fusion",
        "deep-fusion, from elsewhere/cross_d110w1/run3",
    )
    assert (first.paper_note, second.paper_note) == ("", "started from trained parameters")


def test_runs_from_equally_named_files_are_told_apart(tmp_path):
    """A run's folder, or a checkpoint in it, is named from its data set on."""
    for seed, source in enumerate(
        (
            "cifar10/cross_d26w1/run1",
            "cifar100/cross_d26w1/run1",
            "/x/a/one.params",
            "/x/b/one.params",
        )
    ):
        make_run(tmp_path, seed, [5.0], init_from=str(tmp_path / source))
    assert {result.recipe for result in collect(tmp_path)[0]} == {
        "deep-fusion, from cifar10/cross_d26w1/run1",
        "deep-fusion, from cifar100/cross_d26w1/run1",
        "deep-fusion, from a/one.params",
        "deep-fusion, from b/one.params",
    }


def test_runs_from_equally_named_runs_in_other_folders_are_told_apart(tmp_path):
    """A published run, whose source has no folders, belongs to them if there is only one."""
    short = "cifar10/cross_d26w1/run1"
    one, two = f"/x/{short}", f"/y/{short}"
    run = make_run(tmp_path, 1, [5.0], init_from=one)
    make_run(tmp_path, 2, [6.0], init_from=f"/x/z/../{short}")
    published = make_run(tmp_path, 3, [7.0], init_from=short)
    published.rename(published.with_name("published1"))
    (result,), left_out = collect(tmp_path)
    assert (result.recipe, result.runs, left_out) == (f"deep-fusion, from {short}", 3, [])
    shutil.copytree(run, run.with_name("run9"))
    write_config(run.with_name("run9"), {**read_config(run), "init_from": two})
    results, left_out = collect(tmp_path)
    assert {(each.recipe, each.runs) for each in results} == {
        (f"deep-fusion, from {one}", 2),
        (f"deep-fusion, from {two}", 1),
        (f"deep-fusion, from {short}", 1),
    }
    assert not left_out


def test_results_on_other_images_of_the_same_names_are_told_apart(tmp_path):
    """Such as those of published runs, on JPEG copies, and those of the original CIFAR-10."""
    data = {"train": {"examples": 50_000, "crc32": 1}, "test": {"examples": 10_000, "crc32": 2}}
    copies = {**data, "train": {"examples": 50_000, "crc32": 0xDE8BB5A5}}
    make_run(tmp_path, 1, [5.0], data=data)
    make_run(tmp_path, 2, [6.0], data=data, dataset="cifar100")
    assert {result.recipe for result in collect(tmp_path)[0]} == {"deep-fusion"}
    make_run(tmp_path, 3, [7.0], data=copies)
    make_run(tmp_path, 4, [8.0], data=data, val_split=10)
    settings, _ = read_settings(tmp_path)
    found = {result.test_error.errors: result.recipe for result in tabulate(settings)}
    original = "deep-fusion, images CRC-32 00000001 and 00000002"
    other = "deep-fusion, images CRC-32 de8bb5a5 and 00000002"
    assert found == {
        (5.0,): original,
        (6.0,): "deep-fusion",
        (7.0,): other,
        (8.0,): "deep-fusion, on 10 held out",
    }
    labels = [setting.label for setting in compare_settings(settings)["cifar10"]]
    assert sorted(labels) == [f"cross 110 widen 1, {recipe}" for recipe in (original, other)]


def test_changed_values_are_those_of_todays_recipe(tmp_path):
    """The recipe of a name was another one when the run was made."""
    old = get_recipe("fast", epochs=4, optimizer="nesterov")
    make_run(tmp_path, 1, [5.0] * 4, recipe=old, recipe_name="fast", recipe_changes={})
    lost = {"recipe_name": "faster", "recipe_changes": {"lr": 0.3}}
    make_run(tmp_path, 2, [6.0] * 4, recipe=replace(old, lr=0.3), **lost)
    found = {result.test_error.errors: result.recipe for result in collect(tmp_path)[0]}
    assert found == {(5.0,): "fast, optimizer nesterov", (6.0,): "faster, lr 0.3"}


def test_a_run_left_out_has_one_line(tmp_path):
    folder = tmp_path / "a\nb" / "run1"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("[]")
    for name in ("text", "markdown"):
        heading, line = REPORT_FORMATS[name](*collect(tmp_path)).splitlines()
        assert heading == "left out:" and r"a\nb/run1: damaged" in line


def test_a_run_in_another_precision_is_not_the_papers(tmp_path):
    """One on several devices is: commands on the deep fusion project's page use two."""
    make_paper_run(tmp_path, 0, 5.0, dtype="bfloat16")
    make_paper_run(tmp_path, 1, 5.0, devices=2)
    half, two = sorted(collect(tmp_path)[0], key=lambda result: result.recipe, reverse=True)
    assert (half.recipe, two.recipe) == ("deep-fusion, bfloat16", "deep-fusion, 2 devices")
    assert (half.paper, half.paper_note) == (None, "bfloat16 instead of float32")
    assert (two.paper, two.paper_note) == (4.94, "")
