"""The Dockerfiles install what make installs: system packages by its script, extras of setup.py."""

import re
import subprocess

import pytest

from tests.notebook import ROOT

FILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
SCRIPT = "tools/system.sh"


def read_steps(path):
    """Return [(instruction, rest)] of a Dockerfile without its comments."""
    lines = path.read_text("utf-8").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line and line[0] != "#"]


def expand(text, steps):
    """Replace the build arguments in ``text`` by their default values."""
    defaults = dict(rest.split("=", 1) for name, rest in steps if name == "ARG")
    return re.sub(r"\$(\w+)", lambda match: defaults[match[1]], text)


def read_extras():
    """Return the names of the extras of setup.py."""
    source = (ROOT / "setup.py").read_text("utf-8")
    block = source[source.index("extras_require={") :]
    return set(re.findall(r'^        "(\w+)": ', block, re.MULTILINE))


def test_there_is_one_for_cpu_and_one_for_cuda():
    assert [path.name for path in FILES] == ["cpu.Dockerfile", "cuda.Dockerfile"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_extras_are_those_of_setup(path):
    steps = read_steps(path)
    (install,) = [rest for name, rest in steps if name == "RUN" and "pip install" in rest]
    asked = re.search(r'"\.\[(.+)\]"', expand(install, steps))[1].split(",")
    assert {"cpu", "report", "tensorboard"} <= set(asked) <= read_extras()
    assert ("torch" in asked) == (path.name == "cuda.Dockerfile")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_system_packages_are_those_of_make(path):
    assert f"sh {SCRIPT} $(PYTHON) $(EXTRAS)" in (ROOT / "Makefile").read_text("utf-8")
    steps = read_steps(path)
    runs = [rest for name, rest in steps if name == "RUN"]
    assert runs[0].startswith(f"sh {SCRIPT} python3 ")
    assert not any("apt-get" in rest for rest in runs)  # no second list of packages
    words = re.search(r"\$\(.+?\)", runs[0])[0]
    command = ["sh", "-c", f'EXTRAS="$1"; echo {words}', "sh", expand("$EXTRAS", steps)]
    given = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert set(given) <= read_extras() and "report" in given


def test_what_is_made_stays_out_of_the_image():
    ignored = set((ROOT / ".dockerignore").read_text("utf-8").splitlines())
    assert {"data/*/", "snapshot", ".venv*", ".git"} <= ignored
