"""The PyTorch engine against MXNet's."""

from collections import Counter
from itertools import product
from types import SimpleNamespace

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn

from command import InputError
from data.records import Batch
from engine.mxnet_engine import MXNetEngine
from engine.optimizer import OptimizerSettings
from network import get_model, list_models
from network.drop_path import Join
from network.initializer import DeepFusionInit
from tests.test_all_networks import DEPTHS
from tests.test_drop_path import RATE, kept, probability

pytestmark = pytest.mark.medium

torch = pytest.importorskip("torch")

from engine.torch_engine import TorchEngine  # noqa: E402
from engine.torch_graph import torch_module  # noqa: E402

LARGE = ("imagenet", "ensemble", "fractal_tapered", "fractal_square")  # endings of names: slow
CPU, LR = torch.device("cpu"), 1e-4
SMALL = {**DEPTHS, "fractal_imagenet": 6}
SETTINGS = {
    "nesterov": OptimizerSettings(0.9, 1e-2),
    "sgd": OptimizerSettings(0.9, 1e-2, optimizer="sgd", decayed="weights"),
}


def size_of(name):
    return 64 if name.endswith("imagenet") else 32


def make_net(name, dtype="float64"):
    net = get_model(name, None if ":" in name else SMALL.get(name, 14), classes=7)
    net.initialize(DeepFusionInit(0))
    net(mx.nd.zeros((1, 3, size_of(name), size_of(name))))
    net.cast(dtype)
    return net


def engines(name, settings=SETTINGS["nesterov"], dtype="float64"):
    """The same network on MXNet and on PyTorch."""
    ours, theirs = make_net(name, dtype), make_net(name, dtype)
    return MXNetEngine(ours, [mx.cpu()], settings), TorchEngine(theirs, CPU, settings)


def batch(count, seed=0, size=32):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 3, size, size)), rng.integers(0, 7, count)


def assert_equal(ours, theirs, tolerance):
    assert ours.keys() == theirs.keys()
    for name in ours:
        scale = max(np.abs(ours[name]).max(), 1e-3)
        assert np.abs(ours[name] - theirs[name]).max() <= tolerance * scale, name


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name.endswith(LARGE) else [])
        for name in list_models()
    ],
)
def test_three_steps_are_mxnets(name):
    """Logits, losses, gradients (as momenta), averages and parameters, in double precision.

    In single precision sums differ in their last digits, which now and then decides on which side
    of zero a ReLU's input is; that changes gradients by more than any tolerance worth testing.
    """
    mxnet, pytorch = engines(name)
    parts = range(min(mxnet.num_subnetworks, 2))  # a deeper column soon makes much of rounding
    weights = mxnet.loss_weights or {None: 1.0, **dict.fromkeys(parts, 0.5)}
    for seed in range(3):
        images, labels = batch(4, seed, size_of(name))
        sums = [engine.train_step(images, labels, LR, weights) for engine in (mxnet, pytorch)]
        ours, theirs = mxnet.fetch(sums[:1]), pytorch.fetch(sums[1:])
        assert np.allclose(ours, theirs, rtol=1e-6, atol=0)
        for mine, other in zip(mxnet.state_dict(), pytorch.state_dict()):
            assert_equal(mine, other, 1e-5)
    images, _ = batch(3, 3, size_of(name))
    for part in (None, *parts):
        logits = [engine.to_numpy(engine.predict(images, part)) for engine in (mxnet, pytorch)]
        assert_equal({"logits": logits[0]}, {"logits": logits[1]}, 1e-6)


def test_three_steps_in_single_precision():
    mxnet, pytorch = engines("resnet", SETTINGS["sgd"], "float32")
    for seed in range(3):
        images, labels = batch(8, seed)
        mxnet.train_step(images, labels, LR)
        pytorch.train_step(images, labels, LR)
    for mine, other in zip(mxnet.state_dict(), pytorch.state_dict()):
        assert_equal(mine, other, 1e-3)


