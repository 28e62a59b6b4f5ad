"""What MXNet 1.9.1 needs of Python, NumPy and the machine today, seen to before its import.

Imported first by ``network``, ``data`` and ``training``. Where MXNet cannot work, one line on
stderr says what to do and the process ends with status 2.
"""

import os
import sys

INSTALL = "pip install -e '.[cpu]' (or '.[cu112]' for GPUs)"


def _stop(message):
    sys.stderr.write(message + "\n")
    raise SystemExit(2)


def _check_python(version):
    if not (3, 8) <= tuple(version[:2]) <= (3, 12):
        _stop(
            "Python {}.{} cannot run this project: MXNet 1.9.1 needs Python 3.8 to 3.12; make the "
            "environment with one of those".format(*version[:2])
        )


def _check_numpy(version):
    if not (1, 21) <= tuple(int(part) for part in version.split(".")[:2]) < (2, 0):
        _stop(
            "NumPy {} cannot run this project: MXNet 1.9.1 needs NumPy 1.21 to 1.26; run "
            "pip install 'numpy>=1.21,<2'".format(version)
        )


def _set_threads():
    """Let OpenMP use every core this process may use; by default MXNet takes half of them."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:  # macOS, Windows
        cores = os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(cores))


def _prepare_numpy():
    """Give NumPy 1.24 and later the name ``np.bool`` back, which MXNet reads while it loads."""
    try:
        import numpy
    except ImportError:
        _stop("NumPy is not installed: run " + INSTALL)
    _check_numpy(numpy.__version__)
    numpy.bool = numpy.bool_


def _prepare_distutils():
    """Python 3.12 has no ``distutils`` of its own; setuptools brings one."""
    if sys.version_info >= (3, 12):
        try:
            import setuptools  # noqa: F401  (its import provides distutils)
        except ImportError:
            _stop("MXNet needs distutils, which Python 3.12 lacks: run pip install setuptools")


def _import_mxnet():
    try:
        import mxnet  # noqa: F401
    except ModuleNotFoundError as error:
        _stop("{} is not installed: run {}".format(error.name, INSTALL))
    except (ImportError, OSError) as error:  # a shared library that is not there
        _stop(
            "MXNet cannot be loaded ({}): install the library it names (Debian: libgomp1 for "
            "OpenMP); mxnet-cu112 also needs an NVIDIA driver".format(error)
        )


_check_python(sys.version_info)
_set_threads()
_prepare_numpy()
_prepare_distutils()
_import_mxnet()
