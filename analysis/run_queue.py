"""Train the queue of runs that the claims need, with any number of parallel processes."""

import os
import signal
from contextlib import contextmanager
from pathlib import Path

from analysis.claims import list_queue
from analysis.ensembling import measure_members, study_members
from analysis.reproduction import find_evidence, list_ended, read_members, write_members
from command import CommandError, InputError, Interrupted
from filesystem import InUse
from training.evaluation import restore
from training.run import Run
from training.run_folder import find_run, is_published, locked, read_run
from training.trainer import fit

MOST_MEMBERS = 64  # the largest number of an ensemble's members that are measured
LOCKS = ".queue"  # folder in the log_dir
LONGEST = 1e8  # seconds: three years, which every system's timer can hold


def train_queue(scale, config, data_dir, hours=None, say=print):
    """Train the missing runs of the queue in its order, and resume the unfinished ones.

    The process sets itself to the lowest priority. Several processes may work on one queue: each
    run is trained by one of them. When the time is over, the current run is stopped; the next call
    resumes it after its last complete epoch. A run that diverges is named and skipped, also by
    later calls, until its folder is removed.

    Args:
        scale: one of analysis.claims.SCALES.
        config: a RuntimeConfig.
        data_dir: folder of each data set, {name: folder}, or one folder for all.
        hours: how long to train; None trains to the end of the queue.
        say: called with each line to show.

    Raises:
        Interrupted: the process was interrupted (Ctrl-C).
        InputError: the images are missing or damaged.
    """
    os.nice(19)
    with _time_limit(hours) as is_over:
        try:
            for setting, seed in list_queue(scale):
                _train_unless_taken(scale, setting, seed, config, data_dir, say)
            say("nothing is left to train: runs have finished, diverged, or are trained elsewhere")
        except (Interrupted, KeyboardInterrupt):
            again = "run the same command again to resume"
            if not is_over():
                raise Interrupted(f"interrupted; {again}") from None
            say(f"stopped after {hours:g} hours; {again}")


def _train_unless_taken(scale, setting, seed, config, data_dir, say):
    """Train one run of the queue, unless another process trains it."""
    folder = Path(config.log_dir) / LOCKS / _name(scale, setting, seed)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder):
            _train(setting, seed, config, data_dir, say)
    except InUse:
        return
    except (InputError, Interrupted):
        raise
    except CommandError as error:  # it diverged, or needs too much memory: others may not
        say(str(error))


def _name(scale, setting, seed):
    words = "".join(c if c.isalnum() else "-" for c in str(setting))
    return f"{scale}-{words}-{seed}"


def _train(setting, seed, config, data_dir, say):
    """Train one run of the queue unless it has finished; measure its members if it has some."""
    found = [
        record
        for record in find_evidence(list_ended(config.log_dir), setting)
        if record.run.seed == seed
    ]
    if found:
        folder = found[0].folder
    else:
        folder = Path(data_dir) if isinstance(data_dir, (str, Path)) else data_dir[setting.dataset]
        run = Run(
            network=setting.network,
            depth=setting.depth,
            dataset=setting.dataset,
            data_dir=str(Path(folder).resolve()),
            recipe_name=setting.recipe_name,
            recipe=setting.recipe,
            widen_factor=setting.widen_factor,
            seed=seed,
        )
        begun = find_run(run, config)
        if begun and read_run(begun).diverged:
            say(f"{setting}, seed {seed}: diverged; remove {begun} to train it again")
            return
        say(f"{setting}, seed {seed}")
        folder = fit(run, config, begun)
    needed = setting.network in ("fuse3", "ensemble") and not is_published(folder)
    if needed and read_members(folder) is None:  # published runs have no parameters
        study = study_members(*measure_members(restore(folder), MOST_MEMBERS, seed=0))
        write_members(folder, study)


@contextmanager
def _time_limit(hours):
    """Interrupt the block after ``hours``, like Ctrl-C; yield a function: is the time over?

    An alarm also works where Ctrl-C is ignored, as in the background of a shell script.
    """
    over = []

    def stop(number, frame):
        over.append(True)
        raise KeyboardInterrupt

    if hours is None:
        yield lambda: False
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, min(3600 * hours, LONGEST))
    try:
        yield lambda: bool(over)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