def test_one_engine_goes_on_where_the_other_was():
    mxnet, pytorch = engines("cross")
    assert pytorch.state_dict()[1] == {}  # no momenta before the first step
    images, labels = batch(4)
    mxnet.train_step(images, labels, LR)
    pytorch.load_state_dict(*mxnet.state_dict())
    for engine in (mxnet, pytorch):
        engine.train_step(images, labels, LR)
    for mine, other in zip(mxnet.state_dict(), pytorch.state_dict()):
        assert_equal(mine, other, 1e-5)
    mxnet.load_state_dict(*pytorch.state_dict())
    with pytest.raises(InputError, match="has shape"):
        pytorch.load_state_dict({}, {})


@pytest.mark.parametrize("weights", [{0: 1.0}, {1: 0.5, 0: 0.25}])
def test_a_column_alone_leaves_the_rest_to_momentum_and_decay(weights):
    mxnet, pytorch = engines("fractal")
    for seed, chosen in enumerate([{None: 1.0}, weights]):
        images, labels = batch(4, seed)
        sums = [engine.train_step(images, labels, LR, chosen) for engine in (mxnet, pytorch)]
        ours, theirs = mxnet.fetch(sums[:1]), pytorch.fetch(sums[1:])
        assert np.allclose(ours, theirs, rtol=1e-6, atol=0)
    for mine, other in zip(mxnet.state_dict(), pytorch.state_dict()):
        assert_equal(mine, other, 1e-5)


def test_averages_estimated_anew_are_mxnets():
    mxnet, pytorch = engines("fractal")
    for part in (None, 1):
        for engine in (mxnet, pytorch):
            engine.recompute_bn_statistics([Batch(*batch(4, seed)) for seed in range(3)], part)
        assert_equal(mxnet.state_dict()[0], pytorch.state_dict()[0], 1e-5)


@pytest.mark.parametrize("count", [2, 3])
def test_each_set_of_survivors_of_a_join_has_its_probability(count):
    join, draws = Join(RATE), 1000
    symbol = join(*[mx.sym.var(f"x{index}") for index in range(count)])
    module = torch_module(symbol, {}, training=True)
    inputs = [torch.full((2, 3, 4, 4), 1000.0**index) for index in range(count)]
    torch.manual_seed(7)
    seen = Counter(kept(module(*inputs).numpy(), count) for _ in range(draws))
    for mask in product((0, 1), repeat=count):
        expected = draws * probability(mask) if any(mask) else 0
        assert abs(seen[mask] - expected) <= 4 * expected**0.5
    kept_all = torch_module(symbol, {}, training=False)(*inputs)
    assert kept(kept_all.numpy(), count) == (1,) * count


def test_dropout_is_drawn_anew_and_follows_the_seed():
    net = get_model("fractal", 10, dropout=0.1, drop_path=0.15)
    net.initialize(DeepFusionInit(0))
    plain = get_model("fractal", 10, params=net.collect_params())
    engine = TorchEngine(net, CPU, SETTINGS["sgd"], predictor=plain)
    images, labels = batch(8)
    losses = []
    for seed in (1, 1, 2):
        engine.seed(seed)
        losses.append(engine.fetch([engine.train_step(images, labels, 0.0)])[0, 0])
    assert losses[0] == losses[1] != losses[2]
    first, second = (engine.to_numpy(engine.predict(images)) for _ in range(2))
    assert (first == second).all()


def test_the_state_is_a_copy():
    engine = engines("plain")[1]
    state = engine.state_dict()
    before = [{name: array.copy() for name, array in each.items()} for each in state]
    engine.train_step(*batch(4), LR)
    for ours, theirs in zip(state, before):
        assert all((ours[name] == theirs[name]).all() for name in theirs)


