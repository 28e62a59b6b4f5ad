"""Photographs in folders of classes to .rec files: ImageNet, or any set laid out like it.

``prepare`` is what ``python -m data.prepare imagenet`` calls.
"""

import contextlib
import hashlib
import io
import json
import multiprocessing
import os
import re
import signal
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from command import InputError, nearest
from data.images import SOURCE_FORMATS, open_image, to_rgb, turn
from data.metadata import read_orientation
from data.recordio import frame
from data.verify import check, note_images

SIZE = 480  # default of the shorter side, as deep fusion's ImageNet records have it
QUALITY = 95  # of JPEGs that are made anew
SMALLEST = 16  # shorter side of an image that is of any use
SLIMMEST = 16  # longer side over shorter side of one
CLASSES = "classes.txt"  # names of the classes, a line each, in the order of their labels
SETS = {"train": "train.rec", "val": "val.rec"}
SHUFFLE_SEED = 0
AT_ONCE = 256  # images between two entries of the journal
FILE_LIMIT = 1 << 28  # bytes of a file; no photograph has so many
EXTENSIONS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "WEBP": (".webp",),
}
MODES = {"L": "greyscale", "CMYK": "CMYK", "I": "16-bit greyscale", "I;16": "16-bit greyscale"}


@dataclass(frozen=True)
class Photograph:
    """A file and its class."""

    path: str  # below the source
    label: int


@dataclass
class Report:
    """What became of the files of one set."""

    written: int
    notes: Counter  # what was unusual about written images -> how many
    left_out: list  # "path: reason"


def prepare(source, out, size=SIZE, labels=None, jobs=None):
    """Write train.rec, val.rec, their .idx and .lst, and classes.txt into ``out``; {set: Report}.

    Each image is kept as it is where it is an RGB JPEG whose shorter side is ``size`` at most, else
    it is made one, never larger than it was. What cannot be decoded is left out. Stopped and called
    again, it goes on where it was.

    Args:
        source: a folder with train/CLASS/FILE and val/CLASS/FILE; or val/FILE, and the list
            ``labels`` of their classes.
        labels: a file of lines "FILE CLASS", with CLASS a name or its place in the order of names;
            Kaggle's LOC_val_solution.csv is one.
        jobs: processes; None is one for each core.

    Raises:
        InputError: ``source`` has another layout, ``labels`` does not fit, no image can be used.
    """
    source, out = Path(source), Path(out)
    if size < SMALLEST:
        raise InputError(f"--size must be at least {SMALLEST}, not {size}")
    jobs = os.cpu_count() if jobs is None else jobs
    if jobs < 1:
        raise InputError(f"--jobs must be at least 1, not {jobs}")
    names, photographs = survey(source, labels)
    out.mkdir(parents=True, exist_ok=True)
    reports = {}
    with _mapping(jobs) as mapping:
        convert_all = partial(mapping, partial(_convert, source, size))
        for part, file in SETS.items():
            plan = (size, QUALITY, photographs[part])
            reports[part] = _write(photographs[part], convert_all, plan, out / file, len(names))
    _write_text(out / CLASSES, names)
    return reports


def read_classes(folder):
    """Names of the classes of the photographs in ``folder``.

    Raises:
        InputError: there is no list of them, or it is none.
    """
    path = Path(folder) / CLASSES
    try:
        names = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise InputError(
            f"there is no {path}: make it with python -m data.prepare imagenet --source DIR --out "
            f"{folder}, or write the names of the classes into it, a line each"
        ) from None
    except ValueError:
        names = []
    if len(set(names)) < max(len(names), 1) or "" in names:
        raise InputError(f"{path} must have a name on each line, none of them twice")
    return tuple(names)


