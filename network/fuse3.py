"""Three deep fusions: a short line and a deep branch, summed three times.

Zhao et al., "On the Connection of Deep Fusion to Ensembling"; the deep fusion project's ``fuse3``.
"""

from functools import partial

from mxnet.gluon import HybridBlock

from command import InputError
from network.base import FusionNet, split_depth
from network.layers import conv_bn, conv_chain, relu, shortcut
from network.registry import register_model


class FuseBlock(HybridBlock):
    """y = relu(line(x) + deep(x)), where deep is ``length`` convolutions.

    The line is the identity, or one 3x3 convolution where the width changes.
    """

    def __init__(self, length, channels, in_channels, stride, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.line = self.make_line(channels, in_channels, stride)
            self.deep = conv_chain(length, channels, in_channels, stride, "deep_")

    def make_line(self, channels, in_channels, stride):
        """Build the line."""
        return shortcut(channels, in_channels, stride, "line_", kernel_size=3)

    def routes(self):
        """Return {name: layers in sequence} of the summands of y."""
        return {"line": [self.line], "deep": [self.deep]}

    def hybrid_forward(self, F, x):
        return relu(F, self.line(x) + self.deep(x))


class FirstFuseBlock(FuseBlock):
    """A FuseBlock whose line is a convolution at any width: the network's first block."""

    def make_line(self, channels, in_channels, stride):
        return conv_bn(channels, in_channels, stride=stride, prefix="line_")


def fuse(fusions, depth, classes, widen_factor, **kwargs):
    """Build a network of about ``fusions`` blocks of floor((depth - 2) / fusions) convolutions.

    Raises:
        InputError: the depth leaves a block without a convolution.
    """
    length = (depth - 2) // fusions
    if length < 1:
        raise InputError(
            f"depth {depth} is too small for {fusions} fusions: choose {fusions + 2} or more"
        )
    return FusionNet(
        partial(FuseBlock, length),
        split_depth(depth, length),
        classes,
        widen_factor,
        first_block=partial(FirstFuseBlock, length),
        **kwargs,
    )


@register_model
def fuse3(depth=56, classes=10, widen_factor=1, **kwargs):
    """Build a network of three fusions for 32x32 images; some depths have more.

    Blocks have floor((depth - 2) / 3) convolutions: depth 10 has four blocks.
    """
    return fuse(3, depth, classes, widen_factor, **kwargs)
