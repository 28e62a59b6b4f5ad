"""Compute learning rates as pure functions of a run's progress, so there is no state to save."""

import math
from fractions import Fraction

SCHEDULES = ("step", "cosine", "one-cycle")


def step_lr(epoch, epochs, lr, factor, milestones):
    """Return ``lr`` times ``factor`` for each milestone (a fraction of ``epochs``) already reached.

    The first epoch always has the full rate, even if there are very few epochs.

    Args:
        epoch: number of completed epochs, from 0.
        milestones: fractions.Fraction, so that 7/15 of 15 epochs is 7 and not 6.
    """
    return lr * factor ** _count_reached(epoch, epochs, milestones)


def count_drops(epoch, epochs, milestones):
    """Return the number of milestones reached at the beginning of an epoch, counted from 1."""
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

    With a warm-up, this is the one-cycle schedule: a linear increase and a linear decrease to 0.
    Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning
    Rates".
    """
    return lr * (1 - progress)


def summarize_rates(rates, epoch):
    """Return the fields of the log about the learning rates of an epoch's steps.

    ``lr`` is the first rate, and ``lr_last`` the last if it differs. ``lr_max`` is the highest if
    it is above both, as where a warm-up ends within the epoch; it is reached after ``lr_max_at``
    epochs.

    Args:
        rates: list of a number for each step.
        epoch: number of the epoch, from 1.
    """
    found, highest = {"lr": rates[0]}, max(rates)
    if rates[-1] != rates[0]:
        found["lr_last"] = rates[-1]
    if highest > max(rates[0], rates[-1]):
        done = (rates.index(highest) + 0.5) / len(rates)
        found.update(lr_max=highest, lr_max_at=epoch - 1 + done)
    return found


def learning_rate(recipe, epoch, step, steps):
    """Return the learning rate of a training step.

    The schedule is evaluated at the middle of the step, so neither the first nor the last rate is
    0. During the first ``warmup_epochs``, the rate grows linearly from 0 to its initial value;
    "cosine" and "one-cycle" then fall until the end of the run, and "step" multiplies the rate at
    its milestones.

    Args:
        recipe: a training.recipe.Recipe.
        epoch: number of the epoch, from 1.
        step, steps: number of the step in the epoch, from 0, and number of steps in the epoch.
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
