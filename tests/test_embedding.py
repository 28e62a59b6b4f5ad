"""Features: a network without its classifier."""

import mxnet as mx
import numpy as np
import pytest
import torch
from mxnet.gluon import HybridBlock, nn

from engine.optimizer import OptimizerSettings
from engine.torch_engine import TorchEngine
from network import features, get_model, list_models
from tests.test_all_networks import DEPTHS

pytestmark = pytest.mark.medium

WITH_CHANNELS = {"fractal_tapered": 256, "fractal_imagenet": 1024, "cross_imagenet": 4096}
WITH_CHANNELS.update(resnet_imagenet=2048)


def images(size=32, count=2):
    rng = np.random.default_rng(0)
    return mx.nd.array(rng.normal(size=(count, 3, size, size)))


def build(name, **options):
    net = get_model(name, None if ":" in name else DEPTHS.get(name, 14), classes=7, **options)
    net.initialize(mx.init.Xavier())
    return net


@pytest.mark.parametrize("name", [name for name in list_models() if name != "ensemble"])
def test_the_classifier_of_the_features_gives_the_logits(name):
    net, x = build(name), images(64 if name.endswith("_imagenet") else 32)
    wanted, vectors = net(x), features(net)(x)
    channels = 128 if name.startswith("fractal") else 64
    assert vectors.shape == (2, WITH_CHANNELS.get(name, channels))
    np.testing.assert_allclose(
        net.classifier(vectors).asnumpy(), wanted.asnumpy(), rtol=1e-5, atol=1e-6
    )


def test_an_ensemble_has_the_mean_of_its_members_features():
    net, x = build("ensemble"), images()
    members = [features(member)(x).asnumpy() for member in net.subnetworks]
    assert len(members) == 8 and np.ptp(members, axis=0).max() > 1e-3
    np.testing.assert_allclose(
        features(net)(x).asnumpy(), np.mean(members, axis=0), rtol=1e-4, atol=1e-6
    )


def test_a_column_has_features_of_its_own():
    net, x = build("fractal", drop_path=0.15), images()
    column = net.column(0)
    np.testing.assert_allclose(
        net.classifier(features(column)(x)).asnumpy(), column(x).asnumpy(), rtol=1e-5, atol=1e-6
    )
    assert not np.allclose(features(column)(x).asnumpy(), features(net)(x).asnumpy())


@pytest.mark.parametrize(
    "name,channels,size",
    [
        ("gluoncv:cifar_resnet20_v1", 64, 32),
        ("gluoncv:mobilenetv2_0.25", 1280, 64),  # its classifier is a convolution
        ("gluoncv:squeezenet1.1", 512, 64),
    ],
)
def test_networks_of_gluoncv(name, channels, size):
    net, x = build(name), images(size)
    vectors = features(net)(x)  # before the network itself has seen an image
    assert vectors.shape == (2, channels)
    classifier = net.output[0] if "mobilenet" in name else getattr(net, "output", None)
    if "squeezenet" not in name:  # whose classifier is not the last layer
        logits = classifier(vectors.expand_dims(2).expand_dims(3)).reshape((2, -1))
        np.testing.assert_allclose(logits.asnumpy(), net(x).asnumpy(), rtol=1e-5, atol=1e-6)


def test_parameters_are_shared_and_hybridizing_changes_nothing():
    net, x = build("cross"), images()
    head = features(net)
    kept = {name: p for name, p in net.collect_params().items() if "classifier" not in name}
    found = dict(head.collect_params().items())
    assert found.keys() == kept.keys() and all(found[name] is kept[name] for name in kept)
    eager = head(x).asnumpy()
    head.hybridize(static_alloc=True, static_shape=True)
    np.testing.assert_allclose(head(x).asnumpy(), eager, rtol=1e-6)
    net.stem[0].weight.set_data(0 * net.stem[0].weight.data())
    assert not np.allclose(head(x).asnumpy(), eager)


def test_features_are_trained_as_the_network_is():
    net, x = build("half"), images()
    head = features(net)
    with mx.autograd.record():
        loss = head(x).sum()
    loss.backward()
    trained = [p for p in head.collect_params().values() if p.grad_req != "null"]
    assert len(trained) > 20
    for parameter in trained:
        assert np.abs(parameter.grad().asnumpy()).max() > 0, parameter.name
    assert np.abs(net.stem[1].running_mean.data().asnumpy()).max() > 0  # batch statistics


def test_features_run_on_the_engines():
    net, x = build("resnet"), images()
    head = features(net)
    wanted = head(x).asnumpy()
    engine = TorchEngine(head, torch.device("cpu"), OptimizerSettings(0.9, 0.0))
    found = engine.to_numpy(engine.predict(x.asnumpy()))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_features_of_a_half_precision_network():
    net = build("plain")
    net.cast("float16")
    assert features(net).collect_params()[net.stem[0].weight.name].dtype == "float16"


class Maps(HybridBlock):
    """A dense layer on feature maps, which it flattens itself."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2D(4, 3, 2, 1, in_channels=3)
        self.classifier = nn.Dense(7, in_units=4 * 16 * 16)

    def hybrid_forward(self, F, x):
        return self.classifier(self.conv(x))


def test_maps_are_flattened():
    net, x = Maps(), images()
    net.initialize()
    vectors = features(net)(x)
    assert vectors.shape == (2, 4 * 16 * 16)
    np.testing.assert_allclose(net.classifier(vectors).asnumpy(), net(x).asnumpy(), rtol=1e-5)


class Auxiliary(Maps):
    """A network with an auxiliary classifier, as NASNet has for training."""

    def __init__(self):
        super().__init__()
        self.auxiliary = nn.Dense(7, in_units=3)

    def hybrid_forward(self, F, x):
        return super().hybrid_forward(F, x), self.auxiliary(F.mean(x, axis=(2, 3)))


def test_an_auxiliary_output_does_not_count():
    net, x = Auxiliary(), images()
    net.initialize()
    assert features(net)(x).shape == (2, 4 * 16 * 16)
