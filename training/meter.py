"""Sum losses and errors over an epoch; the sums stay on the devices until ``compute``."""

import math
from dataclasses import dataclass

import numpy as np

from command import CommandError

DIVERGED = 1e4  # nats: a mean loss above this means that training has diverged


@dataclass(frozen=True)
class EpochStats:
    """Mean loss and top-1 error (%) over the examples of an epoch so far."""

    loss: float
    error: float
    examples: int


NOT_FINITE, EXPLODED = "the loss stopped being finite", "the loss exploded"  # words of log.txt


class Divergence(CommandError):
    """The loss exploded.

    Args:
        loss: mean loss, in nats.
        unit: name of the unit of computation: "step", "test batch", ...
        step: number of the unit within the pass, from 1.
    """

    def __init__(self, loss, unit, step):
        what = f"{EXPLODED} to {loss:.1e}" if math.isfinite(loss) else NOT_FINITE
        super().__init__(f"{what} at {unit} {step}")
        self.unit, self.step = unit, step


class NonFiniteLoss(Divergence):
    """The loss is infinite or not a number."""


def require_convergence(loss, unit, step, limit=DIVERGED):
    """Raise an error if a mean loss is above ``limit`` or not finite.

    Raises:
        NonFiniteLoss: the loss is not finite.
        Divergence: the loss is above ``limit``.
    """
    if not math.isfinite(loss):
        raise NonFiniteLoss(loss, unit, step)
    if loss > limit:
        raise Divergence(loss, unit, step)


class EpochMeter:
    """Sum loss and wrong answers over the steps of an epoch.

    ``update`` takes the sums that ``Engine.train_step`` returns and does not wait for the device.
    ``compute`` waits, and adds them in double precision in the order of the steps.

    Args:
        engine: an engine.base.Engine.
        limit: mean loss of a step, in nats, above which training has diverged; see DIVERGED.
    """

    def __init__(self, engine, limit=math.inf):
        self._engine, self._limit = engine, limit
        self._waiting = []  # one entry for each step: (examples, sums on the devices)
        self._sums = np.zeros(2)
        self._steps = 0
        self._examples = 0

    def update(self, examples, sums):
        """Add a step: its number of examples over all workers, and its sums on the devices."""
        self._waiting.append((examples, sums))

    def compute(self):
        """Return the EpochStats of every step so far.

        Raises:
            Divergence: the loss exploded; the error names the first such step.
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
