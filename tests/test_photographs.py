"""Trees of photographs to .rec files."""

import errno
import io
import os

import mxnet as mx
import numpy as np
import pytest
from PIL import Image

from command import InputError
from data import images, journal, own, photographs, prepare, prepare_dataset, prepare_own
from data.class_folders import survey
from data.journal import Journal, Report
from data.lists import read_classes
from data.metadata import ORIENTATION
from data.own import read_own
from data.photographs import convert
from data.recordio import frame, read_records
from data.sources import SmallImages
from data.spec import get_spec
from filesystem import locked
from tests.photo_files import file_of, make_tree, picture
from tests.test_scripts import refused

pytestmark = pytest.mark.medium

MADE = ("train.rec", "train.idx", "train.lst", "val.rec", "val.idx", "val.lst", "classes.txt")


def made(folder):
    return {name: (folder / name).read_bytes() for name in MADE}


def opened(data):
    return Image.open(io.BytesIO(data))


def test_a_tree_becomes_records_of_its_files(tmp_path):
    source = make_tree(tmp_path / "source")
    reports = photographs.prepare(source, tmp_path, size=64, jobs=1)
    assert {part: report.written for part, report in reports.items()} == {"train": 20, "val": 12}
    assert read_classes(tmp_path) == ("ant", "bee")
    for part in ("train", "val"):
        lines = (tmp_path / f"{part}.lst").read_text().splitlines()
        reader = mx.recordio.MXIndexedRecordIO(
            str(tmp_path / f"{part}.idx"), str(tmp_path / f"{part}.rec"), "r"
        )
        files = []
        for line in lines:
            number, label, file = line.split("\t")
            header, image = mx.recordio.unpack(reader.read_idx(int(number)))
            assert image == (source / file).read_bytes()
            assert header.label == int(label) == ("bee" in file)
            assert header.id == int(number)
            files.append(file)
        assert (files == sorted(files)) == (part == "val")  # training images are shuffled
        assert len(set(files)) == len(lines)


def test_several_processes_make_the_same_files(tmp_path):
    source = make_tree(tmp_path / "source")
    photographs.prepare(source, tmp_path / "one", size=32, jobs=1)
    photographs.prepare(source, tmp_path / "two", size=32, jobs=2)
    assert made(tmp_path / "one") == made(tmp_path / "two")


def test_stopped_it_goes_on_where_it_was(tmp_path, monkeypatch):
    source = make_tree(tmp_path / "source")
    photographs.prepare(source, tmp_path / "whole", size=32, jobs=1)
    monkeypatch.setattr(journal, "AT_ONCE", 4)
    seen = []

    def stopping(data, name, size):
        seen.append(name)
        if len(seen) == 11:
            raise KeyboardInterrupt
        return convert(data, name, size)

    monkeypatch.setattr(photographs, "convert", stopping)
    with pytest.raises(KeyboardInterrupt):
        photographs.prepare(source, tmp_path / "out", size=32, jobs=1)
    assert not (tmp_path / "out" / "train.rec").exists()
    with open(tmp_path / "out" / ".train.rec.part", "ab") as file:
        file.write(b"half a record")
    reports = photographs.prepare(source, tmp_path / "out", size=32, jobs=1)
    assert len(seen) == 11 + (20 - 8) + 12  # 8 of the 10 that were made are in the journal
    assert made(tmp_path / "out") == made(tmp_path / "whole")
    again = photographs.prepare(source, tmp_path / "out", size=32, jobs=1)
    assert len(seen) == 35 and again == reports
    (tmp_path / "out" / "val.idx").unlink()
    photographs.prepare(source, tmp_path / "out", size=32, jobs=1)
    assert made(tmp_path / "out") == made(tmp_path / "whole")
    assert len(seen) == 35 + 12
    photographs.prepare(source, tmp_path / "out", size=34, jobs=1)  # another size: all anew
    assert len(seen) == 35 + 12 + 32


