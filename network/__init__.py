"""Networks: build one by name, register a new one, measure its cost, draw it, use its features.

Importing this package registers every network of the project. The package also exports what the
file of a new network needs; see CONTRIBUTING.md.
"""

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
from network.base import FusionNet, split_depth
from network.complexity import Complexity, complexity
from network.drawing.picture import visualize
from network.embedding import features
from network.layers import conv_bn, conv_chain, relu, residual_branch, shortcut
from network.pretrained.cards import Card, list_pretrained, read_card
from network.registry import (
    default_classes,
    default_depth,
    get_model,
    has_columns,
    image_shape,
    list_models,
    recipe_family,
    register_model,
)

__all__ = [
    "Card",
    "Complexity",
    "FusionNet",
    "complexity",
    "conv_bn",
    "conv_chain",
    "default_classes",
    "default_depth",
    "features",
    "get_model",
    "has_columns",
    "image_shape",
    "list_models",
    "list_pretrained",
    "read_card",
    "recipe_family",
    "register_model",
    "relu",
    "residual_branch",
    "shortcut",
    "split_depth",
    "visualize",
]

__version__ = "0.1.0"
