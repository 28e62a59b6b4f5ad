"""Timing several ways of doing the same side by side: by turns, a process each."""

import contextlib
import json
import os
import subprocess
import time
from dataclasses import asdict, dataclass
from statistics import median

from tqdm import tqdm

from command import CommandError
from plotting.tables import markdown


@dataclass(frozen=True)
class Case:
    """What is timed, and how."""

    task: str  # train, predict or data
    network: str
    depth: int  # None: the network has it in its name
    widen_factor: int
    batch_size: int
    dtype: str
    library: str  # what does it
    threads: int


@dataclass(frozen=True)
class Timing:
    """What was found of a Case."""

    case: Case
    rates: list  # images a second, one of each round
    first: float  # seconds from the start of the process to the end of the first step
    memory: float  # MiB, the most that the process had resident

    @property
    def rate(self):
        """The median of the rates."""
        return median(self.rates)


class Contestant:
    """A process that does steps of a Case when told, and waits otherwise.

    It is ``command`` with the Case as JSON behind it. It writes a line when the first step is done;
    then it reads numbers of steps and answers each with a line of JSON: seconds, and MiB.
    """

    def __init__(self, case, command):
        self.case = case
        environment = {**os.environ, "OMP_NUM_THREADS": str(case.threads)}
        started = time.perf_counter()
        self._process = subprocess.Popen(
            [*command, json.dumps(asdict(case))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._answer()
        self.first = time.perf_counter() - started

    def take(self, steps):
        """(seconds that so many steps took, MiB)."""
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self):
        """End the process."""
        self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            lines = self._process.stderr.read().strip().splitlines() or ["no message"]
            self.close()
            raise CommandError(f"{self.case} failed: {lines[-1]}")
        return json.loads(line)


def time_cases(cases, command, rounds, seconds):
    """Timings of ``cases``: each does its steps once a round, by turns.

    Args:
        command: words that start a Contestant's process.
        rounds: how many; a first one that is not counted finds how many steps take ``seconds``.
    """
    contestants, rates, steps, memory = [], {}, {}, {}
    try:
        for case in tqdm(cases, "starting", leave=False, disable=None):
            contestants.append(Contestant(case, command))
        for each in contestants:
            taken, _ = each.take(6)
            steps[each] = 6 * max(round(seconds / taken), 1)  # whole cycles of drop-path's samples
            rates[each] = []
        for _ in tqdm(range(rounds), "rounds", leave=False, disable=None):
            for each in contestants:
                taken, memory[each] = each.take(steps[each])
                rates[each].append(steps[each] * each.case.batch_size / taken)
        return [Timing(e.case, rates[e], e.first, memory[e]) for e in contestants]
    finally:
        for each in contestants:
            each.close()


def table(timings):
    """Timings as Markdown; ratios are to the first of the same task, network and batch."""
    head = ["task", "network", "batch", "dtype", "library", "threads", "images/s, median"]
    rows = [head + ["from .. to", "ratio", "ms a step", "first step s", "peak MiB"]]
    bases = {}
    for timing in timings:
        case, rates = timing.case, timing.rates
        name = " ".join(str(word) for word in (case.network, case.depth) if word)
        name += f" w{case.widen_factor}" if case.widen_factor > 1 else ""
        base = bases.setdefault((case.task, name, case.batch_size), timing)
        ratio = median(own / other for own, other in zip(rates, base.rates))
        rows.append(
            [
                *(case.task, name, str(case.batch_size), case.dtype, case.library),
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
