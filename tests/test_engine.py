"""The MXNet engine: steps as the mathematics has them, on one device and on two."""

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd
from mxnet.gluon import nn

from command import InputError
from network import get_model
from network.initializer import DeepFusionInit
from training.engine import MXNetEngine

DECAY, MOMENTUM, LR = 1e-2, 0.9, 0.1
ONE, TWO = [mx.cpu(0)], [mx.cpu(0), mx.cpu(1)]


def make(contexts=ONE, net=None):
    net = net or get_model("cross", 14)
    net.initialize(DeepFusionInit(0), ctx=contexts)
    net.hybridize(static_alloc=True, static_shape=True)
    return MXNetEngine(net, contexts, MOMENTUM, DECAY)


def batch(count, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(count, 3, 32, 32)).astype(np.float32)
    return images, rng.integers(0, 10, count)


def gradients(engine, images, labels):
    """Gradient of the summed loss in training mode, by name, without an update."""
    with autograd.record():
        loss = engine.loss(engine.net(mx.nd.array(images)), mx.nd.array(labels))
    loss.backward()
    return {
        engine._short(p.name): p.grad().asnumpy()
        for p in engine.parameters.values()
        if p.grad_req != "null"
    }


def assert_close(ours, theirs, tolerance=1e-5):
    assert ours.keys() == theirs.keys()
    for name in theirs:
        scale = max(np.abs(theirs[name]).max(), 1e-2)
        assert np.abs(ours[name] - theirs[name]).max() < tolerance * scale, name


def nesterov(values, momenta, gradient, count):
    """One step by the formula in training.optimizer; decay acts on every parameter."""
    new_values, new_momenta = {}, {}
    for name, total in gradient.items():
        g, w, v = total / count, values[name], momenta.get(name, 0)
        new_values[name] = w + MOMENTUM**2 * v - (1 + MOMENTUM) * LR * (g + DECAY * w)
        new_momenta[name] = MOMENTUM * v - LR * (g + DECAY * new_values[name])
    return new_values, new_momenta


def trained(values, like):
    return {name: values[name] for name in like}


def test_steps_are_nesterov_steps_with_decay_on_every_parameter():
    engine, twin = make(), make()
    momenta = {}
    for seed in range(3):
        images, labels = batch(6, seed)
        twin.load(*engine.arrays())
        gradient = gradients(twin, images, labels)
        expected, expected_momenta = nesterov(engine.arrays()[0], momenta, gradient, len(labels))
        engine.train_step(images, labels, LR)
        values, momenta = engine.arrays()
        assert_close(trained(values, expected), expected)
        assert_close(momenta, expected_momenta)


def test_two_devices_equal_two_half_batches_averaged():
    """Batch statistics are each half's own, as on GPUs; gradients and moving averages are means."""
    engine, halves = make(TWO), [make(), make()]
    images, labels = batch(9)
    parts = [slice(0, 5), slice(5, 9)]  # a batch of 9 gives its first device one more
    before = engine.arrays()[0]
    sums = [gradients(half, images[part], labels[part]) for half, part in zip(halves, parts)]
    total = {name: sums[0][name] + sums[1][name] for name in sums[0]}
    expected, momenta = nesterov(before, {}, total, len(labels))
    engine.train_step(images, labels, LR)
    values, states = engine.arrays()
    assert_close(trained(values, expected), expected)
    assert_close(states, momenta)
    moving = [half.arrays()[0] for half in halves]
    for name in set(before) - set(expected):
        mean = (moving[0][name] + moving[1][name]) / 2
        assert np.allclose(values[name], mean, rtol=1e-4, atol=1e-6), name
    for parameter in engine.parameters.values():  # both devices hold the same
        first, second = (array.asnumpy() for array in parameter.list_data())
        assert (first == second).all()


def test_a_batch_smaller_than_the_devices_counts_its_examples_once():
    engine, one = make(TWO), make()
    images, labels = batch(1)
    sums = engine.fetch([engine.train_step(images, labels, LR)])
    assert np.allclose(sums, one.fetch([one.train_step(images, labels, LR)]), rtol=1e-5)
    ours, theirs = engine.arrays()[0], one.arrays()[0]
    names = one.arrays()[1]
    assert_close(trained(ours, names), trained(theirs, names))


