"""Write and read the logs of a run: ``log.txt`` for people, ``log.jsonl`` for programs.

``log.jsonl`` has one object for each epoch.
"""

import json
import math
from itertools import chain
from pathlib import Path
from typing import Any, Dict, List, Union

import filesystem
from command import InputError
from training.run_folder import ROWS, TEXT
from training.serialization import ENCODING, parse_object

ROW_KEYS = (
    "epoch",
    "lr",
    "train_loss",
    "train_error",
    "test_loss",
    "test_error",
    "seconds",
    "images_per_second",
)


class RunLog:
    """Writes ``log.jsonl`` and ``log.txt`` of the run in ``folder``.

    Args:
        folder: the run's folder.
        echo: called with each line of ``log.txt`` to show it.
    """

    def __init__(self, folder, echo):
        self.folder = Path(folder)
        self._echo = echo

    def rewrite(self, rows):
        """Rewrite ``log.jsonl`` so that it contains only ``rows``."""
        filesystem.write_text(self.folder / ROWS, "".join(map(_line, rows)))

    def write(self, **row):
        """Append a row to ``log.jsonl`` and flush it to the disk."""
        _append(self.folder / ROWS, _line(row), durable=True)

    def info(self, text):
        """Append a line to ``log.txt`` and show it."""
        self.debug(text)
        self._echo(text)

    def debug(self, text):
        """Append a line to ``log.txt`` without showing it."""
        _append(self.folder / TEXT, text + "\n")


class NoLog:
    """The RunLog of workers whose rank is not 0: it writes nothing."""

    def rewrite(self, rows):
        """Do nothing."""

    def info(self, text):
        """Do nothing."""

    debug = info


def _line(row):
    return json.dumps(row) + "\n"


def _append(path, text, durable=False):
    with open(path, "a", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
        file.flush()
        if durable:
            filesystem.sync(file)


def read_log(folder: Union[str, Path]) -> List[Dict[str, Any]]:
    """Return the rows of ``log.jsonl``: one dict for each of the epochs 1, 2, 3, ...

    An incomplete last line, which a killed process leaves, is ignored.

    Raises:
        InputError: a line is damaged, or an epoch is missing or occurs twice.
    """
    path = Path(folder) / ROWS
    rows = _read_rows(path)
    for number, row in enumerate(rows, 1):
        if row["epoch"] != number:
            raise InputError(f"{path}: line {number} is of epoch {row['epoch']}")
    return rows


def _read_rows(path):
    try:
        text = path.read_text(encoding=ENCODING)
    except FileNotFoundError:
        return []
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path} is damaged: {error}") from None
    rows, lines = [], text.rstrip("\n").split("\n")
    for number, line in enumerate(lines, 1):
        try:
            rows += [_parse_row(path, number, line)] if line.strip() else []
        except InputError:
            if number < len(lines) or text.endswith("\n"):
                raise
    return rows


def _parse_row(path, number, line):
    try:
        row = parse_object(line)
        lists = [row[name] for name in row if name.endswith(("_errors", "_losses"))]
        usable = all(map(math.isfinite, (*(row[key] for key in ROW_KEYS), *chain(*lists))))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        usable = False
    if not usable:
        raise InputError(f"{path}: line {number} is damaged")
    return row
