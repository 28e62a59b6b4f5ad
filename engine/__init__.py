"""What runs a network on devices: MXNet's engine, and PyTorch's on the same compiled graph."""

import compat  # noqa: F401  (before anything imports mxnet)