def test_a_sound_jpeg_is_kept_as_it_is():
    data = file_of(picture(60, 40))
    assert convert(data, "a.JPEG", 40) == (data, [])


def test_a_larger_one_is_reduced():
    data, notes = convert(file_of(picture(90, 60)), "a.jpg", 40)
    assert opened(data).size == (60, 40) and notes == []


@pytest.mark.parametrize(
    "data,name,notes",
    [
        (file_of(picture(60, 40, mode="L")), "a.jpg", ["greyscale"]),
        (file_of(picture(60, 40, mode="CMYK")), "a.jpg", ["CMYK"]),
        (file_of(picture(60, 40, mode="RGBA"), "PNG"), "a.png", ["mode RGBA"]),
        (file_of(picture(60, 40), "PNG"), "a.JPEG", ["PNG with another extension"]),
        (file_of(picture(60, 40), "BMP"), "a.bmp", []),
    ],
)
def test_other_kinds_become_rgb_jpegs(data, name, notes):
    made, found = convert(data, name, 40)
    image = opened(made)
    assert found == notes
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (60, 40))
    if "L" not in notes and "greyscale" not in notes:
        difference = np.abs(np.asarray(image, float) - np.asarray(picture(60, 40), float))
        assert difference.mean() < 12  # CMYK and back is not exact


def test_an_image_that_is_to_be_turned_is_turned():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    data, notes = convert(file_of(picture(60, 40), exif=exif), "a.jpg", 40)
    assert notes == ["rotated by its EXIF orientation"]
    assert opened(data).size == (40, 60)
    assert opened(data).getexif().get(ORIENTATION, 1) == 1


def test_a_smaller_one_is_not_enlarged():
    data = file_of(picture(60, 40))
    assert convert(data, "a.jpg", 64) == (data, ["shorter side below 64, not enlarged"])


@pytest.mark.parametrize(
    "data,reason",
    [
        (b"", "not a PNG, JPEG, BMP or WebP"),
        (b"GIF89a" + bytes(20), "not a PNG, JPEG, BMP or WebP"),
        (file_of(picture(60, 40))[:300], "cannot be decoded"),
        (file_of(picture(60, 40), "PNG")[:-30], "cut short"),
        (file_of(picture(8, 40)), "8 x 40 pixels"),
        (file_of(picture(700, 20)), "700 x 20 pixels"),
    ],
)
def test_what_is_of_no_use_is_refused(data, reason):
    with pytest.raises(ValueError, match=reason):
        convert(data, "a.jpg", 64)


def test_what_is_left_out_is_told_and_the_rest_written(tmp_path, capsys):
    source = make_tree(tmp_path / "source", train=3, val=2)
    (source / "train" / "bee" / "1.jpg").write_bytes(b"no image")
    (source / "val" / "ant" / ".hidden").write_bytes(b"no image")
    argv = [
        "imagenet",
        "--source",
        source,
        "--out",
        tmp_path / "out",
        "--size",
        "32",
        "--jobs",
        "1",
    ]
    prepare.main([str(word) for word in argv])
    out = capsys.readouterr().out
    assert "train: 5 images" in out and "val: 4 images" in out and "2 classes" in out
    assert "left out: train/bee/1.jpg: it is not a PNG, JPEG, BMP or WebP" in out
    assert len(list(read_records(tmp_path / "out" / "train.rec"))) == 5


