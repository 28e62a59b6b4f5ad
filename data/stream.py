"""Make batches of photographs with mx.io.ImageRecordIter over a .rec file, which decodes them.

The training augmentation "imagenet" is deep fusion's, which is that of MXNet's examples. For images
S x S (``size``; 224 in the papers), all lengths are multiplied by S / 224:

- shorter side 480 (larger images are reduced, smaller ones enlarged), scaled by 0.533 to 1, which
  is a shorter side of 256 to 480;
- height over width changed by a factor of 0.75 to 1.25, while the sum of both scales stays;
- a crop of S x S anywhere, mirrored with probability 1/2;
- hue +-36, saturation and lightness +-50 (OpenCV's HLS of bytes).

"crop" is only a random crop at shorter side 256 and the mirror; "none" changes nothing. Testing,
and "none", use the centre crop at shorter side 256.

Differences from the paper, whose own program also was ImageRecordIter with these options:

- Where a changed aspect makes a side shorter, the picture is filled up with grey (FILL) before it
  is cropped, because the iterator takes one number for all channels. About a fifth of the crops
  have some grey at a border.
- With ``seed_aug``, the iterator derives an augmentation from an image's position in its batch;
  only this makes the pixels independent of the number of threads. To have more different
  augmentations in an epoch, the iterator's batches have at least CHUNK images and are cut up here.
"""

import zlib
from dataclasses import dataclass, field
from pathlib import Path

import mxnet as mx
import numpy as np

from command import InputError, last_line
from data.augment import normalize
from data.checks import (
    bad_record,
    check,
    check_images,
    describe_state,
    index_path,
    verify_command,
)
from data.recordio import read_records
from data.records import Batch, number_of_batches
from filesystem import plain_path
from hardware import cores

# Per channel (RGB), 0 to 255: the values of the deep fusion project for ImageNet.
MEAN, STD = (123.370, 112.757, 99.406), (68.998, 66.093, 68.292)
FILL = 112  # the mean of MEAN
PAPER_SIZE, LONG, SHORT = 224, 480, 256  # crop, shorter side in training, in testing
CHUNK = 512
BILINEAR = 1  # MXNet's number for this interpolation
CENTRE = 4  # position among the ten crops
RANDOM_CROP = {"rand_crop": True, "rand_mirror": True}
SCALES = {"min_random_scale": 0.533, "max_random_scale": 1.0, "max_aspect_ratio": 0.25}
COLOURS = {"random_h": 36, "random_s": 50, "random_l": 50}
# Shorter side, and options of the iterator.
AUGMENTATIONS = {
    "none": (SHORT, {}),
    "crop": (SHORT, RANDOM_CROP),
    "imagenet": (LONG, {**RANDOM_CROP, **SCALES, **COLOURS}),
}
AUG_TYPES = tuple(AUGMENTATIONS)  # --aug-type 0, 1, 2


@dataclass(frozen=True)
class PhotographFile:
    """The .rec file ``path``, which has been checked, with the .idx beside it.

    ``labels`` are int64 (N,), in the order of the file.
    """

    path: Path
    size: int  # height and width that images are cropped to
    labels: np.ndarray = field(repr=False)
    state: str = field(repr=False)  # of the file when it was checked; see checks.describe_state

    def __len__(self):
        return len(self.labels)

    def facts(self):
        """Return the number of examples and a checksum of their labels and positions."""
        places = zlib.crc32(index_path(self.path).read_bytes())
        return {"examples": len(self), "crc32": zlib.crc32(self.labels, places)}


def load(path, classes, size):
    """Return the PhotographFile of the .rec ``path``, labels 0 to ``classes - 1``.

    Raises:
        InputError: the file is damaged, or has no .idx or an image that cannot be decoded; MXNet,
            which would abort, does not read it then.
    """
    if not index_path(path).exists():
        raise InputError(
            f"there is no {index_path(path)}, which has the positions of the records and is needed "
            "to shuffle them: python -m data.prepare imagenet makes both"
        )
    state = describe_state(path)
    labels = check(path, classes)
    check_images(path)
    return PhotographFile(Path(path), size, labels, state)


def _require_unchanged(photographs):
    """Raise an InputError if the file was replaced after it was checked.

    Every epoch opens it again, and MXNet would abort or read other images.
    """
    if describe_state(photographs.path) != photographs.state:
        raise InputError(
            f"{photographs.path} has been changed since this program checked it: start it again"
        )


def train_batches(photographs, batch_size, *, augmentation, seed, epoch, shard=0, num_shards=1):
    """Yield the Batches of ``shard`` of ``num_shards`` in one epoch; every example is in only one.

    The order of a shard's examples, and their augmentation, depend on (seed, epoch, shard). Shard k
    has the k-th of ``num_shards`` parts of the file, rounded up. All shards have
    ``records.number_of_batches`` batches; if the numbers do not divide, the last ones differ in
    size.

    Raises:
        InputError: there are too few examples for so many shards.
    """
    side, options = AUGMENTATIONS[augmentation]
    seeds = np.random.SeedSequence((seed, epoch, shard)).generate_state(2) % 2**31
    random = {"shuffle": True, "seed": int(seeds[0]), "seed_aug": int(seeds[1])}
    return _batches(photographs, batch_size, side, shard, num_shards, **random, **options)


