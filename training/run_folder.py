"""Write and read a run's folder and the files in it.

``<log dir>/<dataset>/<network>_d<depth>w<widen>/<name><k>/`` holds ``config.json`` (the settings),
``log.txt`` (for people), ``log.jsonl`` (one object for each epoch), ``curves.png``,
``checkpoints/`` and, on request, ``tensorboard/``.
"""

import json
import math
import os
import re
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Union

import filesystem
from command import InputError
from plotting.curves import SUBNETWORKS
from training.checkpoint import FOLDER
from training.meter import EXPLODED, NOT_FINITE
from training.run import Run, RunInfo

ENCODING = "utf-8-sig"  # of the files that are read: editors of Windows add a byte order mark
CONFIG, ROWS, TEXT, LOCK = "config.json", "log.jsonl", "log.txt", ".lock"
PICTURES = ("curves.png", *(f"{kind}s.png" for kind in SUBNETWORKS))
PUBLISHED = "published"  # exp_name of the runs that come with the project; see tools/publish.py
STOPPED_BY_LOSS = "diverged"  # the first word of such a run's problem
GUESSING = 10.0  # nats, above the loss of guessing: among 1,000 classes it is 6.9
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


def create_run_dir(parent, name):
    """Make the folder ``parent/<name><k>``, with k one above the highest existing; return it.

    Making a folder is atomic, so two processes never get the same folder.
    """
    parent = Path(parent)
    parent.mkdir(parents=True, exist_ok=True)
    while True:
        folder = parent / f"{name}{max(_numbers(parent, name), default=0) + 1}"
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            continue  # another process made it first


def parent_folder(run, config, layers):
    """Return the folder that holds every run of the same network on the same data set.

    Args:
        layers: layers on the longest path, used instead of the depth if ``run`` has none.

    Raises:
        InputError: the data set or the network has a name that would lead to another folder.
    """
    for name, value in (("dataset", run.dataset), ("network", run.network)):
        if filesystem.is_path(value):
            raise InputError(f"{name} must be a plain name, not {value!r}", argument=name)
    network = run.network.replace(":", "-")
    setting = f"{network}_d{run.depth or layers}w{run.widen_factor}"
    return Path(config.log_dir) / run.dataset / setting


def shorten_source(source):
    """Return the part of an ``init_from`` that does not depend on the machine.

    This is the path from the data set's folder on for a run or a file in it, otherwise the last
    name.
    """
    parts = Path(source).parts
    for place, part in enumerate(parts[1:], 1):
        if re.search(r"_d\d+w\d+$", part):
            return "/".join(parts[place - 1 :])
    return parts[-1]


def find_run(run, config):
    """Return the newest folder with exactly the settings of this run; None if there is none.

    Args:
        run: a Run.
        config: the RuntimeConfig that gives the folder's ``log_dir`` and ``exp_name``.
    """
    top = Path(config.log_dir) / run.dataset
    if not top.is_dir():
        return None
    for folder in reversed(find_runs(top)):
        if re.fullmatch(re.escape(config.exp_name) + r"\d+", folder.name):
            try:
                if parse_config(folder, Run) == [run]:
                    return folder
            except InputError:
                continue  # a damaged or foreign config is no match
    return None


def _numbers(parent, name):
    matches = (re.fullmatch(re.escape(name) + r"(\d+)", path.name) for path in parent.iterdir())
    return [int(match.group(1)) for match in matches if match]


def locked(folder):
    """Lock ``folder``; the system unlocks it when the process ends.

    Raises:
        filesystem.InUse: another process has locked it.
    """
    return filesystem.locked(Path(folder) / LOCK, folder)


def is_locked(folder):
    """Return whether a process has locked ``folder``, that is, is training its run."""
    return filesystem.is_locked(Path(folder) / LOCK)


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


def write_config(folder, config):
    """Write ``config.json``, completely or not at all."""
    filesystem.write_text(Path(folder) / CONFIG, json.dumps(config, indent=1) + "\n")


def read_config(folder: Union[str, Path]) -> Dict[str, Any]:
    """Return the settings that ``write_config`` wrote, as a dict.

    Raises:
        InputError: there is no run in ``folder``, or its config is damaged.
    """
    path = Path(folder) / CONFIG
    try:
        return _parse_object(path.read_text(encoding=ENCODING))
    except FileNotFoundError:
        raise InputError(f"{folder} is not a run's folder: there is no {CONFIG} in it") from None
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {error}") from None


def parse_config(folder: Union[str, Path], *kinds: Any) -> List[Any]:
    """Return the settings in a run's ``config.json`` as an object of each of ``kinds``.

    Args:
        kinds: of Run, RunInfo and RuntimeConfig.

    Raises:
        InputError: there is no run in ``folder``, or its config is damaged.
    """
    config = read_config(folder)
    try:
        return [kind.from_json(config) for kind in kinds]
    except InputError as error:
        raise InputError(f"{Path(folder) / CONFIG}: {error}") from None


