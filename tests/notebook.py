"""Runs a notebook: python -m tests.notebook FILE does, and puts the outputs into the file."""

import os
import sys
from pathlib import Path
from unittest import mock

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 1800  # seconds for a cell


def execute(notebook, folder):
    """Run ``notebook`` in ``folder``, with the project's modules at hand; outputs go into it.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    client = NotebookClient(
        notebook,
        timeout=LIMIT,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    with mock.patch.dict(os.environ, PYTHONPATH=str(ROOT)):
        client.execute()
    notebook.metadata.pop("language_info", None)  # the version of this Python
    for cell in notebook.cells:
        join_streams(cell)


def join_streams(cell):
    """Make what a cell wrote to a stream in a row one output, however it arrived."""
    joined = []
    for output in cell.get("outputs", ()):
        if joined and output.output_type == "stream" and output.name == joined[-1].get("name"):
            joined[-1].text += output.text
        else:
            joined.append(output)
    if joined:
        cell.outputs = joined


if __name__ == "__main__":
    FILE = Path(sys.argv[1])
    NOTEBOOK = nbformat.read(FILE, as_version=4)
    execute(NOTEBOOK, FILE.resolve().parent)
    nbformat.write(NOTEBOOK, FILE)