def test_bfloat16_is_near_float32():
    full, half = (
        TorchEngine(make_net("cross", "float32"), CPU, SETTINGS["nesterov"], dtype=dtype)
        for dtype in ("float32", "bfloat16")
    )
    images, labels = batch(16)
    for _ in range(3):
        sums = [engine.train_step(images, labels, 0.01) for engine in (full, half)]
    losses = [engine.fetch([each])[0, 0] for engine, each in zip((full, half), sums)]
    assert losses[0] != losses[1]  # it does compute in another type
    assert abs(losses[0] - losses[1]) < 0.05 * losses[0]
    assert all(values.dtype == np.float32 for values in half.state_dict()[0].values())


def test_a_last_batch_of_one_image():
    """With one value in each channel its variance is 0, in MXNet as in PyTorch."""
    x, weight = mx.sym.var("data"), {}
    symbol = mx.sym.BatchNorm(x, name="norm", eps=2e-5, momentum=0.9, fix_gamma=False)
    for name, start in (("gamma", 1.5), ("beta", 0.5), ("moving_mean", 0.25), ("moving_var", 2.0)):
        weight["norm_" + name] = torch.full((2,), start, requires_grad="moving" not in name)
    image = np.array([[[[3.0]], [[-1.0]]]], np.float32)
    y = torch_module(symbol, weight, training=True)(torch.as_tensor(image))
    y.sum().backward()
    here = {name: mx.nd.array(value.detach().numpy()) for name, value in weight.items()}
    for name in ("norm_gamma", "norm_beta"):
        here[name].attach_grad()
    with mx.autograd.record():
        arguments = (here["norm_" + n] for n in ("gamma", "beta", "moving_mean", "moving_var"))
        same = mx.nd.BatchNorm(mx.nd.array(image), *arguments, eps=2e-5, fix_gamma=False)
    same.backward()
    assert np.allclose(y.detach().numpy(), same.asnumpy(), atol=1e-3)
    assert np.allclose(y.detach().numpy(), 0.5, atol=1e-3)
    for name in ("norm_gamma", "norm_beta"):
        assert np.allclose(weight[name].grad, here[name].grad.asnumpy(), atol=1e-3)
    assert np.allclose(weight["norm_moving_mean"], [0.525, 0.125])
    assert np.allclose(weight["norm_moving_var"], 1.8)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_gluoncvs_networks_run_too(version):
    """The second version normalises the images themselves, without a trainable parameter."""
    mxnet, pytorch = engines(f"gluoncv:cifar_resnet20_{version}")
    images, labels = batch(4)
    for engine in (mxnet, pytorch):
        engine.train_step(3 + 2 * images, labels, LR)
    for mine, other in zip(mxnet.state_dict(), pytorch.state_dict()):
        assert_equal(mine, other, 1e-5)
    for engine in (mxnet, pytorch):
        engine.recompute_bn_statistics([Batch(images, labels)] * 2)
    assert_equal(*(engine.state_dict()[0] for engine in (mxnet, pytorch)), 1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        lambda x: mx.sym.Pooling(x, kernel=(2, 2), pool_type="max"),  # the stride is 1
        lambda x: mx.sym.Pooling(x, kernel=(3, 2), pool_type="avg", pad=(1, 0)),
        lambda x: mx.sym.reshape(x, (0, -1)),
        lambda x: mx.sym.reshape(x, (-1, 0, 3)),
        lambda x: mx.sym.slice_axis(x, axis=2, begin=1, end=None),
        lambda x: mx.sym.slice_axis(x, axis=-1, begin=-3, end=-1),
        lambda x: mx.sym.slice(x, begin=(0, 1, 1, -4), end=(None, None, 5, None)),
        lambda x: mx.sym.reshape(x, (0, -4, 3, -1, -2)),
        lambda x: mx.sym.reshape(x, (0, -4, -1, 3, -2)),
        lambda x: mx.sym.reshape(x, (0, -3, -2)),
        lambda x: mx.sym.SwapAxis(x, dim1=1, dim2=2),
        lambda x: mx.sym.expand_dims(x, axis=2),
        lambda x: mx.sym.pad(x, mode="constant", pad_width=(0, 0, 0, 0, 0, 1, 2, 3)),
        lambda x: mx.sym.LeakyReLU(x - 0.5, act_type="leaky", slope=0.1),
        lambda x: mx.sym.relu(x - 0.5),
        lambda x: mx.sym.softmax(x, axis=1),
        lambda x: mx.sym.UpSampling(x, scale=2, sample_type="nearest"),
        lambda x: mx.sym.contrib.BilinearResize2D(x, height=9, width=4),
        lambda x: mx.sym.contrib.BilinearResize2D(x, height=9, width=4, align_corners=False),
        lambda x: nn.MaxPool2D(2, 2, ceil_mode=True)(x),
        lambda x: nn.AvgPool2D(3, 2, 1, ceil_mode=True)(x),
    ],
)
def test_layers_compute_what_mxnets_do(layer):
    images = np.random.RandomState(0).rand(2, 3, 6, 7).astype(np.float32)
    symbol = layer(mx.sym.var("data"))
    expected = symbol.eval(data=mx.nd.array(images))[0].asnumpy()
    found = torch_module(symbol, {}, training=True)(torch.from_numpy(images)).numpy()
    assert found.shape == expected.shape and np.allclose(found, expected, atol=1e-6)


