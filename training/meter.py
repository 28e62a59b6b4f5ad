"""Sums over an epoch, kept on the devices; the one place that waits for them."""

import math
from dataclasses import dataclass

import numpy as np

from command import CommandError

DIVERGED = 1e4  # nats: a mean loss above is one that no network that learns has


@dataclass(frozen=True)
class EpochStats:
    """Means over the examples seen: loss, and top-1 error in percent."""

    loss: float
    error: float
    examples: int


NOT_FINITE, EXPLODED = "the loss stopped being finite", "the loss exploded"  # so says log.txt


class Divergence(CommandError):
    """The loss exploded at a ``unit``; ``step`` counts these from 1 within the pass."""

    def __init__(self, loss, unit, step):
        what = f"{EXPLODED} to {loss:.1e}" if math.isfinite(loss) else NOT_FINITE
        super().__init__(f"{what} at {unit} {step}")
        self.unit, self.step = unit, step


class NonFiniteLoss(Divergence):
    """The loss is no longer a number."""


def require_convergence(loss, unit, step, limit=DIVERGED):
    """Refuse a mean loss above ``limit``, or one that is not finite.

    Raises:
        Divergence: it is such a loss; NonFiniteLoss where it is not finite.
    """
    if not math.isfinite(loss):
        raise NonFiniteLoss(loss, unit, step)
    if loss > limit:
        raise Divergence(loss, unit, step)


class EpochMeter:
    """Loss and wrong answers, summed over steps.

    ``update`` takes what ``Engine.train_step`` returns and waits for nothing; ``compute`` waits for
    all that was added and sums in double precision, in the order of the steps.

    Args:
        engine: an engine.base.Engine.
        limit: mean loss of a step, in nats, above which training has diverged; see DIVERGED.
    """

    def __init__(self, engine, limit=math.inf):
        self._engine, self._limit = engine, limit
        self._waiting = []  # one entry a step: (examples, sums still on the devices)
        self._sums = np.zeros(2)
        self._steps = 0
        self._examples = 0

    def update(self, examples, sums):
        """Count a step: its number of examples over all workers, and its sums on the devices."""
        self._waiting.append((examples, sums))

    def compute(self):
        """Return the EpochStats of every step so far.

        Raises:
            Divergence: at the first step whose loss exploded.
        """
        found = self._engine.fetch([sums for _, sums in self._waiting])
        for (examples, _), sums in zip(self._waiting, found):
            self._steps += 1
            self._sums += sums
            self._examples += examples
            require_convergence(float(sums[0]) / examples, "step", self._steps, self._limit)
        self._waiting = []
        loss, wrong = self._sums / max(self._examples, 1)
        return EpochStats(float(loss), 100 * float(wrong), self._examples)
