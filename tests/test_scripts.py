"""The scripts as people call them, in this process where that will do."""

import itertools
import json
import os
import re
import shutil
import signal
import time
from itertools import islice

import mxnet as mx
import numpy as np
import pytest

import evaluate
import show_results
import train_cifar
import train_imagenet
from command import CommandError
from data import records
from data.spec import get_spec
from engine.mxnet_engine import MXNetEngine
from network import drop_path, get_model
from plotting import draw_curves, draw_subnetworks
from tests.record_files import patch, write_random_rec
from training import cli, trainer
from training.recipe import get_recipe
from training.run import Run
from training.run_folder import read_config, write_config
from training.run_log import read_log

pytestmark = pytest.mark.medium

FAST = ["--network", "plain", "--depth", "5", "--num-epochs", "1"]


def train(data, snapshot, *more):
    """Train one epoch of a small network."""
    train_cifar.main([*FAST, "--data-dir", str(data), "--log-dir", str(snapshot), *more])


def refused(capsys, *argv, main=train_cifar.main):
    """Status and the one line of a command that is refused."""
    with pytest.raises(SystemExit) as caught:
        main([str(word) for word in argv])
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    return caught.value.code, err


def test_a_run_leaves_what_the_design_names(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(trainer, "draw_curves", draw_curves)
    train(data, tmp_path, "--rand-seed", "3")
    folder = tmp_path / "cifar10" / "plain_d5w1" / "run1"
    names = {"config.json", "log.txt", "log.jsonl", "curves.png", "checkpoints", ".lock"}
    assert set(os.listdir(folder)) == names
    assert os.listdir(folder / "checkpoints") == ["epoch0001"]
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    config = read_config(folder)
    assert (config["network"], config["depth"], config["seed"]) == ("plain", 5, 3)
    assert config["recipe_changes"] == {"epochs": 1}
    assert (config["parameters"], config["layers"]) == (26682, 5)
    assert config["versions"]["mxnet"] == mx.__version__
    (row,) = read_log(folder)
    assert row["lr"] == 0.1
    assert set(row) >= {"train_loss", "train_error", "test_loss", "test_error", "seconds"}
    said = capsys.readouterr().out
    assert "26,682 parameters" in said
    assert "longest path 5 layers" in said
    for name in ("log.txt", "curves.png", "checkpoints/epoch0001"):
        assert str(folder / name) in said
    assert "epoch 1/1" in (folder / "log.txt").read_text()


def test_flags_left_out_are_a_runs_defaults():
    program = train_cifar.PROGRAM
    run = cli.build_run(cli.make_parser(program).parse_args(["--dataset", "digits"]), program)
    assert run == Run("cross", 56, "digits", run.data_dir, "quick", get_recipe("quick"))


def test_evaluation_counts_every_example_once(data, tmp_path):
    """1,003 images in batches of 64: what the log says equals an independent count."""
    for name in ("train.rec", "train.idx"):
        shutil.copy(data / name, tmp_path)
    write_random_rec(tmp_path / "test.rec", 1003, classes=10)
    train(tmp_path, tmp_path, "--test-batch-size", "64")
    folder = tmp_path / "cifar10" / "plain_d5w1" / "run1"
    net = get_model("plain", 5)
    net.load_parameters(str(folder / "checkpoints" / "epoch0001" / "net.params"))
    spec = get_spec("cifar10")
    images = records.load(tmp_path / "test.rec")
    mean, std = (np.array(x).reshape(3, 1, 1) for x in (spec.mean, spec.std))
    logits = net(mx.nd.array((images.pixels - mean) / std)).asnumpy().astype(np.float64)
    wrong = sum(logit.argmax() != label for logit, label in zip(logits, images.labels))
    chosen = logits[np.arange(1003), images.labels]
    (row,) = read_log(folder)
    assert row["test_error"] == pytest.approx(100 * wrong / 1003)
    assert row["test_loss"] == pytest.approx(np.mean(np.log(np.exp(logits).sum(1)) - chosen))


def test_several_seeds_make_several_runs_and_a_table(data, tmp_path, capsys):
    train(data, tmp_path, "--runs", "2", "--quiet")
    assert capsys.readouterr().out == ""
    runs = tmp_path / "cifar10" / "plain_d5w1"
    assert sorted(os.listdir(runs)) == ["run1", "run2"]
    assert [read_config(runs / name)["seed"] for name in ("run1", "run2")] == [0, 1]
    assert read_log(runs / "run1")[0]["train_loss"] != read_log(runs / "run2")[0]["train_loss"]
    show_results.main([str(tmp_path), "--format", "json"])
    (line,) = json.loads(capsys.readouterr().out)["results"]
    assert (line["runs"], line["network"], line["epochs"]) == (2, "plain", 1)


def test_the_same_seed_gives_the_same_figures(data, tmp_path):
    train(data, tmp_path, "--runs", "1")
    train(data, tmp_path, "--runs", "1")
    runs = tmp_path / "cifar10" / "plain_d5w1"
    first, second = (read_log(runs / name)[0] for name in ("run1", "run2"))
    assert first["train_loss"] == second["train_loss"]
    assert first["test_loss"] == second["test_loss"]


def test_held_out_examples_are_reported_on(data, tmp_path, capsys):
    train(data, tmp_path, "--val-split", "30", "--exp-name", "held")
    config = read_config(tmp_path / "cifar10" / "plain_d5w1" / "held1")
    assert config["data"]["train"]["examples"] == 100
    assert config["data"]["test"]["examples"] == 30
    said = capsys.readouterr().out
    assert "30 held out images" in said
    (line,) = (line for line in said.splitlines() if line.startswith("epoch 1/1"))
    assert "held-out loss" in line
    assert "test" not in line


def test_a_peer_trains_by_the_same_program(data, tmp_path, capsys):
    flags = ["--num-epochs", "1", "--data-dir", str(data), "--log-dir", str(tmp_path)]
    train_cifar.main(["--network", "gluoncv:cifar_resnet20_v1", *flags])
    folder = tmp_path / "cifar10" / "gluoncv-cifar_resnet20_v1_d20w1" / "run1"
    assert len(read_log(folder)) == 1
    show_results.main([str(tmp_path)])
    assert "gluoncv:cifar_resnet20_v1" in capsys.readouterr().out


FRACTAL = ["--network", "fractal", "--depth", "10", "--batch-size", "30"]


@pytest.mark.parametrize("mode", drop_path.MODES)
def test_every_drop_path_trains_what_it_samples(data, tmp_path, monkeypatch, mode):
    trained = []

    def train_step(engine, images, labels, lr, weights, total, targets):
        trained.append(weights)
        return step(engine, images, labels, lr, weights, total, targets)

    step = MXNetEngine.train_step
    monkeypatch.setattr(MXNetEngine, "train_step", train_step)
    monkeypatch.setattr(trainer, "draw_subnetworks", draw_subnetworks)
    train(data, tmp_path, *FRACTAL, "--drop-path", mode, "--log-columns")
    assert trained == list(islice(drop_path.samples(mode, 2, (0, 1, 2)), 5))
    folder = tmp_path / "cifar10" / "fractal_d10w1" / "run1"
    (row,) = read_log(folder)
    assert len(row["column_errors"]) == len(row["column_losses"]) == 2
    assert (folder / "columns.png").read_bytes().startswith(b"\x89PNG")
    config = read_config(folder)
    assert (config["recipe_name"], config["recipe"]["drop_path"]) == ("fractal", mode)


@pytest.fixture(scope="module", params=[[], ["--log-columns"]], ids=["", "before"])
def one_of_three_epochs(request, data, tmp_path_factory):
    """(flags, folder of a run that was stopped after the first of three epochs)."""
    snapshot = tmp_path_factory.mktemp("one_of_three")
    flags = [*FRACTAL, "--num-epochs", "3", "--checkpoint-epochs", "1"]
    train(data, snapshot, *flags, *request.param)
    folder = snapshot / "cifar10" / "fractal_d10w1" / "run1"
    for epoch in (2, 3):
        shutil.rmtree(folder / "checkpoints" / f"epoch000{epoch}")
    (folder / "columns.png").unlink(missing_ok=True)
    log_rows(folder, read_log(folder)[:1])
    return request.param, folder


@pytest.mark.slow
@pytest.mark.parametrize("after", [[], ["--log-columns"]])
def test_columns_may_be_logged_in_a_part_of_a_run(one_of_three_epochs, tmp_path, after):
    before, begun = one_of_three_epochs
    folder = tmp_path / "cifar10" / "fractal_d10w1" / "run1"
    shutil.copytree(begun, folder)
    train_cifar.main(["--resume", str(folder), *after])
    logged = ["column_errors" in row for row in read_log(folder)]
    kept = bool(before or after)  # a run resumed by its folder keeps the flag it began with
    assert logged == [bool(before), kept, True]
    assert (folder / "columns.png").exists() == kept


def log_rows(folder, rows):
    """Make these the log of a run."""
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_two_devices_train(data, tmp_path):
    train(data, tmp_path, "--gpus", "cpu:0,cpu:1")
    assert len(read_log(tmp_path / "cifar10" / "plain_d5w1" / "run1")) == 1


@pytest.mark.parametrize(
    "flags,message",
    [
        (["--network", "crss"], "did you mean cross"),
        (["--network", "cross", "--depth", "9"], "at least 14"),
        (["--depth", "x"], "invalid int value: 'x'"),
        (["--num-epoch", "3"], "did you mean --num-epochs"),
        (["--dataset", "cifar1"], "did you mean cifar10"),
        (["--recipe", "deepfusion"], "did you mean deep-fusion"),
        (["--num-epochs", "0"], "--num-epochs must be at least 1"),
        (["--num-epochs", "0", "--lr-steps", "5"], "--num-epochs must be a whole number of at l"),
        (["--batch-size", "0"], "--batch-size must be at least 1"),
        (["--lr", "nan"], "--lr must be a number"),
        (["--schedule", "cosine", "--lr-steps", "1/2"], "--lr-steps is for --schedule step, not c"),
        (
            ["--schedule", "one-cycle", "--lr-factor", "0.2"],
            "--lr-factor is for --schedule step, not one",
        ),
        (["--lr-steps", "1/0"], "argument --lr-steps"),
        (["--lr-steps", "5"], "between 0 and 1"),
        (["--lr-steps", "200", "--num-epochs", "150"], "not after epoch 200 of 150"),
        (["--recipe", "fast", "--num-epochs", "3"], "number of epochs, 3, not 3"),
        (["--rand-seed", str(1 << 63)], "--rand-seed is too large: 9223372036854775808"),
        (["--recipe", "deep-fusion-imagenet"], "no augmentation 'imagenet' here (possible: none,"),
        (["--lr-steps", "x"], "x is not a step of the learning rate such as 1/2 or 200"),
        (["--momentum-correction", "yes"], "'yes' is neither on nor off"),
        (["--init-from", ""], "--init-from must be a run's folder"),
        (["--rand-seed", "-1"], "--rand-seed must be at least 0"),
        (["--runs", "0"], "--runs must be a whole number of at least 1"),
        (["--log-iters", "0"], "--log-iters must be at least 1"),
        (["--exp-name", "a/b"], "must be a plain name"),
        (["--exp-name", ".."], "must be a plain name"),
        (["--exp-name", "published"], "--exp-name must not be 'published'"),
        (["--exp-name", "published2"], "--exp-name must not be 'published2'"),
        (["--early-stop", "3"], "--early-stop needs held-out images: give --val-split, too"),
        (["--gpus", "7"], "leave --gpus out to use"),
        (["--val-split", "130"], "130 of 130 examples"),
        (["--train-dataset", "no.rec"], "no.rec"),
        (["--kv-store", "nccl", "--gpus", "cpu:0,cpu:1"], "--kv-store nccl is not supported here"),
        (["--network", "gluoncv:alexnet", "--depth", "3"], "leave them out"),
        (["--drop-path", "mixed"], "drop-path is for FractalNet"),
        (["--drop-path", "global"], "drop-path is for FractalNet"),
        (["--drop-path", "both"], "invalid choice: 'both'"),
        (["--dropout", "0.1"], "cross has no option --dropout"),
        (["--log-columns"], "--log-columns: cross has no columns"),
        (["--compile"], "--compile needs --engine torch"),
        (["--network", "fractal", "--depth", "56"], "5, 10, 20, 40, 80 or 160"),
        (
            ["--network", "fractal", "--dropout", "0.3"],
            "--dropout must be from 0 to less",
        ),
        (["--network", "fractal", "--drop-path-rate", "1"], "--drop-path-rate must be below 1"),
        (
            ["--network", "fractal", "--drop-path", "global", "--drop-path-rate", "0.2"],
            "--drop-path-rate is for --drop-path local or mixed or tied, not global: leave it out",
        ),
        (["--drop-path-rate", "0.2"], "--drop-path-rate is for --drop-path local or mixed or tied"),
        (["--network", "fractal_plain", "--drop-path", "local"], "fractal_plain has no columns"),
        (["--resume", "nowhere"], "nowhere is not a run's folder"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(data, tmp_path, capsys, flags, message):
    where = ["--data-dir", data, "--log-dir", tmp_path / "snapshot"]
    status, err = refused(capsys, *where, *FAST[4:], *flags)
    assert status == 2
    assert re.search(re.escape(message), err)
    assert not (tmp_path / "snapshot").exists()


def test_missing_data_says_how_to_get_it(tmp_path, capsys):
    flags = ["--data-dir", tmp_path / "none", "--log-dir", tmp_path / "snapshot"]
    status, err = refused(capsys, *FAST, *flags)
    assert status == 2
    assert "python -m data.prepare cifar10" in err


def test_a_damaged_record_never_reaches_mxnet(data, tmp_path, capsys):
    _, _, offsets = write_random_rec(tmp_path / "train.rec", 20, classes=10)
    write_random_rec(tmp_path / "test.rec", 20, classes=10)
    patch(tmp_path / "train.rec", offsets[7], b"\0\0\0\0")
    flags = ["--data-dir", tmp_path, "--log-dir", tmp_path / "snapshot"]
    status, err = refused(capsys, *FAST, *flags)
    assert status == 2
    assert "train.rec: record 7" in err
    assert not (tmp_path / "snapshot").exists()


def test_a_loss_that_explodes_stops_the_run_and_says_where(data, tmp_path, capsys):
    flags = ["--data-dir", data, "--log-dir", tmp_path, "--lr", "1e30", "--batch-size", "20"]
    status, err = refused(capsys, *FAST, *flags)
    assert status == 1
    exploded = r"(exploded to \S+|stopped being finite) at step \d"
    assert re.search(f"in epoch 1 the loss {exploded}, with learning rate 1e\\+30", err)
    show_results.main([str(tmp_path)])
    shown = capsys.readouterr().out
    assert re.search(f"run1: diverged: epoch 1: the loss {exploded}", shown)


def test_a_resumed_run_keeps_its_settings(data, tmp_path, capsys):
    train(data, tmp_path)
    folder = tmp_path / "cifar10" / "plain_d5w1" / "run1"
    status, err = refused(capsys, "--resume", folder, "--lr", "0.2", "--num-epochs", "9")
    assert status == 2
    assert "was started with another recipe" in err
    status, err = refused(capsys, "--resume", folder, "--runs", "2", "--exp-name", "other")
    assert status == 2
    assert "--exp-name and --runs" in err
    status, err = refused(capsys, "--resume", folder, "--lr", "0.2", "--cutout", "4")
    assert "was started with another recipe (--lr, --cutout): leave those flags out" in err
    status, err = refused(capsys, "--resume", folder, "--recipe", "fast")
    assert "was started with another --recipe: leave those flags out" in err
    train_cifar.main(["--resume", str(folder), "--recipe", "deep-fusion"])
    assert "finished already" in capsys.readouterr().out
    train_cifar.main(["--resume", str(folder), "--lr", "0.1"])
    assert "finished already" in capsys.readouterr().out


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"devices": "2"}, "config.json: devices cannot be '2'"),
        ({"layers": 0}, "config.json: layers must be at least 1"),
        ({"resumed": None}, "config.json is damaged: resumed is not a list"),
        ({"dtype": "tf32", "machine": {"engine": "torch", "gpus": "cpu"}}, "keeps its dtype"),
    ],
)
def test_what_cannot_be_resumed_is_refused_before_training(
    data, tmp_path, capsys, changes, message
):
    train(data, tmp_path)
    folder = tmp_path / "cifar10" / "plain_d5w1" / "run1"
    write_config(folder, {**read_config(folder), **changes})
    (folder / "log.jsonl").write_text("")
    status, err = refused(capsys, "--resume", folder)
    assert status == 2 and message in err