@pytest.mark.parametrize(
    "lines",
    [
        ["0 ant", "1.jpg bee", "2 1", "3 0", "", "4 bee", "5 ant"],
        ["ImageId,PredictionString", *(f"{i},{('ant', 'bee')[i % 2]} 1 2 3" for i in range(6))],
    ],
)
def test_a_flat_val_folder_takes_a_list(tmp_path, lines):
    source = make_tree(tmp_path / "source", train=1, val=6, classes=("ant",))
    (source / "train" / "bee").mkdir()
    (source / "train" / "bee" / "0.jpg").write_bytes(file_of(picture(40, 40)))
    for file in (source / "val" / "ant").iterdir():
        file.rename(source / "val" / file.name)
    (source / "val" / "ant").rmdir()
    (tmp_path / "list").write_text("\n".join(lines))
    names, found, _ = survey(source, tmp_path / "list")
    assert names == ("ant", "bee")
    expected = [0, 1, 1, 0, 1, 0] if "ImageId" not in lines[0] else [0, 1] * 3
    assert [p.label for p in found["val"]] == expected
    assert [p.path for p in found["val"]] == [f"val/{i}.jpg" for i in range(6)]
    with pytest.raises(InputError, match="is it flat"):
        survey(source)


@pytest.mark.parametrize(
    "change,message",
    [
        (lambda s: os.rename(s / "val", s / "test"), "there is no folder .*val"),
        (lambda s: os.rename(s / "val" / "bee", s / "val" / "bees"), "did you mean bee"),
        (lambda s: (s / "list").write_text("0 wasp\n"), "line 1 is not a file and its class"),
        (lambda s: (s / "list").write_text("7 ant\n"), "does not give the class of .*3.jpg"),
    ],
)
def test_another_layout_is_refused(tmp_path, change, message):
    source = make_tree(tmp_path, train=1, val=1)
    (source / "val" / "3.jpg").write_bytes(b"")
    change(source)
    with pytest.raises(InputError, match=message):
        survey(source, source / "list" if (source / "list").exists() else None)


def test_bad_flags_are_one_line(tmp_path, capsys):
    source = make_tree(tmp_path, train=1, val=1)
    for flags, message in (
        (["imagenet"], "needs --source"),
        (["imagenet", "--source", source, "--size", "0"], "--size must be at least 16"),
        (
            ["imagenet", "--source", source, "--jobs", "0"],
            "--jobs must be a whole number of at least 1",
        ),
        (["digits", "--size", "32"], "--size is for imagenet"),
    ):
        status, err = refused(capsys, *flags, "--out", tmp_path / "out", main=prepare.main)
        assert (status, message in err) == (2, True), err


def test_a_file_larger_than_any_photograph_is_left_out(tmp_path, monkeypatch):
    source = make_tree(tmp_path / "source", train=2, val=1)
    with open(source / "train" / "ant" / "0.jpg", "ab") as file:
        file.write(bytes(30_000))
    monkeypatch.setattr(images, "FILE_LIMIT", 20_000)
    report = photographs.prepare(source, tmp_path, jobs=1)["train"]
    assert report.left_out == ["train/ant/0.jpg: it has more than 20000 bytes"]
    small = read_own(source, size=28)
    assert small.left_out == report.left_out and len(small.train) == 3
    with pytest.raises(InputError, match="0.jpg' cannot be read: it has more than 20000 bytes"):
        SmallImages(get_spec("cifar10")).picture(source / "train" / "ant" / "0.jpg")


def test_a_file_that_cannot_be_read_stops_the_work_which_is_resumed(tmp_path, monkeypatch):
    """Otherwise a lost network drive would leave out its images, also when it is back."""
    source = make_tree(tmp_path / "source", train=3, val=1)
    with monkeypatch.context() as patch:
        for module in (photographs, own):
            patch.setattr(module, "read_file", lost_after(3))
        with pytest.raises(OSError, match="Input/output error"):
            photographs.prepare(source, tmp_path / "out", jobs=1)
        with pytest.raises(OSError, match="Input/output error"):
            read_own(source)
    report = photographs.prepare(source, tmp_path / "out", jobs=1)["train"]
    assert (report.written, report.left_out, written(tmp_path / "out")) == (6, [], 6)


def lost_after(times):
    """Return a ``read_file`` whose drive is lost after so many calls."""
    seen = []

    def reading(path):
        seen.append(path)
        if len(seen) > times:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return images.read_file(path)

    return reading


