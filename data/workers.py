"""Apply a function to many items in several processes, in order."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

from compat import WITHOUT_MXNET

from command import CommandError, require_positive
from hardware import cores

CHUNK = 8  # items that a process gets at once
AHEAD = 4  # chunks that are submitted in advance for each process


def check_jobs(jobs):
    """Return the number of processes; None means one for each core."""
    jobs = cores() if jobs is None else jobs
    require_positive(jobs=jobs)
    return jobs


@contextlib.contextmanager
def open_workers(jobs):
    """Yield a function like ``map`` that uses ``jobs`` processes; one job is this process.

    Raises:
        CommandError: the system ended one of the processes while the function was used.
    """
    if jobs == 1:
        yield map
        return
    context = multiprocessing.get_context("spawn")  # a process with threads must not be forked
    with ProcessPoolExecutor(jobs, context, _end_with_parent) as executor:
        waiting = deque()  # futures of chunks
        try:
            yield lambda function, items: _map(executor, waiting, AHEAD * jobs, function, items)
        finally:
            for future in waiting:
                future.cancel()


def _map(executor, waiting, ahead, function, items):
    """Yield ``function(item)`` for each item, in order; an executor's map would read all items."""
    items = iter(items)
    try:
        while True:
            for chunk in _chunks(items, ahead - len(waiting)):
                with _starting_processes():
                    waiting.append(executor.submit(_apply, function, chunk))
            if not waiting:
                return
            yield from waiting.popleft().result()
    except BrokenProcessPool:
        raise CommandError(
            "the system ended a process, probably because memory ran out: run the same command "
            "with fewer jobs",
            argument="jobs",
        ) from None


def _chunks(items, count):
    """Yield lists of up to CHUNK of ``items``, up to ``count`` of them."""
    for _ in range(count):
        chunk = list(islice(items, CHUNK))
        if not chunk:
            return
        yield chunk


def _apply(function, items):
    return [function(item) for item in items]


@contextlib.contextmanager
def _starting_processes():
    """Block Ctrl-C while processes start, which inherit this, and keep them from using MXNet."""
    os.environ[WITHOUT_MXNET] = "1"
    maskable = hasattr(signal, "pthread_sigmask")  # not on Windows
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if maskable else None
    try:
        yield
    finally:
        del os.environ[WITHOUT_MXNET]
        if maskable:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent():
    """End this process when its parent is killed; otherwise it would wait forever."""

    def watch():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
