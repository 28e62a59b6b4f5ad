"""What a network is. Importing a family registers its networks."""

import compat  # noqa: F401  (before anything imports mxnet)

from network import (  # noqa: F401
    cross,
    ensemble,
    fractal,
    fractal_imagenet,
    fractal_square,
    fractal_tapered,
    fuse3,
    fuse6,
    half,
    plain,
    resnet,
    side,
)
from network.registry import default_depth, get_model, image_shape, list_models

__all__ = ["default_depth", "get_model", "image_shape", "list_models"]
