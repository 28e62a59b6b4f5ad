"""Reading .rec files: as MXNet wrote them, and damaged in every way."""

import struct

import mxnet as mx
import numpy as np
import pytest

from command import InputError
from data.recordio import MAGIC, read_records
from tests.record_files import SHARED_DATA, patch, write_random_rec, write_rec

MAGIC_BYTES = struct.pack("<I", MAGIC)


@pytest.fixture
def rec(tmp_path):
    """A sound file of six records, and where they begin."""
    path = tmp_path / "six.rec"
    _, _, offsets = write_random_rec(path, 6)
    return path, offsets


def problems(path, **kwargs):
    """Index and problem of each bad record of ``path``, and the offsets of the good ones."""
    records = list(read_records(path, **kwargs))
    assert [record.index for record in records] == list(range(len(records)))
    return (
        [(record.index, record.problem) for record in records if record.problem],
        [record.offset for record in records if not record.problem],
    )


def test_reads_what_mxnet_wrote(tmp_path):
    path = tmp_path / "a.rec"
    images = [b"x" * length for length in range(1, 30)]
    offsets = write_rec(path, range(29), images)
    records = list(read_records(path))
    assert [record.image for record in records] == images
    assert [record.labels for record in records] == [(float(label),) for label in range(29)]
    assert [record.offset for record in records] == offsets
    assert not any(record.problem for record in records)


def test_reads_several_labels(tmp_path):
    path = tmp_path / "a.rec"
    write_rec(path, [np.array([1, 2.5, 3])], [b"image"])
    (record,) = read_records(path)
    assert record.labels == (1, 2.5, 3) and record.image == b"image"


@pytest.mark.parametrize("lead", range(4))
def test_joins_records_that_contain_the_magic_number(tmp_path, lead):
    path = tmp_path / "a.rec"
    images = [b"-" * lead + MAGIC_BYTES * 3 + b"middle!!" + MAGIC_BYTES, b"second"]
    write_rec(path, [1, 2], images)
    assert [record.image for record in read_records(path)] == images
    assert problems(path) == problems(path, images=False)
    assert problems(path)[0] == []


def test_headers_alone_say_the_same(rec):
    path, _ = rec
    with_images, without = list(read_records(path)), list(read_records(path, images=False))
    assert [record._replace(image=b"") for record in with_images] == without


def test_reads_real_files_as_mxnet_does():
    path = SHARED_DATA / "cifar10" / "test.rec"
    if not path.exists():
        pytest.skip("the shared data is not here")
    reader = mx.recordio.MXRecordIO(str(path), "r")
    count = 0
    for record in read_records(path):
        header, image = mx.recordio.unpack(reader.read())
        assert (record.labels, record.image) == ((header.label,), image)
        count += 1
    assert count == 10_000


def test_broken_magic_number_costs_one_record(rec):
    path, offsets = rec
    patch(path, offsets[2], b"\0")
    ((index, problem),), good = problems(path)
    assert index == 2 and "magic number" in problem
    assert good == offsets[:2] + offsets[3:]


@pytest.mark.parametrize("images", [True, False])
@pytest.mark.parametrize("change", [-400, -4, 4, 400, 5000, 1 << 28])
def test_wrong_length_costs_one_record(rec, change, images):
    path, offsets = rec
    length = struct.unpack("<I", path.read_bytes()[offsets[1] + 4 : offsets[1] + 8])[0]
    patch(path, offsets[1] + 4, struct.pack("<I", length + change))
    bad, good = problems(path, images=images)
    if change < 0:  # the record looks whole but shorter; where it ends there is no other
        assert offsets[2:] == good[2:] and len(bad) == 1 and bad[0][0] == 2
    else:
        assert [index for index, _ in bad] == [1]
        assert good == [offsets[0]] + offsets[2:]


