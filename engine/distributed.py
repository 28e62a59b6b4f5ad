"""The processes that train together: one alone, or workers joined by MXNet's distributed KVStore.

A process of a job learns its role from its environment, which ``tools.launch`` sets. Schedulers
and servers never come here: they serve while MXNet is imported, and end there.
"""

import atexit
import os
import sys
import threading
import time
from contextlib import nullcontext
from typing import Any

import mxnet as mx
import numpy as np

from command import InputError

DISTRIBUTED = "dist_sync"
ADDRESS = "DMLC_PS_ROOT_URI"
COUNTS = ("DMLC_PS_ROOT_PORT", "DMLC_NUM_WORKER", "DMLC_NUM_SERVER")
RANK = "DMLC_WORKER_ID"  # where it is not given, MXNet deals ranks out
FIRST_KEY = 1_000_000  # of sums in the store; gradients have theirs from 0 on


def connect_workers(kv_store: str, wait_limit: float) -> Any:
    """The process by itself, or with all workers of its job where ``kv_store`` is dist_sync.

    Args:
        wait_limit: seconds that a worker waits for the others.

    Raises:
        InputError: the environment does not say what the job is.
    """
    return Workers(wait_limit) if kv_store == DISTRIBUTED else Alone(kv_store)


class Alone:
    """A process that trains by itself.

    Args:
        store: how gradients of its devices are summed, for a Gluon Trainer.
    """

    rank, count = 0, 1
    launcher = ""  # what a command line starts with

    def __init__(self, store="device"):
        self.store = store

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        pass

    def waiting(self):
        """Something to wait in."""
        return nullcontext()

    def sum(self, array):
        """``array`` summed over all workers."""
        return array


class Workers:
    """All workers of a job, seen from one of them; see ``Alone``.

    Left by an exception, it lets the process end without the others. MXNet would wait for them.
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
            raise InputError(f"{RANK} must be 0 to {self.count - 1}, another for each worker")

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if error is not None:
            atexit.register(_end, getattr(error, "status", 1))  # the last registered is the first
            return
        with self.waiting():
            self.store._barrier()

    def sum(self, array):
        """``array`` summed over all workers, in single precision."""
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
    """Ends the process where a wait lasts longer than ``limit`` seconds; MXNet's have no end."""

    def __init__(self, limit):
        self._limit, self._since = limit, None
        threading.Thread(target=self._watch, daemon=True).start()

    def waiting(self):
        """Something to wait in."""
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
                    "and the servers: one of them is gone; start them all again with --resume\n"
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
            f"--kv-store {DISTRIBUTED} is for the workers of a job, and {', '.join(missing)} "
            "is not set here: start it with python -m tools.launch -n WORKERS -s SERVERS -- "
            "python train_cifar.py ..."
        )
    names = [*COUNTS, *([RANK] if RANK in given else [])]
    wrong = [f"{name}={given[name]}" for name in names if not given[name].isdecimal()]
    if wrong:
        raise InputError(f"{', '.join(wrong)}: must be a number")
