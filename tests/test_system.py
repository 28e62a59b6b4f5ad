"""tools/system.sh installs what is missing where it may, and else prints the one line that does."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "tools" / "system.sh"
PYTHON = """#!/bin/sh
case "$2" in
*sys.exit*) exit {wrong} ;;
*print*) echo {version} ;;
*) for each in {lacks}; do case "$2" in *$each*) exit 1 ;; esac; done ;;
esac
"""


@pytest.fixture()
def machine(tmp_path):
    """A function that runs the script where python, id, sudo, apt-get and dot are as said."""

    def program(name, text):
        path = tmp_path / name
        path.write_text(text)
        path.chmod(0o755)

    def run(*extras, lacks="nothing", version="3.11", wrong=0, user=0, sudo=None, dot=True):
        program("python", PYTHON.format(lacks=lacks, version=version, wrong=wrong))
        program("id", f"#!/bin/sh\necho {user}\n")
        program("apt-get", f'#!/bin/sh\necho "$@" >> {tmp_path}/installed\n')
        if sudo is not None:
            program("sudo", f'#!/bin/sh\n[ {sudo} = 1 ] || exit 1\nshift\nexec "$@"\n')
        if dot:
            program("dot", "#!/bin/sh\n")
        for name in ("sh", "env", "true"):
            if not (tmp_path / name).exists():
                (tmp_path / name).symlink_to(f"/bin/{name}")
        words = ["/bin/sh", str(SCRIPT), "python", *extras]
        environment = {**os.environ, "PATH": str(tmp_path)}
        done = subprocess.run(words, env=environment, capture_output=True, text=True)
        file = tmp_path / "installed"
        return done, file.read_text().splitlines() if file.exists() else []

    return run


def test_where_nothing_is_missing_nothing_is_done(machine):
    done, installed = machine("gluoncv")
    assert (done.returncode, done.stdout, done.stderr, installed) == (0, "", "", [])


@pytest.mark.parametrize("user,sudo", [(0, None), (1000, 1)])
def test_root_and_sudo_without_a_password_install(machine, user, sudo):
    done, (update, install) = machine(lacks="ensurepip libgomp", user=user, sudo=sudo)
    assert done.returncode == 0
    assert update.startswith("update")
    assert "install -y --no-install-recommends python3.11-venv libgomp1 " in install


@pytest.mark.parametrize("sudo", [None, 0])
def test_others_get_the_one_line_to_run(machine, sudo):
    done, installed = machine(lacks="libgomp libquadmath", user=1000, sudo=sudo)
    assert (done.returncode, done.stdout, installed) == (2, "", [])
    assert done.stderr == (
        "system packages are missing; run: sudo apt-get install -y --no-install-recommends "
        "libgomp1 libquadmath0\n"
    )


def test_opencvs_libraries_are_for_gluoncv_alone(machine):
    assert machine("dev", lacks="libGL libgthread", user=1000)[0].returncode == 0
    done, _ = machine("dev", "gluoncv", lacks="libGL libgthread", user=1000)
    assert done.stderr.endswith(" libgl1 libglib2.0-0\n")


def test_graphviz_is_for_pythons_without_the_other_way(machine):
    assert machine(version="3.11", dot=False, user=1000)[0].returncode == 0
    done, _ = machine(version="3.8", dot=False, user=1000)
    assert done.stderr.endswith(" graphviz\n")


def test_other_pythons_are_refused_before_anything_else(machine):
    done, installed = machine(lacks="libgomp", wrong=1)
    assert done.returncode == 2 and installed == []
    assert done.stderr == "python is not a Python 3.8 to 3.12: name one with make PYTHON=...\n"
