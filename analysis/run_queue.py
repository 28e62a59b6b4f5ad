"""The queue of runs that the claims need, trained by any number of processes side by side."""

import os
import signal
import threading
from contextlib import contextmanager
from pathlib import Path

from analysis.claims import list_queue
from analysis.ensembling import measure_members, study_members
from analysis.reproduction import MEMBERS, find_evidence, list_finished, write_members
from command import InputError, Interrupted
from training.evaluation import restore
from training.run import Run
from training.run_folder import find_run, locked
from training.trainer import fit

MOST_MEMBERS = 64  # of an ensemble that are measured
LOCKS = ".queue"  # folder of the log_dir


def train_queue(scale, config, data_dir, hours=None, say=print):
    """Train what is missing of the queue, the most telling first, and resume what was begun.

    Processes side by side take different runs. Ctrl-C, or the end of the time, stops the run under
    way; the next call resumes it after its last whole epoch.

    Args:
        scale: one of analysis.claims.SCALES.
        config: a RuntimeConfig.
        data_dir: folder of each data set: {name: folder}, or one folder for all.
        hours: when to stop; None trains to the end of the queue.
        say: shows a line.

    Raises:
        Interrupted: Ctrl-C.
    """
    os.nice(19)
    with _time_limit(hours):
        for setting, seed in list_queue(scale):
            folder = Path(config.log_dir) / LOCKS / _name(scale, setting, seed)
            folder.mkdir(parents=True, exist_ok=True)
            try:
                with locked(folder):
                    _train(setting, seed, config, data_dir, say)
            except InputError as error:
                if "in use" not in str(error):
                    raise
    say("nothing is left to train that no other process trains")


def _name(scale, setting, seed):
    words = "".join(c if c.isalnum() else "-" for c in str(setting))
    return f"{scale}-{words}-{seed}"


def _train(setting, seed, config, data_dir, say):
    """Train one run of the queue unless it has finished; measure its members where it has some."""
    found = [
        record
        for record in find_evidence(list_finished(config.log_dir), setting)
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
        say(f"{setting}, seed {seed}")
        folder = fit(run, config, find_run(run, config))
    if setting.network in ("fuse3", "ensemble") and not (folder / MEMBERS).exists():
        study = study_members(*measure_members(restore(folder), MOST_MEMBERS, seed=0))
        write_members(folder, study)


@contextmanager
def _time_limit(hours):
    """Stop what is under way, as Ctrl-C does, after so many hours."""

    def stop():
        signal.raise_signal(signal.SIGINT)

    timer = threading.Timer(3600 * hours, stop) if hours else None
    try:
        if timer:
            timer.daemon = True
            timer.start()
        yield
    except Interrupted:
        if timer is None or timer.is_alive():  # it was somebody's Ctrl-C
            raise
    finally:
        if timer:
            timer.cancel()
