"""Early exit: what images cost and who answers, counted by hand, and evaluate.py --early-exit."""

import json
import shutil
from dataclasses import replace
from math import inf
from types import SimpleNamespace

import numpy as np
import pytest

import evaluate
import predict
import train_cifar
from analysis.anytime import Point
from analysis.early_exit import (
    choose_picking_images,
    choose_thresholds,
    early_exit_table,
    list_chains,
    match_costs,
    measure_exit,
    trace_curves,
)
from command import InputError
from data.sources import Photographs
from plotting import studies
from tests.photo_files import write_photographs
from tests.record_files import encoded, random_pixels, write_random_rec
from tests.test_scripts import refused
from training import evaluation
from training.early_exit import answer_early
from training.metrics import Predictions, probabilities
from training.run_log import read_log

pytestmark = pytest.mark.medium

POINTS = [
    Point("column 0", 5, 1, 100, 50.0, 1.0, {1: 0.001, 100: 0.01}),
    Point("column 1", 10, 2, 300, 25.0, 1.0, {1: 0.002, 100: 0.02}),
    Point("whole", 10, 3, 400, 25.0, 1.0, {1: 0.004, 100: 0.04}),
]
LABELS = np.array([0, 0, 1, 1])


def sure(*shares):
    """Predictions of class 0 with these probabilities."""
    shares = np.array(shares)
    return Predictions(np.log(np.stack([shares, 1 - shares], axis=1)), LABELS)


FOUND = [sure(0.9, 0.4, 0.2, 0.55), sure(0.6, 0.7, 0.3, 0.8), sure(0.9, 0.9, 0.1, 0.4)]


@pytest.mark.parametrize(
    "chain,threshold,error,multiply_adds,seconds,shares",
    [
        ((0, 1), 0, 50, 100, 0.001, (1, 0)),
        ((0, 1), inf, 25, 400, 0.003, (0, 1)),
        ((0, 1), 0.7, 25, 100 + 300 / 2, 0.002, (0.5, 0.5)),  # 0.9 and 0.8 are sure
        ((0, 1, 2), 0.75, 25, 100 + 300 / 2 + 400 / 4, 0.003, (0.5, 0.25, 0.25)),
        ((0, 1, 2), inf, 0, 800, 0.007, (0, 0, 1)),
    ],
)
def test_an_exit_is_what_a_count_by_hand_gives(
    chain, threshold, error, multiply_adds, seconds, shares
):
    exit_ = measure_exit(POINTS, FOUND, chain, threshold)
    assert exit_.error == error
    assert exit_.multiply_adds == pytest.approx(multiply_adds)
    assert exit_.seconds == pytest.approx(seconds)
    assert exit_.shares == pytest.approx(shares)


def test_networks_are_asked_only_for_what_those_before_are_not_sure_of():
    asked = []

    def ask(network, rows):
        asked.append((network, rows.tolist()))
        logits = np.stack([rows, np.full(len(rows), network)], axis=1)
        return logits, np.array([0.9, 0.2, 0.5, 0.8])[rows] + network / 10

    logits, answered = answer_early(ask, 4, (0, 1, 2), 0.6)
    assert asked == [(0, [0, 1, 2, 3]), (1, [1, 2]), (2, [1])]
    assert answered.tolist() == [0, 2, 1, 0]
    assert logits.tolist() == [[0, 0], [1, 2], [2, 1], [3, 0]]
    asked.clear()
    assert answer_early(ask, 4, (0, 1, 2), 0)[1].tolist() == [0] * 4
    assert len(asked) == 1


def test_chains_are_the_columns_without_and_with_the_whole():
    assert list_chains(POINTS) == [(0, 1), (0, 1, 2)]