def _parse_object(text):
    """Return the JSON object in ``text``.

    Raises:
        ValueError: there is no object, or it has text that cannot be written to a file.
    """
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError("it holds no object")
    # A lone surrogate is an error, unless it stands for a byte of a path that is not UTF-8.
    json.dumps(values, ensure_ascii=False).encode(errors="surrogateescape")
    return values


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
        row = _parse_object(line)
        lists = [row[name] for name in row if name.endswith(("_errors", "_losses"))]
        usable = all(map(math.isfinite, (*(row[key] for key in ROW_KEYS), *chain(*lists))))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        usable = False
    if not usable:
        raise InputError(f"{path}: line {number} is damaged")
    return row


@dataclass(frozen=True)
class RunRecord:
    """A run read from its folder."""

    folder: Path
    run: Optional[Run] = None
    info: Optional[RunInfo] = None
    rows: tuple = ()
    problem: str = ""  # why it cannot be used; empty for a finished run
    written: int = 0  # when the log was last written, in nanoseconds

    @property
    def diverged(self) -> bool:
        """Return whether the loss exploded, stopped being finite, or ended worse than guessing.

        The run was stopped, or it finished with ``--on-divergence continue``.
        """
        if self.problem or not self.rows:
            return self.problem.startswith(STOPPED_BY_LOSS)
        worst = max(self.rows[-1].get(loss, 0) for loss in ("train_loss", "test_loss"))
        return worst > GUESSING or any(row.get("diverged") for row in self.rows)


def read_run(folder: Union[str, Path]) -> RunRecord:
    """Return the RunRecord of ``folder``; unless the run has finished, ``problem`` says why."""
    folder = Path(folder)
    try:
        config, rows = read_config(folder), tuple(read_log(folder))
        run, info = parse_config(folder, Run, RunInfo)
    except InputError as error:
        return RunRecord(folder, problem=f"damaged: {error}")
    problem = ""
    if len(rows) != run.recipe.epochs and not (rows and rows[-1].get("stopped_early")):
        state = "running" if is_locked(folder) else "stopped"
        problem = f"unfinished: {state} after epoch {len(rows)} of {run.recipe.epochs}"
        last = str(config.get("diverged") or _last_line(folder / TEXT))  # published: without text
        if state == "stopped" and (NOT_FINITE in last or EXPLODED in last):
            problem = f"{STOPPED_BY_LOSS}: {last}"
    written = (folder / ROWS).stat().st_mtime_ns if rows else 0
    return RunRecord(folder, run, info, rows, problem, written)


def is_published(folder):
    """Return whether the run in ``folder`` is a published one, which has no checkpoints."""
    return re.fullmatch(PUBLISHED + r"\d+", Path(folder).resolve().name) is not None


def require_checkpoints(folder):
    """Check that ``folder`` is not a published run, which has no checkpoints.

    Raises:
        InputError: it is a published run.
    """
    if is_published(folder):
        raise InputError(
            f"{folder} is a published run without checkpoints: train it again with the settings in "
            f"its {CONFIG}"
        )


def keep_newest(records: Iterable[RunRecord]) -> Dict[int, RunRecord]:
    """Return, for each seed, the record that counts among the records of one setting.

    This is the newest record, whose log was written last. A published run counts only if no other
    run has its seed, because it may be a copy of that run, and a checkout changes the times of its
    files. Of equally new records, the last in ``records`` counts.
    """
    ordered = sorted(records, key=lambda each: (not is_published(each.folder), each.written))
    return {record.run.seed: record for record in ordered if record.run}


def _last_line(path):
    """Return the last line of a text file, or "" if there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
    except OSError:
        return ""


def find_runs(path: Union[str, Path]) -> List[Path]:
    """Return the folders of all runs at or below ``path``, sorted by name, run10 after run9.

    Links to folders are followed; a folder that can be reached in several ways is listed once.

    Raises:
        InputError: ``path`` does not exist.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"there is no folder {path}")
    marks = {CONFIG, ROWS, LOCK, FOLDER}  # any of them, so that damaged runs are found, too
    folders, seen, waiting = [], set(), [path]
    while waiting:  # links come last, so that a folder is found by its own name
        for place, inside, files in os.walk(waiting.pop(0)):  # skips folders that disappear
            real = os.path.realpath(place)
            if real in seen:
                inside.clear()
                continue
            seen.add(real)
            if marks & {*inside, *files}:
                folders.append(Path(place))
            inside[:] = [name for name in inside if name != FOLDER and not name.startswith(".")]
            paths = [Path(place, name) for name in inside]
            waiting += [path for path in paths if path.is_symlink()]  # os.walk follows none
    return sorted(folders, key=lambda p: [_natural(part) for part in p.parts])


def _natural(name):
    """Return a sort key that puts run10 after run9."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
