import numpy as np
from mxnet.gluon import nn

from network import get_model
from network.initializer import DeepFusionInit, XavierInit


def test_spread_of_the_weights():
    net = get_model("plain", 8, widen_factor=4)
    net.initialize(DeepFusionInit(3))
    conv = net.blocks[1].layer[0].weight.data().asnumpy()
    assert abs(conv.std() / np.sqrt(2 / (9 * conv.shape[1])) - 1) < 0.02
    assert abs(conv).max() > 3 * conv.std()  # gaussian: tails beyond any uniform of that spread
    dense = net.classifier.weight.data().asnumpy()
    bound = np.sqrt(1 / dense.shape[1])
    assert 0.98 * bound < abs(dense).max() <= bound
    assert not net.classifier.bias.data().asnumpy().any()
    norm = net.stem[1]
    assert (norm.gamma.data().asnumpy() == 1).all()
    assert (norm.beta.data().asnumpy() == 0).all()


def test_a_parameter_does_not_depend_on_the_others():
    alone = nn.Dense(4, in_units=3, prefix="last_")
    net = nn.HybridSequential(prefix="")
    net.add(nn.Dense(3, in_units=2, prefix="first_"), nn.Dense(4, in_units=3, prefix="last_"))
    for block in (alone, net):
        block.initialize(DeepFusionInit(5))
    assert (alone.weight.data().asnumpy() == net[1].weight.data().asnumpy()).all()


def test_xavier_is_uniform_with_a_bound_by_inputs_and_outputs():
    net = get_model("fractal_plain", 10, widen_factor=4)
    net.initialize(XavierInit(3))
    for layer, area in ((net.blocks[1][0][0], 9), (net.classifier, 1)):
        weight = layer.weight.data().asnumpy()
        bound = np.sqrt(6 / (area * sum(weight.shape[:2])))
        assert 0.98 * bound < abs(weight).max() <= bound
        assert abs(weight.std() * np.sqrt(3) / bound - 1) < 0.03
