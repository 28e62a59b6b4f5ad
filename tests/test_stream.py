"""Photographs as a stream: every one counts once, and the same seed gives the same pixels."""

import struct
import zlib

import numpy as np
import pytest

from command import InputError
from data import checks, images, stream
from data.records import number_of_batches
from tests.photo_files import file_of, picture, write_photographs
from tests.record_files import patch, write_rec


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """53 of them, each of a class of its own."""
    folder = write_photographs(tmp_path_factory.mktemp("photographs"), classes=53)
    return stream.load(folder / "train.rec", 53, 32)


def train(photographs, batch_size=8, seed=0, epoch=1, augmentation="imagenet", **shard):
    how = {"augmentation": augmentation, "seed": seed, "epoch": epoch, **shard}
    return list(stream.train_batches(photographs, batch_size, **how))


def labels(batches):
    return np.concatenate([batch.labels for batch in batches])


def pixels(batches):
    return np.concatenate([batch.images for batch in batches])


@pytest.mark.parametrize("batch_size", [1, 8, 13, 53, 64, 1000])
@pytest.mark.parametrize("chunk", [10, 512])
def test_every_example_counts_once_whatever_the_batch_size(
    photographs, batch_size, chunk, monkeypatch
):
    monkeypatch.setattr(stream, "CHUNK", chunk)
    for batches in (
        train(photographs, batch_size),
        list(stream.test_batches(photographs, batch_size)),
    ):
        sizes = [len(batch) for batch in batches]
        assert sizes[:-1] == [batch_size] * (len(sizes) - 1) and sum(sizes) == 53
        assert sorted(labels(batches)) == list(range(53))
        assert pixels(batches).shape == (53, 3, 32, 32)


@pytest.mark.parametrize("num_shards", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 9, 13, 26, 100])
@pytest.mark.parametrize("chunk", [10, 512])
def test_shards_are_disjoint_and_have_as_many_batches(
    photographs, batch_size, num_shards, chunk, monkeypatch
):
    monkeypatch.setattr(stream, "CHUNK", chunk)
    shards = [
        train(photographs, batch_size, shard=shard, num_shards=num_shards)
        for shard in range(num_shards)
    ]
    assert {len(shard) for shard in shards} == {number_of_batches(53, batch_size, num_shards)}
    sizes = [len(batch) for shard in shards for batch in shard]
    assert min(sizes) >= 1 and max(sizes) <= batch_size + 1
    assert sorted(np.concatenate([labels(shard) for shard in shards])) == list(range(53))
    for batches in zip(*shards):  # that of every shard
        assert {batch.total for batch in batches} == {sum(map(len, batches))}
    shards = [
        stream.test_batches(photographs, batch_size, k, num_shards) for k in range(num_shards)
    ]
    assert np.concatenate(list(map(labels, shards))).tolist() == list(range(53))


def test_shards_are_augmented_differently(tmp_path):
    write_rec(tmp_path / "same.rec", [0] * 24, [file_of(picture(60, 40))] * 24)
    same = stream.load(tmp_path / "same.rec", 1, 32)
    first, second = (pixels(train(same, 12, shard=shard, num_shards=2)) for shard in (0, 1))
    assert (first != second).any(axis=(1, 2, 3)).all()


def test_too_few_for_so_many_shards(photographs):
    with pytest.raises(InputError, match="53 photographs are too few for 10 shards"):
        train(photographs, 1, shard=0, num_shards=10)


def test_order_and_pixels_follow_from_seed_and_epoch(photographs):
    ours, same = train(photographs), train(photographs)
    assert (labels(ours) == labels(same)).all() and (pixels(ours) == pixels(same)).all()
    for other in (train(photographs, seed=1), train(photographs, epoch=2)):
        assert (labels(ours) != labels(other)).any()
        by_label = pixels(ours)[np.argsort(labels(ours))], pixels(other)[np.argsort(labels(other))]
        different = (by_label[0] != by_label[1]).any(axis=(1, 2, 3))
        assert different.mean() > 0.9


def test_the_whole_file_is_shuffled(photographs):
    order = labels(train(photographs))
    assert np.abs(np.diff(order)).mean() > 10


def test_batches_of_an_epoch_are_augmented_differently(tmp_path):
    """The same image over and over: the iterator alone would repeat itself every batch."""
    write_rec(tmp_path / "same.rec", [0] * 24, [file_of(picture(60, 40))] * 24)
    images = pixels(train(stream.load(tmp_path / "same.rec", 1, 32), batch_size=4))
    assert len({image.tobytes() for image in images}) == 24


def test_without_augmentation_it_is_the_centre_and_crops_are_anywhere(tmp_path):
    write_rec(tmp_path / "a.rec", [0] * 64, [file_of(picture(80, 40))] * 64)
    photographs = stream.load(tmp_path / "a.rec", 1, 32)
    none, crop = (pixels(train(photographs, augmentation=name)) for name in ("none", "crop"))
    assert (none == pixels(stream.test_batches(photographs, 8))).all()
    assert len({image.tobytes() for image in crop}) > 20


