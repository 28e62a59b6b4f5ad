from fractions import Fraction

import pytest

from training.schedule import step_lr

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
