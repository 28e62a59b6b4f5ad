"""The residual network: a branch fused with the identity (the deep fusion project's ``resnet``)."""

from mxnet.gluon import HybridBlock

from network.base import FusionNet, ImageNetFusionNet, choose_blocks, split_depth
from network.layers import bottleneck, relu, residual_branch, shortcut
from network.registry import register_model


class ResidualBlock(HybridBlock):
    """y = relu(s(x) + f(x)), f two convolutions, s the identity or a 1x1 convolution."""

    make_branch = staticmethod(residual_branch)

    def __init__(self, channels, in_channels, stride, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.branch = self.make_branch(channels, in_channels, stride, "branch_")
            self.shortcut = shortcut(channels, in_channels, stride, "shortcut_")

    def routes(self):
        """Return {name: layers in sequence} of the summands of y."""
        return {"shortcut": [self.shortcut], "branch": [self.branch]}

    def hybrid_forward(self, F, x):
        return relu(F, self.shortcut(x) + self.branch(x))


class BottleneckBlock(ResidualBlock):
    """A ResidualBlock whose branch is a bottleneck."""

    make_branch = staticmethod(bottleneck)


class WideningBlock(HybridBlock):
    """y = relu(f(x)), f a bottleneck: no shortcut where the width changes."""

    def __init__(self, channels, in_channels, stride, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.branch = bottleneck(channels, in_channels, stride, "branch_")

    def routes(self):
        """Return {name: layers in sequence} of the summands of y."""
        return {"branch": [self.branch]}

    def hybrid_forward(self, F, x):
        return relu(F, self.branch(x))


@register_model
def resnet(depth=56, classes=10, widen_factor=1, **kwargs):
    """Build a ResNet for 32x32 images; a block counts for 2 layers of ``depth``."""
    return FusionNet(ResidualBlock, split_depth(depth, 2), classes, widen_factor, **kwargs)


@register_model(image_size=224)
def resnet_imagenet(depth=98, classes=1000, widen_factor=1, **kwargs):
    """Build the ResNet that DFN-MR is compared with on ImageNet: depth 98 (the paper's) or 26."""
    blocks = choose_blocks(depth, {26: (2, 2, 2, 2), 98: (2, 4, 22, 4)})
    return ImageNetFusionNet(
        BottleneckBlock, WideningBlock, blocks, classes, widen_factor, **kwargs
    )
