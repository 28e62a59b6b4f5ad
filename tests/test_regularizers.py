"""Momentum correction, clipping, the average of the weights and soft targets, on every engine.

In double precision, so that rounding decides nothing.
"""

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon

from data.records import Batch
from engine.mxnet_engine import MXNetEngine
from engine.optimizer import OptimizerSettings
from engine.optimizer_state import OptimizerState
from network import get_model
from network.initializer import DeepFusionInit
from tests.test_muon import muon_step

pytestmark = pytest.mark.medium

ENGINES = ["one device", "two devices", "torch"]
RATES = [0.1, 0.1, 0.02, 0.0, 0.05, 0.05]
MOMENTUM, DECAY, CLIP, EMA = 0.9, 1e-2, 0.05, 0.3
ALL = {"momentum_correction": True, "clip_norm": CLIP, "ema_decay": EMA}


def make(kind, optimizer="nesterov", dtype="float64", how=None, **settings):
    """Return an engine with these OptimizerSettings; ``how`` has more arguments of the engine."""
    net = get_model("plain", 5)
    places = [mx.cpu(0), mx.cpu(1)] if kind == "two devices" else [mx.cpu(0)]
    net.initialize(DeepFusionInit(0), ctx=places)
    net.cast(dtype)
    if kind == "torch":
        torch = pytest.importorskip("torch")
        from engine.torch_engine import TorchEngine

        places, engine = torch.device("cpu"), TorchEngine
    else:
        net.hybridize(static_alloc=True, static_shape=True)
        engine = MXNetEngine
    optimizer_settings = OptimizerSettings(MOMENTUM, DECAY, optimizer, **settings)
    return engine(net, places, optimizer_settings, **(how or {}))


def batch(seed):
    """Two equal halves, whose statistics and mean gradient are those of the whole."""
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(4, 3, 8, 8)).astype(np.float32), rng.integers(0, 10, 4)
    images, labels = (np.concatenate([each, each]) for each in half)
    targets = rng.dirichlet(np.ones(10), 4).astype(np.float32)
    return images, labels, np.concatenate([targets, targets])


def raw_state(engine):
    """(weights that train, their average, momenta)."""
    values, arrays = engine.state_dict()
    state = OptimizerState.from_arrays(arrays)
    return state.raw or values, values, state.momenta


def mean_gradient(twin, values, images, targets):
    """Mean gradient of -sum(targets * log_softmax(logits)) at ``values``, by name."""
    twin.load_state_dict(values, {})
    x, t = (mx.nd.array(each, dtype="float64") for each in (images, targets))
    with autograd.record():
        loss = -(t * mx.nd.log_softmax(twin.net(x))).sum() / len(images)
    loss.backward()
    return {twin.strip_prefix(p.name): p.grad().asnumpy() for p in twin.trainable()}


def step(w, v, g, lr, optimizer):
    """A step by the formula in engine.optimizer."""
    if optimizer == "muon" and w.ndim == 4:
        return muon_step(w, v, g, lr, MOMENTUM)
    if optimizer == "sgd":
        v = MOMENTUM * v - lr * (g + DECAY * w)
        return w + v, v
    new = w + MOMENTUM**2 * v - (1 + MOMENTUM) * lr * (g + DECAY * w)
    return new, MOMENTUM * v - lr * (g + DECAY * new)


