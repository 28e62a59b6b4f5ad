"""Prepare a process for training with PyTorch."""

import ctypes
import os
import shutil

import mxnet as mx

from command import InputError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # numbers of options in glibc's malloc.h
LARGEST_MMAP_THRESHOLD = 32 << 20  # bytes; the largest value that glibc accepts
ENGINE_TYPE = "MXNET_ENGINE_TYPE"
# Device -> language, variable that names the compiler, and its usual names; on GPUs, for Triton.
COMPILERS = {"cpu": ("C++", "CXX", ["g++"]), "cuda": ("C", "CC", ["gcc", "clang"])}


def prepare_cpu():
    """Keep MXNet's threads and the allocator from slowing PyTorch. Results do not change."""
    run_mxnet_in_calling_thread()
    keep_freed_memory()


def require_compiler(device_type):
    """Check that torch.compile finds the compiler that it needs on a "cpu" or "cuda" device.

    Raises:
        InputError: there is none.
    """
    language, variable, usual = COMPILERS[device_type]
    names = [os.environ[variable]] if variable in os.environ else usual
    if not any(map(shutil.which, names)):
        raise InputError(
            f"compile needs a {language} compiler, and there is no "
            f"{' or '.join(map(repr, names))}: install one, name it in the environment variable "
            f"{variable}, or turn compile off",
            argument="compile",
        )


def run_mxnet_in_calling_thread():
    """Make MXNet run every operator in the thread that calls it (its ``NaiveEngine``).

    Otherwise its worker threads run them, each with its own team of OpenMP threads. If a process
    has more of these than there are cores, libgomp's threads sleep at once instead of waiting
    actively for the next parallel loop, also in PyTorch: a training step of cross 56 took a quarter
    longer on two cores.

    This has an effect only before MXNet's first operator. An engine that the environment names is
    kept.
    """
    if ENGINE_TYPE in os.environ:
        return
    os.environ[ENGINE_TYPE] = "NaiveEngine"
    standard_error, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)  # MXNet writes a line about the engine that it uses
        mx.nd.waitall()
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(nowhere)
        del os.environ[ENGINE_TYPE]


def keep_freed_memory():
    """Make glibc keep freed memory for the next allocation.

    Otherwise it returns large blocks to the system, and the pages of every activation must be
    allocated again in every step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries do not have it
    if mallopt:
        mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
