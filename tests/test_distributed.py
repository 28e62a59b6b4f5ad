"""Training by several workers, on loopback: it equals training by one, and survives losses."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest

import train_cifar
from data.records import number_of_batches
from tests import waiting
from tests.photo_files import write_photographs
from tests.record_files import write_random_rec
from tests.test_resume import wait_for_epochs
from tests.test_scripts import refused
from tools.launch import free_port
from training.run_folder import read_config
from training.run_log import read_log

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
EPOCHS = 8
FLAGS = ["--network", "plain", "--depth", "5", "--num-epochs", str(EPOCHS), "--aug-type", "0"]
FLAGS += ["--batch-size", "64", "--lr", "0.01", "--checkpoint-epochs", "1"]
TIMES = ("seconds", "images_per_second")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_random_rec(folder / "train.rec", 203, classes=10)
    write_random_rec(folder / "test.rec", 50, classes=10)
    return folder


def where(data, snapshot):
    return ["--data-dir", str(data), "--log-dir", str(snapshot)]


def start(workers, *words, program=("train_cifar.py",)):
    """Start a job of so many workers and a server; (its process, its port)."""
    port = free_port()
    launcher = [sys.executable, "-m", "tools.launch", "-n", str(workers), "-s", "1"]
    command = ["--port", str(port), "--", sys.executable, *program]
    process = subprocess.Popen(
        [*launcher, *map(str, (*command, "--kv-store", "dist_sync", *words))],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return process, port


def finish(process):
    out, _ = process.communicate()
    assert process.returncode == 0, out
    return out


def rows(folder):
    return [{k: v for k, v in row.items() if k not in TIMES} for row in read_log(folder)]


def digests(folder):
    state = json.loads((folder / "checkpoints" / f"epoch{EPOCHS:04d}/state.json").read_text())
    return state["sha256"]["net.params"], state["sha256"]["optimizer.params"]


def arrays(folder):
    last = folder / "checkpoints" / f"epoch{EPOCHS:04d}"
    return {**mx.nd.load(str(last / "net.params")), **_momenta(last)}


def _momenta(last):
    loaded = mx.nd.load(str(last / "optimizer.params"))
    return {f"momentum of {name}": array for name, array in loaded.items()}


@pytest.fixture(scope="module")
def two_workers(data, tmp_path_factory):
    """The folder of a run by two workers, and what the launcher showed."""
    snapshot = tmp_path_factory.mktemp("snapshot")
    out = finish(start(2, *FLAGS, *where(data, snapshot))[0])
    return snapshot / "cifar10" / "plain_d5w1" / "run1", out


def test_two_workers_equal_one_with_two_devices(two_workers, data, tmp_path):
    folder, out = two_workers
    train_cifar.main([*FLAGS, *where(data, tmp_path), "--gpus", "cpu:0,cpu:1"])
    other = tmp_path / "cifar10" / "plain_d5w1" / "run1"
    for ours, theirs in zip(rows(folder), rows(other)):
        assert ours == pytest.approx(theirs, rel=1e-4)
    ours, theirs = arrays(folder), arrays(other)
    assert ours.keys() == theirs.keys()
    for name in theirs:
        scale = max(np.abs(theirs[name].asnumpy()).max(), 1e-2)
        assert np.abs((ours[name] - theirs[name]).asnumpy()).max() < 1e-4 * scale, name
    config = read_config(folder)
    assert (config["workers"], config["devices"], read_config(other)["workers"]) == (2, 1, 1)
    assert os.listdir(folder.parent) == ["run1"]
    assert "cpu(0) of each of 2 workers" in out
    assert "[worker 1]" not in out


def processes(port):
    """{(role, rank): process id} of the job with that port."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            pairs = (item.partition("=") for item in path.read_text().split("\0"))
        except OSError:  # ended, or another's
            continue
        given = {name: value for name, _, value in pairs}
        if given.get("DMLC_PS_ROOT_PORT") == str(port):
            found[given["DMLC_ROLE"], given.get("DMLC_WORKER_ID")] = int(path.parent.name)
    return found


