"""Implement Muon for MXNet. See engine/muon.py."""

import mxnet as mx
import numpy as np

from engine import muon


class Muon(mx.optimizer.NAG):
    """The optimizer of engine/muon.py. Computes in float32 or float64.

    Convolutions of the same shape are updated together, because on small arrays MXNet spends more
    time on starting an operator than on computing.
    """

    def __init__(self, **settings):
        super().__init__(**settings)
        self.aggregate_num = 2**31  # MXNet passes lists of up to so many parameters

    def update_multi_precision(self, indices, weights, gradients, momenta):
        """Update the parameters and their momenta (None without momentum) in place."""
        by_shape = {}
        for index, *arrays in zip(indices, weights, gradients, momenta):
            if arrays[0].ndim == 4:
                by_shape.setdefault(arrays[0].shape, []).append(arrays)
            else:
                super().update_multi_precision(index, *arrays)
        for convolutions in by_shape.values():
            self._update_convolutions(*zip(*convolutions))

    def _update_convolutions(self, weights, gradients, momenta):
        lr = self.learning_rate
        steps = _matrices(gradients) * (-lr * self.rescale_grad)
        directions = steps
        if self.momentum:
            velocities = self.momentum * _matrices(momenta) + steps
            directions = self.momentum * velocities + steps
            _assign(momenta, velocities)
        matrices = _matrices(weights)
        matrices = matrices * (matrices.shape[1] ** 0.5 / _norms(matrices))
        angles = muon.ANGLE * lr * (_norms(steps) > muon.SMALLEST_NORM)
        _assign(weights, matrices + orthogonalize(directions) * angles)


def orthogonalize(matrices):
    """Return U of engine/muon.py for each of the matrices (count, rows, columns)."""
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonalize(matrices.swapaxes(1, 2)).swapaxes(1, 2)
    a, b, c = muon.COEFFICIENTS
    x = matrices / _norms(matrices)
    for _ in range(muon.STEPS):
        square = mx.nd.linalg.gemm2(x, x, transpose_b=True)
        polynomial = mx.nd.linalg.gemm(square, square, square, alpha=c, beta=b)
        x = mx.nd.linalg.gemm(polynomial, x, x, beta=a)
    return x


def _matrices(arrays):
    """Return arrays of one shape (out, in, k, k) as an array (count, out, in * k * k)."""
    dtype = np.promote_types(arrays[0].dtype, np.float32)
    return mx.nd.stack(*arrays).reshape((0, 0, -1)).astype(dtype, copy=False)


def _assign(arrays, matrices):
    for array, matrix in zip(arrays, matrices):
        array[:] = matrix.reshape(array.shape)


def _norms(matrices):
    """Return the Frobenius norm of each matrix, at least SMALLEST_NORM, an array (count, 1, 1)."""
    norms = matrices.reshape((0, -1)).norm(axis=1).reshape((-1, 1, 1))
    return mx.nd.maximum(norms, muon.SMALLEST_NORM)
