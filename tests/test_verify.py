"""Verification: each flaw is found and named; sound files pass."""

import shutil
import struct
import subprocess
import sys

import pytest

from command import InputError
from data import verify
from data.checks import check
from data.verify import main
from tests.notebook import ROOT
from tests.record_files import (
    SHARED_DATA,
    encoded,
    patch,
    random_pixels,
    write_random_rec,
    write_rec,
)


@pytest.fixture
def rec(tmp_path):
    """A sound file of ten records with labels 0, 1, 2, and where they begin."""
    path = tmp_path / "ten.rec"
    _, _, offsets = write_random_rec(path, 10)
    return path, offsets


def run(capsys, *arguments):
    """Exit status, lines on stdout, lines on stderr."""
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        status = stop.code
    printed = capsys.readouterr()
    return status, printed.out.splitlines(), printed.err.splitlines()


def label_place(offset):
    return offset + 12


def test_a_sound_file(rec, capsys):
    path, _ = rec
    status, out, err = run(capsys, path, "--classes", 3)
    assert (status, err) == (0, [])
    assert out[:3] == [
        "records: 10",
        "classes: 3 (0: 4, 1: 3, 2: 3)",
        "sizes:   32x32 RGB: 10",
    ]
    assert out[3] == f"{path}: no record is damaged, and the .idx file matches"
    assert check(path, 3).tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]


@pytest.mark.parametrize("program", ["data.prepare", "data.verify"])
def test_programs_of_the_package_start_without_a_warning(program):
    command = [sys.executable, "-m", program, "--help"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.startswith("usage: ") and done.stderr == ""


def test_many_classes_and_sizes_are_summed_up(tmp_path, capsys):
    path = tmp_path / "a.rec"
    images = [encoded(random_pixels(1, size)[0]) for size in range(30, 40) for _ in range(3)]
    write_rec(path, range(30), images)
    path.with_suffix(".idx").unlink()
    status, out, _ = run(capsys, path)
    assert status == 0
    assert out[1] == "classes: 30 (0 to 29, 1 to 1 images each)"
    assert "and 5 more, 30x30 to 39x39" in out[2]
    assert out[3].endswith(": no record is damaged, and there is no .idx file")


def test_every_bad_record_is_listed(rec, capsys):
    path, offsets = rec
    patch(path, offsets[1], b"\0")
    patch(path, label_place(offsets[3]), struct.pack("<f", float("nan")))
    patch(path, label_place(offsets[4]), struct.pack("<f", 1.5))
    patch(path, label_place(offsets[5]), struct.pack("<f", 3))
    patch(path, label_place(offsets[6]), struct.pack("<f", -1))
    patch(path, offsets[8] + 8 + 24 + 500, b"damaged pixels")
    status, out, err = run(capsys, path, "--classes", 3)
    assert (status, err) == (1, [])
    expected = {1: "magic", 3: "nan", 4: "1.5", 5: "outside 0 to 2", 6: "outside", 8: "checksum"}
    for line, (index, reason) in zip(out, expected.items()):
        assert line.startswith(f"record {index} (byte {offsets[index]}): ") and reason in line
    assert out[6].startswith("ten.idx: line 2 (record 1) points at byte")
    assert "6 of 10 records are bad; ten.idx does not match" in out[-1]


@pytest.mark.parametrize("label", [1e38, float("inf"), 2.0**24])
def test_labels_too_large_for_any_class(rec, capsys, label):
    path, offsets = rec
    patch(path, label_place(offsets[3]), struct.pack("<f", label))
    assert run(capsys, path)[0] == 1
    with pytest.raises(InputError, match="record 3: its label"):
        check(path)


def test_check_names_the_first_bad_record_and_the_command(rec):
    path, offsets = rec
    patch(path, label_place(offsets[7]), struct.pack("<f", 9))
    with pytest.raises(InputError) as error:
        check(path, 3)
    assert str(error.value) == (
        f"{path}: record 7: its label 9 is outside 0 to 2; "
        f"`python -m data.verify {path}` lists all bad records"
    )
    assert len(check(path)) == 10
    patch(path, offsets[2], b"\0")
    with pytest.raises(InputError, match="record 2: no magic number"):
        check(path, 3)


def test_check_does_not_decode(tmp_path):
    path = tmp_path / "a.rec"
    write_rec(path, [1, 2], [b"no image", b"no image either"])
    assert check(path, 3).tolist() == [1, 2]


@pytest.mark.parametrize(
    "change, problem",
    [
        (lambda lines: lines[:-1], "1 of 10 records are not in it"),
        (lambda lines: lines + ["10\t8"], "line 11 (record 10) points at byte 8, where no record"),
        (
            lambda lines: lines + [lines[0]],
            "line 11 (record 0) points at byte 0, like an earlier line",
        ),
        (lambda lines: ["hello"] + lines, "line 1 is not a number, a tab and a number"),
        (lambda lines: ["0\t0_0", *lines[1:]], "line 1 is not"),  # a number for Python alone
        (lambda lines: [f"1{'0' * 20}\t0", *lines[1:]], "line 1 is not"),  # too many digits
        (lambda lines: [], "10 of 10 records are not in it"),
    ],
)
def test_an_index_that_does_not_fit(rec, capsys, change, problem):
    path, _ = rec
    index = path.with_suffix(".idx")
    index.write_text("\n".join(change(index.read_text().splitlines())))
    status, out, _ = run(capsys, path)
    assert status == 1 and any(line.startswith("ten.idx: " + problem) for line in out)
    with pytest.raises(InputError) as error:
        check(path)
    assert problem in str(error.value) and "ten.idx" in str(error.value)


def test_an_index_in_another_order_fits(rec):
    path, _ = rec
    index = path.with_suffix(".idx")
    index.write_text("\n".join(reversed(index.read_text().splitlines())))
    assert len(check(path)) == 10


def test_files_that_are_not_there(tmp_path, capsys):
    empty = tmp_path / "empty.rec"
    empty.touch()
    for path in (tmp_path / "none.rec", tmp_path, empty):
        status, out, err = run(capsys, path)
        assert (status, out, len(err)) == (2, [], 1)
        assert str(path) in err[0]


def test_a_nonsense_number_of_classes(rec, capsys):
    status, out, err = run(capsys, rec[0], "--classes", 0)
    assert (status, out, len(err)) == (2, [], 1)


def test_damaged_copies_of_real_records(tmp_path, capsys):
    source = SHARED_DATA / "cifar10" / "test.rec"
    if not source.exists():
        pytest.skip("the shared data is not here")
    path = tmp_path / "test.rec"
    with open(source, "rb") as file:
        path.write_bytes(file.read(500_000))
    shutil.copy(source.with_suffix(".idx"), path.with_suffix(".idx"))
    status, out, _ = run(capsys, path, "--classes", 10)
    assert status == 1
    assert "cut short" in out[0]
    assert any(line.startswith("test.idx: line") for line in out)
    assert "1 of" in out[-1]


def test_a_bomb_in_a_record(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(verify.open_image.__globals__["Image"], "MAX_IMAGE_PIXELS", 1000)
    path = tmp_path / "a.rec"
    write_rec(path, [0, 0], [encoded(random_pixels(1, 20)[0]), encoded(random_pixels(1, 40)[0])])
    status, out, err = run(capsys, path)
    assert (status, err) == (1, [])
    assert out[0].startswith("record 1") and "decompression bomb" in out[0]
