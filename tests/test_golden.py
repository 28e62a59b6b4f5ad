"""Parameter counts and logits of the networks as their authors published them."""

import json
from pathlib import Path

import mxnet as mx
import numpy as np
import pytest

from network import default_depth, get_model
from network.complexity import complexity

GOLDEN = Path(__file__).parent / "golden"
PARAMETERS, IMAGENET = (
    json.loads((GOLDEN / "parameters.json").read_text())[key] for key in ("cifar", "imagenet")
)
LOGITS = json.loads((GOLDEN / "logits.json").read_text())
PARAMETERS["ensemble"] = PARAMETERS["fuse3"]  # they share them all
COUNTS = [(name, case) for name in PARAMETERS for case in PARAMETERS[name]]


def hashed(shape):
    """Numbers in -1 to 1 that depend on the shape alone."""
    index = np.arange(1, np.prod(shape) + 1, dtype=np.float64)
    turns = np.sin(index * 12.9898) * 43758.5453
    return (2 * (turns - np.floor(turns)) - 1).reshape(shape)


def fill(net):
    """Give every weight of ``net`` the golden value; the rest stays at 0 and 1."""
    net.initialize()
    for name, parameter in net.collect_params().items():
        if name.endswith("weight"):
            scale = np.sqrt(6 / np.prod(parameter.shape[1:]))
            parameter.set_data(mx.nd.array(hashed(parameter.shape) * scale))


def test_golden_figures_cover_every_network_of_the_authors():
    small = {"plain", "resnet", "half", "side", "cross", "fuse3", "fuse6", "ensemble"}
    assert small == set(PARAMETERS)
    assert {"cross_imagenet", "resnet_imagenet"} == set(IMAGENET)


@pytest.mark.medium
@pytest.mark.parametrize(
    "name,case", COUNTS, ids=lambda x: x if isinstance(x, str) else "d{depth}".format(**x)
)
def test_counts(name, case):
    net = get_model(name, case["depth"], case["classes"], case["widen_factor"])
    weights = [p.shape for key, p in net.collect_params().items() if key.endswith("weight")]
    assert complexity(net).parameters == case["parameters"]
    assert sum(len(shape) == 4 for shape in weights) == case["convolutions"]


@pytest.mark.parametrize("name", IMAGENET)
def test_counts_of_imagenet(name):
    case = IMAGENET[name]
    net = get_model(name, classes=case["classes"])
    assert default_depth(name) == case["depth"]
    cost = complexity(net, (3, 224, 224))
    assert (cost.parameters, cost.layers) == (case["parameters"], case["depth"])
    shapes = [p.shape for key, p in net.collect_params().items() if key.endswith("weight")]
    assert sum(len(shape) == 4 for shape in shapes) == case["convolutions"]


def test_logits_of_imagenet():
    net = get_model("cross_imagenet", 50, classes=1000)
    fill(net)
    expected = np.array(LOGITS["cross_imagenet_d50"])
    logits = net(mx.nd.array(hashed((2, 3, 224, 224)))).asnumpy()[:, : expected.shape[1]]
    assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("key", [key for key in LOGITS if "imagenet" not in key])
def test_logits(key):
    name, size = key.rsplit("_d", 1)
    depth, widen_factor = map(int, size.split("w"))
    net = get_model(name, depth, widen_factor=widen_factor)
    fill(net)
    expected = np.array(LOGITS[key])
    logits = net(mx.nd.array(hashed((4, 3, 32, 32)))).asnumpy()
    assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max()
