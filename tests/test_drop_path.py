"""Drop-path: what joins keep, and which parts mini-batches train."""

from collections import Counter
from itertools import islice, product

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd

from command import InputError
from network.drop_path import WHOLE, Join, samples

RATE = 0.3
FORMS = {
    "imperative": None,
    "hybrid": {"active": True},
    "static": {"static_alloc": True, "static_shape": True},
}
forms = pytest.mark.parametrize("form", FORMS)


def make(form, rate=RATE):
    join = Join(rate)
    if FORMS[form]:
        join.hybridize(**FORMS[form])
    return join


def inputs(count):
    """Powers of 1000: the mean of some of them tells which they are."""
    return [mx.nd.full((2, 3, 4, 4), 1000**index) for index in range(count)]


def kept(output, count):
    """Which inputs ``output`` is the mean of."""
    assert output.min() == output.max()  # all images and channels alike
    for mask in product((0, 1), repeat=count):
        values = [1000**index for index in range(count) if mask[index]]
        if values and np.isclose(output.flat[0], np.mean(values), rtol=1e-5):
            return mask
    raise AssertionError(f"{output.flat[0]} is no mean of inputs")


def probability(mask):
    """Of keeping just those: each is dropped with RATE, and one survives where all would go."""
    alive = sum(mask)
    share = RATE ** (len(mask) - alive) * (1 - RATE) ** alive
    return share + (RATE ** len(mask) / len(mask) if alive == 1 else 0)


@forms
@pytest.mark.parametrize("count", [2, 3])
def test_each_set_of_survivors_has_its_probability(form, count):
    join, xs, draws = make(form), inputs(count), 600
    mx.random.seed(7)
    seen = Counter()
    for _ in range(draws):
        with autograd.record():
            output = join(*xs)
        seen[kept(output.asnumpy(), count)] += 1
    masks = [mask for mask in product((0, 1), repeat=count) if any(mask)]
    assert sum(map(probability, masks)) == pytest.approx(1)
    for mask in masks:
        share = probability(mask)
        assert abs(seen[mask] - draws * share) < 4 * np.sqrt(draws * share * (1 - share)), mask


@forms
def test_the_draws_follow_from_the_seed_and_differ(form):
    join, xs = make(form), inputs(3)

    def draw(seed):
        mx.random.seed(seed)
        with autograd.record():
            return [kept(join(*xs).asnumpy(), 3) for _ in range(30)]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert len(set(draw(1))) > 2


@forms
def test_prediction_is_the_mean_of_all(form):
    assert kept(make(form)(*inputs(3)).asnumpy(), 3) == (1, 1, 1)


@forms
def test_gradients_go_to_the_inputs_that_are_kept(form):
    join, xs = make(form), inputs(3)
    for x in xs:
        x.attach_grad()
    mx.random.seed(0)
    for _ in range(20):
        with autograd.record():
            output = join(*xs)
        output.backward()
        mask = kept(output.asnumpy(), 3)
        for x, alive in zip(xs, mask):
            assert np.allclose(x.grad.asnumpy(), alive / sum(mask))


def test_without_a_rate_training_is_the_mean_too():
    with autograd.record():
        assert kept(Join()(*inputs(3)).asnumpy(), 3) == (1, 1, 1)


def test_one_input_is_never_dropped():
    (x,) = inputs(1)
    with autograd.record():
        assert all((Join(0.9)(x) == x).asnumpy().all() for _ in range(20))


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, float("nan")])
def test_an_impossible_rate_is_refused(rate):
    with pytest.raises(InputError, match="from 0 to less than 1"):
        Join(rate)


def drawn(mode, columns=3, count=6000, seed=(5, 1)):
    return list(islice(samples(mode, columns, seed), count))


@pytest.mark.parametrize("mode", ["none", "local"])
def test_local_samples_are_of_the_whole(mode):
    assert drawn(mode) == [{WHOLE: 1.0}] * 6000


def test_tied_samples_are_of_the_whole_and_every_column():
    assert drawn("tied", 4, 3) == [{WHOLE: 1.0, 0: 0.25, 1: 0.25, 2: 0.25, 3: 0.25}] * 3


@pytest.mark.parametrize(("mode", "whole"), [("global", 0), ("mixed", 0.5)])
def test_global_samples_are_uniform_over_columns(mode, whole):
    found = drawn(mode)
    assert all(len(sample) == 1 and set(sample.values()) == {1.0} for sample in found)
    seen = Counter(next(iter(sample)) for sample in found)
    shares = {WHOLE: whole, **dict.fromkeys(range(3), (1 - whole) / 3)}
    assert set(seen) == {part for part, share in shares.items() if share}
    for part, share in shares.items():
        assert abs(seen[part] - 6000 * share) <= 4 * np.sqrt(6000 * share * (1 - share)), part


def test_samples_follow_from_the_seed():
    assert drawn("mixed") == drawn("mixed")
    assert drawn("mixed") != drawn("mixed", seed=(5, 2))
