"""The papers' study: path lengths, ensemble members, lesions, the anytime property."""

import compat  # noqa: F401  (before anything imports mxnet)
