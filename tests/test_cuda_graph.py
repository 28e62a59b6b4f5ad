"""The PyTorch engine as CUDA graphs, which a simulation on the CPU records and repeats.

Like a GPU, it repeats the recorded operators on the recorded tensors, whatever Python's variables
are by then, and refuses operators whose result the program would have to wait for.
"""

from contextlib import contextmanager, nullcontext

import numpy as np
import pytest

from data.records import Batch
from engine import cuda_graph
from engine.optimizer import OptimizerSettings
from network import get_model
from network.initializer import DeepFusionInit
from tests.test_regularizers import ALL, RATES, batch, make

pytestmark = pytest.mark.medium

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402

from engine import torch_engine  # noqa: E402

WAITING = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal")


class Recorder(TorchDispatchMode):
    def __init__(self, calls):
        super().__init__()
        self._calls = calls

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        assert operator.overloadpacket.__name__ not in WAITING
        result = operator(*args, **(kwargs or {}))
        self._calls.append((operator, args, kwargs or {}, result))
        return result


class Graph:
    """A simulated torch.cuda.CUDAGraph. Recording also computes, which the first replay skips."""

    made = []

    def __init__(self):
        self.calls, self.replays = [], 0
        self.made.append(self)

    def replay(self):
        self.replays += 1
        if self.replays == 1:
            return
        with torch.no_grad():
            for operator, args, kwargs, result in self.calls:
                again = operator(*args, **kwargs)
                for own, new in zip(tree_leaves(result), tree_leaves(again)):
                    if isinstance(own, torch.Tensor) and own.data_ptr() != new.data_ptr():
                        own.copy_(new)


@contextmanager
def record(graph, pool, stream, capture_error_mode):
    with Recorder(graph.calls):
        yield


class Stream:
    def wait_stream(self, other):
        pass


@pytest.fixture
def recorded(monkeypatch):
    """A function that makes an engine record its steps; its attribute ``graphs`` has the graphs."""
    fakes = {"CUDAGraph": Graph, "graph": record, "stream": nullcontext, "current_stream": Stream}
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    monkeypatch.setattr(Graph, "made", [])

    def make_recording(engine):
        engine._record = lambda step: cuda_graph.Replayed(step, "pool", Stream())
        return engine

    return make_recording


def assert_same_state(*engines):
    for ours, theirs in zip(*(engine.state_dict() for engine in engines)):
        assert ours.keys() == theirs.keys()
        for name, array in ours.items():
            assert np.abs(array - theirs[name]).max() <= 1e-12, name


def test_recorded_steps_equal_others_with_everything_on(recorded):
    """New rates, a smaller last batch, soft targets, precise BN and a checkpoint in between."""
    engines = [make("torch", **ALL), recorded(make("torch", **ALL))]
    rates = RATES + RATES[:2]
    for t, lr in enumerate(rates):
        images, labels, targets = batch(t)
        for engine in engines:
            whole = engine.train_step(images, labels, lr, targets=targets)
            last = engine.train_step(images[:3], labels[:3], lr)
            engine.sums = engine.fetch([whole, last])
        assert np.allclose(*(engine.sums for engine in engines), rtol=1e-12)
        if t == 4:
            saved = engines[0].state_dict()
        if t == 5:
            for engine in engines:
                engine.load_state_dict(*saved)
                engine.recompute_bn_statistics([Batch(images, labels)])
    assert_same_state(*engines)
    assert [graph.replays for graph in Graph.made] == [len(rates) - cuda_graph.WARM_UP] * 2


def make_fractal(**options):
    net = get_model("fractal", 10, **options)
    net.initialize(DeepFusionInit(0))
    net.cast("float64")
    settings = OptimizerSettings(0.9, 1e-2, optimizer="sgd", decayed="weights")
    return torch_engine.TorchEngine(net, torch.device("cpu"), settings)


def large_batch(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(4, 3, 32, 32)), rng.integers(0, 10, 4)


def test_recorded_steps_of_subnetworks_share_parameters(recorded, monkeypatch):
    monkeypatch.setattr(cuda_graph, "WARM_UP", 1)
    engines = [make_fractal(), recorded(make_fractal())]
    for t in range(3 * (cuda_graph.WARM_UP + 2)):
        images, labels = large_batch(t)
        weights = [{None: 1.0}, {1: 1.0}, {0: 0.3, None: 0.7}][t % 3]
        sums = [engine.train_step(images, labels, 0.01, weights) for engine in engines]
        losses = [engine.fetch([each]) for engine, each in zip(engines, sums)]
        assert np.allclose(*losses, rtol=1e-9)
    assert_same_state(*engines)
    assert len(Graph.made) == 3


def test_replays_draw_new_random_numbers(recorded, monkeypatch):
    monkeypatch.setattr(torch_engine, "skip_dropped_paths", lambda module: module)  # as on a GPU
    engine = recorded(make_fractal(dropout=0.1, drop_path=0.15))
    images, labels = large_batch(0)
    sums = [engine.train_step(images, labels, 0.0) for _ in range(cuda_graph.WARM_UP + 4)]
    losses = engine.fetch(sums)[:, 0]
    assert len(set(losses)) == len(losses)
    (graph,) = Graph.made
    assert graph.replays == 4
