"""Make, find and describe the folders of runs, and write and read their settings.

``<log dir>/<dataset>/<network>_d<depth>w<widen>/<name><k>/`` holds ``config.json`` (the settings),
``log.txt`` (for people), ``log.jsonl`` (one object for each epoch), ``curves.png``,
``checkpoints/`` and, on request, ``tensorboard/``.
"""

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Union

import filesystem
from command import InputError
from plotting.curves import SUBNETWORKS
from training.checkpoint import FOLDER
from training.run import Run, RunInfo
from training.serialization import ENCODING, parse_object

CONFIG, ROWS, TEXT, LOCK = "config.json", "log.jsonl", "log.txt", ".lock"
PICTURES = ("curves.png", *(f"{kind}s.png" for kind in SUBNETWORKS))
PUBLISHED = "published"  # exp_name of the runs that come with the project; see tools/publish.py


def create_run_dir(parent, name):
    """Make the folder ``parent/<name><k>``, with k one above the highest existing; return it.

    Making a folder is atomic, so two processes never get the same folder.
    """
    parent = Path(parent)
    parent.mkdir(parents=True, exist_ok=True)
    number = max(_numbers(parent, name), default=0) + 1
    while True:
        folder = parent / f"{name}{number}"
        try:
            folder.mkdir()
            return folder
        except FileExistsError:  # another process made it first, or the disk ignores case
            number += 1


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


def find_run(run, config, images=None):
    """Return the newest folder with exactly the settings of this run; None if there is none.

    Args:
        run: a Run.
        config: the RuntimeConfig that gives the folder's ``log_dir`` and ``exp_name``.
        images: numbers and checksums of the images, which then identify them; None means that their
            folder does.
    """
    top = Path(config.log_dir) / run.dataset
    if not top.is_dir():
        return None
    for folder in reversed(find_runs(top)):
        if re.fullmatch(re.escape(config.exp_name) + r"\d+", folder.name):
            try:
                found, info = parse_config(read_config(folder), folder, Run, RunInfo)
                if images is not None and info.data == images:
                    found = replace(found, data_dir=run.data_dir)
                if found == run and images in (None, info.data):
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
        return parse_object(path.read_text(encoding=ENCODING))
    except FileNotFoundError:
        raise InputError(f"{folder} is not a run's folder: there is no {CONFIG} in it") from None
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {error}") from None


def parse_config(config: Dict[str, Any], folder: Union[str, Path], *kinds: Any) -> List[Any]:
    """Return the settings that ``read_config`` read as an object of each of ``kinds``.

    Args:
        folder: of the run, for messages.
        kinds: of Run, RunInfo and RuntimeConfig.

    Raises:
        InputError: a setting is missing or not allowed.
    """
    try:
        return [kind.from_json(config) for kind in kinds]
    except InputError as error:
        raise InputError(f"{Path(folder) / CONFIG}: {error}") from None


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
