"""Read runs: settings, facts and log, or why a run cannot be used."""

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, Optional, Union

from command import InputError
from training.meter import EXPLODED, NOT_FINITE
from training.run import Run, RunInfo
from training.run_folder import ROWS, TEXT, is_locked, is_published, parse_config, read_config
from training.run_log import read_log

STOPPED_BY_LOSS = "diverged"  # the first word of such a run's problem
GUESSING = 10.0  # nats, above the loss of guessing: among 1,000 classes it is 6.9


@dataclass(frozen=True)
class RunRecord:
    """A run read from its folder."""

    folder: Path
    run: Optional[Run] = None
    info: Optional[RunInfo] = None
    rows: tuple = ()
    problem: str = ""  # why it cannot be used; empty for a finished run
    written: int = 0  # when the log was last written, in nanoseconds

    @property
    def diverged(self) -> bool:
        """Return whether the loss exploded, stopped being finite, or ended worse than guessing.

        The run was stopped, or it finished with ``--on-divergence continue``.
        """
        if self.problem or not self.rows:
            return self.problem.startswith(STOPPED_BY_LOSS)
        worst = max(self.rows[-1].get(loss, 0) for loss in ("train_loss", "test_loss"))
        return worst > GUESSING or any(row.get("diverged") for row in self.rows)


def read_run(folder: Union[str, Path]) -> RunRecord:
    """Return the RunRecord of ``folder``; unless the run has finished, ``problem`` says why."""
    folder = Path(folder)
    try:
        config, rows = read_config(folder), tuple(read_log(folder))
        run, info = parse_config(config, folder, Run, RunInfo)
    except InputError as error:
        return RunRecord(folder, problem=f"damaged: {error}")
    problem = ""
    if len(rows) != run.recipe.epochs and not (rows and rows[-1].get("stopped_early")):
        state = "running" if is_locked(folder) else "stopped"
        problem = f"unfinished: {state} after epoch {len(rows)} of {run.recipe.epochs}"
        last = str(config.get("diverged") or _last_line(folder / TEXT))  # published: without text
        if state == "stopped" and (NOT_FINITE in last or EXPLODED in last):
            problem = f"{STOPPED_BY_LOSS}: {last}"
    written = (folder / ROWS).stat().st_mtime_ns if rows else 0
    return RunRecord(folder, run, info, rows, problem, written)


def keep_newest(records: Iterable[RunRecord]) -> Dict[int, RunRecord]:
    """Return, for each seed, the record that counts among the records of one setting.

    This is the newest record, whose log was written last. A published run counts only if no other
    run has its seed, because it may be a copy of that run, and a checkout changes the times of its
    files. Of equally new records, the last in ``records`` counts.
    """
    ordered = sorted(records, key=lambda each: (not is_published(each.folder), each.written))
    return {record.run.seed: record for record in ordered if record.run}


def _last_line(path):
    """Return the last line of a text file, or "" if there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
    except OSError:
        return ""
