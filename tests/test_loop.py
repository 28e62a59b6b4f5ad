"""The loop, the meter and evaluation, on an engine that only counts."""

from collections import namedtuple
from itertools import count, repeat

import numpy as np
import pytest

from command import CommandError
from training.loop import evaluate, train_epoch
from training.meter import DIVERGED, Divergence, EpochMeter, NonFiniteLoss

Batch = namedtuple("Batch", "images labels total targets", defaults=(None,))


class CountingEngine:
    """Its loss of an example is the image itself, and odd labels are answered wrongly."""

    def __init__(self):
        self.rates, self.weights, self.fetched = [], [], []

    def train_step(self, images, labels, lr, weights, total, targets=None):
        self.rates.append(lr)
        self.weights.append(weights)
        return [images.sum(), (labels % 2).sum()]

    def predict(self, images, part):
        return [images, part]

    def to_numpy(self, handle):
        images, part = handle
        return np.stack([images, np.full(len(images), part or 0)], axis=1)

    def fetch(self, steps):
        self.fetched.append(len(steps))
        return np.array(steps, dtype=np.float64).reshape(-1, 2)


def batches(losses, size):
    for start in range(0, len(losses), size):
        part = np.array(losses[start : start + size], dtype=np.float64)
        yield Batch(part, np.arange(start, start + len(part)), len(part))


@pytest.mark.parametrize("size", [1, 7, 64, 1003, 2000])
def test_every_example_is_predicted_once_whatever_the_batch_size(size):
    values = np.random.default_rng(0).normal(size=1003)
    found = evaluate(CountingEngine(), parity(values, size), 3)
    assert (found.logits == np.stack([values, np.full(1003, 3)], axis=1)).all()
    assert (found.labels == np.arange(1003) % 2).all()


def parity(values, size):
    """Batches whose labels are 0 and 1 by turns."""
    for batch in batches(values, size):
        yield Batch(batch.images, batch.labels % 2, batch.total)


def test_training_reports_running_figures_and_waits_only_then():
    engine, reports = CountingEngine(), []
    figures = train_epoch(
        engine,
        batches([1.0] * 9, 2),
        count(),
        lambda step: 0.3,
        EpochMeter(engine),
        lambda *report: reports.append(report),
        2,
    )
    assert engine.weights == [0, 1, 2, 3, 4]
    assert engine.rates == [0.3] * 5
    assert engine.fetched == [2, 2, 1]
    assert [(step, f.examples) for step, f in reports] == [(2, 4), (4, 8)]
    assert (figures.examples, figures.loss) == (9, 1.0)


def train(losses, **options):
    """Batches of two, at a rate that is the number of the step."""
    engine = CountingEngine()
    meter = EpochMeter(engine, **options)
    train_epoch(engine, batches(losses, 2), repeat({}), float, meter, report_every=5)
    return engine


def test_every_step_has_its_learning_rate():
    assert train([1.0] * 7).rates == [0, 1, 2, 3]


def test_a_loss_that_explodes_stops_at_its_step():
    losses = [1.0] * 20
    losses[13] = 5e4
    with pytest.raises(Divergence, match=r"exploded to 2.5e\+04 at step 7") as caught:
        train(losses, limit=DIVERGED)
    assert caught.value.step == 7 and not isinstance(caught.value, NonFiniteLoss)
    train(losses)  # unless training is to continue


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_stops_at_its_step(bad):
    losses = [1.0] * 20
    losses[13] = bad
    with pytest.raises(NonFiniteLoss, match="at step 7") as caught:
        train(losses)
    assert caught.value.step == 7
    assert isinstance(caught.value, CommandError)
    with pytest.raises(NonFiniteLoss, match="at test batch 7"):
        evaluate(CountingEngine(), parity(losses, 2))


def test_an_empty_meter_computes_nothing():
    figures = EpochMeter(CountingEngine()).compute()
    assert (figures.loss, figures.error, figures.examples) == (0, 0, 0)


def test_sums_do_not_lose_digits_over_many_steps():
    meter = EpochMeter(CountingEngine())
    meter.update(1, [1e8, 0])
    for _ in range(1000):
        meter.update(1, [0.001, 0])
    assert meter.compute().loss * 1001 == pytest.approx(1e8 + 1, rel=1e-12)  # float32: 1e8
