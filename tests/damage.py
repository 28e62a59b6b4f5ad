"""Damage as the tests and tests/chaos.py do it: what was written, changed by a few bytes or values.

A reader of damaged files either refuses them, an InputError of one line, or accepts them rightly:
what it gives is what was written. Where a format cannot tell, a Case says what is right there.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import numpy as np
from hypothesis import strategies as st

from command import InputError
from data import records, stream
from results import REPORT_FORMATS, compare_settings, plot_paths, read_settings, tabulate
from tests.photo_files import write_photographs
from tests.record_files import encoded, random_pixels, write_random_rec, write_rec
from tests.test_run_folder import ROW, make_config, write_rows
from training import checkpoint, run_folder, run_log, run_record
from training.recipe import get_recipe
from training.run import Run, RunInfo, RuntimeConfig

CLASSES = 3
EPOCHS = 4

# Damage to bytes: a few changes, each a kind, a place (modulo what is there) and what goes there.
PLACES, LENGTHS = st.integers(0, 1 << 20), st.integers(1, 40)
CHANGES = st.one_of(
    st.tuples(st.just("cut"), PLACES, st.none()),
    st.tuples(st.just("flip"), PLACES, st.integers(0, 7)),
    st.tuples(st.just("zero"), PLACES, LENGTHS),
    st.tuples(st.just("delete"), PLACES, LENGTHS),
    st.tuples(st.just("insert"), PLACES, st.binary(min_size=1, max_size=20)),
    st.tuples(st.just("swap"), PLACES, LENGTHS),
)
DAMAGE = st.lists(CHANGES, min_size=1, max_size=3)


def damaged(content, changes):
    """The bytes ``content`` after ``changes``, of DAMAGE."""
    content = bytearray(content)
    for kind, place, what in changes:
        at = place % max(len(content), 1)
        if kind == "cut":
            del content[at:]
        elif kind == "flip" and content:
            content[at] ^= 1 << what
        elif kind == "zero":
            content[at : at + what] = bytes(len(content[at : at + what]))
        elif kind == "delete":
            del content[at : at + what]
        elif kind == "insert":
            content[at:at] = what
        elif kind == "swap":  # as two sectors that change places
            first, second = content[at : at + what], content[at + what : at + 2 * what]
            content[at : at + 2 * what] = second + first
    return bytes(content)


def random_change(rng):
    """One of CHANGES, drawn by a random.Random."""
    kind = rng.choice(("cut", "flip", "zero", "delete", "insert", "swap"))
    what = {"flip": rng.randrange(8), "insert": bytes(rng.randrange(256) for _ in range(5))}
    return kind, rng.randrange(1 << 30), what.get(kind, rng.randint(1, 40))


# Damage to JSON: a value, somewhere, is another or gone.
GONE = "gone"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FORGERY = st.lists(st.tuples(PLACES, VALUES | st.just(GONE)), min_size=1, max_size=2)


def forged(values, changes):
    """The JSON object ``values`` after ``changes``, of FORGERY."""
    values = json.loads(json.dumps(values))
    for place, new in changes:
        places = [*_places(values)]
        holder, name = places[place % len(places)] if places else (values, "new")
        if new is GONE and places:
            del holder[name]
        else:
            holder[name] = new
    return values


def _places(values):
    """(holder, name) of every value in ``values``, however deep."""
    names = list(values) if isinstance(values, dict) else range(len(values))
    for name in names:
        yield values, name
        if isinstance(values[name], (dict, list)):
            yield from _places(values[name])


@dataclass(frozen=True)
class Case:
    """A file that programs read, and how they do."""

    make: Callable  # folder -> the path of the file, written among those it needs
    read: Callable  # path -> what it holds
    right: Callable  # (what was written, what was read) -> whether to accept it is right


def outcome(case, path, written, content):
    """ "refused" or "accepted" where the file at ``path`` has the bytes ``content``.

    Raises:
        AssertionError: it is wrongly accepted, or the message has several lines; and whatever
            else the reader raises.
    """
    path.write_bytes(content)
    try:
        read = case.read(path)
    except InputError as error:
        assert str(error) and "\n" not in str(error), repr(str(error))
        return "refused"
    assert case.right(written, read), "what was damaged is accepted"
    return "accepted"


def _checkpoint(name):
    def make(folder):
        rng = np.random.RandomState(0)
        values = {f"array{i}": rng.rand(i + 1, 5).astype(np.float32) for i in range(5)}
        momenta = {name: 0 * array for name, array in values.items()}
        rows = [{"epoch": epoch, "lr": 0.1} for epoch in range(1, EPOCHS + 1)]
        return checkpoint.save(folder, EPOCHS, values, momenta, rows) / name

    def right(written, read):
        same = written[2] == read[2]
        for ours, theirs in zip(written[:2], read[:2]):
            same &= ours.keys() == theirs.keys()
            same = same and all((ours[name] == theirs[name]).all() for name in ours)
        return same

    return Case(make, lambda path: checkpoint.load(path.parent), right)


def _make_log(folder):
    write_rows(folder, range(1, EPOCHS + 1))
    return folder / run_folder.ROWS


def _make_config(folder):
    recipe = get_recipe("quick", epochs=EPOCHS)
    run_folder.write_config(folder, {**make_config(recipe), "machine": {"log_dir": "snapshot"}})
    write_rows(folder, range(1, EPOCHS + 1))
    return folder / run_folder.CONFIG


def _read_config(path):
    config = run_folder.read_config(path.parent)
    record = run_record.read_run(path.parent)
    if record.problem:  # the line that show_results.py has for it
        raise InputError(record.problem)
    return (
        config,
        Run.from_json(config),
        RuntimeConfig.from_json(config),
        RunInfo.from_json(config),
    )


def _as_many_settings(written, read):
    """JSON has no checksum: another value is seen only if it is impossible."""
    return all(type(ours) is type(theirs) for ours, theirs in zip(written, read))


def _no_more_rows(written, read):
    """The same; and a log that is cut short is that of a run that was stopped."""
    return [row["epoch"] for row in read] == list(range(1, len(read) + 1)) and len(read) <= len(
        written
    )


def _make_rec(folder):
    write_random_rec(folder / "a.rec", 8, CLASSES)
    return folder / "a.rec"


def _make_jpeg_rec(folder):
    images = [encoded(pixels, "JPEG") for pixels in random_pixels(8)]
    write_rec(folder / "a.rec", np.arange(8) % CLASSES, images)
    return folder / "a.rec"


def _read_rec(path):
    return records.load(path.with_suffix(".rec"), CLASSES)


def _same_pixels(written, read):
    """A PNG has checksums, a label has none: another one is seen only if it is impossible."""
    return (written.pixels == read.pixels).all() and set(read.labels) <= set(range(CLASSES))


def _same_images(written, read):
    return (written.pixels == read.pixels).all() and (written.labels == read.labels).all()


def _as_many(written, read):
    """A JPEG has no checksum: what can be decoded is an image."""
    return written.pixels.shape == read.pixels.shape and set(read.labels) <= set(range(CLASSES))


def _make_photographs(folder):
    return write_photographs(folder, train=6, val=1, classes=CLASSES) / "train.rec"


def _read_photographs(path):
    """Their numbers, out of MXNet's own iterator, which ends the process on what it cannot read."""
    note = path.with_name(f".{path.name}.decoded")
    note.unlink(missing_ok=True)  # written in one tick of a clock
    photographs = stream.load(path.with_suffix(".rec"), CLASSES, 32)
    how = {"augmentation": "imagenet", "seed": 0, "epoch": 1}
    return [len(batch) for batch in stream.train_batches(photographs, 4, **how)]


