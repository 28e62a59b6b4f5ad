"""DFN-MR: two residual networks with merge-and-run, the mean of their shortcuts added to both.

Zhao et al., "On the Connection of Deep Fusion to Ensembling"; the deep fusion project's ``cross``.
"""

from mxnet.gluon import HybridBlock, nn

from network.base import FusionNet, ImageNetFusionNet, choose_blocks, split_depth
from network.layers import bottleneck, relu, residual_branch, shortcut
from network.registry import register_model


class MergeAndRunBlock(HybridBlock):
    """y_i = relu(m + f_i(x_i)), m = (s_1(x_1) + s_2(x_2)) / 2, for both branches i.

    f is two convolutions, s the identity or a 1x1 convolution where the width changes.
    """

    make_branch = staticmethod(residual_branch)

    def __init__(self, channels, in_channels, stride, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.branch1 = self.make_branch(channels, in_channels, stride, "branch1_")
            self.branch2 = self.make_branch(channels, in_channels, stride, "branch2_")
            self.shortcut1 = shortcut(channels, in_channels, stride, "shortcut1_")
            self.shortcut2 = shortcut(channels, in_channels, stride, "shortcut2_")

    def merge(self, x1, x2):
        """Return m, the mean of both shortcuts."""
        return 0.5 * (self.shortcut1(x1) + self.shortcut2(x2))

    def routes(self):
        """Return {name: layers in sequence} of the summands of y_1 and y_2."""
        half = nn.HybridLambda(lambda F, x: 0.5 * x)
        return {
            "shortcut1": [self.shortcut1, half],
            "shortcut2": [self.shortcut2, half],
            "branch1": [self.branch1],
            "branch2": [self.branch2],
        }

    def hybrid_forward(self, F, x1, x2):
        merged = self.merge(x1, x2)
        return relu(F, merged + self.branch1(x1)), relu(F, merged + self.branch2(x2))


class MergeBlock(MergeAndRunBlock):
    """y = relu(m + f_1(x_1) + f_2(x_2)): the network's last block, with one output."""

    def hybrid_forward(self, F, x1, x2):
        return relu(F, self.merge(x1, x2) + self.branch1(x1) + self.branch2(x2))


class BottleneckBlock(MergeAndRunBlock):
    """A MergeAndRunBlock whose branches are bottlenecks."""

    make_branch = staticmethod(bottleneck)


class ConcatenatingBlock(BottleneckBlock):
    """(y_1, y_2) of a BottleneckBlock as the channels of one output: ImageNet's last block."""

    def hybrid_forward(self, F, x1, x2):
        return F.concat(*super().hybrid_forward(F, x1, x2), dim=1)


class WideningBlock(HybridBlock):
    """y_i = relu(f_i(x_i)), f_i a bottleneck: no shortcut where the width changes."""

    def __init__(self, channels, in_channels, stride, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.branch1 = bottleneck(channels, in_channels, stride, "branch1_")
            self.branch2 = bottleneck(channels, in_channels, stride, "branch2_")

    def hybrid_forward(self, F, x1, x2):
        return relu(F, self.branch1(x1)), relu(F, self.branch2(x2))


class TwoStreams:
    """A network of two streams: both start as stem(x), and the last block has one output."""

    @staticmethod
    def may_follow(route, previous):
        """Return whether ``previous`` feeds ``route``.

        Branch i feeds stream i only, and a shortcut feeds both streams; the input of a route is the
        stream with its own index.
        """
        return previous in (f"branch{route[-1]}", "shortcut1", "shortcut2")

    def fuse(self, x):
        x1 = x2 = x
        *running, last = self.blocks
        for block in running:
            x1, x2 = block(x1, x2)
        return last(x1, x2)


class CrossNet(TwoStreams, FusionNet):
    """DFN-MR for 32x32 images."""


class ImageNetCrossNet(TwoStreams, ImageNetFusionNet):
    """DFN-MR for ImageNet; the classifier takes the channels of both streams."""


@register_model
def cross(depth=56, classes=10, widen_factor=1, **kwargs):
    """Build DFN-MR for 32x32 images; a block counts for 4 layers of ``depth``."""
    blocks = split_depth(depth, 4)
    return CrossNet(
        MergeAndRunBlock, blocks, classes, widen_factor, last_block=MergeBlock, **kwargs
    )


@register_model(image_size=224)
def cross_imagenet(depth=50, classes=1000, widen_factor=1, **kwargs):
    """Build DFN-MR for ImageNet: depth 50 is the paper's network, depth 26 a smaller one."""
    blocks = choose_blocks(depth, {26: (2, 2, 2, 2), 50: (1, 2, 11, 2)})
    return ImageNetCrossNet(
        BottleneckBlock,
        WideningBlock,
        blocks,
        classes,
        widen_factor,
        last_block=ConcatenatingBlock,
        streams=2,
        **kwargs,
    )
