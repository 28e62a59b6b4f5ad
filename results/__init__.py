"""What finished runs say: statistics over runs, beside the papers' figures."""

import compat  # noqa: F401  (before anything imports mxnet)
