"""Drop-path, FractalNet's regularisation: which paths of the network a mini-batch trains.

*Local* drop-path drops inputs of joins, inside the graph (``Join``). *Global* drop-path trains one
column of the whole network; it is chosen outside the graph (``sample``), so only that column runs.
Larsson et al., "FractalNet: Ultra-Deep Neural Networks without Residuals", section 3.1.
"""

import numpy as np
from mxnet.gluon import HybridBlock

from command import InputError

MODES = ("none", "local", "global", "mixed", "tied")
LOCAL_MODES = ("local", "mixed", "tied")  # modes that drop inputs of joins
WHOLE = None  # stands for the whole network where a number stands for a column


class Join(HybridBlock):
    """y = mean of the inputs that are kept.

    In training, each input is dropped with probability ``drop_path``, with a new sample in each
    mini-batch; if all were dropped, one of them is kept, each equally likely. The choice is the
    same for all images of a batch (on several devices, of each device's share). In prediction,
    every input is kept.

    Inputs are of one shape (batch, channels, height, width), which is the output's.

    Raises:
        InputError: ``drop_path`` is not a probability below 1.
    """

    def __init__(self, drop_path=0.0, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= drop_path < 1:
            raise InputError(f"drop_path must be from 0 to less than 1, not {drop_path}")
        self._drop_path = drop_path

    def hybrid_forward(self, F, *inputs):
        count = len(inputs)
        if count == 1:
            return inputs[0]
        if self._drop_path == 0:
            return F.add_n(*inputs) / count
        weights = F.split(self._weights(F, inputs[0], count), num_outputs=count, axis=0)
        # not broadcast_mul: its backward pass sums over the tensor and takes seven times as long
        return F.add_n(*[x * F.BlockGrad(F.broadcast_like(w, x)) for x, w in zip(inputs, weights)])

    def _weights(self, F, like, count):
        """Return (count, 1, 1, 1): 1 / (number of inputs kept) for each kept one, 0 for others."""
        # a single number made from the batch's length: F.slice of activations crashes oneDNN
        one = F.ones_like(F.slice_axis(F.contrib.arange_like(like, axis=0), axis=0, begin=0, end=1))
        ones = F.tile(one, reps=count)
        kept = F.sign(F.Dropout(ones, p=self._drop_path))  # Dropout drops only in training
        chance = F.random.uniform_like(ones)
        lone = F.broadcast_equal(chance, F.max(chance))
        kept = kept + F.broadcast_mul(lone, 1 - F.max(kept))
        return F.reshape(F.broadcast_div(kept, F.sum(kept)), shape=(-1, 1, 1, 1))


def sample(mode, columns, rng):
    """Return the loss weights of a mini-batch, {sub-network: weight of its loss}.

    A sub-network is a column, 0 to ``columns - 1``, or WHOLE. In the whole network, ``Join`` drops
    paths locally if the network was built with a rate.

    - none, local: the whole network.
    - global: one column, each equally likely.
    - mixed: the whole network or one column, each half of the time.
    - tied: the whole network with weight 1, and every column with weight 1 / ``columns``.

    Args:
        rng: a NumPy Generator; none, local and tied do not use it.
    """
    if mode == "global" or (mode == "mixed" and rng.random() < 0.5):
        return {int(rng.integers(columns)): 1.0}
    if mode == "tied":
        return {WHOLE: 1.0, **dict.fromkeys(range(columns), 1 / columns)}
    return {WHOLE: 1.0}


def samples(mode, columns, seed):
    """Yield a ``sample`` for each mini-batch, endlessly; ``seed`` is any that NumPy accepts."""
    rng = np.random.default_rng(seed)
    while True:
        yield sample(mode, columns, rng)
