"""The tutorial runs from top to bottom, and what is kept in its file is what it shows."""

import ast
import base64
import importlib
import io
import re
from copy import deepcopy

import nbformat
import numpy as np
import pytest
from PIL import Image

from tests.notebook import ROOT, execute

FILE = ROOT / "tutorial.ipynb"
LARGEST = 1_000_000  # bytes
PACKAGES = {"network", "data", "training", "results", "analysis", "plotting"}


@pytest.fixture(scope="module")
def kept():
    return nbformat.read(FILE, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cell):
    """Kinds of what a cell shows, in order."""
    return [output.get("name") or sorted(output.data) for output in cell.outputs]


def texts(notebook):
    """All that can be read in the notebook."""
    for cell in notebook.cells:
        yield cell.source
        for output in cell.get("outputs", ()):
            yield output.get("text", "")
            yield from (str(d) for kind, d in output.get("data", {}).items() if "text" in kind)


def picture_outputs(notebook):
    """Every output that is a picture."""
    for cell in code_cells(notebook):
        yield from (each for each in cell.outputs if "image/png" in each.get("data", {}))


def pictures(notebook):
    """Every picture among the outputs, as an array (height, width, 3)."""
    for output in picture_outputs(notebook):
        content = base64.b64decode(output.data["image/png"])
        yield np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def project_imports(notebook):
    """Every (module, names) that the cells import from the project."""
    own = {path.stem for path in ROOT.iterdir()}
    for cell in code_cells(notebook):
        for node in ast.walk(ast.parse(cell.source)):
            names = [alias.name for alias in getattr(node, "names", ())]
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in own:
                yield node.module, names
            elif isinstance(node, ast.Import):
                yield from ((name, []) for name in names if name.split(".")[0] in own)


@pytest.mark.slow
def test_it_runs_and_shows_what_is_kept(kept, tmp_path):
    fresh = deepcopy(kept)
    execute(fresh, tmp_path)
    names = [shown(cell) for cell in code_cells(fresh)]
    assert names == [shown(cell) for cell in code_cells(kept)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "snapshot"]


def test_outputs_are_those_of_one_run(kept):
    cells = code_cells(kept)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert all(cell.metadata == {} for cell in kept.cells)
    kinds = [kind for cell in cells for kind in shown(cell)]
    assert kinds.count("stdout") > 3
    assert "stderr" not in kinds


def test_pictures_are_no_blank_sheets(kept):
    found = list(pictures(kept))
    assert len(found) > 10
    assert all(min(picture.shape[:2]) > 50 and picture.std() > 5 for picture in found)


def test_pictures_have_alternative_texts(kept):
    texts = [
        output.metadata.get("image/png", {}).get("alt", "") for output in picture_outputs(kept)
    ]
    assert all(len(text) > 20 for text in texts), texts
    assert len(set(texts)) == len(texts)


def test_imports_are_from_the_public_surface(kept):
    found = list(project_imports(kept))
    assert {module for module, _ in found} <= PACKAGES
    for module, names in found:
        assert names and set(names) <= set(importlib.import_module(module).__all__)


def test_the_file_is_small_and_tells_nothing_of_a_machine(kept):
    assert FILE.stat().st_size < LARGEST
    for text in texts(kept):
        assert not re.search(r"(^|[\s'\"(=])(/|~/|[A-Z]:\\)\w", text), text
        assert "Warning" not in text
