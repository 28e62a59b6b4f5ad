import mxnet as mx
import pytest

from command import InputError
from engine import devices


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
        ("a", "must be numbers such as 0,1, or cpu, not 'a'"),
        ("-1", "not '-1'"),
        ("", "not ''"),
        ("0,", "not ''"),
        ("cpu:x", "not 'cpu:x'"),
        ("\u00b2", "must be numbers"),
    ],
)
def test_devices_that_cannot_be_are_refused(gpus, given, message):
    gpus((8, 0))
    with pytest.raises(InputError, match=message):
        devices.contexts(given)


def test_a_gpu_newer_than_the_wheel_is_refused_with_what_to_do(gpus):
    gpus((8, 9), (9, 0))
    assert devices.contexts("0") == [mx.gpu(0)]
    message = r"GPU 1 has compute capability 9\.0.*holds code for 5\.0 to 8\.9.*--gpus cpu"
    with pytest.raises(InputError, match=message):
        devices.contexts()
