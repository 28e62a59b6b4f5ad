"""DFN-IL: two inception-like branches and the identity in one block, half as long as ResNet."""

from mxnet.gluon import HybridBlock

from network.base import FusionNet, split_depth
from network.layers import relu, residual_branch, shortcut
from network.registry import register_model


class InceptionLikeBlock(HybridBlock):
    """y = relu(s(x) + f_1(x) + f_2(x)), each f two convolutions."""

    def __init__(self, channels, in_channels, stride, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.branch1 = residual_branch(channels, in_channels, stride, "branch1_")
            self.branch2 = residual_branch(channels, in_channels, stride, "branch2_")
            self.shortcut = shortcut(channels, in_channels, stride, "shortcut_")

    def routes(self):
        """{name: layers in a row}, the summands of y."""
        return {"shortcut": [self.shortcut], "branch1": [self.branch1], "branch2": [self.branch2]}

    def hybrid_forward(self, F, x):
        return relu(F, self.shortcut(x) + self.branch1(x) + self.branch2(x))


@register_model
def half(depth=56, classes=10, widen_factor=1, **kwargs):
    """DFN-IL, blocks 4 deep as a plain network (the deep fusion project's ``half``)."""
    return FusionNet(InceptionLikeBlock, split_depth(depth, 4), classes, widen_factor, **kwargs)
