"""The papers' initialisations. A value depends only on the seed and the parameter's name."""

import zlib

import mxnet as mx
import numpy as np


class Initializer(mx.init.Initializer):
    """Draws weights with the subclass's ``draw``; gamma is 1, beta and bias are 0.

    Each parameter has its own random stream, so its values do not depend on the order of
    initialisation, the device, the number of threads or other parameters.
    """

    def __init__(self, seed):
        super().__init__(seed=seed)
        self.seed = seed

    def _init_weight(self, name, arr):
        rng = np.random.default_rng([self.seed, zlib.crc32(str(name).encode())])
        arr[:] = self.draw(rng, arr.shape)

    def draw(self, rng, shape):
        """Draw a weight of ``shape``, (outputs, inputs, ...), with the generator ``rng``."""
        raise NotImplementedError


class DeepFusionInit(Initializer):
    """Conv: Gaussian, std sqrt(2 / fan_in). Dense: uniform, +-sqrt(1 / fan_in).

    The deep fusion project's initialisation: MXNet's Xavier, factor "in", magnitudes 2 and 1.
    """

    def draw(self, rng, shape):
        fan_in = np.prod(shape[1:])
        if len(shape) == 4:
            return rng.normal(0, np.sqrt(2 / fan_in), shape)
        return rng.uniform(-np.sqrt(1 / fan_in), np.sqrt(1 / fan_in), shape)


class XavierInit(Initializer):
    """Uniform, +-sqrt(6 / (fan_in + fan_out)): FractalNet's (Glorot & Bengio, 2010)."""

    def draw(self, rng, shape):
        fan_in, fan_out = np.prod(shape[1:]), shape[0] * np.prod(shape[2:])
        bound = np.sqrt(6 / (fan_in + fan_out))
        return rng.uniform(-bound, bound, shape)


INITIALIZERS = {"deep-fusion": DeepFusionInit, "xavier": XavierInit}
