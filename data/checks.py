"""Check a .rec file before MXNet reads it, because MXNet ends the process on a damaged one."""

import contextlib
import math
import re
import shlex
from itertools import islice
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
from tqdm import tqdm

from command import InputError
from data.images import open_image
from data.recordio import read_records
from hardware import cores

LABELS = 1 << 24  # a record keeps its label as a float32, which is exact up to here
AT_ONCE = 256  # images that threads decode in one batch


def check(path, classes=None):
    """Check the .rec file ``path`` and return its labels, int64 (records,).

    Framing, headers, labels (0 to ``classes - 1``, if given) and the .idx beside it are checked;
    images are not. 50,000 records take 0.2 s.

    Raises:
        InputError: the file has a fault; the message describes the first one.
    """
    labels, offsets = [], set()
    for record in read_records(path, images=False):
        problem = record.problem or label_problem(record.labels, classes)
        if problem:
            raise bad_record(path, record.index, problem)
        labels.append(int(record.labels[0]))
        offsets.add(record.offset)
    for problem in index_problems(path, offsets):
        raise InputError(
            f"{index_path(path)}: {problem}; `{verify_command(path)}` lists all faults"
        )
    return np.array(labels, np.int64)


def check_images(path):
    """Raise an InputError if an image of the .rec file ``path`` cannot be decoded.

    MXNet's iterator divides by the height of such an image, 0, which ends the process. A photograph
    of 640x480 pixels takes 4 ms of a core, so a file without faults is not checked again until it
    changes; see ``note_images``.
    """
    with contextlib.suppress(OSError, ValueError):
        if _note_path(path).read_text() == describe_state(path):
            return
    records = read_records(path)
    with ThreadPool(cores()) as pool, tqdm(
        desc=f"checking {Path(path).name}", unit="image", leave=False, disable=None
    ) as bar:
        for some in iter(lambda: list(islice(records, AT_ONCE)), []):
            for record, problem in zip(some, pool.map(_image_problem, some)):
                if problem:
                    raise bad_record(path, record.index, problem)
            bar.update(len(some))
    note_images(path)


def note_images(path):
    """Remember that every image of ``path`` can be decoded, until the file changes."""
    with contextlib.suppress(OSError):  # images in a read-only folder are checked each time
        _note_path(path).write_text(describe_state(path))


def _note_path(path):
    return Path(path).with_name(f".{Path(path).name}.decoded")


def describe_state(path):
    """Return the size of the file ``path`` and when it was changed, as one line."""
    status = Path(path).stat()
    return f"{status.st_size} bytes, changed at {status.st_mtime_ns} ns\n"


def _image_problem(record):
    if record.problem:
        return record.problem
    try:
        open_image(record.image, reduced=True)
    except ValueError as error:
        return str(error)


def bad_record(path, index, problem):
    """Return the InputError for record ``index`` of the file ``path``."""
    return InputError(
        f"{path}: record {index}: {problem}; `{verify_command(path)}` lists all bad records"
    )


def verify_command(path):
    """Return the command that lists all faults of the file ``path``."""
    return f"python -m data.verify {shlex.quote(str(path))}"


def label_problem(labels, classes=None):
    """Return the fault of a record's ``labels``, or None.

    A record must have one label, an integer from 0 to ``classes - 1``.
    """
    if len(labels) != 1:
        return f"it has {len(labels)} labels, but must have one"
    (label,) = labels
    if not math.isfinite(label) or label != int(label):
        return f"its label {label:g} is not a whole number"
    if not 0 <= label < (classes or LABELS):
        return f"its label {label:g} is outside 0 to {(classes or LABELS) - 1}"
    return None


def index_path(path):
    """Return the path of the .idx file of the .rec file ``path``."""
    return Path(path).with_suffix(".idx")


def index_problems(path, offsets):
    """Yield the faults of the .idx beside ``path``, if there is one; records are at ``offsets``."""
    index = index_path(path)
    if not index.exists():
        return
    seen = set()
    for number, line in enumerate(index.read_bytes().splitlines(), 1):
        if not re.fullmatch(rb"\d{1,18}\t\d{1,18}", line):  # MXNet would stop reading here
            yield f"line {number} is not a number, a tab and a number"
            continue
        key, offset = map(int, line.split())
        if offset not in offsets:
            yield f"line {number} (record {key}) points at byte {offset}, where no record begins"
        elif offset in seen:
            yield f"line {number} (record {key}) points at byte {offset}, like an earlier line"
        seen.add(offset)
    missing = len(offsets - seen)
    if missing:
        yield f"{missing} of {len(offsets)} records are not in it"
