"""train_imagenet.py and evaluate.py on photographs, as people call them."""

import re
import shutil
from fractions import Fraction

import mxnet as mx
import numpy as np
import pytest

import evaluate
import show_results
import train_imagenet
from data import stream
from network import get_model
from tests.photo_files import make_tree, write_photographs
from tests.test_evaluate import figures, printed
from tests.test_resume import result
from tests.test_scripts import refused
from training import cli
from training.recipe import default_photograph_recipe, get_recipe
from training.run_folder import read_config
from training.run_log import read_log
from training.schedule import step_lr

pytestmark = pytest.mark.medium

SMALL = "gluoncv:mobilenet0.25"
FAST = [
    "--network",
    SMALL,
    "--data-shape",
    "32",
    "--num-epochs",
    "3",
    "--batch-size",
    "16",
    "--lr",
    "0.001",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_photographs(tmp_path_factory.mktemp("data"), classes=7)


def train(data, snapshot, *more):
    where = ["--data-dir", str(data), "--log-dir", str(snapshot), "--dataset", "photos"]
    train_imagenet.main([*FAST, *where, *more])
    (folder,) = (snapshot / "photos").glob("*/run1")
    return folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A run of three epochs that kept every checkpoint."""
    return train(data, tmp_path_factory.mktemp("snapshot"), "--checkpoint-epochs", "1")


def test_the_papers_recipes():
    ours = get_recipe(default_photograph_recipe("cross_imagenet"))
    assert (ours.epochs, ours.batch_size, ours.lr, ours.optimizer) == (120, 256, 0.1, "nesterov")
    fractal = get_recipe(default_photograph_recipe("fractal_imagenet"))
    assert (fractal.epochs, fractal.batch_size, fractal.lr) == (70, 32, 0.001)
    assert (fractal.drop_path, fractal.dropout, fractal.initializer) == ("none", 0, "xavier")
    for recipe, drops in ((ours, [30, 60, 90]), (fractal, [50, 65])):
        epochs = range(recipe.epochs)
        rates = [step_lr(e, recipe.epochs, 1, recipe.lr_factor, recipe.lr_steps) for e in epochs]
        assert [e for e in epochs[1:] if rates[e] < 0.5 * rates[e - 1]] == drops
        assert recipe.augmentation == "imagenet"
    assert default_photograph_recipe("gluoncv:resnet50_v1") == "deep-fusion-imagenet"


def test_a_run_says_what_it_was_and_has_both_errors(run):
    config = read_config(run)
    assert (config["network"], config["classes"], config["data_shape"]) == (SMALL, 7, 32)
    assert config["recipe_name"] == "deep-fusion-imagenet"
    assert config["data"]["train"]["examples"] == 53
    rows = read_log(run)
    assert len(rows) == 3
    for row in rows:
        assert row["test_top5_error"] <= row["test_error"]
        assert round(row["test_error"] * 21 / 100, 6) % 1 == 0  # of 21 images, all of them


def test_the_figures_are_those_of_every_image_counted_once(run, data):
    net = get_model(SMALL, classes=7)
    net.load_parameters(str(run / "checkpoints" / "epoch0003" / "net.params"))
    (batch,) = stream.test_batches(stream.load(data / "val.rec", 7, 32), 21)
    logits = net(mx.nd.array(batch.images)).asnumpy()
    order = np.argsort(-logits, axis=1)
    row = read_log(run)[-1]
    assert row["test_error"] == pytest.approx(100 * np.mean(order[:, 0] != batch.labels))
    missed = [label not in top for label, top in zip(batch.labels, order[:, :5])]
    assert row["test_top5_error"] == pytest.approx(100 * np.mean(missed))


def test_a_resumed_run_equals_the_one_that_never_stopped(run, tmp_path, capsys):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    for epoch in ("epoch0002", "epoch0003"):
        shutil.rmtree(copy / "checkpoints" / epoch)
    first, *_ = (copy / "log.jsonl").read_text().splitlines(keepends=True)
    (copy / "log.jsonl").write_text(first)
    train_imagenet.main(["--resume", str(copy)])
    assert "resumed after epoch 1" in capsys.readouterr().out
    assert result(copy) == result(run)
    train_imagenet.main(["--resume", str(copy)])
    assert "finished already" in capsys.readouterr().out
    status, err = refused(capsys, "--resume", copy, "--data-shape", "64", main=train_imagenet.main)
    assert (status, "was started with another --data-shape" in err) == (2, True)


def test_evaluation_by_one_and_ten_crops(run, data, capsys):
    row = read_log(run)[-1]
    out = printed(capsys, run, "--test-batch-size", 8)
    assert "21 images" in out
    expected = (row["test_loss"], row["test_error"], row["test_top5_error"])
    assert figures(out) == pytest.approx(expected, abs=0.006)
    out = printed(capsys, run, "--crops", 10, "--test-batch-size", 64, "--classes")
    assert "21 images" in out and "10 crops" in out and "class6" in out
    net = get_model(SMALL, classes=7)
    net.load_parameters(str(run / "checkpoints" / "epoch0003" / "net.params"))
    batches = list(stream.ten_crop_batches(stream.load(data / "val.rec", 7, 32), 1000))
    logits = net(mx.nd.array(batches[0].images)).asnumpy().astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    shares, labels = shares.reshape(21, 10, 7).mean(axis=1), batches[0].labels[::10]
    loss, error, _ = figures(out)
    assert loss == pytest.approx(-np.log(shares[np.arange(21), labels]).mean(), abs=1e-3)
    assert error == pytest.approx(100 * np.mean(shares.argmax(axis=1) != labels), abs=0.006)


def test_other_images_than_it_began_with_do_not_resume(run, tmp_path, capsys):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "log.jsonl").unlink()
    write_photographs(tmp_path / "run", train=54, classes=7)
    status, err = refused(
        capsys, "--resume", copy, "--data-dir", tmp_path / "run", main=train_imagenet.main
    )
    assert (status, "are not those" in err) == (2, True)


def test_results_list_it(run, capsys):
    show_results.main([str(run.parents[2])])
    out = capsys.readouterr().out
    assert SMALL in out and "32 x 32 pixels" in out


@pytest.mark.parametrize("name", train_imagenet.NETWORKS)
def test_short_names_are_the_networks_for_imagenet(data, name):
    program = train_imagenet.PROGRAM
    args = cli.make_parser(program).parse_args(["--network", name, "--data-dir", str(data)])
    run = cli.build_run(args, program)
    assert run.network == f"{name}_imagenet"
    assert run.data_shape == 224
    assert run.classes == 7
    assert all(isinstance(step, Fraction) for step in run.recipe.lr_steps)


def test_a_tree_of_files_trains(tmp_path, capsys):
    """From files to errors, with a network of the project's own."""
    from data import prepare

    source = make_tree(tmp_path / "source", train=6, val=4)
    out = str(tmp_path / "rec")
    prepare.main(["imagenet", "--source", str(source), "--out", out, "--size", "36", "--jobs", "1"])
    flags = ["--network", "resnet", "--depth", "26", "--num-epochs", "1", "--lr", "1e-4"]
    folder = train(out, tmp_path / "snapshot", *flags)
    assert folder.parent.name == "resnet_imagenet_d26w1"
    assert "8 test images" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags,message",
    [
        (["--network", "crss"], "did you mean cross"),
        (["--network", "plain"], "there are cross, fractal, resnet"),
        (["--network", "cross", "--depth", "56"], "choose 26 or 50"),
        (["--network", "fractal", "--depth", "20"], "choose 6, 10, 18 or 34"),
        (["--data-shape", "0"], "--data-shape must be at least 1"),
        (["--data-shape", "7"], "give --data-shape 32 or more"),
        (["--early-stop", "2"], "unrecognized arguments: --early-stop"),  # none are held out
        (["--dataset", "a/b"], "must be a plain name"),
        (["--aug-type", "3"], "invalid choice"),
        (["--train-dataset", "none.rec"], "there is no"),
        (["--network", "resnet", "--drop-path", "global"], "drop-path is for FractalNet"),
        (["--recipe", "deep-fusion"], "there is no augmentation '+'"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(data, tmp_path, capsys, flags, message):
    where = ["--data-dir", data, "--log-dir", tmp_path / "snapshot"]
    argv = [*FAST, "--dataset", "photos", *where, *flags]
    status, err = refused(capsys, *argv, main=train_imagenet.main)
    assert status == 2
    assert re.search(re.escape(message), err)
    assert not (tmp_path / "snapshot").exists()


def test_missing_data_says_how_to_get_it(tmp_path, capsys):
    status, err = refused(capsys, "--data-dir", tmp_path / "none", main=train_imagenet.main)
    assert status == 2
    assert "python -m data.prepare imagenet --source DIR" in err


def test_small_images_have_no_crops(tmp_path, capsys):
    from tests.record_files import write_random_rec
    from tests.test_scripts import train as train_small

    write_random_rec(tmp_path / "train.rec", 20, classes=10)
    write_random_rec(tmp_path / "test.rec", 20, classes=10)
    train_small(tmp_path, tmp_path)
    folder = tmp_path / "cifar10" / "plain_d5w1" / "run1"
    status, err = refused(capsys, folder, "--crops", "10", main=evaluate.main)
    assert (status, "no crops" in err) == (2, True)
