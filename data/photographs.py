"""Write photographs in folders of classes to .rec files: ImageNet, or any set with its layout.

``python -m data.prepare imagenet`` calls ``prepare``.
"""

import io
import json
import os
from functools import partial
from pathlib import Path

from PIL import Image

from command import InputError
from data.checks import check, note_images
from data.class_folders import survey
from data.images import (
    EXTENSIONS,
    SOURCE_FORMATS,
    open_image,
    read_file,
    require_bright,
    to_rgb,
    turn,
)
from data.journal import write_lines, write_records
from data.lists import CLASSES, composed, read_lines
from data.metadata import read_orientation
from data.spec import DESCRIPTION, PhotographSpec, list_datasets
from data.workers import check_jobs, open_workers
from filesystem import locked, write_text

SIZE = 480  # default of the shorter side, as in deep fusion's ImageNet records
SETTINGS = "photographs.json"  # beside the record files: the shorter side
QUALITY = 95  # quality of re-encoded JPEGs
SMALLEST = 16  # least shorter side of an image
SLIMMEST = 16  # greatest ratio of an image's longer to its shorter side
SETS = {"train": "train.rec", "val": "val.rec"}
LOCK = ".lock"  # held while a folder is written
MODES = {"L": "greyscale", "CMYK": "CMYK", "I": "16-bit greyscale", "I;16": "16-bit greyscale"}


def prepare(source, out, size=SIZE, labels=None, jobs=None):
    """Write train.rec, val.rec, their .idx and .lst, classes.txt and SETTINGS into ``out``.

    An RGB JPEG whose shorter side is at most ``size`` is kept as it is; other images are converted
    to one and never enlarged. Files that cannot be decoded are left out. A call after an
    interruption resumes the work. A call after the end writes again only if the source, or a file
    in it, has changed.

    Args:
        source: a folder with train/CLASS/FILE and val/CLASS/FILE, or with val/FILE if ``labels``
            lists their classes. See data.class_folders and data.lists.
        labels: a file of lines "FILE CLASS", such as Kaggle's LOC_val_solution.csv.
        jobs: number of processes; None means one for each core.

    Returns:
        {"train" or "val": Report}.

    Raises:
        InputError: ``source`` has another layout, ``labels`` does not fit, a class has no training
            images that can be used, another process writes to ``out``, or it has small images.
        OSError: a file cannot be read or written.
    """
    source, out = Path(source), Path(out)
    if size < SMALLEST:
        raise InputError(f"size must be at least {SMALLEST}, not {size}", argument="size")
    jobs = check_jobs(jobs)
    refuse_mixture(out, DESCRIPTION, *([] if (out / SETS["val"]).exists() else ["test.rec"]))
    names, photographs, ignored = survey(source, labels)
    out.mkdir(parents=True, exist_ok=True)
    reports = {}
    with locked(out / LOCK, out, remove=True), open_workers(jobs) as mapping:
        _forget_other_classes(out / CLASSES, names)
        convert_all = partial(mapping, partial(_convert, source, size))
        for part, file in SETS.items():
            plan = (os.path.realpath(source), size, QUALITY, photographs[part])
            reports[part] = _write(out / file, photographs[part], convert_all, plan, len(names))
            reports[part].ignored = ignored[part]
        _require_every_class(out / SETS["train"], names, reports["train"].left_out)
        _describe(out, names, size)
    return reports


def _describe(out, names, size):
    """Write the names of the classes and the shorter side of the photographs in ``out``."""
    write_text(out / SETTINGS, json.dumps({"shorter_side": size}) + "\n")
    write_lines(out / CLASSES, names)


def read_shorter_side(folder):
    """Return the shorter side, in pixels, to which ``prepare`` reduced photographs in ``folder``.

    Without SETTINGS, which earlier versions did not write, it is SIZE.

    Raises:
        InputError: SETTINGS is damaged.
    """
    path = Path(folder) / SETTINGS
    try:
        settings = json.loads(path.read_text())
        return PhotographSpec.from_json({"classes": (), **settings}).shorter_side
    except (FileNotFoundError, NotADirectoryError):
        return SIZE
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged ({error}): prepare the photographs again") from None


