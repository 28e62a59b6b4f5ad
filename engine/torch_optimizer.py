"""Implement the optimizers of engine/optimizer.py on lists of PyTorch tensors.

An update changes ``weights`` and ``momenta`` in place; ``lr`` is a tensor of one number, so that a
recorded step can be repeated at another rate. Each call computes on all tensors of a list.
"""


def sgd(weights, gradients, momenta, lr, momentum, decay):
    """v' = m v - lr (g + d w); w' = w + v'."""
    import torch

    steps = torch._foreach_add(gradients, weights, alpha=decay)
    torch._foreach_mul_(steps, lr)
    torch._foreach_mul_(momenta, momentum)
    torch._foreach_sub_(momenta, steps)
    torch._foreach_add_(weights, momenta)


def nesterov(weights, gradients, momenta, lr, momentum, decay):
    """w' = w + m^2 v - (1 + m) lr (g + d w); v' = m v - lr (g + d w')."""
    import torch

    steps = torch._foreach_add(gradients, weights, alpha=decay)
    torch._foreach_mul_(steps, lr)
    torch._foreach_add_(weights, momenta, alpha=momentum**2)
    torch._foreach_sub_(weights, steps, alpha=1 + momentum)
    steps = torch._foreach_add(gradients, weights, alpha=decay)
    torch._foreach_mul_(steps, lr)
    torch._foreach_mul_(momenta, momentum)
    torch._foreach_sub_(momenta, steps)


UPDATES = {"sgd": sgd, "nesterov": nesterov}
