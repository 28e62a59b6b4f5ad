"""Prepare Python, NumPy and the machine for MXNet 1.9.1 before it is imported.

Every package that needs MXNet imports this module first. If MXNet cannot work, one line on stderr
says what to do, and the process ends with status 2. Python 3.6 and later can parse this file.
"""

import contextlib
import ctypes
import importlib
import importlib.util
import os
import re
import sys
import tempfile
import warnings

from hardware import cores

INSTALL = "pip install -e '.[cpu]' (or '.[cu112]' for GPUs)"
PACKAGES = {"PIL": "Pillow", "tqdm": "tqdm"}  # name of the module -> of the package
NUMPY = "pip install 'numpy>=1.21,<1.27'"

# MXNet imports these if they are installed, for a base class (FeedForward) and for calibration in
# contrib.quantization, which the project does not use. They take half of the time of its import.
UNUSED = ("sklearn", "scipy")

# Variables with which MXNet may wait forever or end the process: pattern of the name -> pattern of
# the possible values, and these in words.
VARIABLES = {
    "MXNET_[A-Z_]*THREADS": ("[1-9][0-9]{0,5}", "a number of threads of at least 1"),
    "MXNET_ENGINE_TYPE": (
        "NaiveEngine|ThreadedEngine|ThreadedEnginePerDevice",
        "NaiveEngine, ThreadedEngine or ThreadedEnginePerDevice",
    ),
}

# Variables of the servers and the scheduler of a job, which MXNet becomes when it is imported.
SERVER_VARIABLES = ("DMLC_PS_ROOT_URI", "DMLC_PS_ROOT_PORT", "DMLC_NUM_WORKER", "DMLC_NUM_SERVER")

# Set in the environment of processes that do not need MXNet, which takes seconds and 300 MB.
WITHOUT_MXNET = "DEEP_FUSION_WITHOUT_MXNET"

# Libraries that mxnet-cu112 is linked to: folder of the pip package and file, dependencies first.
CUDA_LIBRARIES = (
    "cuda_runtime/lib/libcudart.so.11.0",
    "nvtx/lib/libnvToolsExt.so.1",
    "cuda_nvrtc/lib/libnvrtc.so.11.2",
    "cublas/lib/libcublasLt.so.11",
    "cublas/lib/libcublas.so.11",
    "cufft/lib/libcufft.so.10",
    "curand/lib/libcurand.so.10",
    "cusolver/lib/libcusolver.so.11",
    "nccl/lib/libnccl.so.2",
    "cudnn/lib/libcudnn.so.8",
)

# Remedies for a library that MXNet does not find, by the library's name.
MISSING_LIBRARIES = {
    "libcuda.so": "mxnet-cu112 needs an NVIDIA driver; without one run "
    "pip uninstall mxnet-cu112 and pip install -e '.[cpu]'",
    "libgomp.so": "install OpenMP (Debian: apt-get install libgomp1)",
    "libquadmath.so": "install libquadmath (Debian: apt-get install libquadmath0)",
    **{os.path.basename(path): "pip install -e '.[cu112]'" for path in CUDA_LIBRARIES},
}


def _stop(message):
    sys.stderr.write(" ".join(message.split()) + "\n")
    raise SystemExit(2)


def _check_python(version):
    if not (3, 8) <= tuple(version[:2]) <= (3, 12):
        _stop(
            f"Python {version[0]}.{version[1]} cannot run this project: MXNet 1.9.1 needs Python "
            "3.8 to 3.12; make the environment with one of those"
        )


def _check_docstrings(optimize):
    if optimize > 1:
        _stop(
            "MXNet needs docstrings, which Python drops with -OO: leave it out, and unset "
            "PYTHONOPTIMIZE"
        )


def _check_numpy(version):
    if not (1, 21) <= tuple(int(part) for part in version.split(".")[:2]) < (2, 0):
        _stop(
            f"NumPy {version} cannot run this project: MXNet 1.9.1 needs NumPy 1.21 to 1.26; "
            f"run {NUMPY}"
        )


def _set_threads():
    """Let OpenMP use every core that this process may use; by default, MXNet uses half of them.

    A number that the user has set is kept. Of a list, with one number for each level of nested
    threads, the first is used, because MXNet ends the process unless the value is a whole number.
    """
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if not re.fullmatch("[1-9][0-9]{0,5}", first):
        first = str(cores())
    os.environ["OMP_NUM_THREADS"] = first


