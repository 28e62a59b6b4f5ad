"""bfloat16 and float16.

CPUs have no float16 convolution, so what is tested here is what MXNet would cast, and steps of a
small network that computes in float16 without one.
"""

import json
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import HybridBlock

import benchmark
from command import CommandError, InputError
from engine import precision
from engine.mxnet_engine import MXNetEngine
from engine.optimizer import OptimizerSettings
from network import get_model
from network.initializer import DeepFusionInit
from tests.record_files import encoded, write_random_rec, write_rec
from tests.test_resume import result, run_folder, start, start_and_wait
from tools.contestants import list_cases
from training.checkpoint import load
from training.run_folder import read_config
from training.run_log import read_log

pytestmark = pytest.mark.medium

ROOT = Path(__file__).resolve().parents[1]
WEIGHT = np.linspace(-1, 1, 30).reshape(10, 3)
LR = 0.01


def test_bfloat16_is_for_cpus_that_have_it(tmp_path):
    (tmp_path / "cpuinfo").write_text("flags : fpu avx512f")
    assert not precision.has_bfloat16(tmp_path / "cpuinfo")
    assert not precision.has_bfloat16(tmp_path / "none")
    with pytest.raises(InputError, match="a CPU that supports it"):
        precision.use("bfloat16", [mx.cpu(), mx.gpu(0)])
    with pytest.raises(
        InputError, match="^dtype must be float32 or bfloat16 or float16 here, not 'float8'"
    ):
        precision.use("float8", [mx.cpu()])


def count_casts(name="plain"):
    graph = get_model(name, 5)(mx.sym.var("data")).tojson(remove_amp_cast=False)
    return graph.count("bfloat16"), graph.count("float16") - graph.count("bfloat16")


def test_a_type_is_undone_by_the_next(monkeypatch):
    """Casts in what is compiled; this machine need not compute in the types."""
    monkeypatch.setattr(precision, "has_bfloat16", lambda: True)
    names = {name: getattr(mx.nd, name) for name in ("Convolution", "softmax")}
    gpu = namedtuple("Context", "device_type")("gpu")
    try:
        assert count_casts() == (0, 0)
        for _ in range(2):
            precision.use("bfloat16", [mx.cpu()])
            brain, half = count_casts()
            assert brain and not half
            precision.use("float16", [gpu])
            brain, half = count_casts()
            assert half and not brain
            precision.use("float32", [mx.cpu()])
            assert count_casts() == (0, 0)
    finally:
        precision.cast_operators("float32")
    assert {name: getattr(mx.nd, name) for name in names} == names


@pytest.mark.skipif(not precision.has_bfloat16(), reason="this CPU computes in float32 alone")
def test_bfloat16_learns_as_float32_does(tmp_path):
    """Ten colours under noise."""
    rng = np.random.RandomState(0)
    colours = rng.randint(0, 256, (10, 1, 1, 3))
    for name, count in (("train.rec", 400), ("test.rec", 100)):
        noise = rng.randint(-40, 40, (count, 32, 32, 3))
        pixels = np.clip(colours[np.arange(count) % 10] + noise, 0, 255).astype(np.uint8)
        write_rec(tmp_path / name, np.arange(count) % 10, [encoded(image) for image in pixels])
    flags = ["--network", "cross", "--depth", "14", "--num-epochs", "2", "--batch-size", "40"]
    flags += ["--lr", "0.05", "--aug-type", "0", "--data-dir", str(tmp_path)]
    rows, configs = {}, {}
    for dtype in ("float32", "bfloat16"):
        words = ["train_cifar.py", *flags, "--log-dir", str(tmp_path / dtype), "--dtype", dtype]
        done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        folder = tmp_path / dtype / "cifar10" / "cross_d14w1" / "run1"
        rows[dtype], configs[dtype] = read_log(folder), read_config(folder)
        values, momenta, _ = load(folder / "checkpoints" / "epoch0002")
        assert {array.dtype for array in (*values.values(), *momenta.values())} == {np.dtype("f4")}
    ours, theirs = (rows[dtype][-1] for dtype in ("bfloat16", "float32"))
    assert theirs["train_error"] < 50  # chance: 90
    assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=0.1)
    assert ours["train_loss"] != theirs["train_loss"]
    same = ("parameters", "multiply_adds", "layers")
    assert [configs["bfloat16"][k] for k in same] == [configs["float32"][k] for k in same]


