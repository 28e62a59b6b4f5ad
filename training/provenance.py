"""Where a run was carried out: versions, threads, commit and command line, for ``config.json``."""

import os
import platform
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import mxnet as mx
import numpy as np

ROOT = Path(__file__).resolve().parent.parent


def describe_environment(config):
    """Return where a run, or a part of it, was carried out, as plain values.

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
        },
        "commit": find_commit(),
        "command": sys.argv,
    }


def find_commit():
    """Return the commit of the project's checkout, with a + where files differ from it.

    None where the project is not in a git checkout.
    """
    try:
        words = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--dirty=+"]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
