"""Processes that torchrun starts train as one; either engine goes on with the other's run."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.record_files import write_random_rec
from tests.test_regularizers import ALL, RATES, batch, make
from training import checkpoint
from training.run_folder import read_config
from training.run_log import read_log

pytestmark = pytest.mark.slow

pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ["--network", "resnet", "--depth", "8", "--batch-size", "20", "--aug-type", "0"]
FLAGS += ["--lr", "0.01", "--num-epochs", "2", "--quiet"]
FIGURES = ("train_loss", "train_error", "test_loss", "test_error")
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_random_rec(folder / "train.rec", 47, classes=10)
    write_random_rec(folder / "test.rec", 12, classes=10)
    return folder


def train(data, snapshot, *flags, by=()):
    """Train a run, by torchrun or alone; its folder."""
    words = [*by, "train_cifar.py", *FLAGS, "--data-dir", data, "--log-dir", snapshot, *flags]
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return snapshot / "cifar10" / "resnet_d8w1" / "run1"


def assert_equal(ours, theirs, tolerance=1e-3):
    for mine, other in zip(read_log(ours), read_log(theirs)):
        for name in FIGURES:
            assert mine[name] == pytest.approx(other[name], rel=tolerance), name
    arrays = (checkpoint.load(checkpoint.latest(run / checkpoint.FOLDER)) for run in (ours, theirs))
    for mine, other in zip(*arrays):
        if isinstance(mine, dict):
            assert mine.keys() == other.keys()
            for name in mine:
                scale = max(np.abs(mine[name]).max(), 0.01)
                assert np.abs(mine[name] - other[name]).max() < tolerance * scale, name


def test_two_processes_equal_mxnets_two_devices(data, tmp_path):
    """With batch statistics of their own, and a last batch that does not divide."""
    devices = train(data, tmp_path / "mxnet", "--gpus", "cpu:0,cpu:1")
    workers = train(data, tmp_path / "torch", "--engine", "torch", "--gpus", "cpu", by=TORCHRUN)
    assert read_config(workers)["workers"] == 2
    assert os.listdir(workers.parent) == ["run1"]
    assert_equal(devices, workers)


STEPS = """
import sys
import numpy as np
import engine
from tests.test_regularizers import ALL, RATES, batch, make
device = engine.torch_device("cpu")
with engine.connect_torch_workers(device, 100) as workers:
    trained = make("torch", how={"workers": workers}, **ALL)
    half = slice(4 * workers.rank, 4 * workers.rank + 4)
    for t, lr in enumerate(RATES):
        images, labels, targets = (each[half] for each in batch(t))
        trained.train_step(images, labels, lr, total=8, targets=targets)
    for name, arrays in zip(("values", "state"), trained.state_dict()):
        np.savez(f"{sys.argv[1]}/{name}{workers.rank}", **arrays)
"""


def test_workers_clip_and_average_as_two_devices_do(tmp_path):
    words = [sys.executable, *TORCHRUN, "--no-python", sys.executable, "-c", STEPS, str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    devices = make("two devices", **ALL)
    for t, lr in enumerate(RATES):
        images, labels, targets = batch(t)
        devices.train_step(images, labels, lr, targets=targets)
    for name, expected in zip(("values", "state"), devices.state_dict()):
        for rank in (0, 1):
            with np.load(tmp_path / f"{name}{rank}.npz") as found:
                assert set(found) == set(expected)
                for key, array in expected.items():
                    assert np.abs(found[key] - array).max() < 1e-6, key


def test_a_run_goes_on_with_the_other_engine(data, tmp_path):
    whole = train(data, tmp_path / "mxnet")
    for first, second in (("mxnet", "torch"), ("torch", "mxnet")):
        half = train(data, tmp_path / first / "half", "--engine", first)
        checkpoints = half / checkpoint.FOLDER
        assert checkpoint.latest(checkpoints).name == "epoch0002"
        log = (half / "log.jsonl").read_text().splitlines(keepends=True)
        checkpoint.remove(checkpoints, 2)
        (half / "log.jsonl").write_text(log[0])
        train(data, tmp_path / first / "half", "--engine", second, "--resume", half)
        assert_equal(whole, half)


def test_mxnets_store_is_refused(data, tmp_path):
    words = [sys.executable, "train_cifar.py", *FLAGS, "--data-dir", data, "--log-dir", tmp_path]
    words += ["--engine", "torch", "--kv-store", "local"]
    done = subprocess.run(list(map(str, words)), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.endswith(
        "--kv-store is for the engine mxnet: start processes of torch with torchrun\n"
    )
    assert not any(tmp_path.iterdir())
