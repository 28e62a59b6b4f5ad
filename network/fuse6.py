"""Six deep fusions: like fuse3, but half as long each (the deep fusion project's ``fuse6``)."""

from network.fuse3 import fuse
from network.registry import register_model


@register_model
def fuse6(depth=56, classes=10, widen_factor=1, **kwargs):
    """Build a network of six fusions for 32x32 images; some depths have more.

    Blocks have floor((depth - 2) / 6) convolutions: depth 25 has seven blocks.
    """
    return fuse(6, depth, classes, widen_factor, **kwargs)
