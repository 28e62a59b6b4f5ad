"""Batch normalisation in convolutions: nothing changes but the number of operators."""

import json
from collections import Counter

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import SymbolBlock, nn

from network import get_model
from network.exporter import read_parameters
from network.folding import fold_batch_norm
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


@pytest.mark.parametrize("name,depth", [("cross", 14), ("fractal", 20), ("ensemble", 14)])
def test_networks_predict_the_same_without_batch_normalisation(name, depth):
    graph, values, images = prepared(get_model(name, depth))
    graph_there, values_there = fold_batch_norm(graph, values)
    assert operators(graph_there)["BatchNorm"] == 0
    assert operators(graph_there)["Convolution"] == operators(graph)["Convolution"]
    assert set(values_there) == set(graph_there.list_inputs()) - {"data"}
    expected = predict(graph, values, images)
    found = predict(graph_there, values_there, images)
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


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
