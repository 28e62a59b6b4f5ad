"""The MXNet engine: steps as the mathematics has them, on one device and on two."""

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd
from mxnet.gluon import nn

from command import InputError
from data.records import Batch
from engine.mxnet_engine import MXNetEngine
from engine.optimizer import OptimizerSettings
from network import get_model
from network.initializer import DeepFusionInit

pytestmark = pytest.mark.medium

DECAY, MOMENTUM, LR = 1e-2, 0.9, 0.1
ONE, TWO = [mx.cpu(0)], [mx.cpu(0), mx.cpu(1)]


def make(contexts=ONE, net=None, dtype="float32", **settings):
    net = net or get_model("cross", 14)
    net.initialize(DeepFusionInit(0), ctx=contexts)
    net.cast(dtype)
    net.hybridize(static_alloc=True, static_shape=True)
    return MXNetEngine(net, contexts, OptimizerSettings(MOMENTUM, DECAY, **settings))


def batch(count, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(count, 3, 32, 32)).astype(np.float32)
    return images, rng.integers(0, 10, count)


def gradients(engine, images, labels, weights=None):
    """Gradient of the summed loss in training mode, by name, without an update."""
    used = {}
    with autograd.record():
        losses = []
        for part, weight in (weights or {None: 1}).items():
            net = engine.net if part is None else engine.net.subnetworks[part]
            x, y = (mx.nd.array(each, dtype=engine._dtype) for each in (images, labels))
            losses.append(weight * engine.loss(net(x), y))
            used.update(net.collect_params())
    autograd.backward(losses)
    return {
        engine.strip_prefix(p.name): p.grad().asnumpy() if p.name in used else np.zeros(p.shape)
        for p in engine.parameters.values()
        if p.grad_req != "null"
    }


def assert_close(ours, theirs, tolerance=1e-5):
    assert ours.keys() == theirs.keys()
    for name in theirs:
        scale = max(np.abs(theirs[name]).max(), 1e-2)
        assert np.abs(ours[name] - theirs[name]).max() < tolerance * scale, name


def nesterov(w, v, g, decay):
    """A step by the formula in engine.optimizer."""
    new = w + MOMENTUM**2 * v - (1 + MOMENTUM) * LR * (g + decay * w)
    return new, MOMENTUM * v - LR * (g + decay * new)


def sgd(w, v, g, decay):
    """A step by the formula in engine.optimizer."""
    new = MOMENTUM * v - LR * (g + decay * w)
    return w + new, new


def stepped(values, momenta, gradient, count, rule=nesterov, decayed=""):
    """One step of every parameter; those decay whose name ends with ``decayed``."""
    new_values, new_momenta = {}, {}
    for name, total in gradient.items():
        decay = DECAY if name.endswith(decayed) else 0
        w, v = values[name], momenta.get(name, 0)
        new_values[name], new_momenta[name] = rule(w, v, total / count, decay)
    return new_values, new_momenta


def trained(values, like):
    return {name: values[name] for name in like}


@pytest.mark.parametrize(
    "settings,rule,decayed",
    [({}, nesterov, ""), ({"optimizer": "sgd", "decayed": "weights"}, sgd, "weight")],
)
def test_steps_are_the_optimizers(settings, rule, decayed):
    engine, twin = make(**settings), make()
    momenta = {}
    for seed in range(3):
        images, labels = batch(6, seed)
        twin.load_state_dict(*engine.state_dict())
        gradient = gradients(twin, images, labels)
        expected, expected_momenta = stepped(
            engine.state_dict()[0], momenta, gradient, len(labels), rule, decayed
        )
        engine.train_step(images, labels, LR)
        values, momenta = engine.state_dict()
        assert_close(trained(values, expected), expected)
        assert_close(momenta, expected_momenta)


def test_two_devices_equal_two_half_batches_averaged():
    """Batch statistics are each half's own, as on GPUs; gradients and moving averages are means."""
    engine, halves = make(TWO), [make(), make()]
    images, labels = batch(9)
    parts = [slice(0, 5), slice(5, 9)]  # a batch of 9 gives its first device one more
    before = engine.state_dict()[0]
    sums = [gradients(half, images[part], labels[part]) for half, part in zip(halves, parts)]
    total = {name: sums[0][name] + sums[1][name] for name in sums[0]}
    expected, momenta = stepped(before, {}, total, len(labels))
    engine.train_step(images, labels, LR)
    values, states = engine.state_dict()
    assert_close(trained(values, expected), expected)
    assert_close(states, momenta)
    moving = [half.state_dict()[0] for half in halves]
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
    ours, theirs = engine.state_dict()[0], one.state_dict()[0]
    names = one.state_dict()[1]
    assert_close(trained(ours, names), trained(theirs, names))


