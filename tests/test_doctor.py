"""The doctor finds what is wrong, says what to do, and survives it."""

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

import hardware
from engine import devices
from tools import doctor
from tools.doctor import NOTE, OK, PROBLEM

ROOT = Path(__file__).resolve().parents[1]
Usage = namedtuple("Usage", "total used free")


def examined(*path, **environment):
    """The program, in a process of its own; modules in ``path`` come first."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), **environment}
    words = [sys.executable, "-m", "tools.doctor"]
    return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)


def lines(done):
    """{what: (state, finding)} of what the program printed."""
    names = [name for name, _ in doctor.checks()]
    found = {}
    for line in done.stdout.splitlines():
        state, rest = line.split(None, 1)
        name = max((name for name in names if rest.startswith(name)), key=len)
        found[name] = (state, rest[len(name) :].strip())
    assert list(found) == names
    return found


@pytest.mark.slow
def test_where_training_works_the_status_is_0():
    done = examined(OMP_NUM_THREADS="1")
    found = lines(done)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {state for state, _ in found.values()} <= {OK, NOTE}
    assert found["MXNet"][1].startswith("1.9.1: oneDNN ")
    assert "OMP_NUM_THREADS is 1" in found["threads"][1]


@pytest.mark.parametrize(
    "module,content,said",
    [
        ("mxnet", "raise OSError('libgomp.so.1: no such file')", "apt-get install libgomp1"),
        ("mxnet", "raise ModuleNotFoundError(name='mxnet')", "mxnet is not installed: run pip"),
        ("numpy", "__version__ = '2.1.0'", "needs NumPy 1.21 to 1.26"),
        ("mxnet", "raise RuntimeError('Could not determine home directory.')", "set HOME to a"),
        ("mxnet", "import os; os.abort()", "MXNet ends the process (SIGABRT)"),
        ("tqdm", "raise ImportError('damaged')", "damaged"),
    ],
)
def test_without_mxnet_the_rest_is_looked_at_all_the_same(tmp_path, module, content, said):
    (tmp_path / f"{module}.py").write_text(content)
    done = examined(tmp_path)
    found = lines(done)
    assert done.returncode == 1
    assert done.stderr == ""
    assert found["MXNet"][0] == PROBLEM and said in found["MXNet"][1]
    assert found["GPUs"] == found["threads"] == (NOTE, "unknown without MXNet")
    assert found["Python"][0] == OK


@pytest.mark.parametrize("threads", ["2,1", "two"])
def test_threads_that_mxnet_does_not_accept_are_named(monkeypatch, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    remedy = doctor.suggest_remedy("MXNet ends the process (SIGABRT): what()")
    assert f"unset OMP_NUM_THREADS, which is {threads!r}" in remedy


def test_a_step_that_does_not_work_is_a_problem(monkeypatch):
    """Also if everything can be imported."""
    doctor.try_training.cache_clear()
    monkeypatch.setattr(doctor, "TRIAL", "import os; os.kill(os.getpid(), 9)")
    found = doctor.check_mxnet()
    doctor.try_training.cache_clear()
    assert found.state == PROBLEM and "SIGKILL" in found.text


@pytest.mark.medium
def test_other_programs_still_end_with_a_line(tmp_path):
    (tmp_path / "mxnet.py").write_text("raise OSError('libgomp.so.1: no such file')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for words in (["-m", "predict", "x"], ["-c", "import training", "tools.doctor"]):
        done = subprocess.run(
            [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1


def test_a_problem_decides_the_status(monkeypatch, capsys):
    findings = {"a": doctor.Finding(OK, "fine"), "b": doctor.Finding(NOTE, "less")}
    monkeypatch.setattr(
        doctor, "checks", lambda: [(name, lambda name=name: findings[name]) for name in findings]
    )
    assert doctor.main([]) == 0
    findings["c"] = doctor.Finding(PROBLEM, "do this")
    assert doctor.main([]) == 1
    assert capsys.readouterr().out.endswith("\nproblem  c  do this\n")


def test_a_check_that_fails_is_a_finding():
    def fails():
        raise RuntimeError("of a kind nobody thought of")

    found = doctor.examine(fails)
    assert found == doctor.Finding(
        NOTE, "the check failed: RuntimeError: of a kind nobody thought of"
    )


@pytest.fixture()
def mxnet_works(monkeypatch):
    """Spare the process that tries it."""
    monkeypatch.setattr(doctor, "try_training", lambda: "")


@pytest.mark.usefixtures("mxnet_works")
def test_threads_are_held_against_the_cores(monkeypatch):
    monkeypatch.setattr("hardware.cores", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert doctor.check_threads().state == OK
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    found = doctor.check_threads()
    assert found.state == NOTE and "unset OMP_NUM_THREADS" in found.text
    monkeypatch.setattr("hardware.cores", lambda: 1)
    assert "and 1 core is available" in doctor.check_threads().text


def test_bfloat16(monkeypatch):
    for has, state in ((True, OK), (False, NOTE)):
        monkeypatch.setattr(hardware, "has_bfloat16", lambda has=has: has)
        assert doctor.check_bfloat16().state == state


@pytest.mark.parametrize(
    "capabilities,seen,state,said",
    [
        ([], 0, OK, "none: training runs on the CPU"),
        ([(8, 0), (7, 0)], 2, OK, "2, with code for them"),
        ([(8, 0)], 0, NOTE, "MXNet sees 0: use --engine torch, or pip uninstall mxnet, then pip"),
        ([(8, 0), (9, 0)], 2, NOTE, "GPU 1 has compute capability 9.0"),
    ],
)
@pytest.mark.usefixtures("mxnet_works")
def test_gpus(monkeypatch, capabilities, seen, state, said):
    def capability(index):
        return capabilities[index] if index < len(capabilities) else None

    monkeypatch.setattr(devices, "capability", capability)
    monkeypatch.setattr(devices, "count_gpus", lambda: seen)
    found = doctor.check_gpus()
    assert found.state == state and said in found.text


@pytest.mark.parametrize(
    "content,said",
    [
        ("raise ImportError('libGL.so.1: cannot open')", "apt-get install libgl1"),
        ("import nothing_of_that_name", "pip install"),
    ],
)
def test_opencv_that_cannot_be_imported(tmp_path, monkeypatch, content, said):
    (tmp_path / "cv2.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cv2", raising=False)
    found = doctor.check_opencv()
    assert found.state == NOTE and said in found.text


def test_what_draws(monkeypatch):
    there = {"dot": "/bin/dot"}
    monkeypatch.setattr(shutil, "which", there.get)
    assert doctor.check_graphviz() == doctor.Finding(OK, "dot, /bin/dot")
    there.clear()
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: object())
    assert doctor.check_graphviz().state == OK
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    assert "apt-get install graphviz" in doctor.check_graphviz().text


def test_packages_that_are_not_installed():
    assert doctor.check_package("numpy").state == OK
    found = doctor.check_package("nothing-of-that-name")
    assert found.state == PROBLEM and "pip install -e '.[cpu]'" in found.text
    found = doctor.check_package("nothing-of-that-name", "x.py", "pip install y", without=NOTE)
    assert found == doctor.Finding(NOTE, "not installed, x.py needs it: pip install y")


@pytest.mark.parametrize("free,state", [(10**10, OK), (10**9, NOTE), (10**7, PROBLEM)])
def test_room_on_the_disk(tmp_path, monkeypatch, free, state):
    looked_at = []
    monkeypatch.setattr(shutil, "disk_usage", lambda p: looked_at.append(p) or Usage(0, 0, free))
    assert doctor.check_disk(tmp_path / "not" / "yet").state == state
    assert looked_at == [tmp_path]


def test_a_folder_that_may_not_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    found = doctor.check_disk(tmp_path)
    assert found.state == PROBLEM and "cannot be written" in found.text


def test_data_sets_that_are_there(tmp_path):
    assert "python -m data.prepare digits" in doctor.check_data(tmp_path).text
    for name in ("svhn", "cifar10"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.rec").touch()
    assert doctor.check_data(tmp_path) == doctor.Finding(OK, "cifar10, svhn")
