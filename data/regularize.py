"""Regularize training batches: label smoothing, mixup and cutout.

They work on any training batch, of any images on any device. They have their own random generator,
so order and augmentation are the same with and without them.
"""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Regularization:
    """The regularization of training batches; by default none.

    Args:
        label_smoothing: share of the probability that is spread evenly over all classes. Szegedy et
            al., "Rethinking the Inception Architecture for Computer Vision", section 7.
        mixup: alpha of the distribution Beta(alpha, alpha), from which the weights of two mixed
            images are drawn; 0 mixes nothing. Zhang et al., "mixup: Beyond Empirical Risk
            Minimization", section 2.
        cutout: side in pixels of the square that is removed from each image; 0 removes nothing.
            DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with
            Cutout", section 3.
    """

    label_smoothing: float = 0.0
    mixup: float = 0.0
    cutout: int = 0


OFF = Regularization()


def regularize(batches, regularization, classes, seed):
    """Return ``batches`` with the regularization, or unchanged if it does nothing.

    Args:
        batches: data.records.Batch objects, with NumPy arrays or PyTorch tensors as images.
        seed: any seed that NumPy's generators accept.
    """
    if regularization == OFF:
        return batches
    rng = np.random.default_rng(seed)
    return (_regularize_batch(batch, regularization, classes, rng) for batch in batches)


def _regularize_batch(batch, how, classes, rng):
    images, targets = batch.images, None
    if how.cutout:
        mask = draw_cutout(len(batch), images.shape[2:], how.cutout, rng)
        images = images * (images.new_tensor(mask) if hasattr(images, "new_tensor") else mask)
    if how.label_smoothing or how.mixup:
        targets = soft_targets(batch.labels, classes, how.label_smoothing)
    if how.mixup:
        share, partners = draw_mixture(len(batch), how.mixup, rng)
        images, targets = (mix(each, share, partners) for each in (images, targets))
    return replace(batch, images=images, targets=targets)


def soft_targets(labels, classes, smoothing=0.0):
    """Return the probabilities of the classes, float32 (n, classes).

    The label has 1 - smoothing + smoothing / classes; every other class has smoothing / classes.
    """
    return (np.eye(classes)[labels] * (1 - smoothing) + smoothing / classes).astype(np.float32)


def draw_mixture(count, alpha, rng):
    """Draw the share of each image in its mixture, one for the batch, and every image's partner.

    The share is at least 1/2, so an image's own label has the larger weight. With 1 - share,
    the mixtures would be the same, with images and partners exchanged.
    """
    share = rng.beta(alpha, alpha)
    return max(share, 1 - share), rng.permutation(count)


def mix(values, share, partners):
    """Return share * value + (1 - share) * partner's value for each of n values."""
    return share * values + (1 - share) * values[partners]


def draw_cutout(count, size, side, rng):
    """Draw masks, float32 (n, 1, height, width): 0 in a square, 1 elsewhere.

    The square's centre is any pixel, so part of the square may lie outside the image. A normalised
    image times its mask has the channel mean in the square.

    Args:
        size: (height, width) of the images.
        side: side of the square in pixels.
    """
    starts = [rng.integers(0, length, (count, 1)) - side // 2 for length in size]
    places = [np.arange(length) - start for length, start in zip(size, starts)]
    rows, columns = ((place >= 0) & (place < side) for place in places)
    return 1 - (rows[:, None, :, None] & columns[:, None, None, :]).astype(np.float32)