def refuse_mixture(out, *files, dataset=None):
    """Check that the folder ``out`` is not for another data set or another kind of data set.

    All kinds have a train.rec, so that training would use images of the one and test images of the
    other.

    Args:
        files: names of files that other kinds have.
        dataset: the built-in data set that is written; None means a user's own. Programs expect a
            built-in one in a folder of its name.

    Raises:
        InputError: ``out`` has one of ``files``, or the name of another built-in data set.
    """
    name = out.absolute().name
    if name in list_datasets() and name != dataset:
        raise InputError(
            f"out must not be {name}, the name of another data set: choose another",
            argument="out",
        )
    for name in files:
        if (out / name).exists():
            raise InputError(
                f"out must not be {out}, which has {name}, of another kind of data set: choose "
                "another folder",
                argument="out",
            )


def _forget_other_classes(path, names):
    """Remove a list of other classes: until the end, one set may have its labels, the other not."""
    if path.exists() and tuple(read_lines(path)) != names:
        path.unlink()


def _require_every_class(path, names, left_out):
    """Raise an InputError if all images of a class were left out of the training set ``path``."""
    there = {line.split("\t")[1] for line in read_lines(path.with_suffix(".lst"))}
    for label, name in enumerate(names):
        if str(label) not in there:
            start = f"train/{name}/"
            line = next(line for line in left_out if composed(line).startswith(start))
            raise InputError(f"class {name!r} has no images to train on (left out: {line}, ...)")


def _write(path, photographs, convert_all, plan, classes):
    """Write a set, and note that its images need not be checked again; return the Report."""
    before = path.stat().st_mtime_ns if path.exists() else None
    report = write_records(path, photographs, convert_all, plan)
    if path.stat().st_mtime_ns != before:
        check(path, classes)
        note_images(path)  # each image was decoded when it was written
    return report


def convert(data, name, size):
    """Convert a photograph to an RGB JPEG whose shorter side is at most ``size``.

    A JPEG that already is one, and is upright, is kept byte for byte.

    Args:
        data: the bytes of a file in one of data.images.SOURCE_FORMATS.
        name: the file's name.

    Returns:
        The bytes of the JPEG, and a list of the unusual properties of ``data``.

    Raises:
        ValueError: the photograph cannot be used; the message says why.
    """
    image = open_image(data, formats=SOURCE_FORMATS)
    notes, kind = [], image.format
    if not name.lower().endswith(EXTENSIONS[kind]):
        notes.append(f"{kind} with another extension")
    if image.mode != "RGB":
        notes.append(MODES.get(image.mode, f"mode {image.mode}"))
    shorter, longer = sorted(image.size)
    if shorter < SMALLEST or longer > SLIMMEST * shorter:
        raise ValueError("it has {} x {} pixels".format(*image.size))
    if shorter < size:
        notes.append(f"shorter side below {size}, not enlarged")
    orientation = read_orientation(data)
    if orientation != 1:
        notes.append("rotated by its EXIF orientation")
    elif kind == "JPEG" and image.mode == "RGB" and shorter <= size:
        return data, notes
    image = require_bright(to_rgb(turn(image, orientation)), data)
    if shorter > size:
        image = image.resize([round(side * size / shorter) for side in image.size], Image.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue(), notes


def _convert(source, size, photograph):
    """Return (record's image or None, notes or the reason why there is none).

    Raises:
        OSError: the file cannot be read. The reason may lie in the disk, the network or permissions
            and not in the file, so the file is not left out: the work is stopped, to be resumed.
    """
    try:
        return convert(read_file(source / photograph.path), photograph.path, size)
    except ValueError as error:
        return None, str(error).replace("its image", "it")