def survey(source, labels=None):
    """(names of the classes, {"train" or "val": its Photographs in the order to write them}).

    Training images are shuffled, always in the same way; the others are in the order of their
    paths.
    """
    for part in SETS:
        if not (source / part).is_dir():
            raise InputError(
                f"there is no folder {source / part}: --source takes one with train/CLASS/FILE and "
                "val/CLASS/FILE (or val/FILE with --val-labels)"
            )
    names = _folders(source / "train")
    if not names:
        raise InputError(f"{source / 'train'} has no folders: each class needs one")
    train = _in_folders(source, "train", names)
    shuffled = np.random.RandomState(SHUFFLE_SEED).permutation(len(train))
    if labels is None:
        val = _in_folders(source, "val", names)
    else:
        val = _in_list(source, Path(labels), names)
    for part, found in (("train", train), ("val", val)):
        if not found:
            raise InputError(
                f"{source / part} has no images"
                + (" in folders of classes: is it flat? Then add --val-labels" * (part == "val"))
            )
    return names, {"train": [train[index] for index in shuffled], "val": val}


def _folders(path):
    return tuple(sorted(e.name for e in os.scandir(path) if e.is_dir() and e.name[0] != "."))


def _files(path):
    return sorted(e.name for e in os.scandir(path) if e.is_file() and e.name[0] != ".")


def _in_folders(source, part, names):
    labels = {name: label for label, name in enumerate(names)}
    found = []
    for name in _folders(source / part):
        if name not in labels:
            raise InputError(
                f"{source / part / name}: {source / 'train'} has no such class"
                f"{nearest(name, names)}"
            )
        files = _files(source / part / name)
        found += [Photograph(f"{part}/{name}/{file}", labels[name]) for file in files]
    return found


def _in_list(source, path, names):
    labels = {name: label for label, name in enumerate(names)}
    labels.update({str(label): label for label in range(len(names)) if str(label) not in labels})
    classes = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = re.split(r"[,\s]+", line.strip())
        if words == [""] or words[0] == "ImageId":  # Kaggle's heading
            continue
        if len(words) < 2 or words[1] not in labels:
            raise InputError(
                f"{path}: line {number} is not a file and its class (a name in {source / 'train'}, "
                f"or 0 to {len(names) - 1}): {line.strip()[:60]!r}"
            )
        classes[Path(words[0]).stem] = labels[words[1]]
    files = _files(source / "val")
    for file in files:
        if Path(file).stem not in classes:
            raise InputError(f"{path} does not tell the class of {source / 'val' / file}")
    return [Photograph(f"val/{file}", classes[Path(file).stem]) for file in files]


