"""Sums over an epoch, kept on the device; the one place that waits for it."""

from dataclasses import dataclass

import numpy as np

from command import CommandError


@dataclass(frozen=True)
class EpochStats:
    """Means over the examples seen: loss, and top-1 error in percent."""

    loss: float
    error: float
    examples: int


NOT_FINITE = "the loss stopped being finite"  # in log.txt it marks a run that diverged


class NonFiniteLoss(CommandError):
    """The loss is not a number any more; ``step`` counts from 1 within the pass."""

    def __init__(self, unit, step):
        super().__init__(f"{NOT_FINITE} at {unit} {step}")
        self.step = step


class EpochMeter:
    """Loss and wrong answers, summed over steps.

    ``add`` takes what ``Engine.train_step`` returns and waits for nothing; ``read`` waits for all
    that was added and sums in double precision, in the order of the steps.
    """

    def __init__(self, engine):
        self._engine = engine
        self._waiting = []  # one entry a step: sums still on the devices
        self._sums = np.zeros(2)
        self._steps = 0
        self._examples = 0

    def add(self, examples, sums):
        """Count a step: its number of examples over all workers, and its sums on the devices."""
        self._examples += examples
        self._waiting.append(sums)

    def read(self):
        """Figures of every step so far.

        Raises:
            NonFiniteLoss: at the first step whose loss is not finite.
        """
        for sums in self._engine.fetch(self._waiting):
            self._steps += 1
            self._sums += sums
            if not np.isfinite(self._sums[0]):
                raise NonFiniteLoss("step", self._steps)
        self._waiting = []
        loss, wrong = self._sums / max(self._examples, 1)
        return EpochStats(float(loss), 100 * float(wrong), self._examples)