CASES = {
    **{f"{name} of a checkpoint": _checkpoint(name) for name in (*checkpoint.FILES, "state.json")},
    "log.jsonl": Case(_make_log, lambda path: run_log.read_log(path.parent), _no_more_rows),
    "config.json": Case(_make_config, _read_config, _as_many_settings),
    ".rec of PNG": Case(_make_rec, _read_rec, _same_pixels),
    ".rec of JPEG": Case(_make_jpeg_rec, _read_rec, _as_many),
    ".idx": Case(lambda folder: _make_rec(folder).with_suffix(".idx"), _read_rec, _same_images),
    ".rec of photographs": Case(_make_photographs, _read_photographs, list.__eq__),
}


def fresh(case, folder):
    """(path, what was written, its bytes) of ``case`` in ``folder``, made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    Path(folder).mkdir(parents=True)
    path = case.make(Path(folder))
    return path, case.read(path), path.read_bytes()


# Files that somebody forged: what shows results takes them for what they are, or leaves them out.
FORGED = (run_folder.CONFIG, run_folder.ROWS)


def forgeable(top):
    """The folder of a run with column errors, below ``top``."""
    folder = Path(top) / "cifar10" / "fractal_d20w1" / "run1"
    folder.mkdir(parents=True)
    config = make_config(get_recipe("fractal", epochs=1), network="fractal", depth=20)
    run_folder.write_config(folder, {**config, "machine": {}})
    parts = {"column_errors": [3.0, 2.0], "column_losses": [0.3, 0.2]}
    run_log.RunLog(folder, print).write(epoch=1, **ROW, **parts)
    return folder


def show_forged(folder, name, changes):
    """ "shown" or "left out": the run in ``folder`` after FORGERY of its file ``name``."""
    path = folder / name
    genuine = path.read_text()
    path.write_text(json.dumps(forged(json.loads(genuine), changes)) + "\n")
    try:
        settings, left_out = read_settings(folder)
        compared = compare_settings(settings)
        plot_paths(compared, folder)
        for show in REPORT_FORMATS.values():
            show(tabulate(settings), left_out).encode()
        if settings:
            RuntimeConfig.from_json(run_folder.read_config(folder))
    except InputError as error:
        assert "\n" not in str(error)
        return "left out"
    finally:
        path.write_text(genuine)
    return "left out" if left_out else "shown"