def test_sums_are_of_losses_and_wrong_answers():
    engine = make()
    images, labels = batch(7)
    logits = engine.net(mx.nd.array(images)).asnumpy()
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(7), labels]
    wrong = (logits.argmax(axis=1) != labels).sum()
    sums = engine.fetch([engine.test_step(images, labels)] * 2)
    assert sums.shape == (2, 2)
    assert np.allclose(sums, [[losses.sum(), wrong]] * 2, rtol=1e-5)


def test_moving_averages_are_those_of_the_last_step():
    """Read at once after a step, MXNet itself hands out the averages of the step before."""
    engine, waiting = make(), make()
    for seed in range(2):
        engine.train_step(*batch(64, seed), LR)
        at_once = engine.arrays()[0]
        waiting.train_step(*batch(64, seed), LR)
        mx.nd.waitall()
        settled = waiting.arrays()[0]
        assert all((at_once[name] == settled[name]).all() for name in settled)


def test_predicting_changes_nothing():
    engine = make()
    before = engine.arrays()[0]
    engine.fetch([engine.test_step(*batch(4))])
    after = engine.arrays()[0]
    assert all((before[name] == after[name]).all() for name in before)


def test_predicting_between_steps_changes_no_bit_of_training():
    """Predicting rearranges weights in memory; an update of such a weight rounds differently."""
    engine, other = make(), make()
    for seed in range(8):
        for each in (engine, other):
            each.train_step(*batch(20, seed), LR)
        other.fetch([other.test_step(*batch(50))])
    for ours, theirs in zip(other.arrays(), engine.arrays()):
        assert [name for name in theirs if (ours[name] != theirs[name]).any()] == []


@pytest.mark.parametrize("source", [ONE, TWO])
@pytest.mark.parametrize("target", [ONE, TWO])
def test_arrays_go_from_any_number_of_devices_to_any_other(source, target):
    engine, other = make(source), make(target)
    for seed in range(2):
        engine.train_step(*batch(6, seed), LR)
    state = engine.arrays()
    other.load(*state)
    for ours, theirs in zip(other.arrays(), state):
        assert ours.keys() == theirs.keys()
        assert all((ours[name] == theirs[name]).all() for name in theirs)
    same = make(target)
    same.load(*state)
    for each in (other, same):
        each.train_step(*batch(6, 9), LR)
    for ours, theirs in zip(other.arrays(), same.arrays()):
        assert all((ours[name] == theirs[name]).all() for name in theirs)


def test_going_on_from_arrays_equals_never_having_stopped():
    engine = make()
    engine.train_step(*batch(6, 0), LR)
    other = make()
    other.load(*engine.arrays())
    for each in (engine, other):
        each.train_step(*batch(6, 1), LR)
    for ours, theirs in zip(engine.arrays(), other.arrays()):
        assert all((ours[name] == theirs[name]).all() for name in theirs)


def test_arrays_of_another_network_are_refused():
    engine = make()
    values, momenta = make(net=get_model("cross", 14, classes=3)).arrays()
    with pytest.raises(InputError, match="classifier_bias has shape .3,. where the network has"):
        engine.load(values, momenta)
    values, momenta = engine.arrays()
    with pytest.raises(InputError, match="nonsense has shape"):
        engine.load({**values, "nonsense": np.zeros(2)}, momenta)
    with pytest.raises(InputError, match="classifier_bias has shape None where the network has"):
        engine.load(values, {"nonsense": np.zeros(2)})


def test_seed_decides_what_is_random_inside_the_network():
    net = nn.HybridSequential(prefix="noisy_")
    net.add(nn.Dropout(0.5), nn.Dense(10, in_units=3 * 32 * 32))
    engine = make(net=net)
    x = mx.nd.array(batch(2)[0])

    def draw(seed):
        engine.seed(seed)
        with autograd.record():
            return engine.net(x).asnumpy()

    assert (draw(1) == draw(1)).all()
    assert (draw(1) != draw(2)).any()