def assert_close(ours, theirs, tolerance=1e-9):
    for name, value in theirs.items():
        assert np.abs(ours[name] - value).max() < tolerance, name


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if (ours[name] != theirs[name]).any()] == []


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize(
    "optimizer,settings",
    [
        ("nesterov", ALL),
        ("sgd", {"momentum_correction": True}),
        ("muon", ALL),
        ("nesterov", {"clip_norm": CLIP}),
        ("sgd", {"ema_decay": EMA}),
    ],
    ids=["all", "momentum", "muon", "clip", "ema"],
)
def test_steps_are_the_formulas(kind, optimizer, settings):
    engine, twin = make(kind, optimizer, **settings), make("one device")
    weights, average, momenta = raw_state(engine)
    previous, clipped = 0, 0
    for t, lr in enumerate(RATES):
        images, labels, targets = batch(t)
        goal = targets if t % 2 else np.eye(10)[labels]
        gradient = mean_gradient(twin, weights, images, goal)
        norm = np.sqrt(sum((g**2).sum() for g in gradient.values()))
        factor = lr / previous if settings.get("momentum_correction") and lr * previous else 1
        share = min(1, CLIP / (norm + 1e-6)) if "clip_norm" in settings else 1
        expected, velocities = {}, {}
        for name, g in gradient.items():
            v = factor * momenta.get(name, 0)
            expected[name], velocities[name] = step(weights[name], v, share * g, lr, optimizer)
        sums = engine.train_step(images, labels, lr, targets=targets if t % 2 else None)
        weights, shown, momenta = raw_state(engine)
        assert_close(weights, expected)
        assert_close(momenta, velocities)
        if "ema_decay" in settings:
            decay = min(EMA, (1 + t) / (10 + t))
            average = {n: decay * average[n] + (1 - decay) * weights[n] for n in weights}
            assert_close(shown, average)
            assert any(
                np.abs(shown[n] - weights[n]).max() > 1e-6 for n in weights if "running" in n
            )
        previous, clipped = lr, clipped + (share < 1)
    assert np.isfinite(engine.fetch([sums])).all()
    assert clipped == (len(RATES) if "clip_norm" in settings else 0)


@pytest.mark.parametrize("kind", ENGINES)
def test_sums_are_of_the_soft_loss_and_of_wrong_labels(kind):
    engine = make(kind)
    images, labels, targets = batch(0)
    with autograd.train_mode():
        twin = make("one device").net(mx.nd.array(images, dtype="float64"))
    logits = twin.log_softmax().asnumpy()
    sums = engine.fetch([engine.train_step(images, labels, 0.0, targets=targets)])
    wrong = (logits.argmax(1) != labels).sum()
    assert np.allclose(sums, [[-(targets * logits).sum(), wrong]], rtol=1e-9)


@pytest.mark.parametrize("kind", ENGINES)
def test_a_resumed_engine_equals_one_that_never_stopped(kind):
    engine, resumed = make(kind, **ALL), make(kind, **ALL)
    for t, lr in enumerate(RATES[:3]):
        engine.train_step(*batch(t)[:2], lr)
    resumed.load_state_dict(*engine.state_dict())
    engine.to_numpy(engine.predict(batch(9)[0]))
    for each in (engine, resumed):
        for t, lr in enumerate(RATES[3:]):
            each.train_step(*batch(t)[:2], lr)
    for ours, theirs in zip(engine.state_dict(), resumed.state_dict()):
        assert_same(ours, theirs)


@pytest.mark.parametrize("kind", ENGINES)
def test_an_engine_starts_over_from_its_first_state(kind):
    engine = make(kind, **ALL)
    first, states = engine.state_dict(), []
    for _ in range(2):
        for t, lr in enumerate(RATES[:2]):
            images, labels, targets = batch(t)
            engine.train_step(images, labels, lr, targets=targets)
        states.append(engine.state_dict())
        engine.load_state_dict(*first)
    for ours, theirs in zip(*states):
        assert_same(ours, theirs)


@pytest.mark.parametrize("source,target", [("one device", "torch"), ("torch", "two devices")])
def test_an_engine_takes_the_state_of_any_other(source, target):
    engine, other = make(source, **ALL), make(target, **ALL)
    for t, lr in enumerate(RATES[:3]):
        engine.train_step(*batch(t)[:2], lr)
    other.load_state_dict(*engine.state_dict())
    for ours, theirs in zip(engine.state_dict(), other.state_dict()):
        assert_same(ours, theirs)
    for each in (engine, other):
        each.train_step(*batch(5)[:2], RATES[4])
    for ours, theirs in zip(engine.state_dict(), other.state_dict()):
        assert ours.keys() == theirs.keys()
        assert_close(ours, theirs, 1e-7)  # MXNet has 0.9 of its averages in single precision


