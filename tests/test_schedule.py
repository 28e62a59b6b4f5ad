import math
from fractions import Fraction

import pytest

from training.recipe import get_recipe
from training.schedule import count_drops, learning_rate, step_lr, summarize_rates

PAPER = (Fraction(1, 2), Fraction(3, 4), Fraction(7, 8))


@pytest.mark.parametrize(
    "epochs,drops",
    [(400, (200, 300, 350)), (40, (20, 30, 35)), (15, (7, 11, 13)), (8, (4, 6, 7))],
)
def test_rate_falls_tenfold_at_a_half_three_quarters_and_seven_eighths(epochs, drops):
    rates = [step_lr(epoch, epochs, 0.1, 0.1, PAPER) for epoch in range(epochs)]
    assert [e for e in range(1, epochs) if rates[e] < rates[e - 1]] == list(drops)
    assert rates[0] == 0.1
    assert rates[-1] == pytest.approx(1e-4)


def test_a_milestone_given_as_epochs_is_met_exactly():
    for epochs in range(2, 60):
        for drop in range(1, epochs):
            rate = [step_lr(e, epochs, 1.0, 0.5, (Fraction(drop, epochs),)) for e in range(epochs)]
            assert rate == [1.0] * drop + [0.5] * (epochs - drop)


def test_the_first_epoch_has_the_full_rate_however_few_there_are():
    assert step_lr(0, 1, 0.1, 0.1, PAPER) == 0.1
    assert [step_lr(epoch, 2, 0.1, 0.1, PAPER) for epoch in range(2)][0] == 0.1


def rates(epochs, steps, **changes):
    recipe = get_recipe("deep-fusion", epochs=epochs, **changes)
    return [
        learning_rate(recipe, epoch, step, steps)
        for epoch in range(1, epochs + 1)
        for step in range(steps)
    ]


def test_the_papers_schedule_is_constant_within_an_epoch_to_the_bit():
    found = rates(15, 7)
    by_epoch = [step_lr(epoch, 15, 0.1, 0.1, PAPER) for epoch in range(15)]
    assert found == [rate for rate in by_epoch for _ in range(7)]


def test_one_cycle_is_a_straight_line_up_and_one_down():
    found = rates(10, 4, schedule="one-cycle", lr=0.4, warmup_epochs=2.0)
    up, down = found[:8], found[8:]
    assert up == pytest.approx([0.4 * (k + 0.5) / 8 for k in range(8)])
    assert down == pytest.approx([0.4 * (1 - (k + 0.5) / 32) for k in range(32)])


def test_the_highest_rate_is_logged_where_it_is_neither_the_first_nor_the_last():
    found = summarize_rates(rates(1, 4, schedule="one-cycle", lr=0.4, warmup_epochs=0.5), epoch=1)
    assert found == pytest.approx({"lr": 0.1, "lr_max": 0.3, "lr_max_at": 0.375})
    found = rates(3, 10, schedule="cosine", lr=0.4, warmup_epochs=1.5)
    logged = [summarize_rates(found[10 * k : 10 * k + 10], k + 1) for k in range(3)]
    assert [list(each)[1:] for each in logged] == [
        ["lr_last"],
        ["lr_last", "lr_max", "lr_max_at"],
        ["lr_last"],
    ]
    assert logged[1]["lr_max"] == max(found) and 1.4 < logged[1]["lr_max_at"] < 1.6
    assert summarize_rates(rates(1, 4), epoch=1) == {"lr": 0.1}


def test_a_cosine_falls_to_zero_and_may_warm_up():
    found = rates(6, 5, schedule="cosine", lr=0.2)
    assert found == pytest.approx(
        [0.1 * (1 + math.cos(math.pi * (k + 0.5) / 30)) for k in range(30)]
    )
    warm = rates(6, 5, schedule="cosine", lr=0.2, warmup_epochs=1.0)
    assert warm[:5] == pytest.approx([0.2 * (k + 0.5) / 5 for k in range(5)])
    assert warm[5] < 0.2 and warm[5:] == sorted(warm[5:], reverse=True) and warm[-1] < 0.001


def test_steps_may_warm_up():
    found = rates(4, 2, warmup_epochs=1.0, lr_steps=(Fraction(1, 2),))
    assert found == pytest.approx([0.025, 0.075, 0.1, 0.1, 0.01, 0.01, 0.01, 0.01])


def test_no_rate_is_zero():
    for schedule in ("cosine", "one-cycle"):
        assert min(rates(3, 3, schedule=schedule, warmup_epochs=0.5)) > 0


def test_drops_at_once_are_counted():
    assert [count_drops(epoch, 2, PAPER) for epoch in (1, 2)] == [0, 3]
    assert [count_drops(epoch, 8, PAPER) for epoch in range(1, 9)] == [0, 0, 0, 0, 1, 0, 1, 1]
