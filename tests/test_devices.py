import subprocess

import mxnet as mx
import numpy as np
import pytest

from command import InputError
from engine import devices
from training import provenance


@pytest.fixture
def gpus(monkeypatch):
    """Pretend that the machine has GPUs of these compute capabilities."""

    def pretend(*capabilities):
        monkeypatch.setattr(devices, "count_gpus", lambda: len(capabilities))
        monkeypatch.setattr(devices, "capability", lambda index: capabilities[index])

    return pretend


def test_without_gpus_the_cpu_is_taken(gpus):
    gpus()
    assert devices.contexts() == [mx.cpu()]
    assert devices.contexts("cpu:0,cpu:1") == [mx.cpu(0), mx.cpu(1)]


def test_every_gpu_is_taken_unless_some_are_named(gpus):
    gpus((8, 0), (8, 6), None)
    assert devices.contexts() == [mx.gpu(0), mx.gpu(1), mx.gpu(2)]
    assert devices.contexts("2, 0") == [mx.gpu(2), mx.gpu(0)]
    assert devices.contexts("cpu") == [mx.cpu()]


@pytest.mark.parametrize(
    "given,message",
    [
        ("1", "there is no GPU 1 .MXNet sees 1."),
        ("0,0", "names a device twice"),
        ("a", "^gpus must be numbers such as 0,1, or cpu, not 'a'"),
        ("-1", "not '-1'"),
        ("", "not ''"),
        ("0,", "not ''"),
        ("cpu:x", "not 'cpu:x'"),
        ("cpu:99999999999", "not 'cpu:99999999999'"),
        ("\u00b2", "must be numbers"),
    ],
)
def test_devices_that_cannot_be_are_refused(gpus, given, message):
    gpus((8, 0))
    with pytest.raises(InputError, match=message) as error:
        devices.contexts(given)
    assert error.value.argument == "gpus"  # programs show their flag instead


def test_a_gpu_newer_than_the_wheel_is_refused_with_what_to_do(gpus):
    gpus((8, 9), (9, 0))
    assert devices.contexts("0") == [mx.gpu(0)]
    message = r"GPU 1 has compute capability 9\.0.*holds code for 5\.0 to 8\.9.* with gpus cpu"
    with pytest.raises(InputError, match=message):
        devices.contexts()


@pytest.fixture
def torch_gpus(monkeypatch):
    """Pretend that PyTorch counts so many GPUs, which work or not; collect those that are set."""
    torch = pytest.importorskip("torch")
    chosen = []

    def pretend(count, work=True):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: work and count > 0)
        return chosen

    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr(torch, "ones", lambda shape, device: np.ones(shape))
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)  # and restored afterwards
    monkeypatch.setattr(devices, "prepare_cpu", lambda: None)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    return pretend


def test_gpus_that_do_not_work_are_not_described(torch_gpus):
    """The driver may be too old for PyTorch, which counts them nevertheless."""
    torch_gpus(2, work=False)
    assert "gpus" not in provenance._find_torch()


def test_an_installation_in_another_projects_checkout_has_no_commit(tmp_path, monkeypatch):
    code = tmp_path / ".venv" / "lib"
    code.mkdir(parents=True)
    git = ["git", "-C", tmp_path, "-c", "user.name=x", "-c", "user.email=x@y"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *words], check=True)
    monkeypatch.setattr(provenance, "CODE", code)
    assert provenance.find_commit() is None
    (code / "setup.py").touch()
    assert provenance.find_commit()


def test_a_process_gets_one_gpu_of_pytorchs(torch_gpus, monkeypatch):
    chosen = torch_gpus(4)
    assert str(devices.torch_device()) == "cuda:0"
    assert str(devices.torch_device("3")) == "cuda:3"
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert str(devices.torch_device("2, 3")) == "cuda:3"
    assert str(devices.torch_device()) == "cuda:1"
    assert list(map(str, chosen)) == ["cuda:0", "cuda:3", "cuda:3", "cuda:1"]


@pytest.mark.parametrize(
    "given,message",
    [
        ("0,0", "names a device twice"),
        ("0,00", "names a device twice"),
        ("2", "^gpus 2: PyTorch sees 2 GPUs"),
        ("", "name some of them by number"),
        ("0,1", "start the program with torchrun --nproc-per-node 2"),
    ],
)
def test_gpus_that_pytorch_cannot_use_are_refused(torch_gpus, given, message):
    torch_gpus(2)
    with pytest.raises(InputError, match=message):
        devices.torch_device(given)


@pytest.mark.parametrize(
    "function,reason",
    [
        ("cuda.set_device", "CUDA error: all CUDA-capable devices are busy"),
        ("ones", "CUDA error: no kernel image is available for execution on the device"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_named(torch_gpus, monkeypatch, function, reason):
    def fail(*shape, device=None):
        raise RuntimeError(f"{reason}\nmore words")

    torch_gpus(2)
    monkeypatch.setattr(f"torch.{function}", fail)
    with pytest.raises(InputError, match=f"GPU 1 cannot be used: {reason}; choose another, or"):
        devices.torch_device("1")


def test_gpus_without_a_working_driver_do_not_count(torch_gpus):
    torch_gpus(1, work=False)
    assert str(devices.torch_device()) == "cpu"
    with pytest.raises(InputError, match="PyTorch sees no GPUs"):
        devices.torch_device("0")
