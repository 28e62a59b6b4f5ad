"""Show the progress of a run: a bar in a terminal, plain lines elsewhere."""

import os
import sys
import time
from datetime import timedelta

from tqdm import tqdm


def seconds_since(started):
    """Return the seconds since ``started``, at least 0.001, even if the clock was set back."""
    return max(time.perf_counter() - started, 1e-3)


class Clock:
    """Estimate the remaining time of a run.

    Args:
        done: epochs that were finished before this process started.
        epochs: number of epochs in the run.
    """

    def __init__(self, done, epochs):
        self._done, self._epochs = done, epochs
        self._started = time.perf_counter()

    def left(self, done):
        """Return the remaining time after ``done`` epochs, which may be a fraction, as h:mm:ss."""
        pace = seconds_since(self._started) / (done - self._done)
        return timedelta(seconds=round(pace * (self._epochs - done)))


class EpochProgress:
    """Show the steps of one epoch, as a bar or as lines of the log.

    Args:
        epoch, epochs: number of the epoch, from 1, and number of epochs.
        steps: number of steps in the epoch.
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
        """Yield ``batches``, and count them in the bar."""
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
    """Return a function that shows a line above the progress bar.

    Training continues if the reader of the output has ended.
    """

    def echo(line):
        if not quiet:
            try:
                tqdm.write(line, file=sys.stdout)
                sys.stdout.flush()
            except BrokenPipeError:
                sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (until the process ends)

    return echo
