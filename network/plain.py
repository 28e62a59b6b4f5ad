"""The plain network: one convolution after another (the deep fusion project's ``plain``)."""

from mxnet.gluon import HybridBlock

from network.base import FusionNet, split_depth
from network.layers import conv_bn
from network.registry import register_model


class PlainBlock(HybridBlock):
    """y = relu(f(x)), f one 3x3 convolution."""

    def __init__(self, channels, in_channels, stride, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.layer = conv_bn(channels, in_channels, stride=stride, relu=True, prefix="layer_")

    def routes(self):
        """Return {name: layers in sequence} of the summands of y."""
        return {"layer": [self.layer]}

    def hybrid_forward(self, F, x):
        return self.layer(x)


@register_model
def plain(depth=56, classes=10, widen_factor=1, **kwargs):
    """Build a plain network for 32x32 images; it has ``depth`` weight layers."""
    return FusionNet(PlainBlock, split_depth(depth, 1), classes, widen_factor, **kwargs)
