"""Members are the paths through a network, each a network of its own."""

import math
from collections import Counter

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import HybridBlock

from analysis.ensembling import MemberPredictions, study_members
from analysis.lesions import find_fusions
from command import InputError
from network import conv_bn, get_model, members
from training.metrics import Predictions

pytestmark = pytest.mark.medium

COUNTS = {  # depth, members
    "plain": (8, 1),
    "resnet": (14, 2**6),
    "half": (14, 3**3),
    "side": (14, 2**3),
    "fuse3": (14, 2**3),
    "fuse6": (14, 2**6),
    "cross": (14, 4 * 3**2),
}
each_family = pytest.mark.parametrize("name", COUNTS)


def make(name):
    return get_model(name, COUNTS[name][0])


def images(count=2):
    return mx.nd.array(np.random.default_rng(0).uniform(size=(count, 3, 32, 32)))


@each_family
def test_members_are_as_many_as_the_formula_says(name):
    net = make(name)
    paths = members.list_paths(net)
    assert members.count_members(net) == len(paths) == len(set(paths)) == COUNTS[name][1]


def test_more_members_than_could_be_listed_are_counted_and_drawn():
    net = get_model("cross", 98)
    assert members.count_members(net) == 4 * 3**23
    assert len({len(path) for path in members.sample_paths(net, 3, 0)}) == 1


@each_family
def test_a_network_without_relu_is_the_sum_of_its_members(name):
    """With nothing negative ReLU does nothing: then what goes in comes out by one path or another.

    So no path is missing, none is twice, and each has the network's own factors.
    """
    net = make(name)
    net.initialize()
    rng = np.random.default_rng(0)
    for parameter in net.collect_params().values():
        if parameter.name.endswith("weight"):
            fan_in = np.prod(parameter.shape[1:])
            parameter.set_data(mx.nd.array(rng.uniform(size=parameter.shape) / fan_in))
    x, total = images(), 0
    for path in members.list_paths(net):
        member = members.Member(net, path)
        for parameter in member.collect_params().values():
            if parameter.grad_req == "null":
                parameter.initialize()
        total = total + member(x)
    expected = net(x).asnumpy()
    assert np.abs(total.asnumpy() - expected).max() < 1e-4 * np.abs(expected).max()


def test_a_member_shares_all_but_its_moving_averages():
    net = make("fuse3")
    member = members.Member(net, ("line", "deep", "line"), prefix="member_")
    whole = net.collect_params()
    for name, parameter in member.collect_params().items():
        if parameter.grad_req == "null":
            assert name.startswith("member_")
        else:
            assert whole[name] is parameter
    names = " ".join(name for name in whole if name in member.collect_params())
    routes = ("stage1_block1_line", "stage2_block1_deep", "stage3_block1_line")
    others = ("stage1_block1_deep", "stage2_block1_line", "stage3_block1_deep")
    assert all(route in names for route in routes)
    assert not any(route in names for route in others)


@each_family
def test_samples_are_different_members_that_follow_from_the_seed(name):
    net = make(name)
    size = min(5, members.count_members(net))
    paths = members.sample_paths(net, size, 1)
    assert len(set(paths)) == size and set(paths) <= set(members.list_paths(net))
    assert paths == members.sample_paths(net, size, 1)
    assert members.sample_paths(net, 10**6, 0) == members.list_paths(net)


@pytest.mark.parametrize("name", ["half", "cross"])
def test_each_member_is_as_likely(name):
    net, draws = make(name), 4000
    seen = Counter(members.sample_paths(net, 1, seed)[0] for seed in range(draws))
    share = 1 / COUNTS[name][1]
    bound = 4.5 * math.sqrt(draws * share * (1 - share))
    assert all(abs(seen[path] - draws * share) < bound for path in members.list_paths(net))


def test_a_network_of_other_blocks_has_no_members(monkeypatch):
    with pytest.raises(InputError, match="fractal has no members"):
        members.count_members(get_model("fractal", 5))
    monkeypatch.delattr("network.half.InceptionLikeBlock.routes")
    with pytest.raises(InputError, match="half has no members"):
        members.list_paths(get_model("half", 14))


class Branch(HybridBlock):
    """A branch whose layers cannot be seen from outside."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.layers = conv_bn(16, 16)

    def hybrid_forward(self, F, x):
        return self.layers(x)


def test_a_branch_whose_batch_normalisation_is_hidden_is_refused():
    """Its member would change the moving averages of the whole network."""
    net = get_model("resnet", 14)
    first = net.blocks[0]
    hidden = {**first.routes(), "residual": [Branch()]}
    first.routes = lambda: hidden
    path = members.list_paths(net)[-1]
    for study in (lambda: members.Member(net, path), lambda: find_fusions(net)):
        with pytest.raises(InputError, match="is inside of a Branch: make branches of Hybrid"):
            study()


LABELS = np.array([0, 0, 1, 1])


def predicted(*chances):
    """Predictions that class 1 has these chances."""
    ones = np.array(chances)
    return Predictions(np.log(np.stack([1 - ones, ones], axis=1)), LABELS)


def test_study_of_members_by_hand():
    shallow = MemberPredictions(("line",), 3, predicted(0.6, 0.6, 0.6, 0.4))  # 75% wrong
    middle = MemberPredictions(("mid",), 5, predicted(0.1, 0.3, 0.45, 0.55))  # 25%
    deep = MemberPredictions(("deep",), 9, predicted(0.55, 0.3, 0.8, 0.9))  # 25%
    whole = predicted(0.1, 0.1, 0.9, 0.9)
    found = study_members(whole, [deep, shallow, middle], 3)
    assert (found.whole, found.ensemble, found.members, found.margin) == (0, 0, 3, 0)
    assert found.mean == pytest.approx(125 / 3)
    assert [c.path for c in found.contributions] == [("line",), ("mid",), ("deep",)]
    assert [c.length for c in found.contributions] == [3, 5, 9]
    assert [c.alone for c in found.contributions] == [75, 25, 25]
    # shallow and middle: .35 .45 .525 .475; middle and deep: .325 .3 .625 .725;
    # shallow and deep: .575 .45 .7 .65
    assert [c.without for c in found.contributions] == [0, 25, 25]
    assert [c.up_to for c in found.contributions] == [75, 25, 0]
    assert [c.from_on for c in found.contributions] == [0, 0, 25]


def test_means_over_a_sample_of_the_members_have_a_margin():
    right, wrong = predicted(0.1, 0.1, 0.9, 0.9), predicted(0.9, 0.9, 0.1, 0.1)
    sample = [MemberPredictions((), 1, each) for each in (right, wrong, right, wrong)]
    found = study_members(right, sample, 16)
    deviation = 100 / math.sqrt(3)  # of 0, 100, 0, 100, over the sample less one
    assert found.mean == 50
    student = 3.18245  # 97.5% of Student's t with 3 degrees of freedom; the normal's is 1.96
    assert found.margin == pytest.approx(student * deviation / 2 * math.sqrt(12 / 16), rel=1e-5)
    alone = study_members(right, sample[:1], 16)
    assert (alone.margin, alone.contributions[0].without) == (math.inf, None)


def test_predictions_so_sure_that_a_chance_is_nothing_have_no_less_of_a_mean():
    sure = Predictions(np.array([[0.0, 5000.0]] * 4), LABELS)
    found = study_members(sure, [MemberPredictions((), 1, sure)] * 2, 2)
    assert found.ensemble == 50
