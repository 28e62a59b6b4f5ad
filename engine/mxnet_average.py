"""An exponential average of a network's weights, in MXNet's arrays."""

import mxnet as mx


class WeightAverage:
    """The average of ``parameters``, moving averages too, on every device that they are on.

    A network has one set of arrays, which its compiled graph reads: the weights while it trains and
    their average otherwise. The other set is ``kept`` here. See NetworkEngine for the formula.
    """

    def __init__(self, parameters):
        self._parameters = parameters
        self._shown = False
        self.kept = [[array.copy() for array in p.list_data()] for p in parameters]

    def kept_moving(self):
        """Return what is kept of the moving averages, a list of arrays for each."""
        return [k for k, p in zip(self.kept, self._parameters) if p.grad_req == "null"]

    def show(self, shown):
        """Have the parameters hold the average (True) or the weights that train (False)."""
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
        """Move the average by ``share`` of the way to the weights that train."""
        mx.nd.waitall()  # reading moving averages does not wait for the graph that writes them
        for kept, parameter in zip(self.kept, self._parameters):
            for average, array in zip(kept, parameter.list_data()):
                average += share * (array - average)

    def load(self, raw):
        """Take the weights that train from arrays; the parameters hold the average now.

        Args:
            raw: one array for each parameter.
        """
        for kept, value in zip(self.kept, raw):
            for array in kept:
                array[:] = value
        self._shown = True