def test_thresholds_are_picked_on_other_images():
    """At the cost of a network no chain is taken whose cost on the images for picking is higher."""
    worse = [Predictions(-each.logits, LABELS) for each in FOUND]
    first, second, whole = match_costs(POINTS, FOUND, worse)
    assert first.threshold == 0 and first.multiply_adds == 100  # all that column 0's cost allows
    assert first.error == measure_exit(POINTS, worse, (0, 1), 0).error
    for point, found in zip(POINTS, (first, second, whole)):
        picked = measure_exit(POINTS, FOUND, found.chain, found.threshold)
        assert picked.multiply_adds <= point.multiply_adds
        others = [
            measure_exit(POINTS, FOUND, chain, threshold)
            for chain in list_chains(POINTS)
            for threshold in choose_thresholds(FOUND)
        ]
        affordable = [each for each in others if each.multiply_adds <= point.multiply_adds]
        assert picked.error == min(each.error for each in affordable)
    rows = early_exit_table(POINTS, [first, second, None])
    assert [row[0] for row in rows[1:]] == [point.name for point in POINTS]
    assert rows[1][4:7] == [f"{first.error:.2f}", "1.00", "0.0"]
    assert rows[3][4:] == ["-"] * 5
    for threshold in (0.99998, 0.9999999987654321, 1 / 3):
        sure = early_exit_table(POINTS, [replace(first, threshold=threshold)])
        assert float(sure[1][7]) == threshold  # predict.py --early-exit 1 would be another chain


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """Folder of a short run of a FractalNet."""
    top = tmp_path_factory.mktemp("fractal")
    flags = ["--network", "fractal", "--depth", "10", "--batch-size", "30", "--num-epochs", "1"]
    train_cifar.main([*flags, "--quiet", "--data-dir", str(data), "--log-dir", str(top)])
    return top / "cifar10" / "fractal_d10w1" / "run1"


def test_the_script_prints_draws_and_writes(run, capsys):
    evaluate.main([str(run), "--early-exit", "--format", "markdown"])
    out = capsys.readouterr().out
    assert "thresholds chosen on 13 of the training images, on which the networks were" in out
    lines = [line for line in out.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0] for line in lines[1:]] == ["| column 0", "| column 1", "| whole"]
    assert (run / "early_exit_test_epoch0001.png").read_bytes().startswith(b"\x89PNG")
    text = (run / "early_exit_test_epoch0001.json").read_text()
    written = json.loads(text, parse_constant=pytest.fail)  # Infinity and NaN are not JSON
    assert written["parameters"] is None
    row = read_log(run)[-1]
    errors = [*row["column_errors"], row["test_error"]]
    assert [each["error"] for each in written["networks"]] == pytest.approx(errors)
    columns, longer = written["curves"]
    assert columns[0]["error"] == pytest.approx(errors[0])  # threshold 0: column 0 alone
    assert columns[-1]["error"] == pytest.approx(errors[1])  # above 1: the deepest column
    assert columns[-1]["threshold"] > 1
    assert longer[-1]["error"] == pytest.approx(errors[2])
    costs = [each["multiply_adds"] for each in written["networks"]]
    assert longer[-1]["multiply_adds"] == pytest.approx(sum(costs))