def test_small_images_and_photographs_are_not_mixed_in_one_folder(tmp_path):
    """Both have a train.rec."""
    source = make_tree(tmp_path / "source", train=2, val=1)
    for first, second, file in (
        (prepare_own, photographs.prepare, "dataset.json"),
        (photographs.prepare, prepare_own, "val.rec"),
    ):
        out = tmp_path / file
        for _ in range(2):  # the same kind may be prepared again
            first(source, out, size=28, jobs=1)
        before = {path.name: path.read_bytes() for path in out.iterdir()}
        with pytest.raises(InputError, match=f"which has {file}, of another kind of data set"):
            second(source, out, size=28, jobs=1)
        with pytest.raises(InputError, match=f"which has {file}, of another kind of data set"):
            prepare_dataset("digits", out=out)
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_photographs_are_not_written_into_the_folder_of_a_built_in_data_set(tmp_path, monkeypatch):
    source = make_tree(tmp_path / "source", train=2, val=1)
    digits = tmp_path / "digits"
    digits.mkdir()
    monkeypatch.chdir(digits)
    for out in (digits, "."):
        with pytest.raises(InputError, match="out must not be digits, the name of another"):
            photographs.prepare(source, out, jobs=1)
    other = tmp_path / "other"
    prepare_dataset("digits", out=tmp_path / "copy" / "digits")
    (tmp_path / "copy" / "digits").rename(other)
    with pytest.raises(InputError, match="which has test.rec, of another kind of data set"):
        photographs.prepare(source, other, jobs=1)


def test_a_class_with_an_accent_of_macos_is_named(tmp_path):
    source = make_tree(tmp_path / "source", train=2, val=1)
    (source / "val" / "bee").rename(source / "val" / "cafe\u0301")
    (source / "train" / "bee").rename(source / "train" / "cafe\u0301")
    for file in (source / "train" / "cafe\u0301").iterdir():
        file.write_bytes(b"\0\0\0\x18ftypheic")
    with pytest.raises(InputError, match="class 'caf\u00e9' has no .* train/cafe\u0301/.*a HEIC"):
        photographs.prepare(source, tmp_path / "out", jobs=1)


def test_a_class_of_files_that_cannot_be_used_is_refused(tmp_path):
    """As photographs of a telephone in a format that is not read."""
    source = make_tree(tmp_path / "source", train=2, val=1)
    for file in (source / "train" / "bee").iterdir():
        file.write_bytes(b"\0\0\0\x18ftypheic")
    for _ in range(2):
        with pytest.raises(InputError, match="class 'bee' has no .* train/bee/.*but a HEIC"):
            photographs.prepare(source, tmp_path / "out", jobs=1)
        assert not (tmp_path / "out" / "classes.txt").exists()


def test_nothing_but_garbage_is_refused(tmp_path):
    source = make_tree(tmp_path / "source", train=1, val=1)
    for file in (source / "train").glob("*/*"):
        file.write_bytes(b"garbage")
    with pytest.raises(InputError, match=r"no image for train.rec can be used: train/"):
        photographs.prepare(source, tmp_path, jobs=1)
    assert not (tmp_path / "train.rec").exists()


@pytest.mark.parametrize("text", ["", "ant\nant\n", "ant\n\nbee\n"])
def test_a_list_of_classes_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(InputError, match="a name on each line"):
        read_classes(tmp_path)


def test_report_counts(tmp_path):
    entries = [
        {"records": [[0, 0], [1, 9]], "notes": ["a"], "left_out": []},
        {"records": [], "notes": ["a"], "left_out": ["x"]},
    ]
    made = Journal(tmp_path / "x.rec", "plan")
    made.entries = entries
    assert made.report() == Report(2, {"a": 2}, ["x"])