def test_ten_crops_are_corners_centre_and_mirrors():
    image = np.arange(5 * 7).reshape(5, 7, 1)
    crops = stream.ten_crops(image, 3)[..., 0]
    assert crops.shape == (10, 3, 3)
    assert crops[:5, 0, 0].tolist() == [0, 4, 14, 18, 9]
    assert (crops[5:] == crops[:5, :, ::-1]).all()


@pytest.mark.parametrize("batch_size", [1, 25, 64, 1000])
def test_of_ten_crops_the_fifth_is_the_centre(photographs, batch_size):
    batches = list(stream.ten_crop_batches(photographs, batch_size))
    assert all(len(batch) == max(batch_size // 10, 1) * 10 for batch in batches[:-1])
    assert (labels(batches) == np.repeat(np.arange(53), 10)).all()
    ten = pixels(batches).reshape(53, 10, 3, 32, 32)
    centres = pixels(list(stream.test_batches(photographs, 8)))
    assert np.abs(ten[:, 4] - centres).max() < 0.1
    assert (ten[:, 9] == ten[:, 4][..., ::-1]).all()


def test_a_damaged_file_never_reaches_mxnet(tmp_path):
    write_photographs(tmp_path)
    with pytest.raises(InputError, match="outside 0 to 0"):
        stream.load(tmp_path / "train.rec", 1, 32)
    whole = (tmp_path / "train.rec").read_bytes()
    (tmp_path / "train.rec").write_bytes(whole[:-20])
    with pytest.raises(InputError, match="record 52: cut short"):
        stream.load(tmp_path / "train.rec", 2, 32)
    (tmp_path / "val.idx").unlink()
    with pytest.raises(InputError, match="there is no .*val.idx"):
        stream.load(tmp_path / "val.rec", 2, 32)


@pytest.mark.parametrize("image", [bytes(100), b"\xff\xd8 no JPEG", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_never_reaches_mxnet(tmp_path, image):
    images = [file_of(picture(60, 40)), file_of(picture(60, 40), "PNG"), image]
    write_rec(tmp_path / "a.rec", [0] * 3, images)
    with pytest.raises(InputError, match="record 2: its image is"):
        stream.load(tmp_path / "a.rec", 1, 32)


def test_a_long_comment_before_the_picture_is_no_damage(tmp_path):
    image = file_of(picture(60, 40), comment=b"x" * 5000)
    write_rec(tmp_path / "a.rec", [0] * 3, [image] * 3)
    assert len(labels(stream.test_batches(stream.load(tmp_path / "a.rec", 1, 32), 2))) == 3


def test_facts_tell_files_apart(tmp_path, photographs):
    write_photographs(tmp_path, train=53, classes=2)
    facts = stream.load(tmp_path / "train.rec", 2, 32).facts()
    assert facts["examples"] == 53
    assert facts != photographs.facts()


def announced(kind, side):
    """An image of a few bytes that claims to have ``side`` x ``side`` pixels."""
    data = file_of(picture(32, 32), kind)
    if kind == "JPEG":
        frame = data.index(b"\xff\xc0")
        return data[: frame + 5] + struct.pack(">HH", side, side) + data[frame + 9 :]
    if kind == "BMP":
        return data[:18] + struct.pack("<ii", side, side) + data[26:]
    header = b"IHDR" + struct.pack(">II", side, side) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
def test_an_image_that_claims_to_be_huge_never_reaches_mxnet(tmp_path, kind):
    write_rec(tmp_path / "a.rec", [0, 0], [file_of(picture(60, 40)), announced(kind, 60_000)])
    with pytest.raises(InputError, match="record 1: .*decompression bomb"):
        stream.load(tmp_path / "a.rec", 1, 32)


def test_what_is_found_sound_is_not_decoded_again_until_it_changes(tmp_path, monkeypatch):
    decoded = []

    def open_image(data, reduced):
        decoded.append(data)
        return images.open_image(data, reduced)

    monkeypatch.setattr(checks, "open_image", open_image)
    path = write_photographs(tmp_path, train=300) / "train.rec"
    for _ in range(2):
        assert len(stream.load(path, 2, 32)) == 300
        assert len(decoded) == 300
    place = path.read_bytes().index(b"\xff\xdb")  # a table without which nothing is decoded
    patch(path, place, b"\0\0")
    with pytest.raises(InputError, match="record 0: its image cannot be decoded"):
        stream.load(path, 2, 32)
    assert len(decoded) > 300


def test_a_file_that_was_replaced_is_not_read(tmp_path):
    """Preparing a data set again replaces the files of a run that is training."""
    stored = stream.load(write_photographs(tmp_path, val=5) / "val.rec", 2, 32)
    assert sum(map(len, stream.test_batches(stored, 4))) == 5
    write_photographs(tmp_path, val=9)
    for read in (train, stream.test_batches, stream.ten_crop_batches):
        with pytest.raises(InputError, match="val.rec has been changed since"):
            list(read(stored, 40))


@pytest.mark.parametrize("name", ["a#b", "a?b=c", "a;b", "caf\udce9"])
def test_a_folder_of_any_name_is_read(tmp_path, name):
    write_photographs(tmp_path / "made", train=2, val=5).rename(tmp_path / name)
    stored = stream.load(tmp_path / name / "val.rec", 2, 32)
    assert sum(map(len, stream.test_batches(stored, 4))) == 5
    assert sum(map(len, stream.ten_crop_batches(stored, 40))) == 50
