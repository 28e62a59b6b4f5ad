"""One pass over training batches; one over test batches."""

from training.tally import Tally


def train_epoch(engine, batches, lr, report=None, report_every=50):
    """One pass over ``batches``, a step each; Figures met on the way, before each step's update.

    Args:
        engine: see training.engine.
        batches: of ``images`` (n, channels, height, width) and ``labels`` (n,).
        lr: learning rate of every step.
        report: called as ``report(steps, figures so far)`` every ``report_every`` steps, which
            also bounds how far the loop runs ahead of the device.

    Raises:
        NonFiniteLoss: at the first step whose loss is not finite.
    """
    tally = Tally(engine)
    for step, batch in enumerate(batches, 1):
        tally.add(len(batch.labels), engine.train_step(batch.images, batch.labels, lr))
        if step % report_every == 0:
            figures = tally.read()
            if report is not None:
                report(step, figures)
    return tally.read()


def evaluate(engine, batches):
    """Figures of the network in predict mode; every example of ``batches`` counts once.

    Raises:
        NonFiniteLoss: at the first batch whose loss is not finite.
    """
    tally = Tally(engine, "test batch")
    for batch in batches:
        tally.add(len(batch.labels), engine.test_step(batch.images, batch.labels))
    return tally.read()
