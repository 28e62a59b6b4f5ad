"""Muon: orthogonal updates of convolutions, the same by both engines."""

import mxnet as mx
import numpy as np
import pytest

from engine.mxnet_muon import orthogonalize
from engine.optimizer import OptimizerSettings, make_trainer

MOMENTUM = 0.9
SHAPES = {"wide": (8, 4, 3, 3), "tall": (12, 5, 1, 1), "stem": (6, 3, 3, 3), "other": (6, 3, 3, 3)}


def orthogonal(matrix):
    """The iterations of engine/muon.py, written down a second time."""
    x = matrix / max(np.linalg.norm(matrix), 1e-30)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x


def muon_step(w, v, g, lr, momentum):
    """A step of a convolution by the formula in engine/muon.py."""
    v = momentum * v - lr * g
    direction = orthogonal((momentum * v - lr * g).reshape(len(w), -1)).reshape(w.shape)
    return w * np.sqrt(len(w)) / (np.linalg.norm(w) or 1) + 0.15 * lr * direction * g.any(), v


def arrays(seed, scale=1.0):
    rng = np.random.default_rng(seed)
    return {name: scale * rng.normal(size=shape) for name, shape in SHAPES.items()}


def mxnet_steps(weights, gradients, rates, momentum=MOMENTUM, dtype="float64"):
    """The weights after some steps by MXNet; the gradients are those of sum(g * w)."""
    parameters = mx.gluon.ParameterDict()
    for name, value in weights.items():
        parameters.get(name + "_weight", shape=value.shape, dtype=dtype)
    parameters.initialize()
    for name, value in weights.items():
        parameters.get(name + "_weight").set_data(mx.nd.array(value, dtype=dtype))
    trainer = make_trainer(parameters, OptimizerSettings(momentum, 0.1, "muon"), "device")
    for gradient, lr in zip(gradients, rates):
        with mx.autograd.record():
            products = [
                (mx.nd.array(g, dtype=dtype) * parameters.get(name + "_weight").data()).sum()
                for name, g in gradient.items()
            ]
        mx.autograd.backward(products)
        trainer.set_learning_rate(lr)
        trainer.step(1)
    return {name: parameters.get(name + "_weight").data().asnumpy() for name in weights}


def torch_steps(weights, gradients, rates, momentum=MOMENTUM):
    torch = pytest.importorskip("torch")
    from engine.torch_optimizer import muon

    tensors = [
        torch.tensor(w).contiguous(memory_format=torch.channels_last) for w in weights.values()
    ]
    momenta = [torch.zeros_like(w) for w in tensors]
    for gradient, lr in zip(gradients, rates):
        muon(tensors, [torch.tensor(g) for g in gradient.values()], momenta, lr, momentum, 0.1)
    return {name: w.numpy() for name, w in zip(weights, tensors)}


def expected_steps(weights, gradients, rates, momentum=MOMENTUM):
    momenta = dict.fromkeys(weights, 0.0)
    weights = dict(weights)
    for gradient, lr in zip(gradients, rates):
        for name, g in gradient.items():
            weights[name], momenta[name] = muon_step(weights[name], momenta[name], g, lr, momentum)
    return weights


@pytest.mark.parametrize("steps", [mxnet_steps, torch_steps])
@pytest.mark.parametrize("momentum", [0.0, MOMENTUM])
def test_steps_are_the_formula(steps, momentum):
    """Also for a convolution of zeros, and for one whose gradient is 0 in some steps."""
    gradients = [arrays(seed) for seed in range(1, 5)]
    start = {**arrays(0), "other": np.zeros(SHAPES["other"])}
    gradients[1]["stem"][:] = gradients[2]["tall"][:] = 0
    rates = [0.2, 0.2, 0.1, 1e-6]
    ours = steps(start, gradients, rates, momentum)
    for name, value in expected_steps(start, gradients, rates, momentum).items():
        assert np.abs(ours[name] - value).max() < 1e-9, name


@pytest.mark.parametrize("steps", [mxnet_steps, torch_steps])
def test_a_convolution_without_gradient_only_gets_its_norm(steps):
    gradients = [arrays(1), {**arrays(2), "stem": np.zeros(SHAPES["stem"])}]
    before, after = (steps(arrays(0), gradients[:count], [0.2, 0.2])["stem"] for count in (1, 2))
    assert np.allclose(after, before * np.sqrt(6) / np.linalg.norm(before), rtol=1e-12)


def test_the_size_of_gradients_does_not_matter():
    sizes = [1e-12, 1.0, 1e12]
    small, middle, large = (mxnet_steps(arrays(0), [arrays(1, s)], [0.1]) for s in sizes)
    for name in SHAPES:
        assert np.linalg.norm(middle[name]) < 1.1 * np.sqrt(len(middle[name]))
        assert np.allclose(small[name], middle[name]) and np.allclose(large[name], middle[name])


def test_float16_computes_in_float32():
    halves = mxnet_steps(arrays(0), [arrays(1)], [0.1], dtype="float16")
    for name, value in mxnet_steps(arrays(0), [arrays(1)], [0.1]).items():
        assert np.abs(halves[name] - value).max() < 2e-3, name


@pytest.mark.parametrize("shape", [(2, 6, 40), (2, 40, 6), (1, 1, 9)])
def test_updates_are_nearly_orthogonal(shape):
    matrices = mx.nd.array(np.random.default_rng(0).normal(size=shape), dtype="float64")
    values = np.linalg.svd(orthogonalize(matrices).asnumpy(), compute_uv=False)
    assert values.min() > 0.6 and values.max() < 1.25
    assert not orthogonalize(0 * matrices).asnumpy().any()
