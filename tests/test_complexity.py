import pytest
from mxnet.gluon import nn

from command import InputError
from network import get_model
from network.complexity import complexity


@pytest.mark.parametrize(
    "name,depth,layers",
    [
        ("plain", 56, 56),
        ("resnet", 56, 56),
        ("cross", 56, 28),  # the project page's --depth=56
        ("cross", 110, 56),  # DFN-MR1
        ("cross", 62, 32),  # DFN-MR2
        ("cross", 98, 50),  # DFN-MR3
        ("half", 110, 56),
        ("side", 110, 56),
        ("fuse3", 26, 26),
        ("fuse6", 26, 26),
    ],
)
def test_layers_on_the_longest_path(name, depth, layers):
    assert complexity(get_model(name, depth)).layers == layers


@pytest.mark.parametrize("shape", [(3, 0, 0), (3, 32, 0), (3, -1, 32)])
def test_images_without_pixels_are_refused(shape):
    with pytest.raises(InputError, match="cannot take images of 3 x"):
        complexity(get_model("plain", 8), shape)


def test_multiply_adds_of_a_network_counted_by_hand():
    net = nn.HybridSequential()
    net.add(
        nn.Conv2D(8, 3, strides=2, padding=1, in_channels=3, use_bias=False),  # 16 x 16 out
        nn.Conv2D(8, 3, padding=1, in_channels=8, groups=4),
        nn.GlobalAvgPool2D(),
        nn.Dense(5, in_units=8),
    )
    cost = complexity(net, (3, 32, 32))
    assert cost.multiply_adds == 256 * 8 * 27 + 256 * 8 * 2 * 9 + 8 * 5
    assert cost.parameters == 8 * 27 + (8 * 2 * 9 + 8) + (8 * 5 + 5)
    assert cost.layers == 3


def test_multiply_adds_follow_the_input_size():
    net = get_model("cross", 14)
    dense = 64 * 10
    small, large = (complexity(net, (3, size, size)).multiply_adds for size in (32, 64))
    assert large - dense == 4 * (small - dense)


def test_an_image_the_network_cannot_take_is_refused(capsys):
    with pytest.raises(InputError, match="cannot take images of 5 x 32 x 32"):
        complexity(get_model("cross", 14), (5, 32, 32))
    assert capsys.readouterr().out == ""