def test_other_images_than_it_began_with_do_not_resume(data, tmp_path, capsys):
    train(data, tmp_path / "snapshot")
    folder = tmp_path / "snapshot" / "cifar10" / "plain_d5w1" / "run1"
    (folder / "log.jsonl").unlink()
    write_random_rec(tmp_path / "train.rec", 20, classes=10)
    write_random_rec(tmp_path / "test.rec", 20, classes=10)
    status, err = refused(capsys, "--resume", folder, "--data-dir", tmp_path)
    assert status == 2
    assert "are not those" in err


def test_lost_checkpoints_do_not_start_a_run_over(data, tmp_path, capsys):
    train(data, tmp_path, "--num-epochs", "2")
    folder = tmp_path / "cifar10" / "plain_d5w1" / "run1"
    shutil.rmtree(folder / "checkpoints")
    row = (folder / "log.jsonl").read_text().splitlines()[0]
    (folder / "log.jsonl").write_text(row + "\n")
    status, err = refused(capsys, "--resume", folder)
    assert status == 2
    assert "checkpoints of" in err
    assert len(read_log(folder)) == 1


def test_a_folder_that_vanishes_stops_the_run_with_one_line(data, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "cifar10" / "plain_d5w1" / "run1"
    tested = trainer.evaluate

    def vanish(*args):
        shutil.rmtree(folder)
        return tested(*args)

    monkeypatch.setattr(trainer, "evaluate", vanish)
    flags = [*FAST, "--data-dir", data, "--log-dir", tmp_path]
    status, err = refused(capsys, *flags)
    assert status == 2
    assert "No such file" in err and "resume with: python" in err
    assert not folder.exists()


@pytest.mark.parametrize("step", [0, -60])
def test_a_clock_that_stands_still_or_is_set_back_changes_no_result(
    data, tmp_path, monkeypatch, step
):
    train(data, tmp_path / "before")
    ticks = itertools.count(1e9, step)
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    train(data, tmp_path / "after")
    before, after = (
        read_log(tmp_path / name / "cifar10" / "plain_d5w1" / "run1")[0]
        for name in ("before", "after")
    )
    assert after["train_loss"] == before["train_loss"]
    assert after["seconds"] > 0 and after["images_per_second"] > 0


def test_a_run_resumed_on_more_devices_is_one_of_so_many(data, tmp_path):
    """Each has its own batch statistics, so its results are not those of one device."""
    train(data, tmp_path, "--num-epochs", "2", "--checkpoint-epochs", "1", "--gpus", "cpu")
    folder = tmp_path / "cifar10" / "plain_d5w1" / "run1"
    for devices in ("cpu:0,cpu:1", "cpu"):
        shutil.rmtree(folder / "checkpoints" / "epoch0002")
        (folder / "log.jsonl").write_text(json.dumps(read_log(folder)[0]) + "\n")
        train_cifar.main(["--resume", str(folder), "--gpus", devices])
        assert read_config(folder)["devices"] == 2
    assert [each["devices"] for each in read_config(folder)["resumed"]] == [2, 1]


def test_config_has_the_machine_that_trained(data, tmp_path, monkeypatch):
    """Not one on which a run was started or resumed, but stopped before the end of an epoch."""
    train(data, tmp_path, "--gpus", "cpu")
    folder = tmp_path / "cifar10" / "plain_d5w1" / "run1"
    shutil.rmtree(folder / "checkpoints")
    (folder / "log.jsonl").write_text("")
    started = ["train_cifar.py", "--network", "plain"]
    write_config(folder, {**read_config(folder), "command": started})
    train_cifar.main(["--resume", str(folder), "--gpus", "cpu:0,cpu:1"])
    config = read_config(folder)
    assert (config["devices"], config["machine"]["gpus"]) == (2, "cpu:0,cpu:1")
    assert config["command"] == started
    train(data, tmp_path, "--num-epochs", "2", "--checkpoint-epochs", "1", "--gpus", "cpu")
    folder = folder.with_name("run2")
    shutil.rmtree(folder / "checkpoints" / "epoch0002")
    (folder / "log.jsonl").write_text(json.dumps(read_log(folder)[0]) + "\n")
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "train_epoch", lambda *arguments: signal.raise_signal(signal.SIGINT))
        with pytest.raises(SystemExit):
            train_cifar.main(["--resume", str(folder), "--gpus", "cpu:0,cpu:1"])
    train_cifar.main(["--resume", str(folder)])
    assert read_config(folder)["devices"] == 1 and len(read_log(folder)) == 2


