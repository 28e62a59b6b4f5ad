"""Sources of a run's images: small images in memory, or photographs as a stream.

Both have the same interface: ``classes``, ``class_names``, ``size``, ``shorter_side``, ``mean``,
``std`` and ``augmentations``; ``load`` reads the images of a file, other methods make batches of
them, and ``picture`` converts any picture to such an image.
"""

import zlib
from dataclasses import replace
from functools import cached_property

from command import InputError
from data import augment, records, stream
from data.images import fit, read_file, read_image
from data.lists import read_classes
from data.photographs import convert, read_shorter_side


class SmallImages:
    """A data set of small images that is kept in memory.

    Args:
        spec: its DatasetSpec.
    """

    augmentations = augment.AUG_TYPES
    crops = (1,)
    shows_top5 = False

    def __init__(self, spec):
        self.classes, self.class_names = spec.classes, spec.class_names
        self.mean, self.std = spec.mean, spec.std
        self.size = self.shorter_side = spec.size

    def load(self, path):
        """Return the images of a .rec file."""
        return records.load(path, self.classes, self.size)

    def split(self, images, count):
        """Return ``images`` without ``count`` of them, and these held-out images."""
        return records.split(images, count)

    def sample(self, images, count):
        """Return ``count`` of ``images``, the same each time."""
        return self.split(images, count)[1]

    def cache_on_device(self, images, cache):
        """Return ``images`` with a cache that makes their batches on a device.

        Args:
            cache: see engine.base.Engine.cache_on_device.
        """
        return replace(images, on_device=cache(images.pixels, self.mean, self.std))

    def facts(self, images):
        """Return the number of images and their checksum."""
        checksum = zlib.crc32(images.labels, zlib.crc32(images.pixels))
        return {"examples": len(images), "crc32": checksum}

    def train_batches(self, images, batch_size, **how):
        """Return batches of training images; for ``how`` see ``data.records.train_batches``."""
        return records.train_batches(images, batch_size, **self._statistics, **how)

    def test_batches(self, images, batch_size, crops=1, **share):
        """Return batches of every example once, without augmentation; or a shard's share."""
        return records.test_batches(images, batch_size, **self._statistics, **share)

    def picture(self, path):
        """Return the centre of the picture at ``path``, resized: (3, size, size), normalised.

        Raises:
            InputError: the picture cannot be used.
        """
        pixels = fit(_opened(path, read_image), self.size).transpose(2, 0, 1)
        return augment.normalize(pixels[None], **self._statistics)[0]

    @property
    def _statistics(self):
        return {"mean": self.mean, "std": self.std}


class Photographs:
    """Photographs in the files of ``folder``, decoded when they are needed.

    Args:
        classes: number of labels.
        size: height and width of the network's input.
        shorter_side: to which pictures are reduced first, like the photographs in the files; None
            means as those in ``folder``.
    """

    augmentations = stream.AUG_TYPES
    mean, std = stream.MEAN, stream.STD
    crops = (1, 10)
    shows_top5 = True

    def __init__(self, folder, classes, size, shorter_side=None):
        self._folder, self.classes, self.size = folder, classes, size
        self._shorter_side = shorter_side

    @property
    def class_names(self):
        """Return the names of the classes, from the list in the folder."""
        return read_classes(self._folder)

    @cached_property
    def shorter_side(self):
        """Return the shorter side to which pictures are reduced first, in pixels."""
        return self._shorter_side or read_shorter_side(self._folder)

    def load(self, path):
        """Check a .rec file and return its images, which are not decoded yet."""
        return stream.load(path, self.classes, self.size)

    def sample(self, images, count):
        """Return the first ``count`` of ``images``; data.prepare shuffles training images."""
        return replace(images, labels=images.labels[:count])

    def cache_on_device(self, images, cache):
        """Return ``images`` unchanged: they are decoded when they are needed."""
        return images

    def facts(self, images):
        """Return the number of images and their checksum."""
        return images.facts()

    def train_batches(self, images, batch_size, **how):
        """Return batches of training images; for ``how`` see ``data.stream.train_batches``."""
        return stream.train_batches(images, batch_size, **how)

    def test_batches(self, images, batch_size, crops=1, **share):
        """Return batches of the centre of every example, or of ten successive crops of each.

        A shard's ``share`` is possible without crops.
        """
        batches = stream.test_batches if crops == 1 else stream.ten_crop_batches
        return batches(images, batch_size, **share)

    def picture(self, path):
        """Return the photograph at ``path`` as a test image: (3, size, size), normalised.

        Raises:
            InputError: the picture cannot be used.
        """
        side = self.shorter_side
        photograph, _ = _opened(path, lambda data: convert(data, str(path), side))
        return stream.centre(photograph, self.size)


def _opened(path, read):
    """Return ``read(bytes)`` for the bytes at ``path``."""
    try:
        data = read_file(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # such as a null character in the name
        raise InputError(f"{str(path)!r} cannot be read: {error}") from None
    try:
        return read(data)
    except ValueError as error:
        raise InputError(f"{path} cannot be used: {error}") from None