def test_framed_records_are_those_of_mxnet(tmp_path):
    """Also where a payload has the magic number as a word, or more than one."""
    magic = b"\x0a\x23\xd7\xce"
    images = [b"", b"a", b"abcd" * 5, magic, b"abcd" + magic + magic + b"xyz", b"a" + magic * 3]
    path = str(tmp_path / "x.rec")
    writer = mx.recordio.MXRecordIO(path, "w")
    ours = b""
    for number, image in enumerate(images):
        writer.write(mx.recordio.pack(mx.recordio.IRHeader(0, 3.0, number, 0), image))
        ours += frame(3, number, image)
    writer.close()
    assert ours == (tmp_path / "x.rec").read_bytes()


def written(folder):
    """How many images train.rec holds."""
    return len(list(read_records(folder / "train.rec")))


def test_a_repaired_image_is_taken_in(tmp_path):
    source = make_tree(tmp_path / "source", train=3, val=1)
    broken = source / "train" / "ant" / "0.jpg"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:300])
    report = photographs.prepare(source, tmp_path / "out", jobs=1)["train"]
    assert (report.written, len(report.left_out)) == (5, 1)
    broken.write_bytes(whole)
    report = photographs.prepare(source, tmp_path / "out", jobs=1)["train"]
    assert (report.written, report.left_out, written(tmp_path / "out")) == (6, [], 6)


def test_another_source_with_the_same_names_is_taken(tmp_path, monkeypatch):
    """Also where files have the same numbers of bytes and times, and work was half done."""
    first = make_tree(tmp_path / "first", train=3, val=1)
    second = make_tree(tmp_path / "second", train=3, val=1)
    for file in sorted(second.glob("*/*/*.jpg")):
        like = first / file.relative_to(second)
        file.write_bytes(like.read_bytes()[:-2] + b"\xff\xd9")
        data = bytearray(file.read_bytes())
        data[13] = 1  # pixels are not square: JFIF's unit
        file.write_bytes(bytes(data))
        status = like.stat()
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    for half_done in (False, True):
        out = tmp_path / f"out{half_done}"
        with monkeypatch.context() as patch:
            if half_done:
                patch.setattr(journal, "AT_ONCE", 2)
                patch.setattr(photographs, "convert", interrupted_after(3))
            try:
                photographs.prepare(first, out, jobs=1)
            except KeyboardInterrupt:
                assert half_done
        photographs.prepare(second, out, jobs=1)
        expected = {file.read_bytes() for file in second.glob("train/*/*.jpg")}
        assert {record.image for record in read_records(out / "train.rec")} == expected


def test_between_two_sets_of_classes_there_is_no_list(tmp_path, monkeypatch):
    """Otherwise images of new classes would be trained on and tested under the old names."""
    source, out = make_tree(tmp_path / "source", train=2, val=1), tmp_path / "out"
    photographs.prepare(source, out, jobs=1)
    for part in ("train", "val"):
        os.rename(source / part / "ant", source / part / "wasp")
    with monkeypatch.context() as patch:
        patch.setattr(photographs, "convert", interrupted_after(4))  # the training set is complete
        with pytest.raises(KeyboardInterrupt):
            photographs.prepare(source, out, jobs=1)
    with pytest.raises(InputError, match="there is no .*classes.txt: make it with"):
        read_classes(out)
    photographs.prepare(source, out, jobs=1)
    assert read_classes(out) == ("bee", "wasp")


def interrupted_after(times):
    seen = []

    def stopping(data, name, size):
        seen.append(name)
        if len(seen) > times:
            raise KeyboardInterrupt
        return convert(data, name, size)

    return stopping


def test_a_second_prepare_of_one_folder_is_one_line(tmp_path, capsys):
    source = make_tree(tmp_path / "source", train=1, val=1)
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out" / photographs.LOCK, "it"):
        flags = ["imagenet", "--source", source, "--out", tmp_path / "out"]
        status, err = refused(capsys, *flags, main=prepare.main)
    assert (status, "out is in use by another process" in err) == (2, True)
    photographs.prepare(source, tmp_path / "out", jobs=1)
    assert not (tmp_path / "out" / photographs.LOCK).exists()
