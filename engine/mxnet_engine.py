"""MXNet's engine: train a Gluon network data-parallel on MXNet's devices."""

import ctypes
from collections import deque

import mxnet as mx
import numpy as np
from mxnet import autograd, gluon
from mxnet.base import _LIB, check_call
from mxnet.contrib.amp.loss_scaler import LossScaler

from command import CommandError, InputError, last_line
from engine.base import NetworkEngine, combine_sums, select_subnetwork
from engine.distributed import Alone
from engine.mxnet_average import WeightAverage
from engine.optimizer import make_trainer
from engine.precision import LOSS_SCALE, SMALLEST_LOSS_SCALE
from network.factors import move_join_weights, move_powers_of_two
from network.graph import INPUT

STATIC = {"static_alloc": True, "static_shape": True}  # Gluon's fastest compilation
STEPS_AHEAD = 8  # pending steps; more would not be faster, but use memory and delay a stop


class MXNetEngine(NetworkEngine):
    """Trains ``net`` data-parallel on ``devices``.

    Each device gets a share of the batch and has its own batch statistics, as is usual on GPUs.
    Whenever anything other than a training step follows, every device gets the mean of the
    devices' moving averages.

    Several workers, each with an engine of the same network, train together on all their devices:
    they take the same steps, each with a share of the batch. All arrays, and the losses and errors
    of steps, are the same in every worker.

    Args:
        net, predictor, workers: see NetworkEngine; initialized on ``devices``.
        devices: list of mx.Context.
        settings: engine.optimizer.OptimizerSettings.
        dtype: the data type that was set in engine.precision; with float16, losses are scaled.
        hybridize: arguments of Gluon's ``hybridize`` for blocks that the engine makes.

    Raises:
        InputError: this machine does not support the workers' way of summing gradients.
    """

    def __init__(
        self,
        net,
        devices,
        settings,
        workers=None,
        predictor=None,
        dtype="float32",
        hybridize=STATIC,
    ):
        super().__init__(net, workers or Alone(), settings, predictor)
        self.devices, self._hybridize = devices, hybridize
        self.loss = gluon.loss.SoftmaxCrossEntropyLoss()
        self._soft_loss = gluon.loss.SoftmaxCrossEntropyLoss(sparse_label=False)
        store = self.workers.store
        self.trainer = make_trainer(self.parameters, settings, store)
        try:
            # set the KVStore up now: it writes every parameter, including moving averages
            self._restore_memory_format()
            with self.workers.waiting():
                self.trainer._init_kvstore()
                self.trainer._init_params()
                mx.nd.waitall()
        except mx.MXNetError as error:
            if "out of memory" in str(error):
                raise
            raise InputError(
                f"kv_store {store} is not supported here: {last_line(error)}", argument="kv_store"
            ) from None
        self._average = WeightAverage([*self.parameters.values()]) if self._ema_decay else None
        self._batches = np.zeros(len(self.devices))  # of each device since they were synchronized
        self._under_way = deque()
        self._trained = {}  # subnetwork -> what computes its logits in a step
        self._dtype = next(iter(self.parameters.values())).dtype
        self._records_images = _has_fixed_norm(self.trainable(), self.parameters)
        self._half = dtype == "float16"
        self._casts = dtype != "float32"  # MXNet adds casts while it traces
        self._first_scale = self._scale = LOSS_SCALE.get(dtype, 1.0)

    def train_step(self, images, labels, lr, loss_weights=None, total=None, targets=None):
        """Update once with the mean gradient of the batch; return its sums. See Engine.

        Raises:
            CommandError: float16 overflows with every scale of the losses.
        """
        if not self._batches.any():
            self._begin_training()
        loss_weights = loss_weights or {None: 1.0}
        images, labels_there = self._share_images(images), self._share(labels)
        goals, loss = labels_there, self.loss
        if targets is not None:
            goals, loss = self._share(targets), self._soft_loss
        with autograd.record():
            logits = [[self._logits(subnetwork, x) for subnetwork in loss_weights] for x in images]
            losses = [[loss(z, goal) for z in zs] for zs, goal in zip(logits, goals)]
            scales = [self._scale * weight for weight in loss_weights.values()]
            heads = [scale * each for shard in losses for scale, each in zip(scales, shard)]
            heads += self._zero_losses(loss_weights, len(images))
        autograd.backward(heads)
        self._batches[: len(images)] += 1
        self._update(lr, total or len(labels))
        sums = []
        for shard, zs, y in zip(losses, logits, labels_there):
            found = {
                subnetwork: _sums(each, z, y)
                for subnetwork, each, z in zip(loss_weights, shard, zs)
            }
            sums.append(combine_sums(found, loss_weights))
        self._keep_pace(sums)
        return sums

    def predict(self, images, subnetwork=None):
        """Start a prediction; return its logits on the devices, a handle for ``to_numpy``."""
        self._end_training()
        net = self.network(subnetwork)
        logits = [net(x).astype(np.float32, copy=False) for x in self._share(images)]
        self._keep_pace(logits)
        return logits

    def to_numpy(self, handle):
        """Wait for a prediction; return its logits (batch, classes)."""
        return np.concatenate([logits.asnumpy() for logits in handle])

    def recompute_bn_statistics(self, batches, subnetwork=None):
        """Recompute the moving averages from ``batches``. See engine.base.Engine."""
        self._end_training()
        net = self.network(subnetwork)
        momentum = self.bn_momentum(subnetwork)
        averages = [self.parameters[name] for name in momentum]
        for parameter in averages:
            parameter.set_data(mx.nd.zeros(parameter.shape))
        for batch in batches:
            with autograd.record():
                zeros = [0 * net(x) for x in self._share_images(batch.images)]
            autograd.backward(zeros)  # the backward pass writes the averages
            self._batches[: len(zeros)] += 1
            self._keep_pace(zeros)
        sums = (1 - np.power.outer([*momentum.values()], self._batches)).sum(axis=1)
        weights = self._mean_over_devices(sums)
        self._synchronize()
        for parameter, weight in zip(averages, weights):
            parameter.set_data(parameter.list_data()[0] / float(weight))

    def fetch(self, steps):
        """Wait for several steps; return their losses and wrong answers, an array (steps, 2).

        Both are summed over the batches of all workers.
        """
        flat = [sums.as_in_context(mx.cpu()) for step in steps for sums in step]
        if not flat:
            return np.zeros((0, 2))
        self._wait(flat)
        values = iter(mx.nd.stack(*flat).asnumpy().astype(np.float64))
        return self.workers.sum(np.array([sum(next(values) for _ in step) for step in steps]))

    def seed(self, seed):
        """Seed the random operators of the network, differently in every worker."""
        mx.random.seed((seed + self.workers.rank) % 2**31)

    def state_dict(self):
        """Return (parameters and moving averages, state of the optimizer). See Engine."""
        self._end_training()
        parameters = self.parameters.values()
        values = {self.strip_prefix(p.name): p.list_data()[0].asnumpy() for p in parameters}
        states = self.trainer._updaters[0].states  # Gluon's public interface only gives a pickle
        momenta = {
            self.strip_prefix(self.trainer._params[index].name): state.asnumpy()
            for index, state in states.items()
            if state is not None
        }
        raw = {}
        if self._average:
            raw = {name: kept[0].asnumpy() for name, kept in zip(values, self._average.kept)}
        return values, self.pack_state(momenta, raw)

    def load_state_dict(self, values, state):
        """Load the arrays of ``state_dict`` on any number of devices. See Engine."""
        self._end_training()
        momenta, raw = self.unpack_state(values, state)
        for parameter in self.parameters.values():
            value = values[self.strip_prefix(parameter.name)]
            parameter.set_data(mx.nd.array(value, dtype=parameter.dtype))
        if self._average:
            names = [self.strip_prefix(name) for name in self.parameters]
            self._average.load([raw[name] for name in names])
        for context, updater in zip(self.devices, self.trainer._updaters):
            updater.states.clear()  # without momenta in ``state``, they start from zero
            updater.states_synced.clear()
            for index, parameter in enumerate(self.trainer._params):
                name = self.strip_prefix(parameter.name)
                if name in momenta:
                    array = mx.nd.array(momenta[name], ctx=context, dtype=parameter.dtype)
                    updater.states[index] = array
                    updater.states_synced[index] = True

    def _logits(self, subnetwork, images):
        """Return the logits of a sub-network, in the type of the parameters."""
        if subnetwork not in self._trained:
            net = select_subnetwork(self.net, subnetwork)
            if not self._casts:
                net = _without_products(net, self._dtype)
                net.hybridize(**self._hybridize)
            self._trained[subnetwork] = net
        return self._trained[subnetwork](images).astype(self._dtype, copy=False)

    def _zero_losses(self, loss_weights, count):
        """Return losses of zero, which give a gradient of zero to parameters that have none.

        Args:
            loss_weights: loss weights of the step; parameters that none of its sub-networks uses
                get a gradient of zero.
            count: number of devices with examples; on the other devices, all parameters get one.
        """
        idle = [self._zero(self.trainable(), c) for c in self.devices[count:]]
        if None in loss_weights:
            return idle
        networks = [select_subnetwork(self.net, index) for index in loss_weights]
        used = {name for network in networks for name in network.collect_params()}
        unused = [p for p in self.trainable() if p.name not in used]
        return idle + [self._zero(unused, c) for c in self.devices[:count] if unused]

    def _update(self, lr, total):
        """Update with the mean gradient of ``total`` examples, unless it overflowed in float16.

        All workers and devices have the same sums, so they skip the same updates.
        """
        self.trainer.set_learning_rate(lr)
        factor = self.correct_momenta(lr)
        if factor != 1:
            for momentum in self._momenta():
                momentum *= factor
        self.trainer.allreduce_grads()
        if not (self._half and self._overflows()):
            if self._clip_norm:
                self._clip(self._scale * total)
            self.trainer.update(self._scale * total)
        if self._average:
            self._average.update(self.next_average_share())

    def _momenta(self):
        """Return the momenta on all devices; [] before the first step, and without momentum."""
        states = [state for updater in self.trainer._updaters for state in updater.states.values()]
        return [state for state in states if state is not None]

    def _overflows(self):
        """Return whether a gradient overflowed in float16; if so, halve the scale."""
        with self.workers.waiting():  # with float16, every step waits here
            overflow = LossScaler().has_overflow(self.trainable())
        if overflow:
            self._scale /= 2
            if self._scale < SMALLEST_LOSS_SCALE:
                raise CommandError(
                    "gradients overflow in float16: use dtype float32", argument="dtype"
                )
        return overflow

    def _clip(self, count):
        """Limit the norm of the mean gradient; the gradients are ``count`` times their mean."""
        for gradients in zip(*(p.list_grad() for p in self.trainable())):  # for each device
            norm = mx.nd.stack(*[gradient.norm() for gradient in gradients]).norm() / count
            factor = mx.nd.minimum(self._clip_norm / (norm + 1e-6), 1)
            for gradient in gradients:
                gradient *= factor.reshape((1,) * gradient.ndim)

    def _begin_training(self):
        """Prepare the parameters for a step: trained weights, in their plain memory layout."""
        self._restore_memory_format()
        if self._average:
            self._average.show(False)
        self._scale = self._first_scale

    def _end_training(self):
        """Finish all pending steps, and set the parameters to the values for prediction."""
        self._synchronize()
        if self._average:
            self._average.show(True)

    def _synchronize(self):
        """Finish all pending steps, and average the moving averages over devices and workers.

        With ``static_shape``, MXNet 1.9.1 does not order reads of moving averages after the
        backward pass that writes them: an immediate read gives the values of the previous step.
        """
        if not self._batches.any():
            return
        while self._under_way:
            self._wait(self._under_way.popleft())
        with self.workers.waiting():
            mx.nd.waitall()
        if len(self.devices) * self.workers.count > 1:
            self._average_devices()
        self._batches[:] = 0

    def _average_devices(self):
        """Set the moving averages on every device of every worker to their mean over devices.

        Devices that got no batch do not count.
        """
        moving = [p.list_data() for p in self.parameters.values() if p.grad_req == "null"]
        if self._average:
            moving += self._average.kept_moving()
        used = np.flatnonzero(self._batches)
        sums = [sum(each[device].asnumpy() for device in used).ravel() for each in moving]
        means = self._mean_over_devices(np.concatenate([*sums, []]))
        means = np.split(means, np.cumsum([len(each) for each in sums]))
        for each, mean in zip(moving, means):
            for array in each:
                array[:] = mx.nd.array(mean.reshape(array.shape), dtype=array.dtype)

    def _mean_over_devices(self, sums):
        """Return means over the devices of all workers that got a batch, from this worker's sums.

        All workers sum a single array, which ends with the number of devices.
        """
        flat = self.workers.sum(np.append(sums, np.count_nonzero(self._batches)))
        return flat[:-1] / flat[-1]

    def _keep_pace(self, arrays):
        """Add ``arrays`` to the pending ones; wait for those of ``STEPS_AHEAD`` calls before."""
        self._under_way.append(arrays)
        if len(self._under_way) > STEPS_AHEAD:
            self._wait(self._under_way.popleft())

    def _wait(self, arrays):
        for array in arrays:
            with self.workers.waiting():
                array.wait_to_read()

    def _restore_memory_format(self):
        """Restore the plain memory layout of every array, which prediction changes.

        In predict mode, oneDNN rearranges weights in place, asynchronously. MXNet 1.9.1's update
        rounds differently on a rearranged weight, so the last bit would depend on timing.
        """
        with self.workers.waiting():
            mx.nd.waitall()
        for parameter in self.parameters.values():
            for array in parameter.list_data():
                # this C function returns the address of the data in a plain layout
                check_call(_LIB.MXNDArrayGetData(array.handle, ctypes.byref(ctypes.c_void_p())))

    def _share(self, array):
        """Return a shard of the array for each device, or fewer if there are fewer examples."""
        count = min(len(self.devices), len(array))
        shards = zip(self.devices, np.array_split(array, count))
        return [mx.nd.array(shard, ctx=device, dtype=self._dtype) for device, shard in shards]

    def _share_images(self, images):
        """Return a shard of training images for each device.

        MXNet updates moving averages in the backward pass, which reaches a normalisation of the
        images themselves (gluoncv's cifar_resnet20_v2) only if the images have a gradient.
        """
        shards = self._share(images)
        if self._records_images:
            for shard in shards:
                shard.attach_grad()
        return shards

    def _zero(self, parameters, context):
        """Return a loss of zero that gives the parameters on a device a gradient of zero."""
        return mx.nd.add_n(*[(0 * p.data(context)).sum() for p in parameters])


def _without_products(net, dtype):
    """Return a block of the same parameters that computes what ``net`` does, in training faster."""
    images = mx.sym.var(INPUT, dtype=dtype)
    symbol = move_join_weights(move_powers_of_two(net(images)))
    return gluon.SymbolBlock(symbol, images, params=net.collect_params())


def _has_fixed_norm(trainable, names):
    """Return whether a batch normalisation has neither a trainable gamma nor a trainable beta."""
    free = {parameter.name for parameter in trainable}
    norms = [name[: -len("running_mean")] for name in names if name.endswith("running_mean")]
    return any(not {f"{norm}gamma", f"{norm}beta"} & free for norm in norms)


def _sums(losses, logits, labels):
    """Return (sum of losses, number of wrong answers) on the device."""
    wrong = logits.argmax(axis=1) != labels
    return mx.nd.concat(losses.sum(), wrong.sum(), dim=0)
