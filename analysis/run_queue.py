"""Train the queue of runs that the claims need, with any number of parallel processes."""

import os
import signal
from pathlib import Path

from analysis.claims import TEST_IMAGES, TRAIN_IMAGES, list_queue
from analysis.ensembling import measure_members, study_members
from analysis.reproduction import (
    find_diverged,
    find_evidence,
    list_ended,
    read_members,
    write_members,
)
from command import CommandError, InputError, Interrupted, Stop, StorageError
from filesystem import InUse
from training import checkpoint
from training.evaluation import restore
from training.fitting import fit
from training.run import Run
from training.run_data import RunData
from training.run_folder import find_run, is_published, locked
from training.run_log import read_log
from training.run_record import read_run

MOST_MEMBERS = 64  # the largest number of an ensemble's members that are measured
LOCKS = ".queue"  # folder in the log_dir
SHORTEST, LONGEST = 1e-6, 1e8  # seconds that every system's timer can hold; 0 would be no limit
AGAIN = 60  # seconds to the next alarm, if an exception was lost, as in the destructor of an array


def train_queue(scale, config, folders, say, hours=None):
    """Train the missing runs of the queue in its order, and resume the unfinished ones.

    The process sets itself to the lowest priority. Several processes may work on one queue: each
    run is trained by one of them. When the time is over, the current run is stopped; the next call
    resumes it after its last complete epoch. A run that diverges is named and skipped, also by
    later calls, until its folder is removed. Runs on other images, such as published ones on copies
    of a data set, are trained again on the images in ``folders``.

    Args:
        scale: one of analysis.claims.SCALES.
        config: a RuntimeConfig.
        folders: {name of each data set of the scale: folder of its images}.
        say: called with each line to show.
        hours: how long to train; None trains to the end of the queue.

    Raises:
        Interrupted: the process was interrupted (Ctrl-C).
        InputError: the images are missing or damaged.
        StorageError: a file cannot be written, such as on a full disk.
    """
    os.nice(19)

    def work():
        queue = list_queue(scale)
        facts = _read_facts(dict(queue), folders)
        for setting, seed in queue:
            run = _make_run(setting, seed, folders)
            _train_unless_taken(scale, setting, run, config, facts[setting.dataset], say)
        say("nothing is left to train: runs have finished, diverged, or are trained elsewhere")

    again = "run the same command again to resume"
    try:
        if not _finishes_in(hours, work):
            say(f"stopped after {hours:g} hours; {again}")
    except (Interrupted, KeyboardInterrupt):
        raise Interrupted(f"interrupted; {again}") from None


def _read_facts(settings, folders):
    """Return {name of each data set: numbers and checksums of its images}.

    Raises:
        InputError: they are not as many as the claims need, or are missing or damaged.
    """
    facts = {}
    for setting in {each.dataset: each for each in settings}.values():
        data = RunData(_make_run(setting, 0, folders)).facts()
        facts[setting.dataset] = data
        found = data["train"]["examples"], data["test"]["examples"]
        if found != (TRAIN_IMAGES, TEST_IMAGES):
            raise InputError(
                "in data_dir, {} has {:,} training and {:,} test images, but the claims need "
                "{:,} and {:,}".format(setting.dataset, *found, TRAIN_IMAGES, TEST_IMAGES),
                argument="data_dir",
            )
    return facts


def _train_unless_taken(scale, setting, run, config, facts, say):
    """Train one run of the queue, unless another process trains it."""
    folder = Path(config.log_dir) / LOCKS / _name(scale, setting, run.seed)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder):
            _train(setting, run, config, facts, say)
    except InUse:
        return
    except (InputError, Interrupted, StorageError):  # the other runs would fail, too
        raise
    except CommandError as error:  # it diverged, or needs too much memory: others may not
        say(str(error))


def _name(scale, setting, seed):
    words = "".join(c if c.isalnum() else "-" for c in str(setting))
    return f"{scale}-{words}-{seed}"


def _train(setting, run, config, facts, say):
    """Train one run of the queue unless it has ended; measure its members if it has some."""
    name = f"{setting}, seed {run.seed}"
    ended = [
        record
        for record in list_ended(config.log_dir)
        if (record.run.seed, record.info.data) == (run.seed, facts)
    ]
    found, diverged = find_evidence(ended, setting), find_diverged(ended, setting)
    if found:
        folder = found[0].folder
    elif diverged:
        say(f"{name}: diverged; remove {diverged[0].folder} to train it again")
        return
    else:
        begun = _find_begun(run, config, facts)
        if begun and not _is_resumable(begun):
            say(f"{name}: its checkpoints are missing or damaged; remove {begun} to train it again")
            return
        say(name)
        folder = fit(run, config, begun)
    needed = setting.network in ("fuse3", "ensemble") and not is_published(folder)
    if needed and read_members(folder) is None:  # published runs have no parameters
        device = "cpu" if config.engine == "torch" else config.gpus  # members run with MXNet
        try:
            trained = restore(folder, device, data_dir=run.data_dir)
        except InputError as error:  # such as lost checkpoints; other runs can be trained
            say(f"{name}: its members cannot be measured: {error}")
            return
        write_members(folder, study_members(*measure_members(trained, MOST_MEMBERS, seed=0)))


def _find_begun(run, config, facts):
    """Return the folder of a run to resume; None if there is none, or if it would not count."""
    folder = find_run(run, config, facts)
    info = folder and read_run(folder).info
    return None if info and info.devices * info.workers > 1 else folder


def _is_resumable(folder):
    """Return whether a run has a checkpoint that can be used, or has trained no epoch."""
    try:
        return checkpoint.latest(folder / checkpoint.FOLDER) is not None or not read_log(folder)
    except InputError:
        return False


def _make_run(setting, seed, folders):
    return Run(
        network=setting.network,
        depth=setting.depth,
        dataset=setting.dataset,
        data_dir=str(Path(folders[setting.dataset]).resolve()),
        recipe_name=setting.recipe_name,
        recipe=setting.recipe,
        widen_factor=setting.widen_factor,
        seed=seed,
    )


def _finishes_in(hours, work):
    """Call ``work()``, interrupt it after ``hours`` like Ctrl-C, and return whether it ended.

    An alarm also works where Ctrl-C is ignored, as in the background of a shell script.
    """
    over = []

    def stop(number, frame):
        over.append(True)
        raise Stop

    if hours is None:
        work()
        return True
    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, min(max(3600 * hours, SHORTEST), LONGEST), AGAIN)
        work()
    except (Interrupted, KeyboardInterrupt):
        if not over:
            raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return not over
