"""Find the cores that this process may use, and the data types that the CPU supports.

This module imports only Python's own modules, so it works where MXNet cannot be imported.
"""

import math
import os
import posixpath
import re


def cores(root="/"):
    """Return the number of cores that this process may use, by machine, affinity and container.

    Args:
        root: root of the file system from which control groups are read.
    """
    if hasattr(os, "sched_getaffinity"):
        usable = len(os.sched_getaffinity(0))
    else:  # macOS, Windows
        usable = os.cpu_count() or 1
    return min((usable, *map(_group_quota, _group_folders(root))))


def _group_folders(root):
    """Yield the folder of each control group of this process, and of the groups above it.

    A group is named relative to a hierarchy, of which a part is mounted. In a container, the group
    may be outside that part; the top of the mounted part then has the container's limits.
    """
    groups = {}  # controllers ("" in version 2) -> path of the group
    for line in _read_lines(root, "proc/self/cgroup"):
        _, _, named = line.partition(":")
        controllers, _, path = named.partition(":")
        groups.update(dict.fromkeys(controllers.split(","), path))
    for line in _read_lines(root, "proc/self/mountinfo"):
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.partition(" ")
        key = {"cgroup2": "", "cgroup": "cpu"}.get(kind)
        if key not in groups or (key and key not in re.split("[ ,]", options)):
            continue
        top, mount = fields.split(" ")[3:5]
        below = posixpath.relpath(groups[key], top)
        parts = [] if below.startswith("..") else [part for part in below.split("/") if part != "."]
        for depth in range(len(parts) + 1):
            yield os.path.join(root, mount.lstrip("/"), *parts[:depth])


def _group_quota(folder):
    """Return the whole cores that a control group allows, at least 1; infinity without a limit."""
    try:
        quota, period = _read_words(folder, "cpu.max") or (
            *_read_words(folder, "cpu.cfs_quota_us"),
            *_read_words(folder, "cpu.cfs_period_us"),
        )
        return max(1, int(quota) // int(period)) if int(quota) > 0 else math.inf
    except (ValueError, ZeroDivisionError):
        # the files are missing, or have "max" or another value that is not a limit
        return math.inf


def _read_words(folder, name):
    return " ".join(_read_lines(folder, name)).split()


def _read_lines(folder, name):
    """Return the lines of a system file, or [] if it cannot be read."""
    try:
        with open(os.path.join(folder, name), encoding="utf-8", errors="surrogateescape") as file:
            return file.read().splitlines()
    except OSError:
        return []


def has_bfloat16(cpuinfo="/proc/cpuinfo"):
    """Return whether the CPU has instructions for bfloat16 (avx512_bf16)."""
    try:
        with open(cpuinfo, encoding="utf-8", errors="replace") as file:
            return "avx512_bf16" in file.read()
    except OSError:
        return False