@pytest.mark.parametrize("kind", ENGINES)
def test_the_average_predicts_and_has_statistics_of_its_own(kind):
    engine, plain = make(kind, ema_decay=EMA), make(kind)
    for t in range(3):
        engine.train_step(*batch(t)[:2], 0.1)
    raw, values, _ = raw_state(engine)
    plain.load_state_dict(values, {})
    images = batch(7)[0]
    logits = [each.to_numpy(each.predict(images)) for each in (engine, plain)]
    assert (logits[0] == logits[1]).all()
    for each in (engine, plain):
        each.recompute_bn_statistics([Batch(*batch(t)[:2]) for t in range(2)])
    assert_same(engine.state_dict()[0], plain.state_dict()[0])
    assert_same(raw_state(engine)[0], raw)
    changed = {n for n, value in values.items() if (engine.state_dict()[0][n] != value).any()}
    assert changed == {n for n in values if "running" in n}


@pytest.mark.parametrize("kind", ENGINES)
def test_checkpoints_without_an_average_begin_one(kind):
    old, engine = make(kind), make(kind, **ALL)
    old.train_step(*batch(0)[:2], 0.1)
    values, momenta = old.state_dict()
    assert not any(":" in name for name in momenta)
    engine.load_state_dict(values, momenta)
    raw, average, found = raw_state(engine)
    assert_same(raw, values)
    assert_same(average, values)
    assert_same(found, momenta)
    make(kind).load_state_dict(*engine.state_dict())  # without the setting, of the average


def test_off_is_the_plain_step_of_mxnet_bit_for_bit():
    engine, net = make("one device", dtype="float32"), make("one device", dtype="float32").net
    rule = {"momentum": MOMENTUM, "wd": DECAY}
    trainer, loss = gluon.Trainer(net.collect_params(), "nag", rule), gluon.loss.SoftmaxCELoss()
    for t, lr in enumerate(RATES):
        images, labels, _ = batch(t)
        engine.train_step(images, labels, lr)
        trainer.set_learning_rate(lr)
        with autograd.record():
            losses = loss(net(mx.nd.array(images)), mx.nd.array(labels))
        losses.backward()
        trainer.step(len(labels))
    mx.nd.waitall()
    plain = {n[len(net.prefix) :]: p.data().asnumpy() for n, p in net.collect_params().items()}
    assert_same(engine.state_dict()[0], plain)


def test_off_takes_the_operations_of_the_plain_step_of_pytorch():
    """The same bits from the same calls: forward, loss, backward, update, and the sums."""
    torch = pytest.importorskip("torch")
    from torch.utils._python_dispatch import TorchDispatchMode

    from engine.torch_optimizer import nesterov

    class Counter(TorchDispatchMode):
        calls = ()

        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
            self.calls += (str(function),)
            return function(*arguments, **(keywords or {}))

    def plain_step(images, labels, lr):
        images = torch.as_tensor(images).contiguous(memory_format=torch.channels_last)
        labels, lr = torch.as_tensor(labels, dtype=torch.int64), torch.tensor(lr)
        for weight in weights:
            weight.grad = None
        logits = module(images)
        loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
        (sum([1.0 * loss]) * (1 / len(labels))).backward()
        with torch.no_grad():
            nesterov(weights, [w.grad for w in weights], momenta, lr, MOMENTUM, DECAY)
            torch.stack([loss, (logits.argmax(1) != labels).sum()])

    engine, twin = make("torch", dtype="float32"), make("torch", dtype="float32")
    module = twin._module(None, True, False)
    weights, momenta = [twin._tensors[n] for n in twin._momenta], [*twin._momenta.values()]
    counts = []
    for take in (engine.train_step, plain_step):
        for t, lr in enumerate(RATES):
            with Counter() as counter:
                take(*batch(t)[:2], lr)
        counts.append(counter.calls)
    assert_same(engine._to_arrays(engine._tensors), twin._to_arrays(twin._tensors))
    assert sorted(counts[0]) == sorted(counts[1])
