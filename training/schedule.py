"""Learning rates: pure functions of the progress of a run, so there is nothing to save."""

import math
from fractions import Fraction

SCHEDULES = ("step", "cosine", "one-cycle")


def step_lr(epoch, epochs, lr, factor, milestones):
    """Return ``lr`` times ``factor`` for each milestone (a fraction of ``epochs``) already reached.

    The first epoch always has the full rate, however few there are.

    Args:
        epoch: epochs completed so far, from 0.
        milestones: fractions.Fraction, so that 7/15 of 15 epochs is 7 and not 6.
    """
    return lr * factor ** _count_reached(epoch, epochs, milestones)


def count_drops(epoch, epochs, milestones):
    """Return how many milestones are reached at the beginning of an epoch, counted from 1."""
    before = _count_reached(epoch - 2, epochs, milestones) if epoch > 1 else 0
    return _count_reached(epoch - 1, epochs, milestones) - before


def _count_reached(epoch, epochs, milestones):
    return sum(epoch >= max(int(step * epochs), 1) for step in milestones)


def cosine_lr(progress, lr):
    """Return ``lr`` (1 + cos(pi progress)) / 2.

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", equation 5,
    without restarts.
    """
    return lr * (1 + math.cos(math.pi * progress)) / 2


def linear_lr(progress, lr):
    """Return ``lr`` (1 - progress).

    With a warm-up it is one cycle: a straight line up and a straight line down to 0, after Smith
    and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning
    Rates".
    """
    return lr * (1 - progress)


def learning_rate(recipe, epoch, step, steps):
    """Return the learning rate of a training step.

    It is that of the middle of the step, so that neither the first nor the last rate is 0. During
    the first ``warmup_epochs`` the rate of the schedule's beginning grows in a straight line from
    0; "cosine" and "one-cycle" then fall from there to the end of the run, and "step" multiplies
    at its milestones.

    Args:
        recipe: a training.recipe.Recipe.
        epoch: counted from 1.
        step, steps: which step of the epoch it is, from 0, and how many there are.
    """
    done = epoch - 1 + Fraction(2 * step + 1, 2 * steps)
    warmup = Fraction(recipe.warmup_epochs)
    rise = float(done / warmup) if done < warmup else 1
    if recipe.schedule == "step":
        lr = step_lr(epoch - 1, recipe.epochs, recipe.lr, recipe.lr_factor, recipe.lr_steps)
        return lr if rise == 1 else lr * rise
    progress = float(max(done - warmup, 0) / (recipe.epochs - warmup))
    fall = cosine_lr if recipe.schedule == "cosine" else linear_lr
    return fall(progress, recipe.lr) * rise
