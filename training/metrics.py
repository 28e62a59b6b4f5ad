"""Figures of a network's predictions."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Predictions:
    """What a network says of examples, and what is right."""

    logits: np.ndarray  # (examples, classes)
    labels: np.ndarray  # (examples,), integers

    @classmethod
    def averaged(cls, logits, labels, views):
        """Of examples that have ``views`` rows each, one after the other.

        The logits are logarithms of the views' mean probabilities.
        """
        logits = logits.astype(np.float64).reshape(len(labels) // views, views, -1)
        logs = logits - logits.max(axis=2, keepdims=True)
        logs -= np.log(np.exp(logs).sum(axis=2, keepdims=True))
        highest = logs.max(axis=1, keepdims=True)  # or all may be 0 as a float
        means = np.log(np.exp(logs - highest).mean(axis=1)) + highest[:, 0]
        return cls(means, labels[::views])

    def __len__(self):
        return len(self.labels)

    @cached_property
    def losses(self):
        """Cross entropy of each example, in nats."""
        logits = self.logits.astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        return np.log(np.exp(logits).sum(axis=1)) - self._of_labels(logits)[:, 0]

    @property
    def loss(self):
        """Mean cross entropy."""
        return float(self.losses.mean())

    @property
    def classes(self):
        """The class predicted for each example; of equal logits the first."""
        return self.logits.argmax(axis=1)

    @cached_property
    def confidences(self):
        """Probability that each example's predicted class has."""
        return probabilities(self.logits).max(axis=1)

    def error(self, top=1):
        """Percent of the examples whose label is not among the ``top`` largest logits.

        Of equal logits the first counts as larger.
        """
        right = self._of_labels(self.logits)
        before = np.arange(self.logits.shape[1]) < self.labels[:, None]
        rank = ((self.logits > right) | ((self.logits == right) & before)).sum(axis=1)
        return 100 * float((rank >= top).mean())

    def confusion(self):
        """Counts (classes, classes): row is the label, column the prediction."""
        counts = np.zeros((self.logits.shape[1],) * 2, int)
        np.add.at(counts, (self.labels, self.classes), 1)
        return counts

    def class_errors(self):
        """Percent of the examples of each class that are predicted wrongly; nan where none are."""
        counts = self.confusion()
        totals = counts.sum(axis=1)
        with np.errstate(invalid="ignore"):
            return 100 * (totals - counts.diagonal()) / totals

    def _of_labels(self, logits):
        return np.take_along_axis(logits, self.labels[:, None], axis=1)


def probabilities(logits):
    """Softmax of each row, in double precision."""
    logits = logits.astype(np.float64)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)
