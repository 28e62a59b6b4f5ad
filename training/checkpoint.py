"""Write and read checkpoints of a run, which are complete or absent.

A checkpoint is a folder ``checkpoints/epoch0200`` with ``net.params`` and ``optimizer.params``
(MXNet's format, {name: array}) and ``state.json`` (the epoch, the log's rows up to it, and a
SHA-256 of each). It is written under a name that starts with a dot and then renamed, so a folder
with the final name is complete.
"""

import hashlib
import json
import os
import re
import shutil
import sys
from pathlib import Path

import mxnet as mx

from command import InputError, StorageError, last_line
from filesystem import hash_file, plain_path, rename_folder, sync, write_text

FOLDER = "checkpoints"  # in a run's folder
FILES = ("net.params", "optimizer.params")


def save(folder, epoch, values, momenta, rows):
    """Write the checkpoint of ``epoch`` into ``folder``; return its path.

    Args:
        values: parameters and moving averages, {name: array}.
        momenta: momenta of the optimizer, {name: array}.
        rows: rows of the log, one dict for each epoch.

    Raises:
        OSError: the checkpoint could not be written; existing checkpoints are unchanged.
    """
    final = checkpoint_path(folder, epoch)
    aside = final.with_name(f".{final.name}-{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    final.parent.mkdir(exist_ok=True)  # the run's folder is not made: its absence is an error
    aside.mkdir()
    try:
        for name, arrays in zip(FILES, (values, momenta)):
            _write_arrays(aside / name, arrays)
        digests = {name: hash_file(aside / name) for name in FILES}
        digests["rows"] = _digest_rows(rows)
        state = {"epoch": epoch, "sha256": digests, "rows": rows}
        write_text(aside / "state.json", json.dumps(state, indent=1))
        shutil.rmtree(final, ignore_errors=True)  # a damaged one of the same epoch
        rename_folder(aside, final)
        sync(final.parent)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return final


def latest(folder):
    """Return the newest complete checkpoint in ``folder``; None if there is no checkpoint.

    A note on stderr names newer checkpoints that are damaged.

    Raises:
        InputError: there are checkpoints, and every one of them is damaged.
    """
    problems = []
    for path in reversed(list_checkpoints(folder)):
        try:
            check(path)
        except InputError as error:
            problems.append(str(error))
            continue
        if problems:
            sys.stderr.write(f"note: {'; '.join(problems)}: {path.name} is used instead\n")
        return path
    if problems:
        raise InputError(f"no checkpoint can be used ({'; '.join(problems)}): start a new run")
    return None


def list_checkpoints(folder):
    """Return the paths of the checkpoints in ``folder``, also of damaged ones, oldest first."""
    return sorted(filter(parse_epoch, Path(folder).glob("epoch*")), key=parse_epoch)


def check(path):
    """Check the checksums of the checkpoint at ``path``; return the log's rows in it.

    Raises:
        InputError: a file is missing or damaged.
    """
    path = Path(path)
    try:
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        epoch, rows, digests = state["epoch"], state["rows"], state["sha256"]
        whole = set(digests) == {*FILES, "rows"} and digests["rows"] == _digest_rows(rows)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        whole = False
    if not whole:
        raise InputError(f"{path / 'state.json'} is missing or damaged")
    if epoch != parse_epoch(path):
        raise InputError(f"{path / 'state.json'} is of epoch {epoch}")
    for name in FILES:
        try:
            whole = hash_file(path / name) == digests[name]
        except OSError:
            whole = False
        if not whole:
            raise InputError(f"{path / name} is missing or damaged")
    return rows


def load(path):
    """Return (values, momenta, rows) that were given to ``save``.

    Raises:
        InputError: the checkpoint is damaged. MXNet, which would abort, does not read it.
    """
    rows = check(path)
    return (*(_read_arrays(Path(path) / name) for name in FILES), rows)


def remove(folder, epoch):
    """Remove the checkpoint of ``epoch``, if there is one."""
    shutil.rmtree(checkpoint_path(folder, epoch), ignore_errors=True)


def sweep(folder):
    """Remove unfinished checkpoints that killed processes left in ``folder``."""
    for path in Path(folder).glob(".epoch*"):
        shutil.rmtree(path, ignore_errors=True)


def checkpoint_path(folder, epoch):
    """Return the path of the checkpoint of ``epoch``."""
    return Path(folder) / f"epoch{epoch:04d}"


def parse_epoch(path):
    """Return the epoch in the name of a checkpoint's folder; 0 if there is none."""
    match = re.fullmatch(r"epoch(\d+)", Path(path).name)
    return int(match.group(1)) if match else 0


def _write_arrays(path, arrays):
    arrays = {name: mx.nd.array(array, dtype=array.dtype) for name, array in arrays.items()}
    try:
        with plain_path(path) as plain:
            mx.nd.save(plain, arrays)
    except mx.MXNetError as error:
        reason = last_line(error)
        raise StorageError(f"{path} could not be written (is the disk full?): {reason}") from None
    sync(path)


def _read_arrays(path):
    with plain_path(path) as plain:
        arrays = mx.nd.load(plain)  # an empty list if nothing was saved
    return {name: array.asnumpy() for name, array in dict(arrays).items()}


def _digest_rows(rows):
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
