"""Train a run from its first epoch, or from its newest checkpoint, to its last epoch."""

import math
import time
import zlib
from itertools import repeat

import numpy as np

from command import CommandError, InputError
from network import drop_path
from plotting.curves import SUBNETWORKS, draw_curves, draw_subnetworks
from training import checkpoint, tensorboard
from training.evaluation import refresh_bn_statistics
from training.loop import evaluate, train_epoch
from training.messages import begin_error, describe_epoch, describe_run
from training.meter import DIVERGED, Divergence, EpochMeter, require_convergence
from training.metrics import score
from training.progress import Clock, EpochProgress, make_echo, seconds_since
from training.provenance import describe_environment
from training.run_folder import read_config, write_config
from training.run_log import NoLog, RunLog, read_log
from training.schedule import learning_rate, summarize_rates


class Trainer:
    """Train the remaining epochs of the run in ``folder``.

    All workers take the same steps and compute the same results; the one of rank 0 writes the
    files.

    Args:
        origin: a line that describes the initial parameters; empty if they are random.
    """

    def __init__(self, run, config, folder, info, data, engine, origin=""):
        self._run, self._config, self._folder, self._info = run, config, folder, info
        self._data, self._engine, self._origin = data, engine, origin
        self._first = engine.workers.rank == 0
        self._steps = data.count_batches(engine.workers)  # number of steps in an epoch
        self._environment = describe_environment(config)
        self._log = RunLog(folder, make_echo(config.quiet)) if self._first else NoLog()

    def train(self):
        """Resume from the newest checkpoint, if there is one, and train to the last epoch."""
        epochs = self._run.recipe.epochs
        rows = self._resume() if self._folder else []
        self._begun = len(rows)  # number of epochs that are trained already
        _require_agreement(self._engine.workers, len(rows))
        self._begin(rows)
        board = None
        if self._config.tensorboard and self._first:
            board = tensorboard.Board(self._folder, rows, self._run.tested_on)
        clock = Clock(len(rows), epochs)
        done = epochs if rows and rows[-1].get("stopped_early") else len(rows)
        for epoch in range(done + 1, epochs + 1):
            try:
                row = self._train_epoch(epoch, clock)
            except Divergence as error:
                self._log.debug(f"epoch {epoch}: {error}")
                step = error.step - 1 if error.unit == "step" else self._steps - 1
                rate = self._learning_rate(epoch)(step)
                raise CommandError(
                    f"{begin_error(self._folder)}in epoch {epoch} {error}, with learning rate "
                    f"{rate:g}: try a smaller lr",
                    argument="lr",
                ) from None
            rows.append(row)
            stop = self._stops_early(rows)
            if row.get("stopped_early") and not self._tests_subnetworks(epoch):
                row.update(self._test_subnetworks())  # the last row of a run has their errors
            if self._first:
                self._save(epoch, rows, board, clock)
            if stop:
                break
        if board:
            board.close()
        if self._first:
            self._draw(rows)

    def _resume(self):
        """Restore the newest checkpoint; return the log's rows up to it."""
        folder = self._folder
        if read_config(folder).get("data") != self._info.data:
            raise InputError(f"the images are not those of the run in {folder}")
        if self._first:  # it has locked the folder
            checkpoint.sweep(folder / checkpoint.FOLDER)
        newest = checkpoint.latest(folder / checkpoint.FOLDER)
        if newest is None:
            if read_log(folder):  # a checkpoint is saved before its row is written
                raise InputError(f"the checkpoints of {folder} are missing: start a new run")
            return []
        values, momenta, rows = checkpoint.load(newest)
        self._engine.load_state_dict(values, momenta)
        return rows

    def _begin(self, rows):
        """Write the first lines of the log and, on resuming, ``config.json``."""
        log, folder = self._log, self._folder
        log.rewrite(rows)
        for line in describe_run(self._run, self._info, self._data, self._engine, folder):
            log.info(line)
        if self._origin:
            log.info(self._origin)
        if rows and self._first:
            log.info(f"resumed after epoch {len(rows)}")
            config = read_config(folder)
            resumed = {"epoch": len(rows), **self._used(), **self._environment}
            write_config(folder, {**config, "resumed": [*config.get("resumed", []), resumed]})

    def _used(self):
        """Return the numbers of devices and workers."""
        return {name: getattr(self._info, name) for name in ("devices", "workers")}

    def _note_machine(self):
        """Write into ``config.json`` the devices of this process, which has trained an epoch.

        If it is the run's first epoch, the environment is that of this process, too, except for the
        command, which has the run's flags.
        """
        self._folder.stat()  # an error of the system if the folder has vanished
        config = read_config(self._folder)
        used, environment = self._used(), self._environment
        if self._begun:
            used = {name: max(number, config.get(name, 1)) for name, number in used.items()}
            environment = {}
        command = {"command": config["command"]} if "command" in config else {}
        write_config(self._folder, {**config, **used, **environment, **command})

    def _train_epoch(self, epoch, clock):
        """Train and test one epoch, counted from 1; return its row of the log."""
        run, config, engine, recipe = self._run, self._config, self._engine, self._run.recipe
        rate = self._learning_rate(epoch)
        engine.seed(zlib.crc32(f"{run.seed} {epoch}".encode()) % 2**31)
        if engine.loss_weights:
            loss_weights = repeat(engine.loss_weights)
        else:
            key = (run.seed, epoch, 2)
            loss_weights = drop_path.samples(recipe.drop_path, engine.num_subnetworks, key)
        progress = EpochProgress(epoch, recipe.epochs, self._steps, self._log, clock, config.quiet)
        started = time.perf_counter()
        batches = progress.follow(self._data.train_batches(epoch, engine.workers))
        meter = EpochMeter(engine, DIVERGED if config.on_divergence == "stop" else math.inf)
        stats = train_epoch(
            engine, batches, loss_weights, rate, meter, progress.report, config.log_iters
        )
        training = seconds_since(started)
        row = {"epoch": epoch, **summarize_rates([*map(rate, range(self._steps))], epoch)}
        row.update({"train_loss": stats.loss, "train_error": stats.error, **self._test(epoch)})
        if max(row["train_loss"], row["test_loss"]) > DIVERGED:
            row["diverged"] = True
        row["seconds"] = seconds_since(started)  # training and test
        row["images_per_second"] = stats.examples / training  # only training
        return row

    def _learning_rate(self, epoch):
        """Return a function that maps a step of an epoch, counted from 0, to its learning rate."""
        return lambda step: learning_rate(self._run.recipe, epoch, step, self._steps)

    def _stops_early(self, rows):
        """Return whether the held-out error has stopped falling; if so, mark the last row.

        The worker of rank 0 decides for all, because rounding may differ between processors.
        """
        patience = self._run.recipe.early_stop
        if not patience:
            return False
        stop = self._first and len(rows) - _find_best(rows) >= patience
        stop = bool(self._engine.workers.sum(np.array([float(stop)]))[0])
        if stop and len(rows) < self._run.recipe.epochs:
            rows[-1]["stopped_early"] = True
            self._log.info(f"stopped: the held-out error was lowest after epoch {_find_best(rows)}")
        return stop

    def _test(self, epoch):
        """Test the network and, if they are logged, its sub-networks; return losses and errors."""
        (whole,) = self._score([None])
        if self._config.on_divergence == "stop":
            require_convergence(whole.loss, "the test of epoch", epoch)
        figures = {"test_loss": whole.loss, "test_error": whole.error}
        if self._data.source.shows_top5:
            figures["test_top5_error"] = whole.top5_error
        if self._tests_subnetworks(epoch):
            figures.update(self._test_subnetworks())
        return figures

    def _tests_subnetworks(self, epoch):
        """Return whether the test of an epoch includes sub-networks."""
        last = epoch == self._run.recipe.epochs
        return bool(self._engine.loss_weights) or self._config.log_columns or last

    def _test_subnetworks(self):
        """Test every sub-network; return losses and errors, or {} if there are none."""
        tested = self._score(range(self._engine.num_subnetworks))
        if not tested:
            return {}
        kind = "member" if self._engine.loss_weights else "column"
        return {
            f"{kind}_losses": [each.loss for each in tested],
            f"{kind}_errors": [each.error for each in tested],
        }

    def _score(self, subnetworks):
        """Return the Scores of each of ``subnetworks`` on the test images; None is the whole."""
        data, engine, found = self._data, self._engine, []
        for subnetwork in subnetworks:
            refresh_bn_statistics(self._run, data, engine, subnetwork)
            share = data.test_share(self._config.test_batch_size, engine.workers)
            found.append(score(evaluate(engine, share, subnetwork), engine.workers))
        return found

    def _save(self, epoch, rows, board, clock):
        """Save the checkpoint of an epoch, then its row of the log, then, for some, the curves."""
        epochs, row = self._run.recipe.epochs, rows[-1]
        every = self._config.checkpoint_epochs or max(epochs // 8, 1)
        checkpoints = self._folder / checkpoint.FOLDER
        if epoch == self._begun + 1:
            self._note_machine()
        checkpoint.save(checkpoints, epoch, *self._engine.state_dict(), rows)
        self._log.write(**row)
        if board:
            board.write(row)
        for old in self._superseded(rows):
            if old % every:
                checkpoint.remove(checkpoints, old)
        if epoch % every == 0 and epoch < epochs:  # after the last, ``train`` draws them
            self._draw(rows)
        self._log.info(describe_epoch(row, epochs, self._run.tested_on, clock.left(epoch)))

    def _superseded(self, rows):
        """Return the epochs whose checkpoints are no longer the newest or the best."""
        if not self._run.recipe.early_stop or len(rows) < 2:
            return {len(rows) - 1}
        return {len(rows) - 1, _find_best(rows[:-1])} - {_find_best(rows)}

    def _draw(self, rows):
        title = f"{self._folder.parent.name} on {self._run.dataset}"
        tested_on = self._run.tested_on
        draw_curves(rows, self._folder / "curves.png", title, tested_on)
        for kind in SUBNETWORKS:  # the last epoch always tests sub-networks
            tested = [row for row in rows if f"{kind}_losses" in row]
            if len(tested) > 1 or len(tested) == len(rows):
                draw_subnetworks(tested, kind, self._folder / f"{kind}s.png", title, tested_on)


def _find_best(rows):
    """Return the first epoch with the lowest test error."""
    return min(rows, key=lambda row: row["test_error"])["epoch"]


def _require_agreement(workers, epochs):
    """Check that all workers resume from the same checkpoint."""
    done = workers.sum(np.eye(1, workers.count, workers.rank)[0] * epochs)
    if len(set(done)) > 1:
        raise InputError(
            f"workers found {' and '.join(f'{each:g}' for each in done)} finished epochs: log_dir "
            "must be a folder that all of them share",
            argument="log_dir",
        )
