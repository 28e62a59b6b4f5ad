import csv
import io
import json
import statistics as stdlib
from dataclasses import replace

import pytest

from command import InputError
from results.aggregate import REPORT_FORMATS, collect, statistics
from results.papers import paper_error
from tests.test_run_folder import ROW, make_config
from training import run_folder
from training.recipe import get_recipe
from training.run import Run


def test_statistics_are_the_papers():
    even = statistics([5.0, 4.0, 7.0, 6.0])
    assert even.median == 6.0  # the worse of the middle two: an actual run's
    assert even.mean == 5.5
    assert even.std == pytest.approx(stdlib.pstdev([4, 5, 6, 7]))
    assert even.best == 4.0
    assert statistics([3.0, 1.0, 2.0]).median == 2.0
    assert str(statistics([4.94])) == "4.94 (4.94 +/- 0.00, 4.94)"


def make_run(top, seed, errors, **changes):
    recipe = changes.pop("recipe", get_recipe("deep-fusion", epochs=len(errors)))
    changes = {"recipe_changes": {"epochs": len(errors)}, "seed": seed, **changes}
    config = make_config(recipe, **changes)
    folder = top / config["dataset"] / config["network"] / f"run{seed}"
    folder.mkdir(parents=True)
    run_folder.write_config(folder, config)
    for epoch, error in enumerate(errors, 1):
        row = {**ROW, "epoch": epoch, "test_error": error, "train_error": error / 2}
        run_folder.RunLog(folder, print).write(**row)
    return folder


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
    run_folder.RunLog(unfinished, print).rewrite(run_folder.read_log(unfinished)[:1])
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
    assert papers.paper == 4.94
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
    recipe = get_recipe("fractal", epochs=1, augmentation="+")
    what = {"network": "fractal", "depth": 20, "widen_factor": 4, "recipe_name": "fractal"}
    for seed, shift in ((1, 0.0), (2, 2.0)):
        folder = make_run(tmp_path, seed, [5.0], recipe=recipe, dataset="cifar100", **what)
        row = {**run_folder.read_log(folder)[0], "column_errors": [30.0, 20.0, 10.0 + shift]}
        run_folder.RunLog(folder, print).rewrite([row])
    found, _ = collect(tmp_path)
    assert [(r.column, r.depth) for r in found] == [(None, 20), (0, 5), (1, 10), (2, 20)]
    assert [r.paper for r in found] == [23.73, None, None, 24.32]
    assert str(found[3].test_error) == "12.00 (11.00 +/- 1.00, 10.00)"
    lines = REPORT_FORMATS["text"](found, []).splitlines()
    assert lines[-1].startswith("- column 2 alone")
    assert lines[-1].endswith("24.32")
    assert len(list(csv.DictReader(io.StringIO(REPORT_FORMATS["csv"](found, []))))) == 4


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
