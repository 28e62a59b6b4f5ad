"""Sets in memory and batches of them: every example once, the same every time, on a thread."""

import struct
import threading
from functools import partial

import numpy as np
import pytest

from command import InputError
from data import records
from data.records import Images, load, number_of_batches, prefetch, split, train_batches
from tests.record_files import (
    SHARED_DATA,
    encoded,
    patch,
    random_pixels,
    write_random_rec,
    write_rec,
)

PLAIN = {"mean": (0, 0, 0), "std": (1, 1, 1)}


def numbered(count, classes=10):
    """Images whose first two bytes tell their number, so that they are found again in a batch."""
    pixels = np.zeros((count, 3, 4, 4), np.uint8)
    pixels[:, 0, 0, 0], pixels[:, 1, 0, 0] = np.divmod(np.arange(count), 256)
    return Images(pixels, (np.arange(count) % classes).astype(np.int32))


def numbers(batch):
    found = (batch.images[:, 0, 0, 0] * 256 + batch.images[:, 1, 0, 0]).astype(int)
    np.testing.assert_array_equal(batch.labels, found % 10)  # labels went along
    return found.tolist()


def epoch(images, batch_size, augmentation="none", seed=1, epoch=0, shard=0, num_shards=1):
    return train_batches(
        images,
        batch_size,
        augmentation=augmentation,
        seed=seed,
        epoch=epoch,
        shard=shard,
        num_shards=num_shards,
        **PLAIN,
    )


