"""A run that was stopped and resumed equals one that never stopped, bit for bit."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import waiting
from tests.record_files import write_random_rec
from training import checkpoint
from training.run_log import read_log

pytestmark = pytest.mark.medium

ROOT = Path(__file__).resolve().parents[1]
EPOCHS = 4
FLAGS = ["--network", "cross", "--depth", "14", "--num-epochs", str(EPOCHS), "--batch-size", "50"]
TIMES = ("seconds", "images_per_second")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_random_rec(folder / "train.rec", 430, classes=10)
    write_random_rec(folder / "test.rec", 103, classes=10)
    return folder


def start(data, snapshot, *more, program=("train_cifar.py",)):
    words = [*program, *FLAGS, "--data-dir", data, "--log-dir", snapshot]
    return subprocess.Popen(
        [sys.executable, *map(str, (*words, *more))],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_heed_interrupts,
    )


def _heed_interrupts():
    """A shell's background jobs ignore Ctrl-C, and so would what they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run_folder(snapshot, setting="cross_d14w1"):
    return snapshot / "cifar10" / setting / "run1"


def start_and_wait(data, snapshot, *more, epochs, setting="cross_d14w1"):
    """A process that is in the middle of an epoch after ``epochs`` whole ones, and stays there."""
    program = waiting.program(epochs, snapshot / "never")
    process = start(data, snapshot, *more, program=program)
    wait_for_epochs(process, run_folder(snapshot, setting), epochs)
    return process


def wait_for_epochs(process, folder, epochs):
    while len(read_log(folder)) < epochs:
        assert process.poll() is None, f"ended too early: {process.communicate()}"
        time.sleep(0.01)


def result(folder):
    """What must be equal: every figure but times, and the digests of all arrays."""
    rows = [{k: v for k, v in row.items() if k not in TIMES} for row in read_log(folder)]
    newest = checkpoint.latest(folder / checkpoint.FOLDER)
    digests = json.loads((newest / "state.json").read_text())["sha256"]
    return newest.name, rows, digests["net.params"], digests["optimizer.params"]


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    snapshot = tmp_path_factory.mktemp("snapshot")
    process = start(data, snapshot)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "left" in out
    return result(run_folder(snapshot))


@pytest.mark.slow
def test_killed_in_the_third_epoch_and_resumed(data, tmp_path, uninterrupted):
    process = start_and_wait(data, tmp_path, epochs=2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(read_log(run_folder(tmp_path))) == 2
    again = start(data, tmp_path, "--resume", run_folder(tmp_path))
    out, err = again.communicate()
    assert again.returncode == 0, err
    assert "resumed after epoch" in out
    assert result(run_folder(tmp_path)) == uninterrupted
    assert os.listdir(run_folder(tmp_path).parent) == ["run1"]


@pytest.mark.slow
def test_drop_path_and_dropout_go_on_as_if_never_stopped(data, tmp_path):
    flags = ["--network", "fractal", "--depth", "10", "--drop-path", "mixed", "--dropout", "0.1"]
    flags += ["--log-columns", "--batch-size", "20"]
    results = []
    for name in ("whole", "killed"):
        folder = run_folder(tmp_path / name, "fractal_d10w1")
        more = []
        if name == "killed":
            setting = "fractal_d10w1"
            process = start_and_wait(data, tmp_path / name, *flags, epochs=1, setting=setting)
            process.kill()
            process.communicate()
            more = ["--resume", folder]
        process = start(data, tmp_path / name, *flags, *more)
        _, err = process.communicate()
        assert process.returncode == 0, err
        results.append(result(folder))
    assert results[0] == results[1]
    assert len(results[0][1][-1]["column_errors"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_told_to_stop_it_names_the_command_that_goes_on(data, tmp_path, uninterrupted, stop):
    process = start_and_wait(data, tmp_path, epochs=1)
    process.send_signal(stop)
    _, err = process.communicate()
    assert process.returncode == 130
    assert err.count("\n") == 1
    assert "Traceback" not in err
    words = shlex.split(err.split("resume with: python ")[1])
    again = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert result(run_folder(tmp_path)) == uninterrupted


@pytest.mark.slow
def test_resume_without_a_folder_brings_the_command_to_its_end(data, tmp_path, uninterrupted):
    process = start_and_wait(data, tmp_path, "--resume", epochs=2)  # nothing to resume: a new run
    process.send_signal(signal.SIGKILL)
    process.communicate()
    out, err = start(data, tmp_path, "--resume").communicate()
    assert "resumed after epoch" in out, err
    assert result(run_folder(tmp_path)) == uninterrupted
    finished = start(data, tmp_path, "--resume")
    out, _ = finished.communicate()
    assert finished.returncode == 0
    assert out.startswith("finished already")
    assert os.listdir(run_folder(tmp_path).parent) == ["run1"]


@pytest.mark.slow
def test_a_run_in_progress_is_not_resumed_by_another(data, tmp_path):
    process = start_and_wait(data, tmp_path, epochs=1)
    other = start(data, tmp_path, "--resume", run_folder(tmp_path))
    _, err = other.communicate()
    process.kill()
    process.communicate()
    assert other.returncode == 2
    assert "in use by another process" in err
