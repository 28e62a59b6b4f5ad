"""DFN-IL: two inception-like branches and the identity in a block, half as long as ResNet.

Zhao et al., "On the Connection of Deep Fusion to Ensembling"; the deep fusion project's ``half``.
"""

from mxnet.gluon import HybridBlock

from network.base import FusionNet, split_depth
from network.layers import relu, residual_branch, shortcut
from network.registry import register_model


class InceptionLikeBlock(HybridBlock):
    """y = relu(s(x) + f_1(x) + f_2(x)), each f two convolutions, s identity or 1x1 convolution."""

    def __init__(self, channels, in_channels, stride, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.branch1 = residual_branch(channels, in_channels, stride, "branch1_")
            self.branch2 = residual_branch(channels, in_channels, stride, "branch2_")
            self.shortcut = shortcut(channels, in_channels, stride, "shortcut_")

    def routes(self):
        """Return {name: layers in sequence} of the summands of y."""
        return {"shortcut": [self.shortcut], "branch1": [self.branch1], "branch2": [self.branch2]}

    def hybrid_forward(self, F, x):
        return relu(F, self.shortcut(x) + self.branch1(x) + self.branch2(x))


@register_model
def half(depth=56, classes=10, widen_factor=1, **kwargs):
    """Build DFN-IL for 32x32 images; a block counts for 4 layers of ``depth``."""
    return FusionNet(InceptionLikeBlock, split_depth(depth, 4), classes, widen_factor, **kwargs)
