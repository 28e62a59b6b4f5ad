"""How a network meets data. Everything but ``experiment`` takes any network and any batches."""

import compat  # noqa: F401  (before anything imports mxnet)
