"""Time several ways of doing the same task: alternately in one run, each in its own process."""

import contextlib
import json
import os
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import List, Optional

from tqdm import tqdm

from command import CommandError
from network import has_columns
from plotting.tables import markdown
from training.build import column_depths

FEWEST = 6  # steps in a turn, except where the network has columns


@dataclass(frozen=True)
class Case:
    """Describe a task that is timed, and the library that does it."""

    task: str  # train, predict or data
    network: str
    depth: Optional[int]  # None if it is part of the network's name
    widen_factor: int
    batch_size: int
    dtype: str
    library: str  # the library that does it
    threads: int

    @property
    def size(self):
        """Return the network with its depth and, if it is not 1, its widen factor."""
        name = " ".join(str(word) for word in (self.network, self.depth) if word)
        return f"{name} w{self.widen_factor}" if self.widen_factor > 1 else name


@dataclass(frozen=True)
class Timing:
    """Hold the measurements of a Case."""

    case: Case
    rates: List[float]  # images per second, one for each round
    first: float  # seconds from the start of the process to the end of the first step
    memory: float  # MiB, the peak of resident memory

    @property
    def rate(self):
        """Return the median of the rates."""
        return median(self.rates)


class Contestant:
    """Control a process that takes steps of a Case on demand and waits otherwise.

    Its command line is ``command`` and the Case as JSON. It writes a line after the first step;
    then it reads numbers of steps and answers each with a line of JSON: seconds, and MiB.
    """

    def __init__(self, case, command):
        self.case = case
        environment = {**os.environ, "OMP_NUM_THREADS": str(case.threads)}
        # a file, because a pipe that nobody reads would be full at some time and stop the process
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (see close)
        started = time.perf_counter()
        self._process = subprocess.Popen(
            [*command, json.dumps(asdict(case))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
        )
        self._answer()
        self.first = time.perf_counter() - started

    def take(self, steps):
        """Take ``steps`` steps; return (seconds, MiB)."""
        with contextlib.suppress(BrokenPipeError):  # it has ended, as ``_answer`` then says
            self._process.stdin.write(f"{steps}\n")
            self._process.stdin.flush()
        return self._answer()

    def close(self):
        """End the process."""
        self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()
        self._errors.close()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            lines = self._errors.read().strip().splitlines() or ["no message"]
            self.close()
            raise CommandError(f"{self.case} failed: {lines[-1]}")
        return json.loads(line)


def count_cycle(case):
    """Return the number of steps of which each turn takes a multiple.

    In training, mixed drop-path takes the whole network and each of its columns by turns
    (``tools.workload.mixed``), whose steps take different times: only whole cycles compare.
    """
    if case.task == "train" and has_columns(case.network):
        return 2 * len(column_depths(case.network, case.depth)) or FEWEST
    return FEWEST


def time_cases(cases, command, rounds, seconds):
    """Return the Timings of ``cases``, which take their steps in turn, once in each round.

    Args:
        command: command line that starts a Contestant's process.
        rounds: rounds that are counted. Turns before them find how many steps take ``seconds``.
        seconds: length of a case's turn in a round.
    """
    contestants, rates, steps, memory = [], {}, {}, {}
    try:
        for case in tqdm(cases, "starting", leave=False, disable=None):
            contestants.append(Contestant(case, command))
        for each in contestants:
            steps[each] = _find_steps(each.take, count_cycle(each.case), seconds)
            rates[each] = []
        for _ in tqdm(range(rounds), "rounds", leave=False, disable=None):
            for each in contestants:
                taken, memory[each] = each.take(steps[each])
                rates[each].append(steps[each] * each.case.batch_size / taken)
        return [Timing(e.case, rates[e], e.first, memory[e]) for e in contestants]
    finally:
        for each in contestants:
            each.close()


def _find_steps(take, cycle, seconds):
    """Return a number of steps, whole cycles, that take about ``seconds``.

    The first cycle is not timed, and the next ones only if they are a good part of ``seconds``,
    because the first steps of each network and sub-network are compiled, or recorded on a GPU.

    Args:
        take: see ``Contestant.take``.
        cycle: see ``count_cycle``.
    """
    take(cycle)
    cycles = 1
    while True:
        taken, _ = take(cycles * cycle)
        if taken > seconds / 2:
            return cycle * max(round(cycles * seconds / taken), 1)
        cycles *= 2


def table(timings):
    """Return Timings as a Markdown table; ratios are to the first of a task, network and batch."""
    head = ["task", "network", "batch", "dtype", "library", "threads", "images/s, median"]
    rows = [head + ["from .. to", "ratio", "ms per step", "first step s", "peak MiB"]]
    bases = {}
    for timing in timings:
        case, rates = timing.case, timing.rates
        base = bases.setdefault((case.task, case.size, case.batch_size), timing)
        ratio = median(own / other for own, other in zip(rates, base.rates))
        rows.append(
            [
                *(case.task, case.size, str(case.batch_size), case.dtype, case.library),
                str(case.threads),
                f"{timing.rate:,.0f}",
                f"{min(rates):,.0f} .. {max(rates):,.0f}",
                f"{ratio:.2f}",
                f"{1000 * case.batch_size / timing.rate:.1f}",
                f"{timing.first:.1f}",
                f"{timing.memory:,.0f}",
            ]
        )
    return markdown(rows)