def test_sums_are_of_losses_and_wrong_answers():
    engine = make()
    images, labels = batch(7)
    with autograd.train_mode():
        logits = engine.net(mx.nd.array(images)).asnumpy()
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(7), labels]
    wrong = (logits.argmax(axis=1) != labels).sum()
    sums = engine.fetch([engine.train_step(images, labels, 0.0)] * 2)
    assert sums.shape == (2, 2)
    assert np.allclose(sums, [[losses.sum(), wrong]] * 2, rtol=1e-5)


def test_moving_averages_are_those_of_the_last_step():
    """Read at once after a step, MXNet itself hands out the averages of the step before."""
    engine, waiting = make(), make()
    for seed in range(2):
        engine.train_step(*batch(64, seed), LR)
        at_once = engine.state_dict()[0]
        waiting.train_step(*batch(64, seed), LR)
        mx.nd.waitall()
        settled = waiting.state_dict()[0]
        assert all((at_once[name] == settled[name]).all() for name in settled)


def test_predicting_changes_nothing():
    engine = make()
    before = engine.state_dict()[0]
    engine.to_numpy(engine.predict(batch(4)[0]))
    after = engine.state_dict()[0]
    assert all((before[name] == after[name]).all() for name in before)


def test_predicting_between_steps_changes_no_bit_of_training():
    """Predicting rearranges weights in memory; an update of such a weight rounds differently."""
    engine, other = make(), make()
    for seed in range(8):
        for each in (engine, other):
            each.train_step(*batch(20, seed), LR)
        other.to_numpy(other.predict(batch(50)[0]))
    for ours, theirs in zip(other.state_dict(), engine.state_dict()):
        assert [name for name in theirs if (ours[name] != theirs[name]).any()] == []


@pytest.mark.parametrize("source", [ONE, TWO])
@pytest.mark.parametrize("target", [ONE, TWO])
def test_arrays_go_from_any_number_of_devices_to_any_other(source, target):
    engine, other = make(source), make(target)
    for seed in range(2):
        engine.train_step(*batch(6, seed), LR)
    state = engine.state_dict()
    other.load_state_dict(*state)
    for ours, theirs in zip(other.state_dict(), state):
        assert ours.keys() == theirs.keys()
        assert all((ours[name] == theirs[name]).all() for name in theirs)
    same = make(target)
    same.load_state_dict(*state)
    for each in (other, same):
        each.train_step(*batch(6, 9), LR)
    for ours, theirs in zip(other.state_dict(), same.state_dict()):
        assert all((ours[name] == theirs[name]).all() for name in theirs)


def test_going_on_from_arrays_equals_never_having_stopped():
    engine = make()
    engine.train_step(*batch(6, 0), LR)
    other = make()
    other.load_state_dict(*engine.state_dict())
    for each in (engine, other):
        each.train_step(*batch(6, 1), LR)
    for ours, theirs in zip(engine.state_dict(), other.state_dict()):
        assert all((ours[name] == theirs[name]).all() for name in theirs)


def test_arrays_of_another_network_are_refused():
    engine = make()
    values, momenta = make(net=get_model("cross", 14, classes=3)).state_dict()
    with pytest.raises(InputError, match="classifier_bias has shape .3,., but the network has"):
        engine.load_state_dict(values, momenta)
    values, momenta = engine.state_dict()
    with pytest.raises(InputError, match="nonsense has shape"):
        engine.load_state_dict({**values, "nonsense": np.zeros(2)}, momenta)
    with pytest.raises(InputError, match="classifier_bias has shape None, but the network has"):
        engine.load_state_dict(values, {"nonsense": np.zeros(2)})


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


def fractal(contexts=ONE, dtype="float32"):
    """An engine of a FractalNet of two columns."""
    return make(contexts, get_model("fractal", 10), dtype, optimizer="sgd")


@pytest.mark.parametrize(
    "weights", [{0: 1.0}, {1: 1.0}, {None: 1.0, 0: 0.5, 1: 0.5}], ids=["column0", "column1", "tied"]
)
@pytest.mark.parametrize("contexts", [ONE, TWO], ids=["one", "two"])
def test_a_step_of_parts_moves_all_that_is_trained(weights, contexts):
    """What no part uses has a gradient of zero, whatever was there from the step before.

    In double precision: in single precision the last digit may decide on which side of zero the
    input of a ReLU is, or which of four values is the largest, and so change gradients visibly.
    """
    engine, twin = fractal(contexts, "float64"), fractal(dtype="float64")
    images, labels = (np.concatenate([half, half]) for half in batch(6))  # same in each device
    engine.train_step(images, labels, LR)
    values, momenta = engine.state_dict()
    twin.load_state_dict(values, momenta)
    half = slice(0, 6)
    gradient = gradients(twin, images[half], labels[half], weights)
    if None not in weights:
        unused = [name for name in gradient if not np.abs(gradient[name]).max() > 0]
        assert any(f"column{1 - next(iter(weights))}" in name for name in unused)
    engine.train_step(images, labels, LR, weights)
    expected, expected_momenta = stepped(values, momenta, gradient, 6, sgd)
    ours, our_momenta = engine.state_dict()
    assert_close(trained(ours, expected), expected, 1e-4)
    assert_close(our_momenta, expected_momenta, 1e-4)