@pytest.mark.skipif(not precision.has_bfloat16(), reason="this CPU computes in float32 alone")
def test_bfloat16_resumes_bit_for_bit(tmp_path):
    for name, count in (("train.rec", 430), ("test.rec", 103)):
        write_random_rec(tmp_path / name, count, classes=10)
    results = []
    for name in ("whole", "killed"):
        folder, flags = run_folder(tmp_path / name), ["--dtype", "bfloat16", "--quiet"]
        if name == "killed":
            process = start_and_wait(tmp_path, tmp_path / name, *flags, epochs=2)
            process.kill()
            process.communicate()
            flags = ["--resume", folder]
        process = start(tmp_path, tmp_path / name, *flags)
        _, err = process.communicate()
        assert process.returncode == 0, err
        results.append(result(folder))
    assert results[0] == results[1]


def refusal(data, *flags):
    """The line with which train_cifar.py refuses flags on a CPU."""
    words = ["train_cifar.py", *flags, "--gpus", "cpu", "--data-dir", str(data)]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    return done.stderr


@pytest.mark.slow
def test_float16_is_for_gpus_and_mxnets_engine(tmp_path):
    with pytest.raises(InputError, match="needs GPUs"):
        precision.use("float16", [mx.gpu(0), mx.cpu()])
    assert "needs GPUs" in refusal(tmp_path, "--dtype", "float16")
    said = refusal(tmp_path, "--dtype", "float16", "--engine", "torch")
    assert "float32 or tf32 or bfloat16 here" in said


def test_tf32_is_for_pytorch_on_a_gpu(tmp_path):
    with pytest.raises(InputError, match="^dtype must be float32 or bfloat16 or float16 here"):
        precision.use("tf32", [mx.gpu(0)])
    said = refusal(tmp_path, "--dtype", "tf32", "--engine", "torch")
    assert "--dtype tf32 needs a GPU" in said


def test_float32_is_not_rounded_to_tf32():
    """PyTorch's default for convolutions is TF32."""
    torch = pytest.importorskip("torch")
    places = (torch.backends.cudnn, torch.backends.cuda.matmul)
    try:
        precision.use_in_torch("tf32", torch.device("cuda"))
        assert [place.allow_tf32 for place in places] == [True, True]
    finally:
        precision.use_in_torch("float32", torch.device("cpu"))
    assert [place.allow_tf32 for place in places] == [False, False]


def test_types_are_timed_of_the_libraries_that_have_them():
    flags = ["--dtype", "float32", "float16", "tf32", "--library", "mxnet", "torch", "pytorch"]
    cases = list_cases(benchmark.make_parser().parse_args(flags))
    assert {case.library for case in cases} == {"mxnet", "torch", "pytorch"}
    assert {case.library for case in cases if case.dtype == "float16"} == {"mxnet"}
    assert {case.library for case in cases if case.dtype == "tf32"} == {"torch", "pytorch"}


CASTS = """
import json
import network
import mxnet as mx
from network.complexity import complexity
from engine import precision

net = network.get_model("cross_imagenet", 26, 10)
parameters = complexity(net, (3, 64, 64)).parameters
precision.use("float16", [mx.gpu(0)])
net = network.get_model("cross_imagenet", 26, 10)
graph = net(mx.sym.var("data"))
arguments, _, averages = graph.infer_type(data="float32")
inside = graph.get_internals()
types = dict(zip(inside.list_outputs(), inside.infer_type(data="float32")[1]))
nodes = json.loads(graph.tojson())["nodes"]
heavy = [node for node in nodes if node["op"] in ("Convolution", "FullyConnected")]
print(json.dumps({
    "kept": sorted({t.__name__ for t in (*arguments, *averages)}),
    "heavy": sorted({types[node["name"] + "_output"].__name__ for node in heavy}),
    "mean": sorted({types[n["name"] + "_output"].__name__ for n in nodes if n["op"] == "mean"}),
    "parameters": [parameters, complexity(net, (3, 64, 64)).parameters],
}))
"""


