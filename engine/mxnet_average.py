"""Maintain an exponential average of a network's weights, in MXNet's arrays."""

import mxnet as mx


class WeightAverage:
    """The average of ``parameters``, including moving averages, on each of their devices.

    The compiled graph of a network reads one set of arrays: the weights during training, and their
    average otherwise. ``kept`` is the other set. OptimizerSettings has the formula.
    """

    def __init__(self, parameters):
        self._parameters = parameters
        self._shown = False
        self.kept = [[array.copy() for array in p.list_data()] for p in parameters]

    def kept_moving(self):
        """Return the kept arrays of the moving averages, a list for each."""
        return [k for k, p in zip(self.kept, self._parameters) if p.grad_req == "null"]

    def show(self, shown):
        """Make the parameters contain the average (True) or the trained weights (False)."""
        if shown == self._shown:
            return
        for kept, parameter in zip(self.kept, self._parameters):
            for there, here in zip(kept, parameter.list_data()):
                aside = here.copy()
                here[:] = there
                there[:] = aside
        mx.nd.waitall()  # the compiled graph does not wait for writes to moving averages
        self._shown = shown

    def update(self, share):
        """Move the average towards the trained weights by ``share`` of the difference."""
        mx.nd.waitall()  # reading moving averages does not wait for the graph that writes them
        for kept, parameter in zip(self.kept, self._parameters):
            for average, array in zip(kept, parameter.list_data()):
                average += share * (array - average)

    def load(self, raw):
        """Load the trained weights from arrays; the parameters already contain the average.

        Args:
            raw: one array for each parameter.
        """
        for kept, value in zip(self.kept, raw):
            for array in kept:
                array[:] = value
        self._shown = True
