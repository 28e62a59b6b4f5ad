"""What a person sees of a run under way: a progress bar at a terminal, plain lines elsewhere."""

import os
import sys
import time
from datetime import timedelta

from tqdm import tqdm


def seconds_since(started):
    """Seconds since ``started``; a clock that stands still or is set back gives at least 1 ms."""
    return max(time.perf_counter() - started, 1e-3)


class Clock:
    """Time left until the last of ``epochs`` ends, after ``done`` that took none."""

    def __init__(self, done, epochs):
        self._done, self._epochs = done, epochs
        self._started = time.perf_counter()

    def left(self, done):
        """Return it as h:mm:ss, after ``done`` epochs, which may be a fraction."""
        pace = seconds_since(self._started) / (done - self._done)
        return timedelta(seconds=round(pace * (self._epochs - done)))


class EpochProgress:
    """The steps of one epoch, as a bar or as lines of the log.

    Args:
        epoch, epochs: which epoch it is, from 1, and how many there are.
        steps: of the epoch.
        log: the RunLog.
        clock: the Clock of the run.
        quiet: whether nothing is shown.
    """

    def __init__(self, epoch, epochs, steps, log, clock, quiet):
        self._name = f"epoch {epoch}/{epochs}"
        self._epoch, self._steps, self._log, self._clock = epoch, steps, log, clock
        self._hidden = quiet or not sys.stderr.isatty()
        self._started = time.perf_counter()
        self._bar = None

    def follow(self, batches):
        """Yield ``batches``, and show how many have been."""
        with tqdm(
            batches, self._name, self._steps, leave=False, unit="step", disable=self._hidden
        ) as self._bar:
            yield from self._bar

    def report(self, step, stats):
        """Show the EpochStats after ``step`` steps."""
        error = f"error {stats.error:.2f}%"
        speed = f"{stats.examples / seconds_since(self._started):.0f} images/s"
        left = f"left {self._clock.left(self._epoch - 1 + step / self._steps)}"
        line = f"{self._name}  step {step}/{self._steps}  loss {stats.loss:.4f} {error}  "
        (self._log.info if self._hidden else self._log.debug)(f"{line}{speed}  {left}")
        self._bar.set_postfix_str(f"{error}, {speed}, {left}")


def make_echo(quiet):
    """Return what shows a line above the progress bar; training outlives who reads its lines."""

    def echo(line):
        if not quiet:
            try:
                tqdm.write(line, file=sys.stdout)
                sys.stdout.flush()
            except BrokenPipeError:
                sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (until the process ends)

    return echo
