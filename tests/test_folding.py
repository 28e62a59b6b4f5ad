"""Batch normalisation in convolutions: nothing changes but the number of operators."""

import json
import re
from collections import Counter

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import SymbolBlock, nn

from network import get_model
from network.exporter import read_parameters
from network.folding import fold_batch_norm, fold_constants, simplify
from network.graph import to_symbol
from network.initializer import DeepFusionInit


def prepared(net, size=32):
    """(graph, values) of ``net``, with averages as of training, and images."""
    rng = np.random.default_rng(0)
    images = mx.nd.array(rng.normal(size=(3, 3, size, size)))
    net.initialize(DeepFusionInit(0))
    net(images)
    for parameter in net.collect_params().values():
        if parameter.name.endswith(("running_mean", "beta", "bias")):
            parameter.set_data(mx.nd.array(rng.normal(0, 0.1, parameter.shape)))
        if parameter.name.endswith(("running_var", "gamma")):
            parameter.set_data(mx.nd.array(rng.uniform(0.5, 1.5, parameter.shape)))
    graph = to_symbol(net)
    return graph, read_parameters(graph, net), images


def predict(graph, values, images):
    net = SymbolBlock(graph, mx.sym.var("data"))
    for name, parameter in net.collect_params().items():
        parameter._load_init(values[name], mx.cpu())
    return net(images).asnumpy()


def operators(graph):
    return Counter(node["op"] for node in json.loads(graph.tojson())["nodes"])


@pytest.mark.parametrize("name,depth", [("cross", 26), ("fractal", 20), ("ensemble", 14)])
def test_networks_predict_the_same_without_batch_normalisation_and_products(name, depth):
    graph, values, images = prepared(get_model(name, depth))
    graph_there, values_there = simplify(graph, values)
    assert not operators(graph_there).keys() & {"BatchNorm", "_mul_scalar", "_div_scalar"}
    assert operators(graph_there)["Convolution"] == operators(graph)["Convolution"]
    assert set(values_there) == set(graph_there.list_inputs()) - {"data"}
    expected = predict(graph, values, images)
    found = predict(graph_there, values_there, images)
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["cross", "fractal", "ensemble"])
def test_folded_arrays_have_the_names_of_the_parameters_that_they_replace(name):
    graph, values, _ = prepared(get_model(name, 10 if name == "fractal" else 14))
    folded = simplify(graph, values)[1]
    first = {each for each in folded if not re.search(r"_\d+$", each)}
    weights = {each for each in values if each.endswith("weight")}
    assert {each for each in first if each.endswith("weight")} == weights
    assert {re.sub("bias$", "weight", each) for each in first} == weights
    copies = {re.sub(r"_\d+$", "", each) for each in set(folded) - first}
    assert copies <= first
    assert bool(copies) == (name == "ensemble")  # its members share weights, not moving averages


def test_a_weight_that_is_also_used_unfolded_keeps_its_name():
    data, weight = mx.sym.var("data"), mx.sym.var("weight")
    both = mx.sym.FullyConnected(data, weight, num_hidden=2, no_bias=True)
    both = mx.sym.FullyConnected(both, 2 * weight, num_hidden=2, no_bias=True)
    both = mx.sym.FullyConnected(both, 3 * weight, num_hidden=2, no_bias=True)
    graph, values = fold_constants(both, {"weight": mx.nd.array([[1, 2], [3, 4]])})
    assert list(values) == ["weight", "weight_2", "weight_3"]
    assert [array.asnumpy()[0, 0] for array in values.values()] == [1, 2, 3]


def test_operators_on_parameters_become_parameters():
    data, weight, bias = (mx.sym.var(name) for name in ("data", "weight", "bias"))
    scaled = 3 * mx.sym.square(weight, name="squared")
    graph = mx.sym.FullyConnected(2 * data, scaled + 1, bias, num_hidden=2)
    values = {"weight": mx.nd.array([[1, 2], [3, 4]]), "bias": mx.nd.array([5, 6])}
    graph_there, values_there = fold_constants(graph, values)
    assert operators(graph_there) == {"null": 3, "_mul_scalar": 1, "FullyConnected": 1}
    assert set(values_there) == set(graph_there.list_inputs()) - {"data"} == {"weight", "bias"}
    assert any(
        (array == mx.nd.array([[4, 13], [28, 49]])).asnumpy().all()
        for array in values_there.values()
        if array.shape == (2, 2)
    )
    images = mx.nd.array([[1, 2]])
    found = predict(graph_there, values_there, images)
    np.testing.assert_array_equal(found, predict(graph, values, images))


def test_a_convolution_that_others_need_keeps_its_output():
    class Fork(mx.gluon.HybridBlock):
        def __init__(self):
            super().__init__(prefix="fork_")
            with self.name_scope():
                self.conv, self.norm = nn.Conv2D(4, 3, in_channels=3), nn.BatchNorm(in_channels=4)
                self.first, self.alone = nn.BatchNorm(in_channels=3), nn.Conv2D(4, 3, in_channels=3)
                self.after = nn.BatchNorm(in_channels=4, scale=False)

        def hybrid_forward(self, F, x):
            y = self.conv(x)
            return self.norm(y) + y + self.after(self.alone(self.first(x)))

    graph, values, images = prepared(Fork(), size=8)
    graph_there, values_there = fold_batch_norm(graph, values)
    assert operators(graph_there)["BatchNorm"] == 2  # of the fork, and before a convolution
    expected = predict(graph, values, images)
    found = predict(graph_there, values_there, images)
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()