def test_batches(photographs, batch_size, shard=0, num_shards=1):
    """Yield Batches of every example's centre crop once, in the order of the file.

    Of several shards, each has a part of the file; see ``train_batches``.
    """
    return _batches(photographs, batch_size, SHORT, shard, num_shards)


def ten_crop_batches(photographs, batch_size):
    """Yield Batches of ten successive crops of every example, in the order of the file.

    They are its corners, its centre, and these five mirrored. A batch has ten images or more, and
    at most ``batch_size`` if that is possible.
    """
    _require_unchanged(photographs)
    crops = []
    for record in read_records(photographs.path):
        if record.problem:
            raise bad_record(photographs.path, record.index, record.problem)
        try:
            image = mx.image.imdecode(record.image)
        except mx.MXNetError:
            raise bad_record(photographs.path, record.index, "it cannot be decoded") from None
        crops.append(ten_crops(_shortened(image, photographs.size), photographs.size))
        last = record.index + 1 == len(photographs)
        if last or 10 * (len(crops) + 1) > batch_size:
            pixels = np.concatenate(crops).transpose(0, 3, 1, 2)
            labels = photographs.labels[record.index + 1 - len(crops) : record.index + 1]
            yield Batch(normalize(pixels, MEAN, STD), np.repeat(labels, 10).astype(np.int32))
            crops = []


def centre(data, size):
    """Return an encoded image as in ``test_batches``: float32 (3, size, size)."""
    crops = ten_crops(_shortened(mx.image.imdecode(data), size), size)
    return normalize(crops[CENTRE][None].transpose(0, 3, 1, 2), MEAN, STD)[0]


def _shortened(image, size):
    """Return an image as an array, with its shorter side resized as in testing."""
    return mx.image.resize_short(image, _side(size, SHORT), interp=BILINEAR).asnumpy()


def ten_crops(image, size):
    """Return the corners, the centre and these five mirrored, (10, size, size, channels)."""
    bottom, right = image.shape[0] - size, image.shape[1] - size
    places = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
    crops = np.stack([image[y : y + size, x : x + size] for y, x in places])
    return np.concatenate([crops, crops[:, :, ::-1]])


def _side(size, side):
    """Return the shorter side for crops of ``size``; ``side`` is the one for PAPER_SIZE."""
    return round(side * size / PAPER_SIZE)


def _batch_sizes(count, batch_size, num_shards):
    """Return the sizes of every shard's batches: the same number of batches, and none empty."""
    batches, each = number_of_batches(count, batch_size, num_shards), -(-count // num_shards)
    shares = []
    for shard in range(num_shards):
        left = min(each, count - shard * each)
        if left < batches:
            raise InputError(
                f"{count} photographs are too few for {num_shards} shards of {batches} batches: "
                "use fewer workers"
            )
        sizes = []
        for after in range(batches - 1, 0, -1):
            sizes.append(min(batch_size, left - after))
            left -= sizes[-1]
        shares.append([*sizes, left])
    return shares


def _cut(chunks, sizes):
    """Yield (pixels, labels) with ``sizes`` images each, cut from an iterator's larger batches."""
    pixels, labels = [], []
    for size in sizes:
        while len(labels) < size:
            chunk = next(chunks, None)
            if chunk is None:
                return
            more = chunk.data[0].asnumpy(), chunk.label[0].asnumpy()
            pixels = np.concatenate([pixels, more[0]]) if len(labels) else more[0]
            labels = np.concatenate([labels, more[1]]) if len(labels) else more[1]
        yield pixels[:size], labels[:size]
        pixels, labels = pixels[size:], labels[size:]


def _batches(photographs, batch_size, side, shard=0, num_shards=1, **options):
    """Yield Batches from an iterator over a shard of the file."""
    _require_unchanged(photographs)
    shares = _batch_sizes(len(photographs), batch_size, num_shards)
    left, path = sum(shares[shard]), photographs.path
    options.update(batch_size=batch_size * -(-min(CHUNK, left) // batch_size))
    options.update(part_index=shard, num_parts=num_shards)
    try:
        with plain_path(path) as plain:
            chunks = _open_iterator(plain, photographs.size, side, **options)
            totals = map(sum, zip(*shares))
            for (pixels, labels), total in zip(_cut(chunks, shares[shard]), totals):
                yield Batch(normalize(pixels, MEAN, STD), labels.astype(np.int32), total)
                left -= len(labels)
    except mx.MXNetError as error:
        reason = last_line(error)
        raise InputError(
            f"{path} cannot be read ({reason}); `{verify_command(path)}` lists bad records"
        ) from None
    if left:
        raise InputError(f"{path} gave {left} images fewer than it has records")


def _open_iterator(path, size, side, **options):
    """Return MXNet's iterator over the .rec file ``path`` with the .idx beside it."""
    return mx.io.ImageRecordUInt8Iter(
        path_imgrec=path,
        path_imgidx=str(index_path(path)),
        data_shape=(3, size, size),
        resize=_side(size, side),
        inter_method=BILINEAR,
        fill_value=FILL,
        round_batch=False,  # the last batch is padded; this module counts the images
        preprocess_threads=cores(),  # MXNet uses less than half of them
        prefetch_buffer=1,
        verbose=False,
        **options,
    )
