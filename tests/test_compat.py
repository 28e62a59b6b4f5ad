import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import compat

import pytest

import hardware

ROOT = Path(__file__).resolve().parent.parent


def run(code, cwd=ROOT, **environment):
    """A new Python, in which ``code`` may arrange what ``import compat`` finds."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    environment = {name: value for name, value in environment.items() if value is not None}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True
    )


def assert_one_line(result, *parts):
    """It ended with status 2, no output and one line of error that has all ``parts``."""
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1 and result.stderr.endswith("\n")
    for part in parts:
        assert part in result.stderr


def message(capsys, function, *args):
    """The one line with which ``function`` ends the process."""
    with pytest.raises(SystemExit) as end:
        function(*args)
    assert end.value.code == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    return line


@pytest.mark.parametrize("version", [(2, 7), (3, 6), (3, 7), (3, 13), (3, 14), (4, 0)])
def test_other_pythons_are_refused(capsys, version):
    line = message(capsys, compat._check_python, version)
    assert "Python {}.{} ".format(*version) in line and "3.8 to 3.12" in line


@pytest.mark.parametrize("minor", range(8, 13))
def test_pythons_of_the_wheel_are_accepted(minor):
    compat._check_python((3, minor, 1, "final", 0))


@pytest.mark.parametrize("version", ["1.16.6", "1.20.3", "2.0.0rc1", "2.1.3", "10.0"])
def test_other_numpys_are_refused(capsys, version):
    line = message(capsys, compat._check_numpy, version)
    assert version in line and "pip install 'numpy" in line


@pytest.mark.parametrize("version", ["1.21.0", "1.23.2", "1.26.4", "1.26.0b1"])
def test_numpys_that_mxnet_can_use_are_accepted(version):
    compat._check_numpy(version)


def test_sources_read_before_the_check_parse_on_python_3_7():
    first = [*ROOT.glob("*.py"), *(ROOT / unit / "__init__.py" for unit in ("network", "data"))]
    first.append(ROOT / "training" / "__init__.py")
    for file in first:
        ast.parse(file.read_text("utf-8"), str(file), feature_version=(3, 7))


def test_old_python_ends_with_one_line():
    assert_one_line(run("import sys; sys.version_info = (3, 7, 16); import network"), "Python 3.7")


@pytest.mark.parametrize("unit", ["network", "data", "training"])
def test_every_unit_refuses_numpy_2(tmp_path, unit):
    (tmp_path / "numpy.py").write_text("__version__ = '2.1.0'")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import {unit}"
    assert_one_line(run(code), "NumPy 2.1.0", "pip install 'numpy>=1.21,<1.27'")


@pytest.mark.parametrize(
    ("module", "parts"),
    [
        ("numpy", ["NumPy is not installed", "pip install -e '.[cpu]'"]),
        ("mxnet", ["mxnet is not installed", "pip install -e '.[cpu]'"]),
        ("PIL", ["Pillow is not installed", "pip install -e '.[cpu]'"]),
        ("tqdm", ["tqdm is not installed", "pip install -e '.[cpu]'"]),
        ("requests", ["requests is not installed", "pip install -e '.[cpu]'"]),
    ],
)
def test_missing_module_ends_with_one_line(module, parts):
    # None in sys.modules is Python's own way to say that a module is not there.
    assert_one_line(run(f"import sys; sys.modules[{module!r}] = None; import compat"), *parts)


def test_damaged_numpy_ends_with_one_line(tmp_path):
    (tmp_path / "numpy.py").write_text("raise ImportError('\\n\\nREAD THIS\\n\\nand this')")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import compat"
    assert_one_line(run(code), "NumPy is damaged", "--force-reinstall")


@pytest.mark.parametrize(
    ("library", "remedy"),
    [
        ("libgomp.so.1", "apt-get install libgomp1"),
        ("libquadmath.so.0", "apt-get install libquadmath0"),
        ("libcuda.so.1", "NVIDIA driver"),
        ("libcudnn.so.8", "pip install -e '.[cu112]'"),
        ("libunheard-of.so.1", "install the library that it names"),
    ],
)
def test_missing_library_ends_with_one_line(tmp_path, library, remedy):
    error = f"{library}: cannot open shared object file: No such file or directory"
    (tmp_path / "mxnet.py").write_text(f"raise OSError({error!r})")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import compat"
    assert_one_line(run(code), library, remedy)


@pytest.mark.parametrize("missing", ["setuptools", "distutils.version"])
def test_python_3_12_without_distutils_ends_with_one_line(capsys, monkeypatch, missing):
    monkeypatch.setattr(sys, "version_info", (3, 12, 0))
    monkeypatch.setitem(sys.modules, missing, None)
    line = message(capsys, compat._prepare_distutils)
    assert "distutils" in line and "pip install 'setuptools>=66.1'" in line


# Any module stands for MXNet here: its import takes seconds.
SHOW_THREADS = (
    "import os, sys; sys.modules['mxnet'] = os; import compat; print(os.environ['OMP_NUM_THREADS'])"
)


def test_threads_are_the_usable_cores():
    assert run(SHOW_THREADS, OMP_NUM_THREADS=None).stdout == f"{hardware.cores()}\n"
    assert 1 <= hardware.cores() <= os.cpu_count()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_threads_respect_the_affinity():
    code = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); " + SHOW_THREADS
    assert run(code, OMP_NUM_THREADS=None).stdout == "1\n"


def test_threads_that_the_user_set_are_kept():
    assert run(SHOW_THREADS, OMP_NUM_THREADS="3").stdout == "3\n"


@pytest.mark.parametrize(
    ("given", "expected"),
    [("2,1", "2"), ("4,3,2", "4"), (" 2", "2"), ("3 , 1", "3"), ("", None), ("abc", None)]
    + [(text, None) for text in ("0", "-1", "1e3", "2.5", "99999999999", ",2")],
)
def test_threads_are_a_number_that_mxnet_can_read(monkeypatch, given, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    compat._set_threads()
    assert os.environ["OMP_NUM_THREADS"] == (expected or str(hardware.cores()))


def test_a_list_of_threads_does_not_end_mxnet():
    result = run(
        "import compat, mxnet; print(mxnet.nd.ones(3).sum().asscalar())", OMP_NUM_THREADS="2,1"
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "3.0\n", "")


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("MXNET_CPU_WORKER_NTHREADS", "abc", "a number of threads of at least 1"),
        ("MXNET_CPU_WORKER_NTHREADS", "0", "a number of threads of at least 1"),
        ("MXNET_OMP_MAX_THREADS", "abc", "a number of threads of at least 1"),
        ("MXNET_ENGINE_TYPE", "Naive", "NaiveEngine, ThreadedEngine or ThreadedEnginePerDevice"),
    ],
)
def test_variables_that_mxnet_cannot_use_are_named(name, value, words):
    """MXNet would end the process, wait forever, and raise an error."""
    assert_one_line(run("import compat", **{name: value}), name, repr(value), "unset it", words)


@pytest.mark.parametrize("role", ["server", "scheduler"])
def test_a_server_outside_of_a_job_is_refused(role):
    given = {"DMLC_ROLE": role, "DMLC_PS_ROOT_URI": "10.0.0.1", "DMLC_NUM_WORKER": None}
    result = run("import compat", **given, DMLC_PS_ROOT_PORT=None, DMLC_NUM_SERVER=None)
    assert_one_line(result, repr(role), "DMLC_PS_ROOT_PORT, DMLC_NUM_WORKER", "unset DMLC_ROLE")


def test_python_without_docstrings_is_refused():
    result = run("import compat", PYTHONOPTIMIZE="2")
    assert_one_line(result, "docstrings", "-OO", "unset PYTHONOPTIMIZE")


def test_warnings_of_mxnet_are_neither_errors_nor_shown():
    code = "import compat, mxnet; print(mxnet.nd.ones(3).sum().asscalar())"
    for how in ("error", "always"):
        result = run(code, PYTHONWARNINGS=how)
        assert (result.returncode, result.stdout, result.stderr) == (0, "3.0\n", "")


HOMELESS = """
import os, pwd
def unknown(uid): raise KeyError(uid)
pwd.getpwuid = unknown
import compat
from pathlib import Path
import mxnet, matplotlib.pyplot, getpass
print(Path.home().is_dir(), os.access(Path.home(), os.W_OK), bool(getpass.getuser()))
"""


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="the system has no users with numbers")
def test_a_user_without_a_home_has_one_meanwhile(tmp_path):
    names = dict.fromkeys(("HOME", "USER", "LOGNAME", "LNAME", "USERNAME"))
    result = run(HOMELESS, TMPDIR=str(tmp_path), **names)
    assert (result.stdout, result.stderr) == ("True True True\n", "")
    assert [path.name for path in tmp_path.iterdir()] == [f"deep-fusion-{os.getuid()}"]


def test_a_home_that_is_there_stays(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    compat._prepare_home()
    assert os.environ["HOME"] == str(tmp_path)


@pytest.mark.parametrize(
    ("cpu_max", "cores"),
    [
        ("max 100000\n", float("inf")),
        ("200000 100000\n", 2),
        ("250000 100000", 2),
        ("50000 100000", 1),
    ],
)
def test_container_limits_the_cores(tmp_path, cpu_max, cores):
    (tmp_path / "cpu.max").write_text(cpu_max)
    assert hardware._group_quota(tmp_path) == cores


def machine(root, cgroup, mountinfo, **limits):
    """A file system with control groups: {path of a folder: its quota in cores}."""
    for name, text in (("cgroup", cgroup), ("mountinfo", mountinfo)):
        file = root / "proc" / "self" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for folder, quota in limits.pop("limits").items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        if "cgroup2" in mountinfo:
            (root / folder / "cpu.max").write_text(f"{quota} 100000\n")
        else:
            (root / folder / "cpu.cfs_quota_us").write_text(f"{quota}\n")
            (root / folder / "cpu.cfs_period_us").write_text("100000\n")
    return root


V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "33 32 0:30 {top} /sys/fs/cgroup/cpu,cpuacct ro,nosuid - cgroup cgroup rw,cpu,cpuacct\n"
CPU = "sys/fs/cgroup/cpu,cpuacct"


@pytest.mark.parametrize(
    ("cgroup", "mountinfo", "limits", "expected"),
    [
        ("0::/\n", V2, {"sys/fs/cgroup": 300000}, 3),
        ("0::/a/b\n", V2, {"sys/fs/cgroup/a": 250000, "sys/fs/cgroup/a/b": "max"}, 2),
        ("0::/a/b\n", V2, {"sys/fs/cgroup/a": "max", "sys/fs/cgroup/a/b": 50000}, 1),
        ("0::/../other\n", V2, {"sys/fs/cgroup": 400000}, 4),
        ("0::/a\n", V2, {"sys/fs/cgroup/a": "max"}, 8),
        ("4:cpu,cpuacct:/x\n", V1.format(top="/"), {CPU: -1, CPU + "/x": 200000}, 2),
        ("4:cpu,cpuacct:/x/y\n", V1.format(top="/"), {CPU + "/x": 300000, CPU + "/x/y": -1}, 3),
        ("4:cpu,cpuacct:/docker/1\n", V1.format(top="/docker/1"), {CPU: 150000}, 1),
        ("4:cpu,cpuacct:/docker/1/in\n", V1.format(top="/docker/1"), {CPU + "/in": 500000}, 5),
        ("4:cpu,cpuacct:/elsewhere\n", V1.format(top="/docker/1"), {CPU: 600000}, 6),
        ("nonsense: here", "nor here - ", {}, 8),
    ],
)
def test_control_groups_of_either_version_limit_the_cores_at_any_level(
    tmp_path, monkeypatch, cgroup, mountinfo, limits, expected
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert hardware.cores(machine(tmp_path, cgroup, mountinfo, limits=limits)) == expected


def test_what_starts_processes_and_threads_asks_for_the_cores():
    """Not for the machine's, many of which a container or an affinity may withhold."""
    for file in [*ROOT.glob("*.py"), *ROOT.glob("*/*.py")]:
        if file.name != "hardware.py" and file.parent.name != "tests":
            assert not re.search(r"cpu_count|ThreadPool\(\)|Pool\(\)", file.read_text()), file


