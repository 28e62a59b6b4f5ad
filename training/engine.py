"""A network on its devices: steps, and its arrays in and out. ``MXNetEngine`` is the first.

The training loop, the tally and the checkpoints speak to an engine through its methods
(``train_step``, ``fetch``, ``predict``, ``gather``, ``observe``, ``seed``, ``arrays``, ``load``),
its ``workers`` (see training.workers) and numpy arrays by parameter name; nothing above this file
knows what a device array is. Another engine runs the compiled graph of the same network:
training/torch_engine.py.
"""

import ctypes
from collections import deque

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet.base import _LIB, check_call
from mxnet.contrib.amp.loss_scaler import LossScaler

from command import CommandError, InputError
from training.optimizer import make_trainer
from training.precision import LOSS_SCALE, SMALLEST_LOSS_SCALE
from training.workers import Alone

STEPS_AHEAD = 8  # more would not be faster, and would hold memory and delay a stop


class Engine:
    """What engines have in common: the network that they run.

    A network may have ``parts``: networks that share its parameters, such as FractalNet's columns.
    A step trains the whole or parts, a prediction is of one; ``None`` stands for the whole.

    Args:
        net: an initialized HybridBlock, images -> logits (batch, classes).
        predictor: the same network, of the same parameters, without dropout and drop-path, where
            ``net`` has them; it predicts.
        workers: who trains together; see training.workers.
    """

    def __init__(self, net, predictor=None, workers=None):
        self.net = net
        self.predictor = predictor or net
        self.parameters = net.collect_params()
        self.workers = workers or Alone()

    @property
    def parts(self):
        """Number of parts of the network."""
        return len(getattr(self.net, "parts", ()))

    @property
    def losses(self):
        """{part: weight of its loss} that every step is to go by; empty if the caller decides."""
        return getattr(self.net, "losses", {})

    def network(self, part=None):
        """What predicts: the network, or a part of it, without dropout and drop-path."""
        return part_of(self.predictor, part)

    def short(self, name):
        """A parameter's name without the net's prefix, as ``net.load_parameters`` knows it."""
        return name[len(self.net.prefix) :] if name.startswith(self.net.prefix) else name

    def trained(self):
        """The parameters that have a gradient; the others are moving averages."""
        return [p for p in self.parameters.values() if p.grad_req != "null"]

    def hold(self, pixels, mean, std):
        """Images on the device, to make batches of them there; None: batches are better made here.

        Args:
            pixels: uint8 (N, channels, height, width).
            mean, std: per channel, of pixels from 0 to 255.
        """
        return None

    def require_fit(self, values, momenta):
        """Refuse arrays that are not this network's.

        Raises:
            InputError: a name or a shape is another.
        """
        shapes = {self.short(p.name): p.shape for p in self.parameters.values()}
        _require_same_shapes(shapes, values)
        if momenta:  # before the first step, and without momentum, there are none
            _require_same_shapes({self.short(p.name): p.shape for p in self.trained()}, momenta)


