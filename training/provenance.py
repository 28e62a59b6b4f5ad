"""Describe the environment of a run for ``config.json``: versions, threads, commit, command."""

import os
import platform
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import mxnet as mx
import numpy as np

from filesystem import project_folder

ROOT = project_folder()
CODE = Path(__file__).resolve().parent.parent


def describe_environment(config):
    """Return the environment of this process as plain values.

    Args:
        config: the RuntimeConfig of the run.
    """
    return {
        "machine": asdict(config),
        "threads": os.environ["OMP_NUM_THREADS"],
        "versions": {
            "python": platform.python_version(),
            "mxnet": mx.__version__,
            "numpy": np.__version__,
            "platform": platform.platform(),
            **_find_torch(),
        },
        "processor": find_processor(),
        "commit": find_commit(),
        "command": sys.argv,
    }


def find_processor():
    """Return the model name of the processor."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        return re.search(r"^model name\s*:\s*(.*)$", text, re.M).group(1)
    except (OSError, AttributeError):
        return platform.processor() or platform.machine()


def _find_torch():
    """Return versions of PyTorch and CUDA, and names of GPUs, if PyTorch has been imported."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0  # a driver may be too old
    gpus = [torch.cuda.get_device_name(index) for index in range(count)]
    found = {"torch": torch.__version__, "cuda": torch.version.cuda, "gpus": ", ".join(gpus)}
    return {name: value for name, value in found.items() if value}


def find_commit():
    """Return the commit of the project's checkout, followed by + if files differ from it.

    The result is None if the project is not in a git checkout.
    """
    if not (CODE / "setup.py").is_file():  # installed, perhaps inside of another project's checkout
        return None
    try:
        words = ["git", "-C", str(CODE), "describe", "--always", "--abbrev=40", "--dirty=+"]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
