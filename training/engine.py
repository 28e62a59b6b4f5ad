"""A network on its devices: steps, and its arrays in and out. This one is MXNet's.

The training loop, the tally and the checkpoints speak to an engine through its methods
(``train_step``, ``test_step``, ``fetch``, ``seed``, ``arrays``, ``load``) and numpy arrays by
parameter name; nothing above this file knows what a device array is.
"""

import ctypes
from collections import deque

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet.base import _LIB, check_call

from command import InputError
from training.optimizer import nesterov

STEPS_AHEAD = 8  # more would not be faster, and would hold memory and delay a stop


class MXNetEngine:
    """Trains ``net`` data-parallel over ``contexts``.

    Each device takes a share of the batch and has batch statistics of its own, as is usual on GPUs;
    whenever training is followed by something else, every device gets the mean of the devices'
    moving averages.

    Args:
        net: a HybridBlock, initialized on ``contexts``, images -> logits (batch, classes).
        contexts: list of mx.Context.
        momentum, weight_decay: of the Nesterov steps; see training.optimizer.
        kv_store: how gradients of several devices are summed: "device", "local" or "nccl".

    Raises:
        InputError: there is no such ``kv_store`` here.
    """

    def __init__(self, net, contexts, momentum, weight_decay, kv_store="device"):
        self.net = net
        self.contexts = contexts
        self.loss = gluon.loss.SoftmaxCrossEntropyLoss()
        self.parameters = net.collect_params()
        self.trainer = nesterov(self.parameters, momentum, weight_decay, kv_store)
        try:
            # sets the KVStore up now: it writes every parameter, moving averages too
            self.trainer.allreduce_grads()
        except mx.MXNetError as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(f"--kv-store {kv_store} cannot be used here: {reason}") from None
        self._synchronized = True
        self._under_way = deque()

    def train_step(self, images, labels, lr):
        """One update with the mean gradient of the batch; the batch's sums, for a Tally."""
        if self._synchronized:
            self._restore_layout()
        shards = self._shards(images, labels)
        with autograd.record():
            logits = [self.net(x) for x, _ in shards]
            losses = [self.loss(z, y) for z, (_, y) in zip(logits, shards)]
            idle = [self._zero(context) for context in self.contexts[len(shards) :]]
        autograd.backward(losses + idle)
        self.trainer.set_learning_rate(lr)
        self.trainer.step(len(labels))
        self._synchronized = False
        sums = [_sums(*parts) for parts in zip(losses, logits, (y for _, y in shards))]
        self._keep_pace(sums)
        return sums

    def test_step(self, images, labels):
        """The batch's sums in predict mode, for a Tally."""
        self._synchronize()
        sums = []
        for x, y in self._shards(images, labels):
            logits = self.net(x)
            sums.append(_sums(self.loss(logits, y), logits, y))
        self._keep_pace(sums)
        return sums

    def fetch(self, steps):
        """Wait for the sums of several steps: array (steps, 2) of loss and wrong answers."""
        flat = [sums.as_in_context(mx.cpu()) for step in steps for sums in step]
        if not flat:
            return np.zeros((0, 2))
        values = iter(mx.nd.stack(*flat).asnumpy().astype(np.float64))
        return np.array([sum(next(values) for _ in step) for step in steps])

    def seed(self, seed):
        """Seed what is random inside the network."""
        mx.random.seed(seed)

    def arrays(self):
        """(parameters and moving averages, momenta), each {name: array}; names without the net's
        prefix, so that ``net.load_parameters`` reads the first."""
        self._synchronize()
        values = {self._short(p.name): p.list_data()[0].asnumpy() for p in self.parameters.values()}
        states = self.trainer._updaters[0].states  # Gluon shows them only as a pickle
        momenta = {
            self._short(self.trainer._params[index].name): state.asnumpy()
            for index, state in states.items()
            if state is not None
        }
        return values, momenta

    def load(self, values, momenta):
        """Take back what ``arrays`` gave, on any number of devices.

        Raises:
            InputError: the arrays are not this network's, by name or shape.
        """
        self._synchronize()
        parameters = {self._short(p.name): p for p in self.parameters.values()}
        _require_same_shapes({name: p.shape for name, p in parameters.items()}, values)
        if momenta:  # before the first step, and without momentum, there are none
            trained = (n for n, p in parameters.items() if p.grad_req != "null")
            _require_same_shapes({name: parameters[name].shape for name in trained}, momenta)
        for name, parameter in parameters.items():
            parameter.set_data(mx.nd.array(values[name], dtype=parameter.dtype))
        for context, updater in zip(self.contexts, self.trainer._updaters):
            for index, parameter in enumerate(self.trainer._params):
                name = self._short(parameter.name)
                if name in momenta:
                    state = mx.nd.array(momenta[name], ctx=context, dtype=parameter.dtype)
                    updater.states[index] = state
                    updater.states_synced[index] = True

    def _synchronize(self):
        """Let training come to rest, and give every device the mean of the moving averages.

        MXNet 1.9.1 does not order what reads moving averages after the backward pass that writes
        them (``static_shape``): read at once, they are those of the step before.
        """
        if self._synchronized:
            return
        mx.nd.waitall()
        for parameter in self.parameters.values():
            if parameter.grad_req == "null" and len(self.contexts) > 1:
                copies = [array.asnumpy() for array in parameter.list_data()]
                parameter.set_data(mx.nd.array(np.mean(copies, axis=0), dtype=parameter.dtype))
        self._synchronized = True

    def _keep_pace(self, sums):
        """Wait for what was asked for ``STEPS_AHEAD`` calls ago."""
        self._under_way.append(sums)
        if len(self._under_way) > STEPS_AHEAD:
            self.fetch([self._under_way.popleft()])

    def _restore_layout(self):
        """Put every array back into its plain memory layout, which predicting changes.

        In predict mode oneDNN rearranges weights in place, some time later. MXNet 1.9.1's update
        rounds differently on a rearranged weight, so that chance would decide the last bit.
        """
        mx.nd.waitall()
        for parameter in self.parameters.values():
            for array in parameter.list_data():
                # a C function that promises a plain layout to whoever asks for the address
                check_call(_LIB.MXNDArrayGetData(array.handle, ctypes.byref(ctypes.c_void_p())))

    def _shards(self, images, labels):
        """A part of the batch on each device; fewer parts where there are fewer examples."""
        count = min(len(self.contexts), len(labels))
        return [
            (mx.nd.array(x, ctx=context), mx.nd.array(y, ctx=context, dtype=np.float32))
            for context, x, y in zip(
                self.contexts, np.array_split(images, count), np.array_split(labels, count)
            )
        ]

    def _zero(self, context):
        """A loss of zero that gives every parameter on an idle device a gradient of zero."""
        trained = (p for p in self.parameters.values() if p.grad_req != "null")
        return mx.nd.add_n(*[(0 * p.data(context)).sum() for p in trained])

    def _short(self, name):
        return name[len(self.net.prefix) :] if name.startswith(self.net.prefix) else name


def _sums(losses, logits, labels):
    """(sum of losses, number of wrong answers), still on the device."""
    wrong = logits.argmax(axis=1) != labels
    return mx.nd.concat(losses.sum(), wrong.sum(), dim=0)


def _require_same_shapes(expected, arrays):
    for name in sorted(set(expected) | set(arrays)):
        ours = expected.get(name)
        theirs = arrays[name].shape if name in arrays else None
        if ours != theirs:
            raise InputError(f"array {name} has shape {theirs} where the network has {ours}")