def test_float16_is_what_convolutions_compute_in_and_not_what_is_kept():
    done = subprocess.run([sys.executable, "-c", CASTS], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kept"] == found["mean"] == ["float32"]
    assert found["heavy"] == ["float16"]
    assert found["parameters"][0] == found["parameters"][1]


class Products(HybridBlock):
    """Mean of each channel, times a matrix, in ``dtype``."""

    def __init__(self, dtype):
        super().__init__(prefix="products_")
        self.dtype = dtype
        with self.name_scope():
            self.weight = self.params.get("weight", shape=(10, 3))

    def hybrid_forward(self, F, x, weight):
        means = F.cast(F.mean(x, axis=(2, 3)), self.dtype)
        rows = F.expand_dims(F.cast(weight, self.dtype), 0)
        return F.sum(F.broadcast_mul(F.expand_dims(means, 1), rows), axis=2)


def products(dtype):
    net = Products(dtype)
    net.initialize(mx.init.Constant(mx.nd.array(WEIGHT)))
    net.hybridize(static_alloc=True, static_shape=True)
    return MXNetEngine(net, [mx.cpu()], OptimizerSettings(0.9, 0.0), dtype=dtype)


def examples():
    """Images, labels, and the largest of their summed gradients at first, of either sign."""
    rng = np.random.default_rng(0)
    images, labels = rng.normal(1, 1, (8, 3, 4, 4)).astype(np.float32), rng.integers(0, 10, 8)
    means = images.mean(axis=(2, 3))
    odds = np.exp(means @ WEIGHT.T)
    errors = odds / odds.sum(axis=1, keepdims=True) - np.eye(10)[labels]
    return images, labels, np.abs(errors.T @ means).max()


def assert_near(ours, theirs, unit):
    assert 0 < np.abs(ours - theirs).max() < 1e-2 * np.abs(unit).max()


@pytest.mark.parametrize("weight", [1.0, 1e-6])  # the smallest number of float16 is 6e-8
def test_a_step_in_float16_is_near_one_in_float32(weight):
    images, labels, _ = examples()
    half, full = products("float16"), products("float32")
    for engine in (half, full):
        engine.train_step(images, labels, LR, loss_weights={None: weight})
    (values, momenta), (others, other_momenta) = half.state_dict(), full.state_dict()
    assert_near(momenta["weight"], other_momenta["weight"], other_momenta["weight"])
    if weight == 1:
        assert_near(values["weight"], others["weight"], others["weight"] - WEIGHT)


def test_what_overflows_is_left_out_and_the_next_step_scaled_by_half():
    images, labels, largest = examples()
    weights = {None: 0.75 * 65504 / 64 / largest}  # fits scaled by 64 and not by 128
    half, full = products("float16"), products("float32")
    before, _ = half.state_dict()
    half.train_step(images, labels, LR, weights)
    values, momenta = half.state_dict()
    assert (values["weight"] == before["weight"]).all()
    assert not momenta
    for _ in range(2):  # the scale is what it first was, and overflows again
        half.train_step(images, labels, LR, weights)
    full.train_step(images, labels, LR, weights)
    state, (_, other_momenta) = half.state_dict(), full.state_dict()
    assert_near(state[1]["weight"], other_momenta["weight"], other_momenta["weight"])
    resumed = products("float16")
    resumed.load_state_dict(*state)
    for engine in (half, resumed):
        for _ in range(2):
            engine.train_step(images, labels, LR, weights)
    for one, other in zip(half.state_dict(), resumed.state_dict()):
        assert (one["weight"] == other["weight"]).all()
    assert (half.state_dict()[0]["weight"] != state[0]["weight"]).any()


def test_where_all_overflows_float16_is_given_up():
    images, labels, _ = examples()
    engine = products("float16")
    with pytest.raises(CommandError, match="use dtype float32"):
        for _ in range(40):
            engine.train_step(images, labels, LR, loss_weights={None: 1e30})


def test_scaling_the_loss_changes_no_bit_of_a_step():
    """It is by a power of two; of a network in float32 here."""
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(12, 3, 32, 32)).astype(np.float32), rng.integers(0, 10, 12)
    found = []
    for dtype in ("float32", "float16"):
        net = get_model("cross", 14)
        net.initialize(DeepFusionInit(0))
        net.hybridize(static_alloc=True, static_shape=True)
        engine = MXNetEngine(net, [mx.cpu()], OptimizerSettings(0.9, 1e-4), dtype=dtype)
        for _ in range(2):
            engine.train_step(images, labels, 0.1)
        found.append(engine.state_dict())
    for one, other in zip(*found):
        assert one.keys() == other.keys()
        assert all((one[name] == other[name]).all() for name in one)
