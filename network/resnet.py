"""The residual network, in deep fusion's words: a branch fused with the identity."""

from mxnet.gluon import HybridBlock

from network.base import FusionNet, split_depth
from network.layers import relu, residual_branch, shortcut
from network.registry import register_model


class ResidualBlock(HybridBlock):
    """y = relu(s(x) + f(x)), f two convolutions."""

    def __init__(self, channels, in_channels, stride, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.branch = residual_branch(channels, in_channels, stride, "branch_")
            self.shortcut = shortcut(channels, in_channels, stride, "shortcut_")

    def routes(self):
        """{name: layers in a row}, the summands of y."""
        return {"shortcut": [self.shortcut], "branch": [self.branch]}

    def hybrid_forward(self, F, x):
        return relu(F, self.shortcut(x) + self.branch(x))


@register_model
def resnet(depth=56, classes=10, widen_factor=1, **kwargs):
    """ResNet, blocks 2 deep (the deep fusion project's ``resnet``)."""
    return FusionNet(ResidualBlock, split_depth(depth, 2), classes, widen_factor, **kwargs)
