"""FractalNet-34 as its paper's few words have it."""

import mxnet as mx
import pytest

from command import InputError
from network import get_model
from network.complexity import complexity

SHAPE = (3, 224, 224)
CHANNELS = (64, 128, 256, 512, 1024)  # of the stem and the blocks


def count(columns, classes=1000):
    """Parameters: 3x3 convolutions of 2^c units in column c of each block, gamma and beta."""
    total = 64 * 3 * 49 + 2 * 64 + 1024 * classes + classes
    for inner, outer in zip(CHANNELS, CHANNELS[1:]):
        firsts, others = columns, 2**columns - 1 - columns
        total += 9 * outer * (firsts * inner + others * outer) + 2 * outer * (firsts + others)
    return total


@pytest.mark.parametrize("depth,columns", [(6, 1), (10, 2), (18, 3), (34, 4)])
def test_depth_counts_stem_and_classifier(depth, columns):
    cost = complexity(get_model("fractal_imagenet", depth, classes=1000), SHAPE)
    assert cost.layers == depth
    assert cost.parameters == count(columns)
    assert cost.outputs == ((1000,),)


def test_each_column_is_a_network_of_its_depth():
    net = get_model("fractal_imagenet", 34)
    assert net.depths == (6, 10, 18, 34)
    assert [complexity(part, SHAPE).layers for part in net.subnetworks] == [6, 10, 18, 34]


def test_blocks_work_where_resnets_stages_do():
    """At 56, 28, 14 and 7 pixels; the last keeps them, as ResNet-34's average is of 7x7."""
    net = get_model("fractal_imagenet", 10)
    x = net.stem(mx.sym.var("data"))
    sizes = []
    for block in net.blocks:
        sizes.append(x.infer_shape(data=(1, *SHAPE))[1][0][1:])
        x = block(x)
    sizes.append(x.infer_shape(data=(1, *SHAPE))[1][0][1:])
    assert [size[1] for size in sizes] == [56, 28, 14, 7, 7]
    assert [size[0] for size in sizes] == list(CHANNELS)


def test_the_last_of_four_blocks_bounds_dropout():
    assert get_model("fractal_imagenet", 6, dropout=0.33)
    with pytest.raises(InputError, match="dropout must be from 0 to less than 0.333, not 0.34"):
        get_model("fractal_imagenet", 6, dropout=0.34)
