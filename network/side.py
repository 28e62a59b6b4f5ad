"""DFN-IL without identities: two branches side by side (the deep fusion project's ``side``)."""

from mxnet.gluon import HybridBlock

from network.base import FusionNet, split_depth
from network.layers import relu, residual_branch
from network.registry import register_model


class SideBlock(HybridBlock):
    """y = relu(f_1(x) + f_2(x)), each f two convolutions."""

    def __init__(self, channels, in_channels, stride, **kwargs):
        super().__init__(**kwargs)
        with self.name_scope():
            self.branch1 = residual_branch(channels, in_channels, stride, "branch1_")
            self.branch2 = residual_branch(channels, in_channels, stride, "branch2_")

    def routes(self):
        """Return {name: layers in sequence} of the summands of y."""
        return {"branch1": [self.branch1], "branch2": [self.branch2]}

    def hybrid_forward(self, F, x):
        return relu(F, self.branch1(x) + self.branch2(x))


@register_model
def side(depth=56, classes=10, widen_factor=1, **kwargs):
    """Build DFN-IL without identities; a block counts for 4 layers of ``depth``."""
    return FusionNet(SideBlock, split_depth(depth, 4), classes, widen_factor, **kwargs)
