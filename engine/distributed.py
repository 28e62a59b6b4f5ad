"""Define the processes that train together: a single one, or workers of MXNet's dist KVStore.

A process of a job reads its role from its environment, which ``tools.launch`` sets. Schedulers and
servers never use this module: they serve during the import of MXNet, and then end.
"""

import atexit
import os
import sys
import threading
import time
from contextlib import nullcontext
from typing import Any

from compat import SERVER_VARIABLES

import mxnet as mx
import numpy as np

from command import InputError

DISTRIBUTED = "dist_sync"
ADDRESS, *COUNTS = SERVER_VARIABLES
RANK = "DMLC_WORKER_ID"  # without it, MXNet assigns ranks
FIRST_KEY = 1_000_000  # first key of sums in the store; keys of gradients start at 0


def connect_workers(kv_store: str, wait_limit: float) -> Any:
    """Return the workers that train together: all of a job if ``kv_store`` is dist_sync, or one.

    Args:
        wait_limit: seconds that a worker waits for the others.

    Raises:
        InputError: the environment does not describe the job.
    """
    return Workers(wait_limit) if kv_store == DISTRIBUTED else Alone(kv_store)


class Alone:
    """A single process that trains without others.

    Args:
        store: how gradients of its devices are summed, for a Gluon Trainer.
    """

    rank, count = 0, 1
    launcher = ""  # the start of a command line

    def __init__(self, store="device"):
        self.store = store

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        pass

    def waiting(self):
        """Return a context manager in which the process may wait for others."""
        return nullcontext()

    def sum(self, array):
        """Return ``array`` summed over all workers."""
        return array


class Workers:
    """All workers of a job, as seen from one of them; see ``Alone``.

    If an exception leaves its context, the process ends without waiting for the other workers, as
    MXNet would.
    """

    def __init__(self, wait_limit):
        _require_environment()
        self.waiting = _Watchdog(wait_limit).waiting
        with self.waiting():
            self.store = mx.kv.create(DISTRIBUTED)
        self.count = self.store.num_workers
        self.rank = int(os.environ.get(RANK, self.store.rank))
        servers = os.environ["DMLC_NUM_SERVER"]
        self.launcher = f"python -m tools.launch -n {self.count} -s {servers} -- "
        self._keys = {}
        ranks = self.sum(np.arange(self.count) == self.rank)
        if (ranks != 1).any():
            raise InputError(
                f"{RANK} must be 0 to {self.count - 1}, with a different value for each worker"
            )

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if error is not None:
            # the function registered last runs first
            atexit.register(_end, getattr(error, "status", 1))
            return
        with self.waiting():
            self.store._barrier()

    def sum(self, array):
        """Return ``array`` summed over all workers, in single precision."""
        if array.size == 0:
            return array
        with self.waiting():
            if array.shape not in self._keys:
                self._keys[array.shape] = FIRST_KEY + len(self._keys)
                self.store.init(self._keys[array.shape], mx.nd.zeros(array.shape))
            total = mx.nd.zeros(array.shape)
            self.store.pushpull(self._keys[array.shape], mx.nd.array(array), out=total)
            return total.asnumpy()


class _Watchdog:
    """Ends the process if a wait lasts longer than ``limit`` seconds; MXNet would wait forever."""

    def __init__(self, limit):
        self._limit, self._since = limit, None
        threading.Thread(target=self._watch, daemon=True).start()

    def waiting(self):
        """Return a context manager in which the process may wait for others."""
        return self

    def __enter__(self):
        self._since = time.monotonic()

    def __exit__(self, *raised):
        self._since = None

    def _watch(self):
        while True:
            time.sleep(min(1, self._limit / 10))
            since = self._since
            if since is not None and time.monotonic() - since > self._limit:
                sys.stderr.write(
                    f"error: waited {self._limit:g} seconds (--wait-limit) for the other workers "
                    "and the servers: one of them has ended; start them all again with --resume\n"
                )
                _end(1)


def _end(status):
    """End the process now."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _require_environment():
    given = os.environ
    missing = [name for name in ("DMLC_ROLE", ADDRESS, *COUNTS) if not given.get(name)]
    if missing:
        raise InputError(
            f"kv_store {DISTRIBUTED} is for the workers of a job, and {', '.join(missing)} "
            "is not set: start it with python -m tools.launch -n WORKERS -s SERVERS -- "
            "python train_cifar.py ...",
            argument="kv_store",
        )
    names = [*COUNTS, *([RANK] if RANK in given else [])]
    wrong = [f"{name}={given[name]}" for name in names if not given[name].isdecimal()]
    if wrong:
        raise InputError(f"{', '.join(wrong)}: must be a number")
