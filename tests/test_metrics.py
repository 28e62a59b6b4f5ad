import numpy as np
import pytest

from engine.distributed import Alone
from evaluate import describe_class_errors, summarize
from training.metrics import Predictions, Scores, score


def some(count=57, classes=6, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, classes)).astype(np.float32)
    return Predictions(logits, rng.integers(0, classes, count))


def test_loss_is_the_mean_cross_entropy_in_double_precision():
    found = some()
    shares = np.exp(found.logits.astype(np.float64))
    shares /= shares.sum(axis=1, keepdims=True)
    expected = -np.log(shares[np.arange(57), found.labels])
    assert np.allclose(found.losses, expected, rtol=1e-12)
    assert found.loss == pytest.approx(expected.mean(), rel=1e-12)
    assert Predictions(np.array([[1e4, 0.0]], np.float32), np.array([1])).loss == 1e4


def test_top_5_is_given_where_it_can_be_wrong():
    assert "top-5 error" in summarize(some(classes=6))
    assert "top-5" not in summarize(some(classes=5))
    assert "top-1 error" in summarize(some(classes=2))


def test_a_class_without_images_has_no_error():
    found = Predictions(np.eye(3, dtype=np.float32)[[0, 2, 0]], np.array([0, 2, 2]))
    assert describe_class_errors(found) == ["0.00", "no images", "50.00"]


@pytest.mark.parametrize("top", [1, 2, 5, 6])
def test_error_counts_labels_outside_the_largest_logits(top):
    found = some()
    order = np.argsort(-found.logits, axis=1)[:, :top]
    expected = 100 * np.mean([label not in row for label, row in zip(found.labels, order)])
    assert found.error(top) == pytest.approx(expected)


def test_of_equal_logits_the_first_counts():
    found = Predictions(np.zeros((3, 3), np.float32), np.array([0, 1, 2]))
    assert (found.classes == 0).all()
    assert [found.error(top) for top in (1, 2, 3)] == pytest.approx([200 / 3, 100 / 3, 0])


def test_logits_that_are_not_numbers_are_wrong():
    logits = np.array([[np.nan, np.nan], [1, 0], [np.nan, 0]], np.float32)
    assert Predictions(logits, np.array([0, 0, 1])).error() == pytest.approx(200 / 3)


class Together:
    """Workers of which each gives the share of the sums that another one computed."""

    def __init__(self, shares):
        self.others = [np.array([x.losses.sum(), *self.wrong(x), len(x)]) for x in shares]

    def wrong(self, found):
        return [found.error(top) * len(found) / 100 for top in (1, 5)]

    def sum(self, array):
        return array + sum(self.others)


def test_scores_of_shares_are_those_of_all_examples():
    whole = some(classes=12)
    cuts = (slice(0, 20), slice(20, 21), slice(21, None))
    ours, *others = (Predictions(whole.logits[cut], whole.labels[cut]) for cut in cuts)
    found = score(ours, Together(others))
    assert found.loss == pytest.approx(whole.loss, rel=1e-12)
    assert found.error == pytest.approx(whole.error())
    assert found.top5_error == pytest.approx(whole.error(5))


def test_a_single_process_has_the_scores_of_its_predictions():
    found = some()
    assert score(found, Alone()) == Scores(found.loss, found.error(), found.error(5))


def test_confusion_has_a_row_a_label_and_class_errors_follow():
    logits = np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 0]]
    found = Predictions(logits, np.array([0, 1, 1, 1, 0]))
    assert found.confusion().tolist() == [[2, 0, 0], [1, 2, 0], [0, 0, 0]]
    errors = found.class_errors()
    assert errors[:2] == pytest.approx([0, 100 / 3])
    assert np.isnan(errors[2])


def test_views_of_an_example_count_by_their_mean_probabilities():
    views = some(count=60)
    labels = np.repeat(np.arange(6), 10)
    shares = np.exp(views.logits.astype(np.float64))
    shares /= shares.sum(axis=1, keepdims=True)
    mean = shares.reshape(6, 10, 6).mean(axis=1)
    found = Predictions.averaged(views.logits, labels, 10)
    assert np.allclose(np.exp(found.logits), mean, rtol=1e-12)
    assert (found.labels == np.arange(6)).all()
    far = Predictions.averaged(np.array([[0, 1e4], [0, 2e4]], np.float32), np.array([0, 0]), 2)
    assert far.loss == pytest.approx(1e4 + np.log(2))