def test_the_legend_covers_nothing_in_the_picture(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(studies, "save_figure", lambda figure, path: figures.append(figure))
    curves = trace_curves(POINTS, FOUND, choose_thresholds(FOUND))
    studies.draw_early_exit(POINTS, curves, [None] * 3, tmp_path / "x.png", "title")
    (figure,) = figures
    figure.draw_without_rendering()
    (legend,) = figure.legends
    place = legend.get_window_extent()
    assert len(legend.get_texts()) == 4
    for axes in figure.axes:
        assert not place.overlaps(axes.get_tightbbox())
        assert axes.get_legend() is None


def shown(capsys, run, paths, *flags):
    """What predict.py shows as lines of JSON."""
    predict.main([*map(str, paths), "--run", str(run), "--format", "jsonl", *flags])
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.slow
def test_pictures_are_answered_by_the_first_column_that_is_sure(run, tmp_path, capsys):
    paths = [tmp_path / f"{index}.png" for index in range(5)]
    for path, pixels in zip(paths, random_pixels(5)):
        path.write_bytes(encoded(pixels))
    trained = evaluation.restore(run, "cpu")
    images = np.stack([trained.data.source.picture(path) for path in paths])
    networks = {"column 0": 0, "column 1": 1, "whole": None}
    found = {
        name: probabilities(trained.engine.to_numpy(trained.engine.predict(images, index)))
        for name, index in networks.items()
    }
    median = float(np.median(found["column 0"].max(axis=1)))
    for threshold, *flags in ([0], [median], [2], [2, "--columns-only"]):
        lines = shown(capsys, run, paths, "--early-exit", str(threshold), "--top", "1", *flags)
        rest = "column 1" if flags else "whole"
        for index, line in enumerate(lines):
            sure = [name for name in networks if found[name][index].max() >= threshold]
            assert line["answered_by"] == (sure or [rest])[0]
            expected = found[line["answered_by"]][index].max()
            assert line["classes"][0]["probability"] == pytest.approx(expected, abs=1e-5)
        assert {line["answered_by"] for line in lines} <= set(networks)
        if threshold == 2 and not flags:  # which no probability reaches
            assert lines[0]["classes"] == shown(capsys, run, paths, "--top", "1")[0]["classes"]
    predict.main([str(paths[0]), "--run", str(run), "--early-exit", "0", "--format", "csv"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(",answered by") and lines[1].endswith(",column 0")
    for flags, message in (
        (["--early-exit", "-1"], "--early-exit must be at least 0"),
        (["--early-exit", "1", "--features", "x.npy"], "leave --features out"),
        (["--columns-only"], "--columns-only is for --early-exit"),
    ):
        status, err = refused(capsys, paths[0], "--run", run, *flags, main=predict.main)
        assert status == 2 and message in err


def test_images_for_picking_are_checked_first(run, data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(evaluate, "measure_columns", None)  # is not called
    write_random_rec(tmp_path / "train.rec", 20, classes=10)
    shutil.copy(data / "test.rec", tmp_path)
    status, err = refused(capsys, run, "--early-exit", "--data-dir", tmp_path, main=evaluate.main)
    assert status == 2 and "the training images are not those of the run" in err


def test_held_out_images_for_picking_are_those_of_the_run():
    def refuse():
        raise InputError("the training images are not those of the run")

    run, data = SimpleNamespace(val_split=5), SimpleNamespace(held_out=range(5))
    trained = SimpleNamespace(run=run, data=data, require_training_images=lambda: None)
    images, words = choose_picking_images(trained)
    assert (images, words) == (range(5), "the 5 held-out training images")
    trained.require_training_images = refuse
    with pytest.raises(InputError, match="not those of the run"):
        choose_picking_images(trained)


def test_thresholds_for_photographs_are_picked_on_the_first_training_images(tmp_path):
    write_photographs(tmp_path)
    source = Photographs(tmp_path, 2, 32)
    train = source.load(tmp_path / "train.rec")
    run = SimpleNamespace(val_split=0)
    data = SimpleNamespace(source=source, train=train)
    trained = SimpleNamespace(run=run, data=data, require_training_images=lambda: None)
    images, words = choose_picking_images(trained)
    assert (len(images), words.split()[0]) == (5, "5")
    found = np.concatenate([batch.images for batch in source.test_batches(images, 2)])
    usual = np.concatenate([batch.images for batch in source.test_batches(train, 20)])
    assert (found == usual[:5]).all()


@pytest.mark.parametrize(
    "flags,message",
    [(["--images", "train"], "on the test images"), (["--crops", "10"], "with one crop")],
)
def test_bad_input_is_one_line(run, capsys, flags, message):
    status, err = refused(capsys, run, "--early-exit", *flags, main=evaluate.main)
    assert status == 2
    assert message in err