@pytest.mark.parametrize(
    "lost,how,message",
    [
        (("worker", "1"), signal.SIGKILL, "worker 1 ended with status 137"),
        (("server", None), signal.SIGKILL, "server 0 ended with status 137"),
        (("server", None), signal.SIGSTOP, "waited 20 seconds (--wait-limit) for the other"),
    ],
    ids=["worker", "server", "silent server"],
)
def test_a_loss_ends_the_job_which_resumes(two_workers, data, tmp_path, lost, how, message):
    folder = tmp_path / "cifar10" / "plain_d5w1" / "run1"
    program = waiting.program(1, tmp_path / "go")
    words = [*FLAGS, *where(data, tmp_path)]
    words += ["--wait-limit", "20"]  # a worker may start this much later than the other
    job, port = start(2, *words, program=program)
    wait_for_epochs(job, folder, 1)
    there = processes(port)
    assert len(there) == 4
    os.kill(there[lost], how)
    (tmp_path / "go").touch()
    out, _ = job.communicate()
    assert job.returncode in (1, 137)
    assert message in out
    assert not processes(port)
    assert len(read_log(folder)) == 1
    out = finish(start(2, "--resume", folder)[0])
    assert "resumed after epoch" in out
    assert rows(folder) == rows(two_workers[0])
    assert digests(folder) == digests(two_workers[0])


def test_one_process_goes_on_with_a_run_of_two_workers(two_workers, data, tmp_path):
    folder = tmp_path / "cifar10" / "plain_d5w1" / "run1"
    program = waiting.program(1, tmp_path / "never")
    job, _ = start(2, *FLAGS, *where(data, tmp_path), program=program)
    wait_for_epochs(job, folder, 1)
    job.terminate()
    out, _ = job.communicate()
    assert job.returncode == 130, out
    train_cifar.main(["--resume", str(folder), "--kv-store", "device", "--gpus", "cpu:0,cpu:1"])
    assert rows(folder)[-1] == pytest.approx(rows(two_workers[0])[-1], rel=1e-4)


@pytest.mark.parametrize("workers", [1, 3])
def test_photographs_are_shared_by_any_number_of_workers(tmp_path, workers):
    write_photographs(tmp_path, classes=7)
    words = ["--network", "gluoncv:mobilenet0.25", "--data-shape", "32", "--num-epochs", "1"]
    # batch normalisation of 5 images magnifies the rounding of the workers' sums: a tiny rate
    words += ["--batch-size", "15", "--lr", "1e-6", "--log-iters", "1", "--dataset", "photos"]
    words += where(tmp_path, tmp_path / "snapshot")
    out = finish(start(workers, *words, program=("train_imagenet.py",))[0])
    steps = number_of_batches(53, 15 // workers, workers)
    assert f"step {steps}/{steps}" in out
    (folder,) = (tmp_path / "snapshot" / "photos").glob("*/run*")
    assert len(rows(folder)) == 1
    assert read_config(folder)["workers"] == workers


@pytest.mark.parametrize(
    "environment,more,message",
    [
        ({}, [], "DMLC_ROLE, DMLC_PS_ROOT_URI, .* is not set.*python -m tools.launch"),
        ({"DMLC_ROLE": "worker", "DMLC_PS_ROOT_URI": "::1"}, [], "DMLC_PS_ROOT_PORT, DMLC_NUM_W"),
        ({}, ["--runs", "2"], "one seed in each job"),
        ({}, ["--engine", "torch"], "--kv-store dist_sync needs --engine mxnet, not torch"),
        ({}, ["--wait-limit", "0"], "--wait-limit must be at least 1"),
    ],
)
def test_a_worker_without_a_job_is_refused(
    data, tmp_path, capsys, monkeypatch, environment, more, message
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    words = ["--kv-store", "dist_sync", *FLAGS, *where(data, tmp_path / "snapshot"), *more]
    status, err = refused(capsys, *words)
    assert status == 2
    assert re.search(message, err)
    assert not (tmp_path / "snapshot").exists()
