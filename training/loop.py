"""Run one pass over the training batches, or over the test batches."""

from collections import deque
from functools import partial

import numpy as np

from training.meter import NonFiniteLoss
from training.metrics import Predictions

KEPT = 8  # number of predictions that may be pending before the loop waits for the oldest


def train_epoch(engine, batches, loss_weights, learning_rate, meter, report=None, report_every=50):
    """Train one epoch; return mean loss and top-1 error (%), measured before each step's update.

    Args:
        engine: an engine.base.Engine.
        batches: batches with ``images`` (n, channels, height, width), ``labels`` (n,), ``targets``
            (n, classes) or None, and ``total``, the number of examples over all workers.
        loss_weights: for each step, {sub-network: weight of its loss}; the key None is the whole
            network.
        learning_rate: function that maps a step, counted from 0, to its learning rate.
        meter: an EpochMeter.
        report: called as ``report(steps, stats so far)`` every ``report_every`` steps. This also
            limits how many steps the loop is ahead of the device.

    Raises:
        Divergence: the loss exploded; the error names the first such step.
    """
    for step, (batch, chosen) in enumerate(zip(batches, loss_weights)):
        lr = learning_rate(step)
        targets = batch.targets
        sums = engine.train_step(batch.images, batch.labels, lr, chosen, batch.total, targets)
        meter.update(batch.total, sums)
        if (step + 1) % report_every == 0:
            stats = meter.compute()
            if report is not None:
                report(step + 1, stats)
    return meter.compute()


def evaluate(engine, batches, subnetwork=None, views=1):
    """Return Predictions of the network, or of a sub-network, for every example of ``batches``.

    Args:
        views: number of consecutive images (crops) of each example, whose probabilities are
            averaged.

    Raises:
        NonFiniteLoss: a logit is not finite; the error names the first such batch.
    """
    under_way, found = deque(), []

    def collect():
        handle, labels = under_way.popleft()
        logits = engine.to_numpy(handle)
        if not np.isfinite(logits).all():
            raise NonFiniteLoss(np.nan, "test batch", len(found) + 1)
        make = Predictions if views == 1 else partial(Predictions.averaged, views=views)
        found.append(make(logits, labels))

    for batch in batches:
        under_way.append((engine.predict(batch.images, subnetwork), batch.labels))
        if len(under_way) > KEPT:
            collect()
    while under_way:
        collect()
    return Predictions(
        np.concatenate([each.logits for each in found]),
        np.concatenate([each.labels for each in found]),
    )
