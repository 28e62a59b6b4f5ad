"""Sees to NumPy before any test module imports MXNet."""

import compat  # noqa: F401
