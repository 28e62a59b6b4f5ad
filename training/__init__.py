"""How a run is made: recipe, loop, checkpoints, its folder, and what is evaluated afterwards."""

import compat  # noqa: F401  (before anything imports mxnet)