def test_windows_that_pytorch_leaves_out_are_refused():
    module = torch_module(nn.AvgPool2D(2, 2, 1, ceil_mode=True)(mx.sym.var("data")), {}, True)
    assert module(torch.ones(1, 1, 6, 6)).shape == (1, 1, 4, 4)
    with pytest.raises(InputError, match="does not support MXNet's Pooling of 5 values"):
        module(torch.ones(1, 1, 5, 5))


def test_multipliers_of_a_layer_are_those_of_mxnet_or_refused():
    net = nn.HybridSequential()
    net.add(nn.Dense(3, in_units=4))
    net.initialize()
    net[0].weight.wd_mult = 0.5
    decay = SETTINGS["sgd"].weight_decay
    assert {group[0] for group in TorchEngine(net, CPU, SETTINGS["sgd"])._groups} >= {decay / 2}
    net[0].weight.lr_mult = 0.1
    with pytest.raises(InputError, match="does not support lr_mult 0.1"):
        TorchEngine(net, CPU, SETTINGS["sgd"])


@pytest.mark.parametrize(
    "operator",
    [
        lambda x: mx.sym.erf(x),
        lambda x: mx.sym.Pooling(x, kernel=(2, 2), p_value=2),
        lambda x: mx.sym.Pooling(x, kernel=(2, 2), pool_type="sum"),
        lambda x: mx.sym.Pooling(x, kernel=(2,), pool_type="max"),
        lambda x: mx.sym.Dropout(x, axes=(2, 3)),
        lambda x: mx.sym.Activation(x, act_type="softrelu"),
        lambda x: mx.sym.reshape(x, (0, -1), reverse=True),
        lambda x: mx.sym.pad(x, mode="edge", pad_width=(0, 0, 0, 0, 1, 1, 1, 1)),
        lambda x: mx.sym.slice(x, begin=(0, 0), end=(2, 2), step=(1, 2)),
        lambda x: mx.sym.LeakyReLU(x, act_type="elu"),
    ],
)
def test_what_it_does_not_know_it_names(operator):
    with pytest.raises(InputError, match="does not support MXNet's .* with engine mxnet"):
        torch_module(operator(mx.sym.var("data")), {}, training=True)


def test_workers_of_a_network_without_batch_norm_have_nothing_to_average():
    net = nn.HybridSequential()
    net.add(nn.Dense(3, in_units=4))
    net.initialize()
    engine = TorchEngine(net, CPU, SETTINGS["sgd"])
    images = np.ones((2, 4, 1, 1), np.float32)
    before = engine.to_numpy(engine.predict(images))
    engine.workers = SimpleNamespace(count=2, sum=None)
    engine._synchronized = False
    assert (engine.to_numpy(engine.predict(images)) == before).all()