def _check_variables():
    """Check MXNet's variables in VARIABLES, which it does not check itself."""
    for name, value in os.environ.items():
        for pattern, (values, words) in VARIABLES.items():
            if re.fullmatch(pattern, name) and not re.fullmatch(values, value):
                _stop(f"{name} is {value!r}: unset it, or set it to {words}")


def _check_role():
    """Check that a server or scheduler has the variables without which MXNet's import fails."""
    role = os.environ.get("DMLC_ROLE")
    missing = [name for name in SERVER_VARIABLES if not os.environ.get(name)]
    if role in ("server", "scheduler") and missing:
        _stop(
            f"DMLC_ROLE is {role!r}, but {', '.join(missing)} is not set: start the job with "
            "python -m tools.launch, or unset DMLC_ROLE"
        )


def _prepare_home():
    """Set a temporary home directory and a name for a user who has none.

    In containers, users may have neither HOME nor an entry in passwd. MXNet, matplotlib and gluoncv
    look for a home directory when they are imported.
    """
    if os.path.expanduser("~") != "~":
        return
    folder = os.path.join(tempfile.gettempdir(), f"deep-fusion-{os.getuid()}")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if os.stat(folder).st_uid != os.getuid():
            raise OSError("it belongs to another user")
    except OSError:
        folder = tempfile.mkdtemp()
    os.environ["HOME"] = folder
    os.environ.setdefault("USER", f"user{os.getuid()}")


def _prepare_numpy():
    """Define ``np.bool`` in NumPy 1.24 and later, which MXNet uses while it is imported."""
    try:
        import numpy
    except ModuleNotFoundError:
        _stop(f"NumPy is not installed: run {INSTALL}")
    except ImportError:  # NumPy's own message fills a page
        _stop(f"NumPy is damaged: run {NUMPY} --force-reinstall")
    _check_numpy(numpy.__version__)
    numpy.bool = numpy.bool_


def _prepare_distutils():
    """Check that ``distutils`` exists, which only setuptools provides in Python 3.12."""
    if sys.version_info >= (3, 12):
        try:
            importlib.import_module("setuptools")
            importlib.import_module("distutils.version")
        except (ImportError, AttributeError):  # setuptools is missing, or too old for Python 3.12
            _stop(
                "MXNet needs distutils, which Python 3.12 lacks: run pip install "
                "'setuptools>=66.1' and leave SETUPTOOLS_USE_DISTUTILS unset"
            )


def _check_packages():
    """Check that the packages are installed that every program imports when it starts."""
    for name, package in PACKAGES.items():
        if importlib.util.find_spec(name) is None:
            _stop(f"{package} is not installed: run {INSTALL}")


def _load_cuda(roots):
    """Load the CUDA libraries that pip installed below ``roots``; return their files.

    The system's loader does not search there, but it finds a loaded library by its name.
    """
    files = [os.path.join(root, path) for path in CUDA_LIBRARIES for root in roots]
    files = [file for file in files if os.path.exists(file)]
    for file in files:
        ctypes.CDLL(file)
    return files


def _prepare_cuda():
    """Load the CUDA libraries of pip packages for mxnet-cu112; the CPU version needs none."""
    from importlib import metadata

    spec = importlib.util.find_spec("nvidia")  # the folder shared by all of NVIDIA's packages
    try:
        metadata.distribution("mxnet-cu112")
        _load_cuda(spec.submodule_search_locations if spec else [])
    except metadata.PackageNotFoundError:
        pass
    except OSError as error:
        _stop(f"CUDA cannot be loaded ({error}): run pip install -e '.[cu112]'")


@contextlib.contextmanager
def _without(packages):
    """Make imports of ``packages`` fail, except for those that are already imported."""
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _import_mxnet():
    try:
        with _without(UNUSED), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it would end with -W error, or print with -W always
            import mxnet  # noqa: F401
    except ModuleNotFoundError as error:
        _stop(f"{error.name} is not installed: run {INSTALL}")
    except (ImportError, OSError) as error:  # a shared library is missing
        _stop(f"MXNet cannot be loaded ({error}): {_remedy(str(error))}")


def _remedy(error):
    """Return the remedy for an ``error`` of loading MXNet."""
    for library, remedy in MISSING_LIBRARIES.items():
        if library in error:
            return remedy
    return f"install the library that it names, or MXNet again: {INSTALL}"


_check_python(sys.version_info)
_check_docstrings(sys.flags.optimize)
_check_variables()
_check_role()
_set_threads()
_prepare_home()
_prepare_numpy()
_prepare_distutils()
_check_packages()
_prepare_cuda()
if WITHOUT_MXNET not in os.environ:
    _import_mxnet()