def test_a_column_step_touches_the_averages_of_that_column_alone():
    engine = fractal()
    before = engine.state_dict()[0]
    engine.train_step(*batch(6), LR, {1: 1.0})
    after = engine.state_dict()[0]
    moved = {n for n in before if "running" in n and (before[n] != after[n]).any()}
    assert moved == {n for n in before if n.startswith("column1_") and "running" in n}


def test_sums_of_a_step_are_of_the_whole_where_it_is_trained():
    engine, other = fractal(), fractal()
    both = engine.fetch([engine.train_step(*batch(6), LR, {None: 1.0, 0: 0.5})])
    assert (both == other.fetch([other.train_step(*batch(6), LR)])).all()


def test_predictions_are_of_the_part_on_any_number_of_devices():
    engine, two = fractal(), make(TWO, get_model("fractal", 10))
    images = batch(5)[0]
    for part in (None, 0, 1):
        net = engine.net if part is None else engine.net.column(part)
        expected = net(mx.nd.array(images)).asnumpy()
        assert np.allclose(engine.to_numpy(engine.predict(images, part)), expected, atol=1e-5)
        assert np.allclose(two.to_numpy(two.predict(images, part)), expected, atol=1e-5)
    assert engine.num_subnetworks == 2
    assert make().num_subnetworks == 0


def test_observing_estimates_averages_and_changes_nothing_else():
    engine, other = fractal(), fractal()
    batches = [Batch(*batch(20, seed)) for seed in range(3)]
    engine.train_step(*batch(6), LR)
    before, momenta = engine.state_dict()
    engine.recompute_bn_statistics(batches, 1)
    after, same = engine.state_dict()
    changed = {name for name in before if (before[name] != after[name]).any()}
    assert changed == {n for n in before if n.startswith("column1_") and "running" in n}
    assert all((momenta[name] == same[name]).all() for name in momenta)
    other.load_state_dict(before, {})
    for each in batches:  # with a rate of 0 steps move the averages alone
        other.train_step(each.images, each.labels, 0.0, {1: 1.0})
    left = 0.9**3  # of the averages before the first batch
    moved = {n: (other.state_dict()[0][n] - left * before[n]) / (1 - left) for n in changed}
    assert_close(moved, {n: after[n] for n in changed})
    engine.recompute_bn_statistics(batches, 1)  # again from the start
    assert all((engine.state_dict()[0][name] == after[name]).all() for name in changed)


@pytest.mark.parametrize("part", [None, 0, 1])
def test_averages_of_one_batch_are_its_statistics(part):
    """Also where the variance is far below 1, with which a new network begins."""
    engine, (images, _) = fractal(), batch(20)
    for parameter in engine.trainable():
        if parameter.name.endswith("weight"):
            parameter.set_data(0.05 * parameter.data(parameter.list_ctx()[0]))
    engine.recompute_bn_statistics([Batch(images, None)], part)
    with autograd.train_mode():
        expected = engine.network(part)(mx.nd.array(images)).asnumpy()
    found = engine.to_numpy(engine.predict(images, part))
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize("sizes", [(1, 1), (4, 1)])
def test_averages_do_not_depend_on_devices_without_images(sizes):
    """Batches of one image, and last ones, may be too small for every device."""
    image, label = batch(1)
    found = []
    for contexts in (ONE, TWO):
        engine = make(contexts, get_model("fractal", 5))
        engine.train_step(image, label, 0.0)
        found.append([engine.state_dict()[0]])
        engine.recompute_bn_statistics([Batch(np.tile(image, (n, 1, 1, 1)), None) for n in sizes])
        found[-1].append(engine.state_dict()[0])
    for ours, theirs in zip(*found):
        assert_close(ours, theirs, 1e-4)


def test_steps_after_observing_are_those_without():
    engine, other = fractal(), fractal()
    for seed in range(2):
        for each in (engine, other):
            each.train_step(*batch(6, seed), LR)
        other.recompute_bn_statistics([Batch(*batch(6, 9))], 0)
    names = engine.state_dict()[1]
    ours, theirs = other.state_dict()[0], engine.state_dict()[0]
    assert [name for name in names if (ours[name] != theirs[name]).any()] == []


@pytest.mark.parametrize("settings", [{"optimizer": "adam"}, {"decayed": "bias"}])
def test_unknown_optimizers_are_refused(settings):
    with pytest.raises(InputError, match="is not one of"):
        make(**settings)
