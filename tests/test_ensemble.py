"""The ensemble of fuse3's members, and fuse3 as the same members coupled."""

from itertools import product

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon

import train_cifar
from data import records
from data.spec import get_spec
from engine.mxnet_engine import MXNetEngine
from engine.optimizer import OptimizerSettings
from network import get_model
from network.initializer import DeepFusionInit
from training.metrics import Predictions
from training.run_log import read_log

pytestmark = pytest.mark.medium

DEPTH = 8  # three blocks, two convolutions deep


def make(name="ensemble"):
    net = get_model(name, DEPTH)
    net.initialize(DeepFusionInit(0))
    return net


def engine_of(net):
    net.hybridize(static_alloc=True, static_shape=True)
    return MXNetEngine(net, [mx.cpu()], OptimizerSettings(0.0, 0.0, optimizer="sgd"))


def batch(count=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 3, 32, 32)).astype(np.float32), rng.integers(0, 10, count)


def assert_close(ours, theirs, tolerance=1e-5):
    assert np.abs(ours - theirs).max() < tolerance * max(np.abs(theirs).max(), 1e-3)


def test_members_are_all_ways_through_three_blocks():
    net = make()
    assert net.paths == list(product(("line", "deep"), repeat=3))
    assert len(net.subnetworks) == 8 and set(net.loss_weights.values()) == {1 / 8}


def test_the_whole_predicts_the_mean_of_the_members_probabilities():
    net = make()
    x = mx.nd.array(batch()[0])
    logits = [member(x).asnumpy() for member in net.subnetworks]
    mean = np.mean([np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) for z in logits], axis=0)
    assert_close(np.exp(net(x).asnumpy()), mean)
    assert any(np.abs(ours - logits[0]).max() > 0.1 for ours in logits)


def test_members_that_are_sure_of_different_classes_have_a_finite_mean():
    net = make()
    net.classifier.weight.set_data(net.classifier.weight.data() * 1e5)
    logits = net(mx.nd.array(batch()[0])).asnumpy()
    assert np.isfinite(logits).all()
    assert_close(np.exp(logits).sum(axis=1), np.ones(6))


def test_a_step_goes_down_the_mean_of_the_members_losses():
    net, twin = make(), make()
    engine, (images, labels) = engine_of(net), batch()
    x, y = mx.nd.array(images), mx.nd.array(labels)
    with autograd.record():
        losses = [gluon.loss.SoftmaxCrossEntropyLoss()(m(x), y) for m in twin.subnetworks]
        mean = sum(losses) / 8
    mean.backward()
    sums = engine.fetch([engine.train_step(images, labels, 0.1, engine.loss_weights)])
    assert sums[0, 0] == pytest.approx(float(mean.sum().asscalar()), rel=1e-5)
    for name, parameter in twin.collect_params().items():
        ours = net.collect_params()[name].data().asnumpy()
        if parameter.grad_req == "null":
            assert_close(ours, parameter.data().asnumpy())
        else:
            assert_close(ours, (parameter.data() - 0.1 * parameter.grad() / 6).asnumpy())


def test_the_sums_of_a_step_are_means_over_the_members():
    engine, (images, labels) = engine_of(make()), batch()
    with autograd.train_mode():
        logits = [member(mx.nd.array(images)).asnumpy() for member in engine.net.subnetworks]
    told = [Predictions(each, labels) for each in logits]
    sums = engine.fetch([engine.train_step(images, labels, 0.1, engine.loss_weights)])
    assert sums[0, 0] == pytest.approx(6 * np.mean([p.loss for p in told]), rel=1e-5)
    assert sums[0, 1] == pytest.approx(6 * np.mean([p.error() / 100 for p in told]))


def test_moving_averages_are_those_of_each_member_alone():
    """Member deep-deep-deep, in training among the others, as the plain network that it is."""
    net, alone = make(), make().subnetworks[7]
    engine, (images, labels) = engine_of(net), batch()
    engine.train_step(images, labels, 0.1, engine.loss_weights)
    mx.nd.waitall()  # the averages of the last step are written some time after it
    ours = {name: p.data().asnumpy() for name, p in net.collect_params("ensemble_member").items()}
    with autograd.record():
        loss = alone(mx.nd.array(images)).sum()
    loss.backward()
    mx.nd.waitall()
    moved = {n: p.data().asnumpy() for n, p in alone.collect_params(".*running").items()}
    assert moved and all(np.abs(value - ours[name]).max() < 1e-5 for name, value in moved.items())
    other = [ours[name.replace("member7", "member3")] for name in moved if "block2" in name]
    mine = [moved[name] for name in moved if "block2" in name]
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(other, mine))


