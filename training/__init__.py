"""How a network meets data. Everything but ``experiment`` takes any network and any batches."""

import ctypes


def _is_doctor():
    """Whether the program is ``python -m training.doctor``."""
    count, words = ctypes.c_int(), ctypes.POINTER(ctypes.c_wchar_p)()
    ctypes.pythonapi.Py_GetArgcArgv(ctypes.byref(count), ctypes.byref(words))
    words = words[: count.value]  # from Python 3.10 on, sys.orig_argv
    return ("-m", "training.doctor") in zip(words, words[1:])


if not _is_doctor():  # which finds out itself what keeps MXNet from working, and goes on
    import compat  # noqa: F401  (before anything imports mxnet)
