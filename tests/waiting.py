"""Run a program that waits in the middle of an epoch, so that a test can stop it there.

    python -m tests.waiting 2 FILE train_cifar.py --network cross ...

takes the first step of epoch 3 and waits until FILE exists. However slow the machine is, a signal
arrives before the training has ended.
"""

import itertools
import os
import runpy
import sys
import time

from training import trainer


def program(epochs, path):
    """Return the words, after ``python``, of a train_cifar.py that waits after so many epochs."""
    return "-m", "tests.waiting", epochs, path, "train_cifar.py"


def _wait_after_first(batches, path):
    batches = iter(batches)
    yield next(batches)
    while not os.path.exists(path):
        time.sleep(0.01)
    yield from batches


def main(epochs, path, script, *flags):
    train_epoch, calls = trainer.train_epoch, itertools.count()

    def wait_or_train(engine, batches, *arguments):
        if next(calls) == int(epochs):
            batches = _wait_after_first(batches, path)
        return train_epoch(engine, batches, *arguments)

    trainer.train_epoch = wait_or_train
    sys.argv = [script, *flags]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:])