def test_a_length_that_swallows_the_next_record_exactly_is_seen(rec):
    path, offsets = rec
    patch(path, offsets[1] + 4, struct.pack("<I", offsets[3] - offsets[1] - 8))
    ((index, problem),), good = problems(path)
    assert index == 1 and "another record begins inside" in problem
    assert good == [offsets[0]] + offsets[2:]


def test_every_truncation_is_one_problem_at_the_end(rec):
    path, offsets = rec
    whole = path.read_bytes()
    for cut in list(range(1, 60)) + [1000, 3000]:
        path.write_bytes(whole[:-cut])
        bad, good = problems(path)
        assert len(bad) == 1 and bad[0][0] == 5, cut
        assert good == offsets[:5]


def test_truncation_of_less_than_a_record_start(rec):
    path, offsets = rec
    path.write_bytes(path.read_bytes()[: offsets[5] + 5])
    ((index, problem),), good = problems(path)
    assert (index, problem) == (5, "the file ends 5 bytes into its start")


def test_several_bad_records_are_all_found(rec):
    path, offsets = rec
    patch(path, offsets[0] + 1, b"?")
    patch(path, offsets[2] + 8, struct.pack("<I", 1 << 30))  # flag: a billion labels
    patch(path, offsets[4] + 4, struct.pack("<I", 7 << 29 | 40))
    bad, good = problems(path)
    assert [index for index, _ in bad] == [0, 2, 4]
    assert "labels" in bad[1][1] and "out of order" in bad[2][1]
    assert good == offsets[1::2]


def test_pieces_out_of_order(tmp_path):
    def piece(part, payload):
        return struct.pack("<II", MAGIC, part << 29 | len(payload)) + payload

    header = struct.pack("<IfQQ", 0, 1, 0, 0)
    sound = piece(0, header + b"fine")
    path = tmp_path / "a.rec"
    for wrong in (
        piece(2, b"1234"),
        piece(3, b"1234"),
        piece(1, header + b"1234"),
        piece(1, header + b"1234") + piece(2, b"5678"),
        piece(5, header + b"1234"),
    ):
        path.write_bytes(wrong + sound)
        bad, good = problems(path)
        assert [index for index, _ in bad] == [0]
        assert good == [len(wrong)]


def test_short_headers_and_missing_images(tmp_path):
    path = tmp_path / "a.rec"
    writer = mx.recordio.MXRecordIO(str(path), "w")
    writer.write(b"short")
    writer.write(struct.pack("<IfQQ", 0, 1, 0, 0))
    writer.write(struct.pack("<IfQQf", 2, 1, 0, 0, 5))
    writer.write(b"")
    writer.close()
    bad, good = problems(path)
    assert [index for index, _ in bad] == [0, 1, 2, 3] and good == []
    reasons = [problem for _, problem in bad]
    assert "cut short" in reasons[0] and "no image" in reasons[1] and "2 labels" in reasons[2]


def test_random_damage_never_raises(rec):
    path, _ = rec
    whole = path.read_bytes()
    rng = np.random.RandomState(0)
    for _ in range(200):
        damaged = bytearray(whole)
        for place in rng.randint(0, len(damaged), 5):
            damaged[place] = rng.randint(256)
        path.write_bytes(damaged[: rng.randint(1, len(damaged))])
        assert len(list(read_records(path))) < 30


@pytest.mark.parametrize(
    "content", [b"\0", b"\0" * 4000, b"\xff\xd8\xff\xe0 no record file", b"abc"]
)
def test_other_files_are_one_bad_record(tmp_path, content):
    path = tmp_path / "a.rec"
    path.write_bytes(content)
    assert len(list(read_records(path))) == 1
    assert problems(path)[0][0][0] == 0


def test_files_that_cannot_be_read(tmp_path):
    for path in (tmp_path / "none.rec", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            list(read_records(path))
    empty = tmp_path / "empty.rec"
    empty.touch()
    with pytest.raises(InputError, match="is empty"):
        list(read_records(empty))
