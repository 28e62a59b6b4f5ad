"""Six deep fusions: fuse3 cut in six."""

from network.fuse3 import fuse
from network.registry import register_model


@register_model
def fuse6(depth=56, classes=10, widen_factor=1, **kwargs):
    """Six fusions (the deep fusion project's ``fuse6``)."""
    return fuse(6, depth, classes, widen_factor, **kwargs)
