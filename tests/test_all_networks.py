"""What holds for every registered network."""

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, gluon

from network import default_depth, get_model, list_models
from network.initializer import DeepFusionInit

DEPTH = 14  # the smallest that every network takes but FractalNet
DEPTHS = {
    "cross_imagenet": 26,
    "fractal": 20,
    "fractal_imagenet": 10,
    "fractal_plain": 10,
    "fractal_square": 10,
    "fractal_tapered": 40,
    "resnet_imagenet": 26,
}
STATIC = {"static_alloc": True, "static_shape": True}
IMAGENET_SIZED = [name for name in list_models() if name.endswith("imagenet")]
pytestmark = [
    pytest.mark.medium,
    pytest.mark.parametrize(
        "name",
        [
            pytest.param(name, marks=[pytest.mark.slow] if name in IMAGENET_SIZED else [])
            for name in list_models()
        ],
    ),
]


def images(name, count, seed=0):
    size = 64 if name in IMAGENET_SIZED else 32  # ImageNet's divide it by up to 32
    return mx.nd.array(np.random.default_rng(seed).normal(size=(count, 3, size, size)))


def depth_of(name):
    return DEPTHS.get(name, DEPTH)


def make(name, seed=0, **hybridize):
    net = get_model(name, depth_of(name), classes=7)
    net.initialize(DeepFusionInit(seed))
    if hybridize:
        net.hybridize(**hybridize)
    return net


def step(net, x):
    """Training-mode logits and every gradient, of a loss that uses all logits."""
    y = mx.nd.arange(len(x)) % 7
    with autograd.record():
        logits = net(x)
        loss = gluon.loss.SoftmaxCrossEntropyLoss()(logits, y)
    loss.backward()
    gradients = {
        key: parameter.grad().asnumpy()
        for key, parameter in net.collect_params().items()
        if parameter.grad_req != "null"
    }
    return logits.asnumpy(), gradients


def assert_close(ours, theirs, tolerance=1e-4):
    scale = max(np.abs(theirs).max(), 1e-3)
    assert np.abs(ours - theirs).max() < tolerance * scale


def test_logits_have_a_row_an_image_and_a_column_a_class(name):
    assert make(name)(images(name, 3)).shape == (3, 7)


def test_every_parameter_gets_a_gradient(name):
    _, gradients = step(make(name), images(name, 4))
    assert [key for key, value in gradients.items() if not np.abs(value).max() > 0] == []


def test_compiled_equals_imperative(name):
    """Outputs and gradients, over batches whose size changes and comes back, in both modes."""
    eager = make(name)
    both = [make(name, active=True), make(name, **STATIC)]
    for seed, count in enumerate((4, 4, 3, 4)):
        x = images(name, count, seed)
        theirs, their_gradients = step(eager, x)
        predicted = eager(x).asnumpy()  # predict mode, moved averages
        for compiled in both:
            ours, our_gradients = step(compiled, x)
            assert_close(ours, theirs)
            for key in their_gradients:
                assert_close(our_gradients[key], their_gradients[key], 1e-3)
            assert_close(compiled(x).asnumpy(), predicted)
    for compiled in both:
        pairs = zip(compiled.collect_params().values(), eager.collect_params().values())
        for ours, theirs in pairs:
            assert_close(ours.data().asnumpy(), theirs.data().asnumpy())


def test_same_seed_same_weights_and_names(name):
    ours, theirs = make(name).collect_params(), make(name).collect_params()
    assert list(ours) == list(theirs)
    for key in ours:
        assert (ours[key].data().asnumpy() == theirs[key].data().asnumpy()).all()
    other = make(name, seed=1).collect_params()
    weights = [key for key in ours if key.endswith("weight")]
    assert all((ours[k].data().asnumpy() != other[k].data().asnumpy()).any() for k in weights)


def test_export_runs_without_the_class(name, tmp_path):
    net = make(name, **STATIC)
    x = images(name, 2)
    expected = net(x).asnumpy()
    net.export(str(tmp_path / "net"))
    files = [str(tmp_path / "net-symbol.json"), ["data"], str(tmp_path / "net-0000.params")]
    assert_close(gluon.SymbolBlock.imports(*files)(x).asnumpy(), expected)


def test_parameters_survive_a_file(name, tmp_path):
    net, other = make(name), make(name, seed=1)
    net.save_parameters(str(tmp_path / "net.params"))
    other.load_parameters(str(tmp_path / "net.params"))
    assert (net(images(name, 2)).asnumpy() == other(images(name, 2)).asnumpy()).all()


def test_widths_and_default_depth(name):
    nets = [get_model(name, depth_of(name), widen_factor=widen) for widen in (1, 2)]
    narrow, wide = (net.classifier.weight.shape for net in nets)
    assert narrow == (10, wide[1] // 2)
    assert get_model(name).collect_params().keys() == (
        get_model(name, default_depth(name)).collect_params().keys()
    )