class MXNetEngine(Engine):
    """Trains ``net`` data-parallel over ``contexts``.

    Each device takes a share of the batch and has batch statistics of its own, as is usual on GPUs;
    whenever training is followed by something else, every device gets the mean of the devices'
    moving averages.

    Workers, each with an engine of the same network, train as one with all their devices: they take
    the same steps, each with a share of the batch. Whatever is told of steps and all arrays is the
    same in all of them.

    Args:
        net, predictor, workers: see Engine; the network is initialized on ``contexts``.
        contexts: list of mx.Context.
        optimizer, momentum, weight_decay, decayed: see training.optimizer.
        dtype: what MXNet was told to compute in; float16 has its losses scaled. See
            training.precision.

    Raises:
        InputError: gradients cannot be summed here the way the workers do it.
    """

    def __init__(
        self,
        net,
        contexts,
        momentum,
        weight_decay,
        optimizer="nesterov",
        decayed="all",
        workers=None,
        predictor=None,
        dtype="float32",
    ):
        super().__init__(net, predictor, workers)
        self.contexts = contexts
        self.loss = gluon.loss.SoftmaxCrossEntropyLoss()
        store = self.workers.store
        self.trainer = make_trainer(
            self.parameters, optimizer, momentum, weight_decay, decayed, store
        )
        try:
            # sets the KVStore up now: it writes every parameter, moving averages too
            self._restore_layout()
            with self.workers.waiting():
                self.trainer._init_kvstore()
                self.trainer._init_params()
                mx.nd.waitall()
        except mx.MXNetError as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(f"--kv-store {store} cannot be used here: {reason}") from None
        self._synchronized = True
        self._under_way = deque()
        self._dtype = next(iter(self.parameters.values())).dtype
        self._half = dtype == "float16"
        self._first_scale = self._scale = LOSS_SCALE.get(dtype, 1.0)

    def train_step(self, images, labels, lr, weights=None, total=None):
        """One update with the mean gradient of the batch; the batch's sums, for a Tally.

        Args:
            total: examples of the batch where workers share it.
            weights: {part: weight of its loss}; without it, the whole network with weight 1. What
                no part in it uses has a gradient of zero: momentum and decay go on there. The sums
                are of the whole where it is trained, else means over the parts by weight.

        Raises:
            CommandError: float16 overflows, whatever the losses are scaled by.
        """
        if self._synchronized:
            self._restore_layout()
            self._scale = self._first_scale
        weights = weights or {None: 1.0}
        shards = self._shards(images, labels)
        with autograd.record():
            logits = [[self._logits(part, x) for part in weights] for x, _ in shards]
            losses = [[self.loss(z, y) for z in zs] for zs, (_, y) in zip(logits, shards)]
            scales = [self._scale * weight for weight in weights.values()]
            heads = [scale * each for all in losses for scale, each in zip(scales, all)]
            idle = [self._zero(self.trained(), c) for c in self.contexts[len(shards) :]]
            if None not in weights:
                used = {p for part in weights for p in part_of(self.net, part).collect_params()}
                unused = [p for p in self.trained() if p.name not in used]
                idle += [self._zero(unused, c) for c in self.contexts[: len(shards)] if unused]
        autograd.backward(heads + idle)
        self.trainer.set_learning_rate(lr)
        self._synchronized = False
        self._update(total or len(labels))
        sums = []
        for each, zs, (_, y) in zip(losses, logits, shards):
            by_part = {part: _sums(loss, z, y) for part, loss, z in zip(weights, each, zs)}
            sums.append(told(by_part, weights))
        self._keep_pace(sums)
        return sums

    def predict(self, images, part=None):
        """Logits of a part in predict mode, still on the devices: a handle for ``gather``."""
        self._synchronize()
        net = self.network(part)
        logits = [net(x).astype(np.float32, copy=False) for x in self._share(images)]
        self._keep_pace(logits)
        return logits

    def gather(self, handle):
        """Wait for a prediction: array (batch, classes)."""
        return np.concatenate([logits.asnumpy() for logits in handle])

    def observe(self, batches, part=None):
        """Estimate the moving averages of a part anew from ``batches``; nothing else changes.

        Those of training are of activations with dropout and drop-path, or of none where a part was
        not trained as it is; these are of the activations in prediction. They start from mean 0
        and variance 1, which count for 0.9^50 = 0.5% after 50 batches.
        """
        self._synchronize()
        net = self.network(part)
        for parameter in net.collect_params().values():
            if parameter.grad_req == "null":
                start = mx.nd.ones if parameter.name.endswith("var") else mx.nd.zeros
                parameter.set_data(start(parameter.shape))
        for batch in batches:
            with autograd.record():
                zeros = [0 * net(x) for x in self._share(batch.images)]
            autograd.backward(zeros)  # the averages are written by the backward pass
            self._synchronized = False
            self._keep_pace(zeros)
        self._synchronize()

    def fetch(self, steps):
        """Wait for the sums of several steps over all workers: array (steps, 2) of loss and wrong
        answers."""
        flat = [sums.as_in_context(mx.cpu()) for step in steps for sums in step]
        if not flat:
            return np.zeros((0, 2))
        self._wait(flat)
        values = iter(mx.nd.stack(*flat).asnumpy().astype(np.float64))
        return self.workers.sum(np.array([sum(next(values) for _ in step) for step in steps]))

    def seed(self, seed):
        """Seed what is random inside the network; every worker draws something else."""
        mx.random.seed((seed + self.workers.rank) % 2**31)

    def arrays(self):
        """(parameters and moving averages, momenta), each {name: array}; names without the net's
        prefix, so that ``net.load_parameters`` reads the first."""
        self._synchronize()
        values = {self.short(p.name): p.list_data()[0].asnumpy() for p in self.parameters.values()}
        states = self.trainer._updaters[0].states  # Gluon shows them only as a pickle
        momenta = {
            self.short(self.trainer._params[index].name): state.asnumpy()
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
        self.require_fit(values, momenta)
        for parameter in self.parameters.values():
            value = values[self.short(parameter.name)]
            parameter.set_data(mx.nd.array(value, dtype=parameter.dtype))
        for context, updater in zip(self.contexts, self.trainer._updaters):
            for index, parameter in enumerate(self.trainer._params):
                name = self.short(parameter.name)
                if name in momenta:
                    state = mx.nd.array(momenta[name], ctx=context, dtype=parameter.dtype)
                    updater.states[index] = state
                    updater.states_synced[index] = True

    def _logits(self, part, images):
        """Logits of a part, in the type of the parameters."""
        return part_of(self.net, part)(images).astype(self._dtype, copy=False)

    def _update(self, total):
        """Update with the mean gradient of ``total`` examples, unless it overflowed in float16.

        Workers and devices see the same sums, and so leave out the same updates.
        """
        self.trainer.allreduce_grads()
        if self._half:
            with self.workers.waiting():  # which costs float16 the steps ahead
                overflow = LossScaler().has_overflow(self.trained())
            if overflow:
                self._scale /= 2
                if self._scale < SMALLEST_LOSS_SCALE:
                    raise CommandError("gradients overflow in float16: take --dtype float32")
                return
        self.trainer.update(self._scale * total)

    def _synchronize(self):
        """Let training come to rest, and give every device of every worker the mean of the moving
        averages.

        MXNet 1.9.1 does not order what reads moving averages after the backward pass that writes
        them (``static_shape``): read at once, they are those of the step before.
        """
        if self._synchronized:
            return
        while self._under_way:
            self._wait(self._under_way.popleft())
        with self.workers.waiting():
            mx.nd.waitall()
        if len(self.contexts) * self.workers.count > 1:
            moving = [p for p in self.parameters.values() if p.grad_req == "null"]
            sums = [sum(array.asnumpy() for array in p.list_data()).ravel() for p in moving]
            # one array for all, with the number of devices at its end
            flat = self.workers.sum(np.concatenate([*sums, [len(self.contexts)]]))
            means = np.split(flat[:-1] / flat[-1], np.cumsum([len(each) for each in sums]))
            for parameter, mean in zip(moving, means):
                array = mx.nd.array(mean.reshape(parameter.shape), dtype=parameter.dtype)
                parameter.set_data(array)
        self._synchronized = True

    def _keep_pace(self, arrays):
        """Wait for what was asked for ``STEPS_AHEAD`` calls ago."""
        self._under_way.append(arrays)
        if len(self._under_way) > STEPS_AHEAD:
            self._wait(self._under_way.popleft())

    def _wait(self, arrays):
        for array in arrays:
            with self.workers.waiting():
                array.wait_to_read()

    def _restore_layout(self):
        """Put every array back into its plain memory layout, which predicting changes.

        In predict mode oneDNN rearranges weights in place, some time later. MXNet 1.9.1's update
        rounds differently on a rearranged weight, so that chance would decide the last bit.
        """
        with self.workers.waiting():
            mx.nd.waitall()
        for parameter in self.parameters.values():
            for array in parameter.list_data():
                # a C function that promises a plain layout to whoever asks for the address
                check_call(_LIB.MXNDArrayGetData(array.handle, ctypes.byref(ctypes.c_void_p())))

    def _shards(self, images, labels):
        """A part of the batch on each device; fewer parts where there are fewer examples."""
        return list(zip(self._share(images), self._share(labels)))

    def _share(self, array):
        count = min(len(self.contexts), len(array))
        parts = zip(self.contexts, np.array_split(array, count))
        return [mx.nd.array(part, ctx=context, dtype=self._dtype) for context, part in parts]

    def _zero(self, parameters, context):
        """A loss of zero that gives the parameters on a device a gradient of zero."""
        return mx.nd.add_n(*[(0 * p.data(context)).sum() for p in parameters])


def part_of(net, part):
    """``net``, or a part of it."""
    return net if part is None else net.parts[part]


def told(sums, weights):
    """What a step tells: sums of the whole where it is trained, else means over parts by weight.

    Args:
        sums, weights: {part: value}.
    """
    if None in weights:
        return sums[None]
    return sum(weight * sums[part] for part, weight in weights.items()) / sum(weights.values())


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
