"""Train the queue of runs that the claims need, with any number of parallel processes."""

import os
import signal
from pathlib import Path

from analysis.claims import TEST_IMAGES, TRAIN_IMAGES, list_queue
from analysis.ensembling import measure_members, study_members
from analysis.reproduction import find_evidence, list_ended, read_members, write_members
from command import CommandError, InputError, Interrupted
from filesystem import InUse
from training.evaluation import restore
from training.run import Run
from training.run_data import RunData
from training.run_folder import find_run, is_published, locked, read_run
from training.trainer import fit

MOST_MEMBERS = 64  # the largest number of an ensemble's members that are measured
LOCKS = ".queue"  # folder in the log_dir
SHORTEST, LONGEST = 1e-6, 1e8  # seconds that every system's timer can hold; 0 would be no limit


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

    def work():
        queue = list_queue(scale)
        _require_images(dict(queue), config, data_dir)
        for setting, seed in queue:
            _train_unless_taken(scale, setting, seed, config, data_dir, say)
        say("nothing is left to train: runs have finished, diverged, or are trained elsewhere")

    again = "run the same command again to resume"
    try:
        if not _finishes_in(hours, work):
            say(f"stopped after {hours:g} hours; {again}")
    except (Interrupted, KeyboardInterrupt):
        raise Interrupted(f"interrupted; {again}") from None


def _require_images(settings, config, data_dir):
    """Check that the images of each data set are as many as the claims need.

    Raises:
        InputError: they are not, or they are missing or damaged.
    """
    for setting in {each.dataset: each for each in settings}.values():
        facts = RunData(_make_run(setting, 0, data_dir)).facts()
        found = facts["train"]["examples"], facts["test"]["examples"]
        if found != (TRAIN_IMAGES, TEST_IMAGES):
            raise InputError(
                "in data_dir, {} has {:,} training and {:,} test images, but the claims need "
                "{:,} and {:,}".format(setting.dataset, *found, TRAIN_IMAGES, TEST_IMAGES),
                argument="data_dir",
            )


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
        run = _make_run(setting, seed, data_dir)
        begun = find_run(run, config)
        if begun and read_run(begun).diverged:
            say(f"{setting}, seed {seed}: diverged; remove {begun} to train it again")
            return
        say(f"{setting}, seed {seed}")
        folder = fit(run, config, begun)
    needed = setting.network in ("fuse3", "ensemble") and not is_published(folder)
    if needed and read_members(folder) is None:  # published runs have no parameters
        try:
            trained = restore(folder, data_dir=_choose_folder(setting, data_dir))
        except InputError as error:  # such as lost checkpoints; other runs can be trained
            say(f"{setting}, seed {seed}: its members cannot be measured: {error}")
            return
        write_members(folder, study_members(*measure_members(trained, MOST_MEMBERS, seed=0)))


def _choose_folder(setting, data_dir):
    """Return the folder of a setting's images, as an absolute path."""
    folder = data_dir if isinstance(data_dir, (str, Path)) else data_dir[setting.dataset]
    return str(Path(folder).resolve())


def _make_run(setting, seed, data_dir):
    return Run(
        network=setting.network,
        depth=setting.depth,
        dataset=setting.dataset,
        data_dir=_choose_folder(setting, data_dir),
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
        raise KeyboardInterrupt

    if hours is None:
        work()
        return True
    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, min(max(3600 * hours, SHORTEST), LONGEST))
        work()
    except (Interrupted, KeyboardInterrupt):
        if not over:
            raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return not over
