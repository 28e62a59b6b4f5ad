"""Lesions: parameters that take a summand out of a sum, and an input out of a join."""

import mxnet as mx
import numpy as np
import pytest

from analysis import lesions
from analysis.lesions import lesion_study
from command import InputError
from network import get_model
from network.initializer import DeepFusionInit


def make(name, depth):
    net = get_model(name, depth)
    net.initialize(DeepFusionInit(0))
    rng = np.random.default_rng(1)
    for key, parameter in net.collect_params().items():  # no 0 nor 1; variances are positive
        if not key.endswith("weight"):
            parameter.set_data(mx.nd.array(rng.uniform(0.5, 1.5, parameter.shape)))
    return net


def images(count=3):
    return mx.nd.array(np.random.default_rng(0).normal(size=(count, 3, 32, 32)))


def without(net, removed):
    """Logits of ``net`` without what is named."""
    for name, factor in lesions.scale_factors(net, lesions.find_fusions(net), removed).items():
        parameter = net.collect_params()[net.prefix + name]
        parameter.set_data(parameter.data() * factor)
    return net(images()).asnumpy()


def head(net, y):
    return net.classifier(y.mean(axis=(2, 3))).asnumpy()


def assert_close(ours, theirs):
    assert np.abs(ours - theirs).max() < 1e-5 * np.abs(theirs).max()


def test_nothing_taken_out_changes_nothing():
    net = make("cross", 14)
    expected = net(images()).asnumpy()
    assert (without(net, ()) == expected).all()


def test_a_residual_block_without_its_branch_is_its_shortcut():
    net = make("resnet", 14)
    x = net.stem(images())
    for number, block in enumerate(net.blocks, 1):
        x = block.shortcut(x) + (0 if number in (2, 4, 5) else block.branch(x))
        x = mx.nd.relu(x)
    expected = head(net, x)
    assert_close(without(net, ("block2 branch", "block4 branch", "block5 branch")), expected)


def test_a_branch_of_merge_and_run_leaves_the_other_stream_as_it_is():
    net = make("cross", 14)
    first, second, last = net.blocks
    x1 = x2 = net.stem(images())
    merged = first.merge(x1, x2)
    x1, x2 = mx.nd.relu(merged + first.branch1(x1)), mx.nd.relu(merged)
    merged = 0.5 * second.shortcut1(x1)
    x1, x2 = mx.nd.relu(merged + second.branch1(x1)), mx.nd.relu(merged + second.branch2(x2))
    expected = head(net, last(x1, x2))
    assert_close(without(net, ("block1 branch2", "block2 shortcut2")), expected)


@pytest.mark.parametrize("column", [0, 1])
@pytest.mark.parametrize("name", ["fractal", "fractal_square"])
def test_a_join_without_an_input_is_the_mean_of_the_others(name, column):
    """Two columns less one, in every block: the other as it is."""
    net = make(name, 10)
    x = images()
    for block in net.blocks:
        for layer in block.column(column):
            x = layer(x)
    expected = head(net, x)
    removed = [f"block{number} join1 column{1 - column}" for number in range(1, 6)]
    assert_close(without(net, removed), expected)


def test_two_of_three_inputs_of_a_join_share_its_mean():
    net = make("fractal", 20)
    block = net.blocks[0]
    one, two, four = ([*column] for column in block.columns)
    x = images()
    inner = two[0](x)  # joined with the second of the four units; that is taken out
    outer = [block.pool(y) for y in (one[0](x), two[1](inner), four[3](four[2](inner)))]
    x = (outer[0] + outer[2]) / 2
    for other in net.blocks[1:]:
        x = other(x)
    expected = head(net, x)
    removed = ("block1 join1 column2", "block1 join2 column1")
    assert_close(without(net, removed), expected)


def test_names_of_what_is_taken_out_in_turn():
    single = lesions.list_single(lesions.find_fusions(get_model("half", 14)))
    assert list(single) == [
        "block1 branch1",
        "block1 branch2",
        "block1",  # its shortcut is the identity; those of the others have weights
        *(f"block{b} {route}" for b in (2, 3) for route in ("shortcut", "branch1", "branch2")),
    ]
    assert single["block1"] == ("block1 branch1", "block1 branch2")
    joins = lesions.find_fusions(get_model("fractal", 20))
    assert [len(join.norms) for join in joins] == [2, 3] * 5


@pytest.mark.parametrize(
    ("name", "depth"), [("resnet", 20), ("side", 14), ("cross", 14), ("fuse3", 14), ("fractal", 20)]
)
def test_of_every_fusion_something_stays(name, depth):
    net = get_model(name, depth)
    found = lesions.find_fusions(net)
    names = {each for fusion in found for each in fusion.norms}
    orders = [lesions.draw_order(found, seed) for seed in range(20)]
    for order in orders:
        assert len(order) == len(set(order)) and set(order) <= names
        lesions.scale_factors(net, found, order)  # refuses what leaves nothing
        for fusion in found:
            assert len(set(fusion.norms) - set(order)) == (0 if fusion.keeps else 1)
    assert set().union(*orders) == names and orders[0] != orders[1]
    assert lesions.draw_order(found, 3) == orders[3]


def test_all_of_a_sum_cannot_go():
    net = get_model("side", 14)
    with pytest.raises(
        ValueError, match="no summand would remain of block2 branch1, block2 branch2"
    ):
        lesions.scale_factors(net, lesions.find_fusions(net), ("block2 branch1", "block2 branch2"))


@pytest.mark.parametrize("name", ["plain", "ensemble"])
def test_a_network_that_fuses_nothing_is_refused(name):
    with pytest.raises(InputError, match=f"{name} has no fusion"):
        lesions.find_fusions(get_model(name, 8))


def test_a_study_takes_out_each_alone_and_the_first_of_each_order():
    asked = []

    def error(names):
        asked.append(tuple(names))
        return 10.0 * len(names)

    orders = [list("abcde"), list("edcba")]
    found = lesion_study(error, {"a": ("a",), "both": ("a", "b")}, orders)
    assert (found.whole, found.single) == (0, {"a": 10, "both": 20})
    assert found.random == {1: (10, 10), 2: (20, 20), 4: (40, 40)}
    assert asked[3:5] == [("a",), ("e",)] and asked[-1] == tuple("edcb")
