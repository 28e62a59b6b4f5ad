"""What is done to a compiled graph for PyTorch changes no bit: in-place operators, drop-path."""

import inspect
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest

from engine import Engine, MXNetEngine, cuda_graph
from network import get_model
from network.initializer import DeepFusionInit
from tests import test_regularizers as regularizers

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from engine import TorchEngine  # noqa: E402
from engine.torch_drop_path import skip_dropped_paths  # noqa: E402
from engine.torch_graph import torch_module  # noqa: E402
from engine.torch_inplace import add_, multiply_by_, relu_, reuse_memory  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]


def make(name, depth, **options):
    """Return the symbol of a network and its tensors."""
    net = get_model(name, depth, **options)
    net.initialize(DeepFusionInit(0))
    net(mx.nd.zeros((1, 3, 32, 32)))
    tensors = {}
    for parameter in net.collect_params().values():
        tensor = torch.from_numpy(parameter.data().asnumpy())
        trains = parameter.grad_req != "null"
        tensors[parameter.name] = torch.nn.Parameter(tensor) if trains else tensor
    return net(mx.sym.var("data")), tensors


class Convolutions(TorchDispatchMode):
    """Counts the convolutions of forward passes."""

    count = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.count += "convolution.default" in str(function)
        return function(*arguments, **(keywords or {}))


def run(module, tensors, seed):
    """Return the logits, the gradients (None: zero) and the moving averages of a step."""
    torch.manual_seed(1)
    images = torch.randn(4, 3, 32, 32)
    for tensor in tensors.values():
        tensor.grad = None
    torch.manual_seed(seed)
    with Convolutions() as convolutions:
        logits = module(images)
    logits.log_softmax(1)[:, 0].sum().backward()
    gradients = {name: tensor.grad for name, tensor in tensors.items() if tensor.requires_grad}
    moving = {n: tensor.clone() for n, tensor in tensors.items() if not tensor.requires_grad}
    return logits, gradients, moving, convolutions.count


@pytest.mark.parametrize("name,depth", [("cross", 14), ("half", 14), ("fractal", 10)])
def test_operators_in_place_change_no_bit(name, depth):
    (symbol, tensors), (same, others) = make(name, depth), make(name, depth)
    module, plain = (torch_module(*each, True) for each in ((symbol, tensors), (same, others)))
    reuse_memory(module)
    targets = [node.target for node in module.graph.nodes]
    norms = sum("batch_norm" in str(target) for target in targets)
    assert targets.count(relu_) > norms / 3
    if name == "cross":
        assert add_ in targets and multiply_by_ in targets
    for ours, theirs in zip(run(module, tensors, 0), run(plain, others, 0)):
        if isinstance(ours, dict):
            ours, theirs = ([*each.values()] for each in (ours, theirs))
            assert all((mine == other).all() for mine, other in zip(ours, theirs))
    assert (run(module, tensors, 0)[0] == run(plain, others, 0)[0]).all()


def test_dropped_paths_are_not_computed_and_no_gradient_changes():
    (symbol, tensors), (same, others) = (make("fractal", 20, drop_path=0.5) for _ in range(2))
    plain = torch_module(symbol, tensors, training=True)
    skipping = skip_dropped_paths(torch_module(same, others, training=True))
    counts, kept_all = [], 5 * (1 + 2 + 4)
    for seed in range(6):
        logits, gradients, _, count = run(plain, tensors, seed)
        before = {name: tensor.clone() for name, tensor in others.items()}
        ours, mine, moving, fewer = run(skipping, others, seed)
        assert (ours == logits).all()
        for name, gradient, other in zip(gradients, gradients.values(), mine.values()):
            assert (gradient == (0 if other is None else other)).all(), name
        moved = sum((moving[n] != before[n]).any().item() for n in moving if n.endswith("mean"))
        assert count == kept_all and moved == fewer
        counts.append(fewer)
    assert min(counts) < max(counts) < kept_all


def test_networks_without_drop_path_are_left_as_they_are():
    module = torch_module(*make("fractal", 10), training=True)
    assert skip_dropped_paths(module) is module


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_a_compiled_engine_takes_the_same_steps():
    engines = [regularizers.make("torch", how={"compile": compile}) for compile in (False, True)]
    for t, lr in enumerate((0.1, 0.05)):
        images, labels, targets = regularizers.batch(t)
        for engine in engines:
            engine.train_step(images, labels, lr, targets=targets)
    for ours, theirs in zip(*(engine.state_dict() for engine in engines)):
        assert ours.keys() == theirs.keys()
        for name, array in ours.items():
            assert np.abs(array - theirs[name]).max() < 1e-6, name


def test_recorded_steps_share_their_memory(monkeypatch):
    pools, graphs = [], []

    class Graph:
        def replay(self):
            graphs.append(self)

    def record(graph, pool, stream, capture_error_mode):
        pools.append((pool, stream))
        return nullcontext()

    for name, fake in (("CUDAGraph", Graph), ("graph", record)):
        monkeypatch.setattr(torch.cuda, name, fake)
    monkeypatch.setattr(cuda_graph, "WARM_UP", 0)
    steps = [cuda_graph.Replayed(lambda x: x + 1, "pool", "stream") for _ in range(2)]
    for step in steps * 2:
        assert step(torch.ones(1)) == 2
    assert pools == [("pool", "stream")] * 2
    assert len(graphs) == 4 and len(set(map(id, graphs))) == 2


@pytest.mark.parametrize("engine", [MXNetEngine, TorchEngine])
def test_engines_have_the_protocols_methods(engine):
    for name, method in vars(Engine).items():
        if inspect.isfunction(method) and not name.startswith("_"):
            asked = inspect.signature(method).parameters
            given = inspect.signature(getattr(engine, name)).parameters
            assert list(given) == list(asked), name
            assert [p.default for p in given.values()] == [p.default for p in asked.values()], name
        elif isinstance(method, property):
            assert isinstance(getattr(engine, name), property)


PROCESS = """
import os, sys
import mxnet as mx
from engine.devices import torch_device
threads = lambda: len(os.listdir("/proc/self/task"))
before = threads()
if sys.argv[1] == "torch":
    torch_device("cpu")
(mx.nd.ones((8, 8)) + 1).wait_to_read()
print(threads() - before, "MXNET_ENGINE_TYPE" in os.environ)
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc")
def test_mxnet_starts_no_threads_where_pytorch_trains():
    found = []
    for kind in ("torch", "mxnet"):
        code = "import network\n" + PROCESS
        words = [sys.executable, "-c", code, kind]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "MXNet start using engine" not in done.stderr
        found.append(done.stdout.split())
    assert found[0] == ["0", "False"]
    assert int(found[1][0]) > 0