def test_load(tmp_path):
    pixels, labels, _ = write_random_rec(tmp_path / "a.rec", 17)
    images = load(tmp_path / "a.rec", 3)
    assert len(images) == 17
    assert (images.pixels.dtype, images.labels.dtype) == (np.uint8, np.int32)
    np.testing.assert_array_equal(images.pixels, pixels.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(images.labels, labels)


def test_load_makes_grey_rgb(tmp_path):
    grey = random_pixels(2)[..., 0]
    write_rec(tmp_path / "a.rec", [0, 1], [encoded(grey[0]), encoded(grey[1], "BMP")])
    images = load(tmp_path / "a.rec")
    np.testing.assert_array_equal(images.pixels, np.stack([grey] * 3, 1))


def test_load_real_images():
    path = SHARED_DATA / "cifar10" / "test.rec"
    if not path.exists():
        pytest.skip("the shared data is not here")
    images = load(path, 10)
    assert images.pixels.shape == (10_000, 3, 32, 32)
    assert np.bincount(images.labels).tolist() == [1000] * 10
    # The official mean of the test set, RGB, in this order.
    np.testing.assert_allclose(images.pixels.mean((0, 2, 3)), (126.0, 123.7, 114.9), atol=1)


def bad_framing(path, offsets):
    patch(path, offsets[4], b"\0")
    return "record 4: no magic number"


def bad_label(path, offsets):
    patch(path, offsets[4] + 12, struct.pack("<f", 3))
    return "record 4: its label 3 is outside 0 to 2"


def bad_image(path, offsets):
    patch(path, offsets[4] + 8 + 24 + 700, b"damaged")
    return "record 4: its image is damaged"


def no_image(path, offsets):
    patch(path, offsets[4] + 8 + 24, b"\0" * 50)
    return "record 4: its image is not a PNG"


def swallowed_record(path, offsets):
    path.with_suffix(".idx").unlink()
    patch(path, offsets[4] + 4, struct.pack("<I", offsets[6] - offsets[4] - 8))
    return "record 4: its length is wrong"


def cut(path, offsets):
    path.write_bytes(path.read_bytes()[: offsets[4] + 100])
    return "record 4: cut short"


@pytest.mark.parametrize(
    "damage", [bad_framing, bad_label, bad_image, no_image, swallowed_record, cut]
)
def test_load_names_the_first_bad_record(tmp_path, damage):
    path = tmp_path / "a.rec"
    _, _, offsets = write_random_rec(path, 9)
    expected = damage(path, offsets)
    with pytest.raises(InputError) as error:
        load(path, 3)
    assert f"{path}: {expected}" in str(error.value)
    assert f"`python -m data.verify {path}` lists all bad records" in str(error.value)


def test_load_refuses_other_sizes(tmp_path):
    write_random_rec(tmp_path / "a.rec", 3, size=40)
    with pytest.raises(InputError, match="record 0: its image is 40x40, but must be 32x32"):
        load(tmp_path / "a.rec")
    assert load(tmp_path / "a.rec", size=40).pixels.shape == (3, 3, 40, 40)


def test_split_is_stratified_and_complete():
    images = numbered(1000)
    images = Images(images.pixels, np.repeat([0, 1, 2], [700, 200, 100]).astype(np.int32))
    train, held_out = split(images, 100)
    assert np.bincount(held_out.labels).tolist() == [70, 20, 10]
    assert len(train) == 900
    both = np.concatenate([train.pixels, held_out.pixels])
    assert len(np.unique(both.reshape(1000, -1), axis=0)) == 1000
    again = split(images, 100)[1]
    np.testing.assert_array_equal(held_out.pixels, again.pixels)
    assert not (held_out.pixels == images.pixels[:100]).all()


@pytest.mark.parametrize("count", [1, 2, 7, 11, 99])
def test_split_gives_exactly_the_count(count):
    train, held_out = split(numbered(100, classes=7), count)
    assert (len(train), len(held_out)) == (100 - count, count)
    shares = np.bincount(held_out.labels, minlength=7)
    assert shares.max() - shares.min() <= 1


@pytest.mark.parametrize("count, held_out", [(5, [3, 2, 0, 0, 0, 0]), (15, [7, 7, 1, 0, 0, 0])])
def test_a_class_keeps_its_last_example(count, held_out):
    labels = np.repeat(np.arange(6, dtype=np.int32), [8, 8, 1, 1, 1, 1])
    images = Images(numbered(20).pixels, labels)
    assert np.bincount(split(images, count)[1].labels, minlength=6).tolist() == held_out


@pytest.mark.parametrize("count", [0, -1, 100, 101])
def test_split_refuses_impossible_counts(count):
    with pytest.raises(InputError, match="hold out 1 to 99"):
        split(numbered(100), count)


@pytest.mark.parametrize("count, batch_size", [(100, 10), (103, 10), (5, 10), (1, 1), (1000, 64)])
def test_an_epoch_has_every_example_once(count, batch_size):
    images = numbered(count)
    for batches in (epoch(images, batch_size), records.test_batches(images, batch_size, **PLAIN)):
        batches = list(batches)
        assert len(batches) == number_of_batches(count, batch_size) == -(-count // batch_size)
        assert all(len(batch) == batch_size for batch in batches[:-1])
        assert sorted(sum(map(numbers, batches), [])) == list(range(count))


def test_test_batches_keep_the_order():
    batches = records.test_batches(numbered(50), 8, **PLAIN)
    assert sum(map(numbers, batches), []) == list(range(50))


@pytest.mark.parametrize("num_shards", [1, 2, 3, 7])
@pytest.mark.parametrize("batch_size", [1, 4, 16])
@pytest.mark.parametrize("count", [7, 8, 33, 64, 65, 100])
def test_shards_are_disjoint_and_have_as_many_batches(count, batch_size, num_shards):
    images = numbered(count)
    for make in (partial(records.test_batches, **PLAIN), epoch):
        shards = [
            list(make(images, batch_size, shard=shard, num_shards=num_shards))
            for shard in range(num_shards)
        ]
        steps = number_of_batches(count, batch_size, num_shards)
        assert {len(shard) for shard in shards} == {steps}
        sizes = [len(batch) for shard in shards for batch in shard]
        assert min(sizes) >= 1 and max(sizes) <= batch_size + 1
        found = [number for shard in shards for batch in shard for number in numbers(batch)]
        assert sorted(found) == list(range(count))
    for batches in zip(*shards):  # in training
        assert {batch.total for batch in batches} == {sum(map(len, batches))}


def test_batches_of_all_shards_are_the_batches_of_one():
    images = numbered(100)
    whole = [numbers(batch) for batch in epoch(images, 16)]
    shards = [[numbers(batch) for batch in epoch(images, 8, shard=p, num_shards=2)] for p in (0, 1)]
    assert [first + second for first, second in zip(*shards)] == whole


def test_impossible_batches():
    with pytest.raises(InputError, match="too few for 3 shards"):
        number_of_batches(2, 10, 3)
    with pytest.raises(InputError, match="a batch of 0"):
        number_of_batches(10, 0)


def test_order_follows_seed_and_epoch():
    images = numbered(300)

    def order(**kwargs):
        return sum(map(numbers, epoch(images, 64, **kwargs)), [])

    assert order(seed=1, epoch=2) == order(seed=1, epoch=2)
    different = [order(seed=1, epoch=2), order(seed=1, epoch=3), order(seed=2, epoch=2)]
    assert len(set(map(tuple, different))) == 3
    assert list(range(300)) not in different


def test_pixels_follow_seed_epoch_and_part():
    images = Images(random_pixels(40).transpose(0, 3, 1, 2), np.zeros(40, np.int32))

    def pixels(**kwargs):
        return np.concatenate([batch.images for batch in epoch(images, 8, "+", **kwargs)])

    np.testing.assert_array_equal(pixels(seed=1, epoch=2), pixels(seed=1, epoch=2))
    assert (pixels(seed=1, epoch=2) != pixels(seed=1, epoch=3)).any()
    assert (pixels(seed=1, epoch=2) != pixels(seed=2, epoch=2)).any()
    # The shards' augmentations are not copies of each other, nor of the shuffle's numbers.
    same = Images(np.repeat(images.pixels[:1], 40, 0), images.labels)
    first, second = (
        next(epoch(same, 20, "+", shard=shard, num_shards=2)).images for shard in (0, 1)
    )
    assert (first != second).any()


@pytest.mark.parametrize("augmentation", ["none", "+", "++"])
def test_batches_are_normalised_float32(augmentation):
    images = Images(random_pixels(10).transpose(0, 3, 1, 2), np.zeros(10, np.int32))
    mean, std = (120, 130, 140), (60, 70, 80)
    batch = next(
        train_batches(images, 10, mean=mean, std=std, augmentation=augmentation, seed=0, epoch=0)
    )
    assert batch.images.dtype == np.float32 and batch.images.flags.c_contiguous
    assert abs(batch.images.mean()) < 0.5 and 0.8 < batch.images.std() < 1.5
    assert batch.labels.dtype == np.int32


def threads():
    return {thread for thread in threading.enumerate() if thread.is_alive()}


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_prefetch_keeps_the_order_and_ends_its_thread(depth):
    before = threads()
    assert list(prefetch(iter(range(1, 100)), depth)) == list(range(1, 100))
    assert list(prefetch(iter(()), depth)) == []
    assert threads() == before


def test_prefetch_runs_ahead_but_not_far():
    made = []
    ahead = threading.Event()

    def batches():
        for number in range(100):
            made.append(number)
            if number == 3:
                ahead.set()
            yield number

    stream = prefetch(batches(), depth=3)
    assert next(stream) == 0
    assert ahead.wait(10)  # 1, 2 and 3 are made though nobody asked
    stream.close()
    assert len(made) <= 6


def test_prefetch_hands_exceptions_on_after_what_came_before():
    def batches():
        yield 1
        yield 2
        raise InputError("no more")

    before = threads()
    stream = prefetch(batches())
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(InputError, match="no more"):
        next(stream)
    assert threads() == before


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_a_consumer_that_stops_early_leaves_no_thread(taken):
    def endless():
        number = 0
        while True:
            yield number
            number += 1

    before = threads()
    stream = prefetch(endless())
    for _ in range(taken):
        next(stream)
    stream.close()
    assert threads() == before
