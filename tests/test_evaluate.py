"""evaluate.py: what it prints is what the log says, and what an independent count gives."""

import json
import re
import shutil

import mxnet as mx
import numpy as np
import pytest

import evaluate
import train_cifar
from data import records
from data.spec import get_spec
from network import get_model
from tests.record_files import write_random_rec
from tests.test_scripts import refused
from training import evaluation
from training.evaluation import restore
from training.run_log import read_log

pytestmark = pytest.mark.medium

NETWORKS = {
    "plain": ["--network", "plain", "--depth", "5"],
    "fractal": ["--network", "fractal", "--depth", "10", "--dropout", "0.1"],
}
FLAGS = ["--num-epochs", "2", "--batch-size", "30", "--checkpoint-epochs", "1"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folder of a short run of each network, by name."""
    top = tmp_path_factory.mktemp("runs")
    write_random_rec(top / "train.rec", 130, classes=10)
    write_random_rec(top / "test.rec", 103, classes=10)
    where = ["--data-dir", str(top), "--log-dir", str(top), "--quiet"]
    for flags in NETWORKS.values():
        train_cifar.main([*flags, *FLAGS, *where])
    return {
        "plain": top / "cifar10" / "plain_d5w1" / "run1",
        "fractal": top / "cifar10" / "fractal_d10w1" / "run1",
    }


def printed(capsys, *argv):
    evaluate.main([str(word) for word in argv])
    return capsys.readouterr().out


def figures(text):
    """(loss, top-1 error, top-5 error) in a text."""
    found = re.search(r"loss (\S+)  top-1 error (\S+)%  top-5 error (\S+)%", text)
    return tuple(map(float, found.groups()))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("epoch", [1, 2])
def test_figures_are_the_logs(runs, capsys, name, epoch):
    out = printed(capsys, runs[name], "--epoch", epoch, "--test-batch-size", "64")
    row = read_log(runs[name])[epoch - 1]
    assert "103 images" in out
    loss, error, _ = figures(out)
    assert (loss, error) == (round(row["test_loss"], 4), round(row["test_error"], 2))


def test_figures_are_those_of_an_independent_count(runs, capsys):
    loss, error, top5 = figures(printed(capsys, runs["plain"]))
    net = get_model("plain", 5)
    net.load_parameters(str(runs["plain"] / "checkpoints" / "epoch0002" / "net.params"))
    spec = get_spec("cifar10")
    images = records.load(runs["plain"].parents[2] / "test.rec")
    mean, std = (np.array(x).reshape(3, 1, 1) for x in (spec.mean, spec.std))
    logits = net(mx.nd.array((images.pixels - mean) / std)).asnumpy().astype(np.float64)
    order = np.argsort(-logits, axis=1)
    chosen = logits[np.arange(103), images.labels]
    assert loss == pytest.approx(np.mean(np.log(np.exp(logits).sum(1)) - chosen), abs=1e-4)
    assert error == round(100 * np.mean(order[:, 0] != images.labels), 2)
    missed = [label not in row for label, row in zip(images.labels, order[:, :5])]
    assert top5 == round(100 * np.mean(missed), 2)


def test_columns_are_those_of_the_log(runs, capsys):
    out = printed(capsys, runs["fractal"], "--columns", "--format", "markdown")
    row = read_log(runs["fractal"])[-1]
    cells = [line.strip("| ").split(" | ") for line in out.splitlines() if line.startswith("| ")]
    assert [line[0] for line in cells] == ["network", "column 0", "column 1", "whole"]
    assert cells[0][4] == "error %"
    assert [line[1] for line in cells[1:]] == ["5", "10", "10"]
    assert cells[1][2] == "246,682"
    errors = [*row["column_errors"], row["test_error"]]
    assert [line[4] for line in cells[1:]] == [f"{error:.2f}" for error in errors]
    picture = runs["fractal"] / "anytime_test_epoch0002.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_one_and_ten_crops_have_pictures_of_their_own(runs, capsys, monkeypatch):
    whole = evaluation.TrainedRun.predictions

    def without_crops(trained, images, subnetwork, batch_size, crops):
        return whole(trained, images, subnetwork, batch_size)

    monkeypatch.setattr(evaluation.TrainedRun, "predictions", without_crops)
    pictures = [runs["fractal"] / f"anytime_test_epoch0002{end}.png" for end in ("", "_10crops")]
    for crops, picture in zip((1, 10), pictures):
        picture.unlink(missing_ok=True)
        assert str(picture) in printed(capsys, runs["fractal"], "--columns", "--crops", crops)
    assert all(picture.exists() for picture in pictures)


@pytest.mark.parametrize("drop_path", ["none", "mixed"])
def test_a_single_column_is_the_whole_network(runs, capsys, tmp_path, drop_path):
    data = str(runs["plain"].parents[2])
    where = ["--data-dir", data, "--log-dir", str(tmp_path), "--quiet"]
    network = ["--network", "fractal", "--depth", "5", "--drop-path", drop_path]
    train_cifar.main([*network, *FLAGS, *where])
    run = tmp_path / "cifar10" / "fractal_d5w1" / "run1"
    row = read_log(run)[-1]
    assert row["column_errors"] == [row["test_error"]]
    out = printed(capsys, run, "--columns", "--format", "markdown")
    cells = [line.strip("| ").split(" | ") for line in out.splitlines() if line.startswith("| ")]
    assert [line[0] for line in cells] == ["network", "column 0", "whole"]
    assert cells[1][1:6] == cells[2][1:6]


def test_another_type_can_be_computed_in(runs, capsys):
    """bfloat16 by PyTorch, which has it on any CPU."""
    plain = figures(printed(capsys, runs["plain"], "--engine", "torch"))
    rounded = figures(printed(capsys, runs["plain"], "--engine", "torch", "--dtype", "bfloat16"))
    assert plain == figures(printed(capsys, runs["plain"], "--dtype", "float32"))
    assert rounded[0] != plain[0]
    assert rounded[0] == pytest.approx(plain[0], rel=0.02)


def test_classes_and_confusion(runs, capsys, tmp_path):
    out = printed(capsys, runs["plain"], "--classes", "--confusion", tmp_path / "confusion.png")
    errors = [float(line.split()[1]) for line in out.splitlines() if re.match(r"[a-z]+ +\d", line)]
    assert len(errors) == 10
    counts = [11 if label < 3 else 10 for label in range(10)]  # 103 images, labels by turns
    _, error, _ = figures(out)
    assert np.average(errors, weights=counts) == pytest.approx(error, abs=0.01)
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_columns_that_the_epoch_did_not_test_are_estimated_from_the_runs_images(
    runs, capsys, tmp_path
):
    """Epoch 1 has no errors of columns in the log; the whole network's averages are stored."""
    first = printed(capsys, runs["fractal"], "--epoch", "1", "--columns")
    again = printed(capsys, runs["fractal"], "--epoch", "1", "--columns")
    errors = [re.findall(r"column \d .* (\d+\.\d\d) +\d\.", out) for out in (first, again)]
    assert errors[0] == errors[1]
    assert len(errors[0]) == 2
    shutil.copy(runs["fractal"].parents[2] / "test.rec", tmp_path)
    whole = printed(capsys, runs["fractal"], "--epoch", "1", "--data-dir", tmp_path)
    assert figures(whole) == figures(first)
    write_random_rec(tmp_path / "train.rec", 50, classes=10)
    flags = [runs["fractal"], "--epoch", "1", "--columns", "--data-dir", tmp_path]
    status, err = refused(capsys, *flags, main=evaluate.main)
    assert status == 2
    assert "training images are not those" in err


def replacing(run, path, leave_out=()):
    """Write the parameters of column 1, with other moving averages, and return them."""
    engine = restore(run, "cpu").engine
    values, _ = engine.state_dict()
    names = {engine.strip_prefix(name) for name in engine.network(1).collect_params()}
    arrays = {name: values[name] + name.endswith("running_mean") for name in sorted(names)}
    arrays = {name: array for name, array in arrays.items() if name not in leave_out}
    pytest.importorskip("safetensors.numpy").save_file(arrays, str(path))
    return arrays


def test_moving_averages_of_another_file_are_kept(runs, tmp_path, monkeypatch):
    """They are recomputed if the file has only some of them. The classifier is shared."""
    recomputed = []
    monkeypatch.setattr(
        evaluation, "refresh_bn_statistics", lambda *args: recomputed.append(args[-1])
    )
    file = tmp_path / "tuned.safetensors"
    arrays = replacing(runs["fractal"], file)
    trained = restore(runs["fractal"], "cpu", parameters=file)
    trained.prepare_subnetworks()
    assert recomputed == [0]
    values, _ = trained.engine.state_dict()
    assert all((values[name] == arrays[name]).all() for name in arrays)
    replacing(runs["fractal"], file, [next(name for name in arrays if "running_mean" in name)])
    restore(runs["fractal"], "cpu", parameters=file).prepare_subnetworks()
    assert recomputed == [0, 0, 1]
    restore(runs["fractal"], "cpu").prepare_subnetworks()
    assert recomputed == [0, 0, 1]


def test_parameters_of_another_file_are_named_in_every_result(runs, tmp_path, capsys):
    run, file = runs["fractal"], tmp_path / "tuned.safetensors"
    arrays = replacing(run, file)
    before = {path: path.read_bytes() for path in run.glob("*_epoch0002*")}
    out = printed(capsys, run, "--columns", "--early-exit", "--parameters", file)
    total = len(restore(run, "cpu").stored.values)
    assert f"{len(arrays)} of {total} arrays are those of {file}\n" in out
    assert "fractal_d10w1 with tuned.safetensors on cifar10, epoch 2" in out
    written = {path.name for path in run.glob("*_tuned.*")}
    names = ("anytime_{}.png", "early_exit_{}.png", "early_exit_{}.json")
    assert written == {name.format("test_epoch0002_tuned") for name in names}
    content = json.loads((run / "early_exit_test_epoch0002_tuned.json").read_text())
    assert content["parameters"] == str(file)
    assert all(path.read_bytes() == data for path, data in before.items())


def test_training_images_can_be_evaluated(runs, capsys):
    assert "130 images" in printed(capsys, runs["plain"], "--images", "train")


@pytest.mark.parametrize(
    "name,flags,message",
    [
        ("plain", ["--columns"], "plain has no columns"),
        ("plain", ["--epoch", "0"], "there are: [1, 2]"),
        ("plain", ["--images", "held-out"], "has no held-out training images"),
        ("plain", ["--confusion", "nowhere/confusion.png"], "in an existing folder"),
        ("plain", ["--confusion", "."], "name a file in an existing folder"),
        ("plain", ["--confusion", "confusion.pdf"], "ends in .png or .svg"),
        ("plain", ["--epoch", "7"], "there are: [1, 2]"),
        ("plain", ["--data-dir", "nowhere"], "there is no nowhere"),
        ("plain", ["--test-batch-size", "0"], "a batch of 0 images"),
        ("plain", ["--gpus", "9"], "there is no GPU 9"),
    ],
)
def test_bad_input_is_one_line(runs, capsys, name, flags, message):
    status, err = refused(capsys, runs[name], *flags, main=evaluate.main)
    assert status == 2
    assert message in err


@pytest.mark.parametrize(
    "flag,file",
    [
        ("--columns", "anytime_test_epoch0002.png"),
        ("--early-exit", "early_exit_test_epoch0002.png"),
        ("--early-exit", "early_exit_test_epoch0002.json"),
    ],
)
def test_files_that_cannot_be_written_are_refused_before_the_evaluation(
    runs, tmp_path, capsys, monkeypatch, flag, file
):
    monkeypatch.setattr(evaluation.TrainedRun, "predictions", None)
    copy = shutil.copytree(runs["fractal"], tmp_path / "run1")
    (copy / file).unlink(missing_ok=True)
    (copy / file).mkdir()
    status, err = refused(capsys, copy, flag, main=evaluate.main)
    assert status == 2
    assert f"{file} cannot be written" in err


def test_a_damaged_checkpoint_is_refused(runs, capsys, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(runs["plain"], copy)
    with open(copy / "checkpoints" / "epoch0002" / "net.params", "ab") as file:
        file.write(b"x")
    status, err = refused(capsys, copy, "--epoch", "2", main=evaluate.main)
    assert status == 2
    assert "net.params is missing or damaged" in err
    out = printed(capsys, copy)  # the newest that is whole
    assert "epoch 1" in out
