"""Learning rates: pure functions of the epoch, set anew each epoch, so there is nothing to save."""


def step_lr(epoch, epochs, lr, factor, milestones):
    """``lr`` times ``factor`` for each milestone (a fraction of ``epochs``) already reached.

    The first epoch always has the full rate, however few there are.

    Args:
        epoch: epochs completed so far, from 0.
        milestones: fractions.Fraction, so that 7/15 of 15 epochs is 7 and not 6.
    """
    return lr * factor ** sum(epoch >= max(int(step * epochs), 1) for step in milestones)
