"""Drop-path, FractalNet's regularisation: which paths of the network a mini-batch trains.

*Local* drops inputs of joins, inside the graph (``Join``); *global* trains one column of the whole
network, which is chosen outside it (``sample``) so that only that column is run.
Larsson et al., "FractalNet: Ultra-Deep Neural Networks without Residuals", section 3.1.
"""

import numpy as np
from mxnet.gluon import HybridBlock

from command import InputError

MODES = ("none", "local", "global", "mixed", "tied")
LOCAL_MODES = ("local", "mixed", "tied")  # those that drop inputs of joins
WHOLE = None  # the whole network, beside its columns, from 0


class Join(HybridBlock):
    """y = mean of the inputs that are kept.

    In training each input is dropped with probability ``drop_path``, anew each time; where all
    would go, one of them stays, each as likely. The choice is the same for all images of a batch,
    or of a device's share of it. In prediction every input is kept.

    Inputs are of one shape (batch, channels, height, width), which is the output's.

    Raises:
        InputError: ``drop_path`` is no probability below 1.
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
        """(count, 1, 1, 1): 1 / (number of inputs kept) for each that is kept, 0 for the others."""
        # a single number off the batch's length: F.slice of activations crashes oneDNN
        one = F.ones_like(F.slice_axis(F.contrib.arange_like(like, axis=0), axis=0, begin=0, end=1))
        ones = F.tile(one, reps=count)
        kept = F.sign(F.Dropout(ones, p=self._drop_path))  # Dropout knows training from prediction
        chance = F.random.uniform_like(ones)
        lone = F.broadcast_equal(chance, F.max(chance))
        kept = kept + F.broadcast_mul(lone, 1 - F.max(kept))
        return F.reshape(F.broadcast_div(kept, F.sum(kept)), shape=(-1, 1, 1, 1))


def sample(mode, columns, rng):
    """What a mini-batch trains: {sub-network: weight of its loss}.

    A sub-network is a column, 0 to ``columns - 1``, or WHOLE, in which ``Join`` drops paths locally
    where the network was made with a rate.

    - none, local: the whole network.
    - global: one column, each as likely.
    - mixed: the whole network or one column, half of the time each.
    - tied: the whole network with weight 1, and every column with weight 1 / ``columns``.

    Args:
        rng: a numpy Generator; none, local and tied draw nothing from it.
    """
    if mode == "global" or (mode == "mixed" and rng.random() < 0.5):
        return {int(rng.integers(columns)): 1.0}
    if mode == "tied":
        return {WHOLE: 1.0, **dict.fromkeys(range(columns), 1 / columns)}
    return {WHOLE: 1.0}


def samples(mode, columns, seed):
    """A ``sample`` for each mini-batch, without end; ``seed`` is any that numpy takes."""
    rng = np.random.default_rng(seed)
    while True:
        yield sample(mode, columns, rng)