def test_a_seed_that_diverges_does_not_end_the_others(data, tmp_path, capsys, monkeypatch):
    fit, seeds = cli.fit, []

    def diverge(run, config, folder):
        seeds.append(run.seed)
        if run.seed == 1:
            raise CommandError("the loss exploded: try a smaller lr", argument="lr")
        return fit(run, config, folder)

    monkeypatch.setattr(cli, "fit", diverge)
    flags = [*FAST, "--data-dir", str(data), "--log-dir", str(tmp_path), "--runs", "3"]
    with pytest.raises(SystemExit) as ended:
        train_cifar.main(flags)
    err = capsys.readouterr().err
    assert (ended.value.code, seeds) == (1, [0, 1, 2])
    assert err == "seed 1: the loss exploded: try a smaller --lr\nerror: no result of seed 1\n"


def test_a_log_that_was_changed_in_training_is_named(data, tmp_path, capsys, monkeypatch):
    def spoil(run, config, folder):
        folder = fit(run, config, folder)
        (folder / "log.jsonl").write_text("x\n")
        return folder

    fit = cli.fit
    monkeypatch.setattr(cli, "fit", spoil)
    status, err = refused(capsys, *FAST, "--data-dir", data, "--log-dir", tmp_path)
    assert status == 2 and "run1 is damaged" in err and "writes its log again" in err


