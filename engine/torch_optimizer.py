"""Implement the optimizers of engine/optimizer.py on lists of PyTorch tensors.

An update changes ``weights`` and ``momenta`` in place; ``lr`` is a tensor of one number, so that a
recorded step can be repeated at another rate. Each call computes on all tensors of a list.
"""

from engine.muon import ANGLE, COEFFICIENTS, SMALLEST_NORM, STEPS


def sgd(weights, gradients, momenta, lr, momentum, decay):
    """Update by v' = m v - lr (g + d w), w' = w + v'."""
    import torch

    steps = torch._foreach_add(gradients, weights, alpha=decay)
    torch._foreach_mul_(steps, lr)
    torch._foreach_mul_(momenta, momentum)
    torch._foreach_sub_(momenta, steps)
    torch._foreach_add_(weights, momenta)


def nesterov(weights, gradients, momenta, lr, momentum, decay):
    """Update by w' = w + m^2 v - (1 + m) lr (g + d w), v' = m v - lr (g + d w')."""
    import torch

    steps = torch._foreach_add(gradients, weights, alpha=decay)
    torch._foreach_mul_(steps, lr)
    torch._foreach_add_(weights, momenta, alpha=momentum**2)
    torch._foreach_sub_(weights, steps, alpha=1 + momentum)
    steps = torch._foreach_add(gradients, weights, alpha=decay)
    torch._foreach_mul_(steps, lr)
    torch._foreach_mul_(momenta, momentum)
    torch._foreach_sub_(momenta, steps)


def muon(weights, gradients, momenta, lr, momentum, decay):
    """Update as engine/muon.py defines; convolutions of the same shape are updated together."""
    by_shape, rest = {}, []
    for each in zip(weights, gradients, momenta):
        shape = each[0].shape
        group = by_shape.setdefault(shape, []) if len(shape) == 4 else rest
        group.append(each)
    if rest:
        nesterov(*map(list, zip(*rest)), lr, momentum, decay)
    for convolutions in by_shape.values():
        _update_convolutions(*map(list, zip(*convolutions)), lr, momentum)


def _update_convolutions(weights, gradients, momenta, lr, momentum):
    import torch

    steps = torch._foreach_mul(gradients, -lr)
    torch._foreach_mul_(momenta, momentum)
    torch._foreach_add_(momenta, steps)
    directions = torch._foreach_add(steps, momenta, alpha=momentum)
    steps, directions, matrices = (torch.stack(x).flatten(2) for x in (steps, directions, weights))
    matrices *= matrices.shape[1] ** 0.5 / _norms(matrices)
    matrices += orthogonalize(directions) * (ANGLE * lr * (_norms(steps) > SMALLEST_NORM))
    torch._foreach_copy_(weights, [*matrices.reshape(-1, *weights[0].shape)])


def orthogonalize(matrices):
    """Return U of engine/muon.py for each of the matrices (count, rows, columns)."""
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonalize(matrices.mT).mT
    import torch

    a, b, c = COEFFICIENTS
    x = matrices / _norms(matrices)
    for _ in range(STEPS):
        square = x @ x.mT
        polynomial = torch.baddbmm(square, square, square, alpha=c, beta=b)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x


def _norms(matrices):
    """Return the Frobenius norm of each matrix, at least SMALLEST_NORM, a tensor (count, 1, 1)."""
    return matrices.norm(dim=(1, 2), keepdim=True).clamp(min=SMALLEST_NORM)


UPDATES = {"sgd": sgd, "nesterov": nesterov, "muon": muon}
