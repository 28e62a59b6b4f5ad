"""Compute losses and errors from the predictions of a network."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from command import InputError


@dataclass(frozen=True)
class Predictions:
    """The logits of a network for some examples, and their labels."""

    logits: np.ndarray  # (examples, classes)
    labels: np.ndarray  # (examples,), integers

    @classmethod
    def averaged(cls, logits: np.ndarray, labels: np.ndarray, views: int) -> "Predictions":
        """Return Predictions of examples whose ``views`` consecutive rows are averaged.

        The logits of an example are the logarithms of its views' mean probabilities.

        Args:
            logits: (examples * views, classes).
            labels: (examples * views,).
        """
        logits = logits.astype(np.float64).reshape(len(labels) // views, views, -1)
        logs = logits - logits.max(axis=2, keepdims=True)
        logs -= np.log(np.exp(logs).sum(axis=2, keepdims=True))
        highest = logs.max(axis=1, keepdims=True)  # or every exponential might be rounded to 0
        means = np.log(np.exp(logs - highest).mean(axis=1)) + highest[:, 0]
        return cls(means, labels[::views])

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def losses(self) -> np.ndarray:
        """Return the cross entropy of each example, in nats, shape (examples,)."""
        logits = self.logits.astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        return np.log(np.exp(logits).sum(axis=1)) - self._pick_labels(logits)[:, 0]

    @property
    def loss(self) -> float:
        """Return the mean cross entropy, in nats."""
        return float(self.losses.mean())

    @property
    def classes(self) -> np.ndarray:
        """Return the predicted class of each example: the first of the largest logits."""
        return self.logits.argmax(axis=1)

    @cached_property
    def confidences(self) -> np.ndarray:
        """Return the probability of each example's predicted class."""
        return probabilities(self.logits).max(axis=1)

    def error(self, top: int = 1) -> float:
        """Return the percentage of wrong examples."""
        return 100 * float(self.wrong(top).mean())

    def wrong(self, top: int = 1) -> np.ndarray:
        """Return for each example whether its label is not among the ``top`` largest logits.

        Of equal logits the first counts as larger. An example with logits that are not numbers is
        wrong.
        """
        return self._ranks >= top

    @cached_property
    def _ranks(self):
        """Return for each example how many logits count as larger than its label's."""
        right = self._pick_labels(self.logits)
        before = np.arange(self.logits.shape[1]) < self.labels[:, None]
        return (~(self.logits <= right) | ((self.logits == right) & before)).sum(axis=1)

    def confusion(self) -> np.ndarray:
        """Return counts, shape (classes, classes): rows are labels, columns predictions."""
        counts = np.zeros((self.logits.shape[1],) * 2, int)
        np.add.at(counts, (self.labels, self.classes), 1)
        return counts

    def class_errors(self) -> np.ndarray:
        """Return the error of each class in percent; nan for a class without examples."""
        counts = self.confusion()
        totals = counts.sum(axis=1)
        with np.errstate(invalid="ignore"):
            return 100 * (totals - counts.diagonal()) / totals

    def _pick_labels(self, logits):
        return np.take_along_axis(logits, self.labels[:, None], axis=1)


@dataclass(frozen=True)
class Scores:
    """Mean loss, in nats, and errors, in percent, of a test."""

    loss: float
    error: float
    top5_error: float


def score(predictions: Predictions, workers: Any) -> Scores:
    """Return the Scores over the examples of all workers, each of which predicted its share.

    Args:
        predictions: those of this worker.
        workers: see engine.distributed.
    """
    wrong = [predictions.wrong(top).sum() for top in (1, 5)]
    sums = np.array([predictions.losses.sum(), *wrong, len(predictions)], float)
    *totals, examples = map(float, workers.sum(sums))
    loss, error, top5_error = (total / examples for total in totals)
    return Scores(loss, 100 * error, 100 * top5_error)


def require_finite(logits: np.ndarray) -> None:
    """Check the logits of a network.

    Raises:
        InputError: one of them is not a finite number.
    """
    if not np.isfinite(logits).all():
        raise InputError("the network's logits are not finite numbers: its training diverged")


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of each row of (examples, classes), in double precision."""
    logits = logits.astype(np.float64)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)
