"""Lengths of paths: exact, and the formulas of the paper."""

from collections import Counter
from fractions import Fraction

import pytest

from analysis.paths import binomial_lengths, count_lengths, mean_and_deviation, walk_lengths
from network import get_model, members
from network.complexity import complexity
from network.cross import CrossNet, MergeAndRunBlock

FAMILIES = ("plain", "resnet", "half", "side", "fuse3", "fuse6", "cross")


def shares(counts):
    total = sum(counts.values())
    return {length: Fraction(count, total) for length, count in counts.items()}


def rounded(lengths):
    return tuple(round(figure, 2) for figure in mean_and_deviation(lengths))


@pytest.mark.parametrize(
    ("name", "depth", "blocks", "chance", "routes"),
    [
        ("resnet", 38, 18, "1/2", 2),
        ("resnet", 98, 48, "1/2", 2),
        ("half", 38, 9, "2/3", 3),
        ("half", 98, 24, "2/3", 3),
    ],
)
def test_lengths_are_twice_a_binomial_plus_two(name, depth, blocks, chance, routes):
    net = get_model(name, depth)
    expected = binomial_lengths(blocks, chance)
    assert walk_lengths(net) == expected == shares(count_lengths(net))
    assert sum(count_lengths(net).values()) == routes**blocks


class OneStream(CrossNet):
    """A merge-and-run network all of whose blocks run: its first stream alone is classified."""

    def fuse(self, x):
        x1 = x2 = x
        for block in self.blocks:
            x1, x2 = block(x1, x2)
        return x1


@pytest.mark.parametrize("blocks", [3, 8])
def test_running_cross_blocks_are_twice_a_binomial_of_a_third_plus_two(blocks):
    net = OneStream(MergeAndRunBlock, (1, 1, blocks - 2), 10, 1)
    assert walk_lengths(net) == binomial_lengths(blocks, "1/3") == shares(count_lengths(net))
    assert sum(count_lengths(net).values()) == 3**blocks


@pytest.mark.parametrize(("blocks", "depth"), [(9, 38), (24, 98)])
def test_the_last_block_of_cross_takes_either_kind_of_route_as_likely(blocks, depth):
    """It sums two shortcuts and two branches; the paper's formula takes it for another block."""
    net = get_model("cross", depth)
    expected = Counter()
    for length, chance in binomial_lengths(blocks - 1, "1/3").items():
        expected[length] += chance / 2
        expected[length + 2] += chance / 2
    assert walk_lengths(net) == expected == shares(count_lengths(net))
    assert sum(count_lengths(net).values()) == 4 * 3 ** (blocks - 1)


def test_figures_of_the_paper():
    assert rounded(binomial_lengths(18, "1/2")) == (20, 4.24)
    assert rounded(binomial_lengths(9, "2/3")) == (14, 2.83)
    assert rounded(binomial_lengths(9, "1/3")) == (8, 2.83)
    assert rounded(walk_lengths(get_model("cross", 38))) == (8.33, 2.85)


@pytest.mark.parametrize("projections", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_paths_have_the_lengths_of_members(name, projections):
    net = get_model(name, 14)
    alone = [members.Member(net, path) for path in members.list_paths(net)]
    lengths = Counter(length for m in alone for length in count_lengths(m, projections))
    assert count_lengths(net, projections) == dict(sorted(lengths.items()))
    assert sum(walk_lengths(net, projections).values()) == 1
    if projections:
        assert max(lengths) == complexity(net).layers


def test_the_ensemble_has_the_paths_of_fuse3():
    assert count_lengths(get_model("ensemble", 26)) == count_lengths(get_model("fuse3", 26))
    assert walk_lengths(get_model("ensemble", 26)) == {5: 1 / 8, 12: 3 / 8, 19: 3 / 8, 26: 1 / 8}


@pytest.mark.parametrize("options", [{}, {"dropout": 0.1, "drop_path": 0.15}])
@pytest.mark.parametrize("columns", [1, 2, 3])
def test_fractal_blocks_are_the_formula(columns, options):
    """f_1 = conv has one path; f_{C+1} = join(f_C f_C, conv) has those of either."""
    block = Counter({1: 1})
    for _ in range(columns - 1):
        block = Counter({1: 1}) + product(block, block)
    whole = Counter({1: 1})  # the classifier
    for _ in range(5):
        whole = product(whole, block)
    assert count_lengths(get_model("fractal", 5 * 2 ** (columns - 1), **options)) == whole


def product(ours, theirs):
    result = Counter()
    for length, number in ours.items():
        for other, count in theirs.items():
            result[length + other] += number * count
    return result


def test_a_random_path_through_a_fractal_takes_each_input_of_a_join_as_likely():
    block = {1: Fraction(1, 2), 2: Fraction(1, 2)}  # two columns
    lengths = {1: Fraction(1)}
    for _ in range(5):
        lengths = product(lengths, block)
    assert walk_lengths(get_model("fractal", 10)) == lengths


def test_a_sum_that_goes_on_by_itself_is_a_fork_of_its_own():
    """x + f(x) + g(x + f(x)): half of g; the other half is divided between x and f."""
    from mxnet.gluon import HybridBlock, nn

    class Net(HybridBlock):
        def __init__(self):
            super().__init__()
            self.f, self.g = (nn.Conv2D(3, 3, padding=1, in_channels=3) for _ in range(2))

        def hybrid_forward(self, F, x):
            y = x + self.f(x)
            return y + self.g(y)

    assert count_lengths(Net()) == {0: 1, 1: 2, 2: 1}
    assert walk_lengths(Net()) == {0: 0.25, 1: 0.5, 2: 0.25}