def test_going_on_from_arrays_equals_never_having_stopped():
    engine, other = engine_of(make()), engine_of(make())
    engine.train_step(*batch(), 0.1, engine.loss_weights)
    other.load_state_dict(*engine.state_dict())
    for each in (engine, other):
        each.train_step(*batch(seed=1), 0.1, each.loss_weights)
    ours, theirs = other.state_dict()[0], engine.state_dict()[0]
    assert [name for name in theirs if (ours[name] != theirs[name]).any()] == []


@pytest.mark.parametrize("mode", ["predict", "train"])
def test_fuse3_is_the_ensemble_coupled(mode):
    """2^3 networks, each of which adds at each block what the network that differs there has.

    Zhao et al.: with exchanged sums they all are the deeply-fused network.
    """
    fused = make("fuse3")
    paths = list(product(("line", "deep"), repeat=3))
    scope = autograd.train_mode if mode == "train" else autograd.predict_mode
    with scope():
        x = mx.nd.array(batch()[0])
        states = {path: fused.stem(x) for path in paths}
        for index, block in enumerate(fused.blocks):
            here = {path: getattr(block, path[index])(states[path]) for path in paths}
            states = {path: mx.nd.relu(here[path] + here[partner(path, index)]) for path in paths}
        logits = [fused.classifier(y.mean(axis=(2, 3))).asnumpy() for y in states.values()]
        expected = fused(x).asnumpy()
    for each in logits:
        assert_close(each, expected)
    assert_close(np.mean(logits, axis=0), expected)


def partner(path, index):
    """The path that takes the other route at one block."""
    other = {"line": "deep", "deep": "line"}[path[index]]
    return (*path[:index], other, *path[index + 1 :])


def train(data, snapshot, *more):
    flags = ["--network", "ensemble", "--depth", str(DEPTH), "--quiet"]
    flags += ["--data-dir", str(data), "--log-dir", str(snapshot)]
    train_cifar.main([*flags, *more])
    return snapshot / "cifar10" / f"ensemble_d{DEPTH}w1"


@pytest.mark.slow
def test_a_run_logs_the_error_of_every_member_and_of_their_mean(data, tmp_path):
    folder = train(data, tmp_path, "--num-epochs", "2", "--exp-name", "whole") / "whole1"
    rows = read_log(folder)
    net = get_model("ensemble", DEPTH)
    net.load_parameters(str(folder / "checkpoints" / "epoch0002" / "net.params"))
    spec, images = get_spec("cifar10"), records.load(data / "test.rec")
    mean, std = (np.array(x).reshape(3, 1, 1) for x in (spec.mean, spec.std))
    x = mx.nd.array((images.pixels - mean) / std)
    told = [Predictions(member(x).asnumpy(), images.labels) for member in net.subnetworks]
    assert rows[1]["member_errors"] == pytest.approx([each.error() for each in told])
    assert rows[1]["member_losses"] == pytest.approx([each.loss for each in told], rel=1e-4)
    shares = [np.exp(p.logits - p.logits.max(axis=1, keepdims=True)) for p in told]
    averaged = np.mean([s / s.sum(axis=1, keepdims=True) for s in shares], axis=0)
    assert rows[1]["test_error"] == pytest.approx(Predictions(averaged, images.labels).error())
    assert all(len(row["member_errors"]) == 8 for row in rows)
    assert (folder / "members.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("flags", [["--drop-path", "global"], ["--log-columns"]])
def test_what_columns_alone_have_is_refused(data, tmp_path, capsys, flags):
    with pytest.raises(SystemExit) as caught:
        train(data, tmp_path, "--num-epochs", "1", *flags)
    assert caught.value.code == 2
    assert "ensemble has no columns" in capsys.readouterr().err
