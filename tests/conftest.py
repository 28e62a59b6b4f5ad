"""Sees to NumPy before any test module imports MXNet."""

import signal

import compat  # noqa: F401

# A shell's background jobs ignore Ctrl-C, and so would the tests of it and what they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
