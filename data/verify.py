"""python -m data.verify FILE.rec: every record of a file, with the index of the bad ones.

``check`` is the fast part, without decoding images, for programs to run before MXNet sees a file.
"""

import contextlib
import math
import re
import sys
from collections import Counter
from itertools import islice
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
from tqdm import tqdm

from command import InputError, Parser, command
from data.images import open_image
from data.recordio import read_records
from hardware import cores

DESCRIPTION = """\
Check a .rec file: the framing, header, label and image of every record, and the .idx file
beside it, if there is one. MXNet ends the whole process on a damaged file; this names the records.

The exit status is 0 for a sound file, 1 if something is wrong with it (each bad record is
listed with its index and the reason), 2 if there is no such file.
"""

EXAMPLE = """\
example:
  python -m data.verify data/cifar10/train.rec --classes 10
"""

LABELS = 1 << 24  # a record keeps its label as a float32, which is exact up to here
AT_ONCE = 256  # images that are decoded by threads together
MANY_CLASSES = 20  # from here on the summary gives the range of the counts instead of each


def check(path, classes=None):
    """Return the labels, int64 (records,), of the sound .rec file ``path``.

    Framing, headers, labels (0 to ``classes - 1``, where given) and the .idx beside it are checked,
    the images are not: 50,000 records take 0.2 s.

    Raises:
        InputError: the first flaw.
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
            f"{index_path(path)}: {problem}; `python -m data.verify {path}` lists all that is wrong"
        )
    return np.array(labels, np.int64)


def check_images(path):
    """Refuse the .rec file ``path`` if one of its images cannot be decoded.

    MXNet's iterator divides by the height of such an image, 0, which ends the process. A photograph
    of 640x480 pixels takes 4 ms of a core, so what was found sound is not decoded again until it
    changes; see ``note_images``.
    """
    with contextlib.suppress(OSError, ValueError):
        if _note_path(path).read_text() == _state(path):
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
        _note_path(path).write_text(_state(path))


def _note_path(path):
    return Path(path).with_name(f".{Path(path).name}.decoded")


def _state(path):
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
        f"{path}: record {index}: {problem}; `python -m data.verify {path}` lists all bad records"
    )


def label_problem(labels, classes=None):
    """Return what is wrong with a record's ``labels``, or None.

    A record has one whole number, 0 to ``classes - 1``.
    """
    if len(labels) != 1:
        return f"it has {len(labels)} labels where one is needed"
    (label,) = labels
    if not math.isfinite(label) or label != int(label):
        return f"its label {label:g} is no whole number"
    if not 0 <= label < (classes or LABELS):
        return f"its label {label:g} is outside 0 to {(classes or LABELS) - 1}"
    return None


def index_path(path):
    """Return the path of the .idx file of the .rec file ``path``."""
    return Path(path).with_suffix(".idx")


def index_problems(path, offsets):
    """Yield what is wrong with the .idx beside ``path`` (records begin at ``offsets``), if any."""
    index = index_path(path)
    if not index.exists():
        return
    seen = set()
    for number, line in enumerate(index.read_bytes().splitlines(), 1):
        if not re.fullmatch(rb"\d{1,18}\t\d{1,18}", line):  # MXNet would read no further
            yield f"line {number} is not a number, a tab and a number"
            continue
        key, offset = map(int, line.split())
        if offset not in offsets:
            yield f"line {number} (record {key}) points at byte {offset}, where no record begins"
        elif offset in seen:
            yield f"line {number} (record {key}) points at byte {offset}, as a line before it does"
        seen.add(offset)
    missing = len(offsets - seen)
    if missing:
        yield f"{missing} of {len(offsets)} records are not in it"


class Findings:
    """What ``inspect`` found in a file."""

    def __init__(self):
        self.bad = []  # (index, offset, problem)
        self.index_problems = []
        self.labels = Counter()
        self.sizes = Counter()  # (width, height, mode)
        self.count = 0


def inspect(path, classes=None):
    """Look at everything in the .rec file ``path``, the images too; returns Findings."""
    findings = Findings()
    offsets = set()
    size = Path(path).stat().st_size if Path(path).is_file() else 0
    with tqdm(total=size, unit="B", unit_scale=True, disable=None, leave=False) as bar:
        for record in read_records(path):
            bar.update(record.offset - bar.n)
            findings.count += 1
            problem = record.problem or label_problem(record.labels, classes)
            if record.problem is None:
                offsets.add(record.offset)
            try:
                image = None if problem else open_image(record.image)
            except ValueError as error:
                problem = str(error)
            if problem:
                findings.bad.append((record.index, record.offset, problem))
            else:
                findings.labels[int(record.labels[0])] += 1
                findings.sizes[image.size + (image.mode,)] += 1
    findings.index_problems = list(index_problems(path, offsets))
    return findings


def summary(findings):
    """Return the lines that describe the good records of ``findings``."""
    counts = findings.labels
    if len(counts) < MANY_CLASSES:
        each = ", ".join(f"{label}: {counts[label]}" for label in sorted(counts))
    else:
        each = f"{min(counts)} to {max(counts)}, {min(counts.values())} to "
        each += f"{max(counts.values())} images each"
    sizes = findings.sizes.most_common()
    shown = ", ".join(f"{w}x{h} {mode}: {count}" for (w, h, mode), count in sizes[:5])
    if len(sizes) > 5:
        widths, heights, _ = zip(*findings.sizes)
        shown += f" and {len(sizes) - 5} more, {min(widths)}x{min(heights)} to "
        shown += f"{max(widths)}x{max(heights)}"
    return [
        f"records: {findings.count}",
        f"classes: {len(counts)} ({each})",
        f"sizes:   {shown}",
    ]


def report(path, findings):
    """Yield the lines that describe all of ``findings``."""
    for index, offset, problem in findings.bad:
        yield f"record {index} (byte {offset}): {problem}"
    for problem in findings.index_problems:
        yield f"{index_path(path).name}: {problem}"
    if len(findings.bad) < findings.count:
        yield from summary(findings)
    if findings.bad or findings.index_problems:
        flaws = f"{path}: {len(findings.bad)} of {findings.count} records are bad"
        if findings.index_problems:
            flaws += f"; {index_path(path).name} does not fit: delete it, or make both files again"
        yield flaws
    else:
        beside = " and its .idx" if index_path(path).exists() else " (no .idx beside it)"
        yield f"{path}: all records are sound{beside}"


@command
def main(argv=None):
    """Check one file; the exit status."""
    parser = Parser(prog="python -m data.verify", description=DESCRIPTION, epilog=EXAMPLE)
    parser.add_argument("file", metavar="FILE.rec", help="the file to check")
    parser.add_argument(
        "--classes", type=int, metavar="N", help="labels must be 0 to N-1 (default: any)"
    )
    arguments = parser.parse_args(argv)
    if arguments.classes is not None and arguments.classes < 1:
        parser.error(f"argument --classes: {arguments.classes} is not a number of classes")
    findings = inspect(arguments.file, arguments.classes)
    for line in report(arguments.file, findings):
        print(line)
    return 1 if findings.bad or findings.index_problems else 0


if __name__ == "__main__":
    sys.exit(main())
