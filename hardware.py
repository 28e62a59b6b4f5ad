"""What this machine has: cores that may be used, and types that its CPU computes in.

Imports nothing but Python's own modules, so it works where MXNet cannot be imported.
"""

import math
import os


def _quota(cpu_max):
    """The cores that the text of a cgroup's ``cpu.max`` grants; infinity where it sets no limit."""
    quota, period = cpu_max.split()
    return math.inf if quota == "max" else max(1, int(quota) // int(period))


def cores():
    """Return how many cores this process may use: of the machine, its affinity, its container."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:  # macOS, Windows
        cores = os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            return min(cores, _quota(file.read()))
    except (OSError, ValueError):  # no cgroups of version 2
        return cores


def has_bfloat16(cpuinfo="/proc/cpuinfo"):
    """Return whether the CPU has instructions for bfloat16 (avx512_bf16)."""
    try:
        with open(cpuinfo, encoding="utf-8", errors="replace") as file:
            return "avx512_bf16" in file.read()
    except OSError:
        return False
