import mxnet as mx
import pytest

from command import InputError
from network import complexity, get_model
from network.base import FusionNet, split_depth
from network.layers import conv_bn, shortcut
from network.plain import PlainBlock


@pytest.mark.parametrize(
    "depth,block_depth,blocks",
    [
        (56, 4, (4, 4, 5)),  # the published remainder goes to the later stages
        (26, 4, (2, 2, 2)),
        (110, 4, (9, 9, 9)),
        (110, 2, (18, 18, 18)),
        (26, 1, (8, 8, 8)),
        (27, 1, (8, 8, 9)),
        (28, 1, (8, 9, 9)),
        (14, 4, (1, 1, 1)),
        (17, 4, (1, 1, 1)),
        (18, 4, (1, 1, 2)),
        (6, 1, (1, 1, 2)),
    ],
)
def test_blocks_of_each_stage(depth, block_depth, blocks):
    assert split_depth(depth, block_depth) == blocks


@pytest.mark.parametrize("blocks", [(1, 1), (1, 1, 1, 1), (1, 0, 1), ()])
def test_other_numbers_of_stages_are_refused(blocks):
    with pytest.raises(InputError, match="blocks must be 3 numbers of at least 1"):
        FusionNet(PlainBlock, blocks, 10, 1)


def test_layers_keep_the_shapes_that_they_say():
    assert shortcut(4, 4, 1)(mx.nd.zeros((1, 4, 8, 8))).shape == (1, 4, 8, 8)
    halving = shortcut(4, 4, 2)
    halving.initialize()
    assert halving(mx.nd.zeros((1, 4, 8, 8))).shape == (1, 4, 4, 4)
    with pytest.raises(InputError, match="kernel_size must be odd, not 2"):
        conv_bn(4, 3, kernel_size=2)


def test_no_depth_is_refused_unless_a_stage_would_be_empty():
    for block_depth in range(1, 12):
        for depth in range(2 + 3 * block_depth, 200):
            blocks = split_depth(depth, block_depth)
            assert min(blocks) >= 1
            assert 0 <= depth - 2 - block_depth * sum(blocks) < block_depth
        with pytest.raises(InputError, match=f"at least {2 + 3 * block_depth}"):
            split_depth(1 + 3 * block_depth, block_depth)
    with pytest.raises(InputError, match="block_depth must be a whole number of at least 1, not 0"):
        split_depth(7, 0)


@pytest.mark.parametrize("name,least", [("plain", 5), ("resnet", 8), ("fuse3", 5), ("fuse6", 8)])
def test_the_built_depth_is_the_least_that_gives_the_same_network(name, least):
    """By the parameters, layers and multiply-adds of the networks of all depths below."""
    costs = {depth: complexity(get_model(name, depth)) for depth in range(least, least + 10)}
    for depth, cost in costs.items():
        same = min(other for other, found in costs.items() if found == cost)
        assert get_model(name, depth).built_depth == same


def test_what_has_a_depth_of_its_own_has_no_built_depth():
    assert get_model("ensemble", 10).built_depth == get_model("fuse3", 10).built_depth == 10
    assert FusionNet(PlainBlock, (1, 2, 1), 10, 1).built_depth is None
