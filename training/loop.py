"""One pass over training batches; one over test batches."""

import numpy as np

from training.metrics import Predictions
from training.tally import NonFiniteLoss, Tally


def train_epoch(engine, batches, weights, lr, report=None, report_every=50):
    """One pass over ``batches``, a step each; Figures met on the way, before each step's update.

    Args:
        engine: see training.engine.
        batches: of ``images`` (n, channels, height, width) and ``labels`` (n,).
        weights: for each step, which parts of the network it trains, {part: weight of its loss}.
        lr: learning rate of every step.
        report: called as ``report(steps, figures so far)`` every ``report_every`` steps, which
            also bounds how far the loop runs ahead of the device.

    Raises:
        NonFiniteLoss: at the first step whose loss is not finite.
    """
    tally = Tally(engine)
    for step, (batch, chosen) in enumerate(zip(batches, weights), 1):
        tally.add(len(batch.labels), engine.train_step(batch.images, batch.labels, lr, chosen))
        if step % report_every == 0:
            figures = tally.read()
            if report is not None:
                report(step, figures)
    return tally.read()


def evaluate(engine, batches, part=None):
    """Predictions of the network, or of a part of it, for every example of ``batches``.

    Raises:
        NonFiniteLoss: at the first batch with a logit that is not finite.
    """
    handles, labels = [], []
    for batch in batches:
        handles.append(engine.predict(batch.images, part))
        labels.append(batch.labels)
    logits = [engine.gather(handle) for handle in handles]
    for number, batch in enumerate(logits, 1):
        if not np.isfinite(batch).all():
            raise NonFiniteLoss("test batch", number)
    return Predictions(np.concatenate(logits), np.concatenate(labels))
