"""Factors of activations that move into weights, gamma and beta."""

import json

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon

from network import get_model, list_models
from network.factors import move_join_weights, move_positive_factors, move_powers_of_two
from network.graph import INPUT
from network.initializer import DeepFusionInit


def make_net(name, depth, dtype="float32", **options):
    net = get_model(name, depth, **options)
    net.cast(dtype)
    net.initialize(DeepFusionInit(0))
    return net


def trace(net, dtype="float32"):
    return net(mx.sym.var(INPUT, dtype=dtype))


def take_step(net, symbol, dtype="float32"):
    """Return the logits and, by name, the gradients and moving averages of a training step."""
    block = gluon.SymbolBlock(symbol, mx.sym.var(INPUT, dtype=dtype), params=net.collect_params())
    block.hybridize(static_alloc=True, static_shape=True)
    images = np.random.default_rng(0).normal(size=(4, 3, 32, 32))
    for name, parameter in net.collect_params().items():
        if name.endswith(("mean", "var")):
            parameter.set_data(mx.nd.ones(parameter.shape, dtype=dtype))
    mx.random.seed(3)
    with autograd.record():
        logits = block(mx.nd.array(images, dtype=dtype))
        loss = gluon.loss.SoftmaxCrossEntropyLoss()(logits, mx.nd.arange(4))
    loss.backward()
    mx.nd.waitall()
    parameters = net.collect_params().values()
    arrays = {p.name: (p.data() if p.grad_req == "null" else p.grad()) for p in parameters}
    return {"logits": logits.asnumpy(), **{name: a.asnumpy() for name, a in arrays.items()}}


def count_activation_products(symbol):
    """Return how many products have an operator's output, not a parameter, as first input."""
    nodes = json.loads(symbol.tojson())["nodes"]
    products = ("_mul_scalar", "_div_scalar", "elemwise_mul")
    return sum(
        node["op"] in products and nodes[node["inputs"][0][0]]["op"] != "null" for node in nodes
    )


@pytest.mark.parametrize(
    "name, depth, options",
    [("cross", 26, {}), ("cross", 110, {}), ("fractal", 10, {}), ("half", 14, {})],
)
def test_moving_powers_of_two_changes_no_bit(name, depth, options):
    net = make_net(name, depth, **options)
    before = trace(net)
    after = move_powers_of_two(before)
    first, second = (take_step(net, symbol) for symbol in (before, after))
    for key in first:
        np.testing.assert_array_equal(first[key], second[key], err_msg=key)


def test_merge_and_run_has_no_product_left():
    before = trace(make_net("cross", 56))
    assert count_activation_products(before) == 13
    assert count_activation_products(move_powers_of_two(before)) == 0


def test_means_of_three_columns_have_no_product_left():
    before = trace(make_net("fractal", 20))
    assert count_activation_products(before) == 10
    assert count_activation_products(move_powers_of_two(before)) == 5
    assert count_activation_products(move_positive_factors(before)) == 0


def test_exponents_stay_small():
    """A stage of 37 blocks would hold 2^37 times its values; after 8 halvings one stays."""
    after = move_powers_of_two(trace(make_net("cross", 446)))
    scalars = [
        float(node["attrs"]["scalar"])
        for node in json.loads(after.tojson())["nodes"]
        if node["op"] == "_mul_scalar"
    ]
    assert max(scalars) == 2**8 and min(scalars) == 2**-8
    assert 0 < count_activation_products(after) <= 2 * 3 * (37 // 8)


class Scaled(gluon.HybridBlock):
    """A product like that of a join, but each image has its own weight."""

    def __init__(self, split, **kwargs):
        super().__init__(**kwargs)
        self._split = split
        self.norm = gluon.nn.BatchNorm(in_channels=3)

    def hybrid_forward(self, F, x):
        weight = F.reshape(F.mean(x, axis=(2, 3)), shape=(-1, 3, 1, 1))
        if self._split:
            weight = F.split(weight, num_outputs=3, axis=1)[0]
        y = self.norm(x)
        return y * F.BlockGrad(F.broadcast_like(weight, y))


@pytest.mark.parametrize("split", [True, False])
def test_other_weights_than_a_joins_stay_where_they_are(split):
    net = Scaled(split)
    net.initialize()
    before = trace(net)
    assert count_activation_products(move_join_weights(before)) == 1


@pytest.mark.parametrize("depth, products", [(10, 10), (20, 25)])
def test_drawn_weights_move_into_batch_norm(depth, products):
    net = make_net("fractal", depth, "float64", drop_path=0.5)
    before = trace(net, "float64")
    after = move_join_weights(before)
    assert count_activation_products(before) == products
    assert count_activation_products(after) == 0
    first, second = (take_step(net, symbol, "float64") for symbol in (before, after))
    dropped = [name for name in first if name.endswith("gamma") and not first[name].any()]
    assert dropped, "no path was dropped"
    for key in first:
        np.testing.assert_allclose(first[key], second[key], rtol=1e-9, atol=1e-12, err_msg=key)


@pytest.mark.parametrize("name", [name for name in list_models() if "imagenet" not in name])
def test_every_network_keeps_its_parameters_and_logits(name):
    net = make_net(name, {"fractal_tapered": 40}.get(name, 20))
    before = trace(net)
    after = move_join_weights(move_powers_of_two(before))
    scaled = move_positive_factors(before)
    assert set(after.list_inputs()) == set(before.list_inputs()) == set(scaled.list_inputs())
    images = mx.nd.array(np.random.default_rng(0).normal(size=(2, 3, 32, 32)))
    outputs = [
        gluon.SymbolBlock(symbol, mx.sym.var(INPUT, dtype="float32"), params=net.collect_params())(
            images
        ).asnumpy()
        for symbol in (before, after, scaled)
    ]
    for changed in outputs[1:]:
        np.testing.assert_allclose(changed, outputs[0], rtol=1e-5, atol=1e-5)