def test_a_kill_between_checkpoint_and_log_loses_nothing(data, tmp_path):
    train(data, tmp_path, "--num-epochs", "2")
    folder = tmp_path / "cifar10" / "plain_d5w1" / "run1"
    rows = read_log(folder)
    (folder / "log.jsonl").write_text("")
    train_cifar.main(["--resume", str(folder)])
    assert read_log(folder) == rows
    assert read_config(folder)["resumed"][0]["epoch"] == 2


def test_several_seeds_are_refused_in_a_job_of_torchrun(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    flags = ["--engine", "torch", "--runs", "2", "--data-dir", data, "--log-dir", tmp_path]
    status, err = refused(capsys, *flags)
    assert (status, os.listdir(tmp_path)) == (2, [])
    assert "torchrun trains one seed in each job: leave --runs out" in err
    monkeypatch.delenv("RANK", raising=False)
    status, err = refused(capsys, *flags[:2], *flags[4:])
    assert (status, os.listdir(tmp_path)) == (2, []) and "RANK, MASTER_ADDR" in err


def test_milestones_are_kept_and_the_rest_but_the_newest_removed(data, tmp_path):
    train(data, tmp_path, "--num-epochs", "5", "--checkpoint-epochs", "2")
    folder = tmp_path / "cifar10" / "plain_d5w1" / "run1"
    assert sorted(os.listdir(folder / "checkpoints")) == ["epoch0002", "epoch0004", "epoch0005"]


def test_results_of_a_folder_that_is_not_there(tmp_path, capsys):
    status, err = refused(capsys, tmp_path / "none", main=show_results.main)
    assert status == 2
    assert "there is no folder" in err


@pytest.mark.parametrize("program", [train_cifar, train_imagenet, show_results, evaluate])
def test_help_has_an_example(program, capsys):
    with pytest.raises(SystemExit) as caught:
        program.main(["--help"])
    assert caught.value.code == 0
    assert "examples:" in capsys.readouterr().out