def test_numpy_has_the_name_that_mxnet_reads():
    import numpy

    assert numpy.bool is numpy.bool_


def test_import_says_nothing_and_leaves_out_what_is_slow():
    result = run("import sys, compat, mxnet; assert not {'scipy', 'sklearn'} & set(sys.modules)")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_packages_are_hidden_for_a_while(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with compat._without(["colorsys", "json"]):
        with pytest.raises(ImportError):
            importlib.import_module("colorsys")
        importlib.import_module("json")  # imported before: stays
    importlib.import_module("colorsys")


def test_cuda_libraries_are_loaded_in_order_of_need(tmp_path, monkeypatch):
    present = [path for path in compat.CUDA_LIBRARIES if "nccl" not in path]
    for path in reversed(present):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    loaded = []
    monkeypatch.setattr(compat.ctypes, "CDLL", loaded.append)
    assert compat._load_cuda([str(tmp_path / "none"), str(tmp_path)]) == loaded
    assert loaded == [str(tmp_path / path) for path in present]
    needs = "libcublasLt.so.11", "libcublas.so.11", "libcusolver.so.11"
    assert [path.name for path in map(Path, loaded) if path.name in needs] == list(needs)


def test_cuda_is_left_alone_without_mxnet_cu112(monkeypatch):
    def not_installed(name):
        raise metadata.PackageNotFoundError(name)

    from importlib import metadata

    monkeypatch.setattr(metadata, "distribution", not_installed)
    monkeypatch.setattr(compat, "_load_cuda", lambda roots: pytest.fail("CUDA was loaded"))
    compat._prepare_cuda()


def test_cuda_of_pip_is_loaded_for_mxnet_cu112(tmp_path, monkeypatch):
    from importlib import metadata

    (tmp_path / "nvidia").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(metadata, "distribution", {"mxnet-cu112": None}.__getitem__)
    roots = []
    monkeypatch.setattr(compat, "_load_cuda", roots.extend)
    compat._prepare_cuda()
    assert str(tmp_path / "nvidia") in roots


def test_damaged_cuda_ends_with_one_line(capsys, monkeypatch):
    from importlib import metadata

    def damaged(roots):
        raise OSError("libcufft.so.10: file too short")

    monkeypatch.setattr(metadata, "distribution", {"mxnet-cu112": None}.__getitem__)
    monkeypatch.setattr(compat, "_load_cuda", damaged)
    assert "libcufft.so.10" in message(capsys, compat._prepare_cuda)
