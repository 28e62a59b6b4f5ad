"""Write record files so that an interrupted run can be resumed.

A file has the name .NAME.part until it is complete. The journal beside it, .NAME.journal, has a
line for the plan, then one for every AT_ONCE examples. When the work is resumed, bytes of the file
after the last entry are cut off.
"""

import contextlib
import hashlib
import json
import os
import re
from collections import Counter
from dataclasses import dataclass, field

from tqdm import tqdm

from command import InputError
from data.lists import BREAK
from data.recordio import frame
from filesystem import named_errors, sync, whole_file

AT_ONCE = 256  # examples between two entries of the journal


@dataclass
class Report:
    """The result of converting the files of one set."""

    written: int
    notes: Counter = field(default_factory=Counter)  # unusual property -> number of written images
    left_out: list = field(default_factory=list)  # "path: reason"
    ignored: dict = field(default_factory=dict)  # reason -> paths that were not read


def write_records(path, photographs, convert_all, plan):
    """Write the images of ``photographs`` to the .rec at ``path``, its .idx and its .lst.

    Args:
        photographs: Photographs of data.class_folders.
        convert_all: yields (encoded image or None, notes or the reason) for each photograph.
        plan: everything that determines the result; a journal of another plan is not used.

    Returns:
        A Report.

    Raises:
        InputError: no image can be used.
    """
    journal = Journal(path, plan)
    there = all(path.with_suffix(suffix).exists() for suffix in (".rec", ".idx", ".lst"))
    if there and journal.done == len(photographs) and path.stat().st_size == journal.end:
        return journal.report()
    part = path.with_name(f".{path.name}.part")
    if not part.exists() or part.stat().st_size < journal.end:
        journal.entries = []
    _write_part(part, journal, photographs, convert_all)
    report = journal.report()
    if not report.written:
        raise InputError(f"no image for {path.name} can be used: {report.left_out[0]}")
    records = [record for entry in journal.entries for record in entry["records"]]
    write_lines(path.with_suffix(".idx"), (f"{n}\t{offset}" for n, offset in records))
    listed = ((n, photographs[n]) for n, _ in records)
    lines = (f"{n}\t{each.label}\t{re.sub(BREAK, ' ', each.path)}" for n, each in listed)
    write_lines(path.with_suffix(".lst"), lines)
    os.replace(part, path)
    return report


def _write_part(part, journal, photographs, convert_all):
    """Append the remaining ``photographs`` to the file ``part``."""
    done, end = journal.done, journal.end
    mode = "r+b" if journal.entries else "wb"
    with named_errors(part), open(part, mode) as rec, journal.open():
        rec.truncate(end)
        rec.seek(end)
        made = convert_all(photographs[done:])
        shown = {"desc": part.stem.lstrip("."), "unit": "image", "disable": None}
        bar = tqdm(made, total=len(photographs), initial=done, **shown)
        entry = _entry()
        for number, (image, notes) in enumerate(bar, done):
            if image is None:
                entry["left_out"].append(f"{photographs[number].path}: {notes}")
            else:
                entry["records"].append([number, rec.tell()])
                entry["notes"] += notes
                rec.write(frame(photographs[number].label, number, image))
            if (number + 1) % AT_ONCE == 0 or number + 1 == len(photographs):
                rec.flush()
                sync(rec)
                journal.add({**entry, "done": number + 1, "end": rec.tell()})
                entry = _entry()


def _entry():
    return {"records": [], "notes": [], "left_out": []}


class Journal:
    """The progress in writing the .rec file at ``path`` by a plan.

    ``entries`` are dicts: done (number of examples), end (of the file, in bytes), records ([number,
    offset]), notes and left_out (see Report).
    """

    def __init__(self, path, plan):
        self._path = path.with_name(f".{path.name}.journal")
        self._plan = hashlib.sha256(repr(plan).encode(errors="surrogateescape")).hexdigest()
        self._file = None
        self.entries = self._read()

    @property
    def done(self):
        """Return the number of examples that are done."""
        return self.entries[-1]["done"] if self.entries else 0

    @property
    def end(self):
        """Return the number of bytes of the finished examples."""
        return self.entries[-1]["end"] if self.entries else 0

    def report(self):
        """Return the Report of all entries."""
        return Report(
            written=sum(len(entry["records"]) for entry in self.entries),
            notes=Counter(note for entry in self.entries for note in entry["notes"]),
            left_out=[line for entry in self.entries for line in entry["left_out"]],
        )

    @contextlib.contextmanager
    def open(self):
        """Write the entries, and keep the file open for more."""
        write_lines(self._path, map(json.dumps, ({"plan": self._plan}, *self.entries)))
        with open(self._path, "a", encoding="utf-8") as self._file:
            yield

    def add(self, entry):
        """Append an entry."""
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        self.entries.append(entry)

    def _read(self):
        """Return the entries of a journal of the same plan; none where there is no such journal."""
        entries = []
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            first, *lines = self._path.read_text(encoding="utf-8").splitlines()
            if json.loads(first)["plan"] == self._plan:
                for line in lines:  # the last may be cut short
                    entry = json.loads(line)
                    if {"done", "end", *_entry()} <= set(entry):
                        entries.append(entry)
        return entries


def write_lines(path, lines):
    """Write a text file, completely or not at all; keep bytes that are not UTF-8."""
    with whole_file(path) as file:
        file.writelines(f"{line}\n".encode("utf-8", "surrogateescape") for line in lines)
