"""What a process does before it trains with PyTorch on a CPU."""

import ctypes
import os

import mxnet as mx

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # numbers of options in glibc's malloc.h
LARGEST_MMAP_THRESHOLD = 32 << 20  # bytes; glibc takes no more
ENGINE_TYPE = "MXNET_ENGINE_TYPE"


def prepare_cpu():
    """Have MXNet and the allocator leave the processor to PyTorch. Results do not change."""
    run_mxnet_in_calling_thread()
    keep_freed_memory()


def run_mxnet_in_calling_thread():
    """Have MXNet run every operator in the thread that calls it (its ``NaiveEngine``).

    Otherwise its worker threads run them, each with a team of OpenMP threads of its own. Where a
    process has more of these than there are cores, libgomp's threads sleep at once instead of
    waiting actively for the next parallel loop, also in PyTorch: a training step of cross 56 took a
    quarter longer on two cores.

    It has an effect before MXNet's first operator only. Where the environment names an engine, that
    one remains.
    """
    if ENGINE_TYPE in os.environ:
        return
    os.environ[ENGINE_TYPE] = "NaiveEngine"
    standard_error, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)  # MXNet writes a line about the engine that it takes
        mx.nd.waitall()
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.close(nowhere)
        del os.environ[ENGINE_TYPE]


def keep_freed_memory():
    """Have glibc keep freed memory for the next allocation.

    Otherwise it returns large blocks to the system, and every activation of every step has to get
    its pages again.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
    if mallopt:
        mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