def convert(data, name, size):
    """Make the RGB JPEG of a photograph, its shorter side ``size`` at most.

    A JPEG that is so already, and upright, stays as it is, byte for byte.

    Args:
        data: the bytes of a file of any kind in data.images.SOURCE_FORMATS.
        name: the file's.

    Returns:
        The bytes of the JPEG, and a list of what was unusual about ``data``.

    Raises:
        ValueError: why it cannot be used.
    """
    image = open_image(data, formats=SOURCE_FORMATS)
    notes, kind = [], image.format
    if not name.lower().endswith(EXTENSIONS[kind]):
        notes.append(f"{kind} by another extension")
    if image.mode != "RGB":
        notes.append(MODES.get(image.mode, f"mode {image.mode}"))
    shorter, longer = sorted(image.size)
    if shorter < SMALLEST or longer > SLIMMEST * shorter:
        raise ValueError("it has {} x {} pixels".format(*image.size))
    if shorter < size:
        notes.append(f"shorter side below {size}, not enlarged")
    orientation = read_orientation(data)
    if orientation != 1:
        notes.append("turned as its EXIF says")
    elif kind == "JPEG" and image.mode == "RGB" and shorter <= size:
        return data, notes
    image = to_rgb(turn(image, orientation))
    if shorter > size:
        image = image.resize([round(side * size / shorter) for side in image.size], Image.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue(), notes


def _convert(source, size, photograph):
    """(record's image or None, notes or the reason why there is none), for a worker process."""
    try:
        with open(source / photograph.path, "rb") as file:
            data = file.read(FILE_LIMIT + 1)
        if len(data) > FILE_LIMIT:
            raise ValueError(f"it has more than {FILE_LIMIT} bytes")
        return convert(data, photograph.path, size)
    except (ValueError, OSError) as error:
        return None, str(error).replace("its image", "it")


def _write(photographs, convert_all, plan, path, classes):
    """Write ``photographs`` to the .rec at ``path``, its .idx and its .lst; a Report.

    ``plan`` is all that decides the result. Until all are there, the .rec has the name .NAME.part.
    A journal beside it has a line that tells what is made, then one for every so many files; what
    is behind the last of them is cut off when the work is taken up again.
    """
    part, journal = path.with_name(f".{path.name}.part"), path.with_name(f".{path.name}.journal")
    plan = hashlib.sha256(repr(plan).encode()).hexdigest()
    entries = _read_journal(journal, plan)
    done, end = (entries[-1]["done"], entries[-1]["end"]) if entries else (0, 0)
    there = all(path.with_suffix(suffix).exists() for suffix in (".rec", ".idx", ".lst"))
    if there and done == len(photographs) and path.stat().st_size == end:
        return _report(entries)
    if not part.exists() or part.stat().st_size < end:
        entries, done, end = [], 0, 0
    kept = "".join(json.dumps(line) + "\n" for line in ({"plan": plan}, *entries))
    journal.write_text(kept, encoding="utf-8")
    with contextlib.ExitStack() as stack:
        rec = stack.enter_context(open(part, "r+b" if entries else "wb"))
        log = stack.enter_context(open(journal, "a", encoding="utf-8"))
        rec.truncate(end)
        rec.seek(end)
        made = convert_all(photographs[done:])
        shown = {"desc": path.name, "unit": "image", "disable": None}
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
                os.fsync(rec.fileno())
                entry.update(done=number + 1, end=rec.tell())
                log.write(json.dumps(entry) + "\n")
                log.flush()
                entries.append(entry)
                entry = _entry()
    report = _report(entries)
    if not report.written:
        raise InputError(f"no image of {path.name} can be used; {report.left_out[0]}")
    records = [record for entry in entries for record in entry["records"]]
    _write_text(path.with_suffix(".idx"), (f"{n}\t{offset}" for n, offset in records))
    listed = ((n, photographs[n]) for n, _ in records)
    lines = (f"{n}\t{photograph.label}\t{photograph.path}" for n, photograph in listed)
    _write_text(path.with_suffix(".lst"), lines)
    os.replace(part, path)
    check(path, classes)
    note_images(path)  # each was decoded on its way
    return report


def _entry():
    return {"records": [], "notes": [], "left_out": []}


def _report(entries):
    return Report(
        written=sum(len(entry["records"]) for entry in entries),
        notes=Counter(note for entry in entries for note in entry["notes"]),
        left_out=[line for entry in entries for line in entry["left_out"]],
    )


def _read_journal(path, plan):
    """Entries of a journal of the same plan; none where there is no such journal."""
    entries = []
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        first, *lines = path.read_text(encoding="utf-8").splitlines()
        if json.loads(first)["plan"] == plan:
            for line in lines:  # the last may be cut short
                entry = json.loads(line)
                if {"done", "end", *_entry()} <= set(entry):
                    entries.append(entry)
    return entries


def _write_text(path, lines):
    aside = path.with_name(f".{path.name}")
    with open(aside, "w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
    os.replace(aside, path)


@contextlib.contextmanager
def _mapping(jobs):
    """What is like ``map``, by ``jobs`` processes."""
    if jobs == 1:
        yield map
        return
    context = multiprocessing.get_context("spawn")  # a process with threads is not to be forked
    with context.Pool(jobs, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
        yield partial(pool.imap, chunksize=8)
