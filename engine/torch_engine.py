"""PyTorch's engine: run a network's compiled graph, also on GPUs that MXNet has no code for."""

import warnings
from functools import partial

import mxnet as mx
import numpy as np

from engine import precision
from engine.base import NetworkEngine, combine_sums, select_subnetwork
from engine.cuda_graph import Replayed
from engine.distributed import Alone
from engine.optimizer import decays
from engine.torch_drop_path import skip_dropped_paths
from engine.torch_graph import torch_module
from engine.torch_images import DeviceImages
from engine.torch_inplace import reuse_memory
from engine.torch_operators import unsupported
from engine.torch_optimizer import UPDATES
from network.factors import move_join_weights, move_powers_of_two
from network.graph import INPUT


class TorchEngine(NetworkEngine):
    """Trains ``net`` on one device, with the methods of MXNetEngine.

    Results are those of MXNetEngine, except for the order of sums and the random numbers inside the
    network (dropout, local drop-path). On a CPU, dropped paths are not computed in training, so
    batch normalisation in them keeps its moving averages. On a GPU, a step is a CUDA graph, unless
    workers share it: then DistributedDataParallel sums the gradients.

    Args:
        net, predictor, workers: see NetworkEngine; initialized on the CPU, which gives the values.
        device: a torch.device.
        settings: engine.optimizer.OptimizerSettings.
        compile: whether torch.compile compiles the training steps. On a CPU, the first step takes
            20 to 100 seconds longer, for each sub-network and batch size; dropped paths are
            computed.
        dtype: with "bfloat16", torch.autocast chooses the operators that compute in it; with
            "tf32", a GPU rounds the inputs of convolutions and dense layers to TF32. Parameters,
            gradients and averages are always float32.

    Raises:
        InputError: the network has an operator, or the device lacks a type, that is not supported.
    """

    def __init__(
        self, net, device, settings, workers=None, predictor=None, dtype="float32", compile=False
    ):
        import torch

        super().__init__(net, workers or Alone(), settings, predictor)
        _require_equal_rates(self.parameters.values())
        self._device, self.devices = device, [device]
        self._autocast = precision.use_in_torch(dtype, device)
        self._update = partial(UPDATES[settings.optimizer], momentum=settings.momentum)
        self._tensors = {p.name: self._tensor(p) for p in self.parameters.values()}
        self._float = next(iter(self._tensors.values())).dtype
        self._momenta = {p.name: torch.zeros_like(self._tensors[p.name]) for p in self.trainable()}
        self._groups = self._group_by_decay(settings.weight_decay, settings.decayed)
        self._compiled = compile
        self._stepped = False
        self._predicting = self._tensors  # another set if their average is used for prediction
        if self._ema_decay:
            self._predicting = {p.name: self._tensor(p) for p in self.parameters.values()}
        self._modules = {}  # (sub-network, training, predicts) -> torch.nn.Module
        self._trainer = self._make_trainer(
            {p: self._module(p, True, False) for p in (None, *range(self.num_subnetworks))}
        )
        self._steps = {}  # kind of a step -> function of images, labels and rate
        self._record = lambda step: step
        if device.type == "cuda" and self.workers.count == 1:
            pool, stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream(device)
            self._record = partial(Replayed, pool=pool, stream=stream)
        self._synchronized = True

    def cache_on_device(self, pixels, mean, std):
        """Return DeviceImages if the device is a GPU, otherwise None. See engine.base.Engine."""
        if self._device.type == "cpu":
            return None
        return DeviceImages(pixels, mean, std, self._device)

    def train_step(self, images, labels, lr, loss_weights=None, total=None, targets=None):
        """Update once with the mean gradient of the batch; return its sums. See Engine."""
        import torch

        loss_weights, total = loss_weights or {None: 1.0}, total or len(labels)
        kind = (len(labels), total, targets is None, *loss_weights.items())
        if kind not in self._steps:
            self._steps[kind] = self._record(partial(self._step, loss_weights, total))
        self._stepped, self._synchronized = True, False
        factor = self.correct_momenta(lr)
        if factor != 1:
            torch._foreach_mul_([*self._momenta.values()], factor)
        inputs = [(labels, torch.int64), (lr, self._float)]
        inputs += [] if targets is None else [(targets, self._float)]
        inputs = [torch.as_tensor(x, dtype=dtype) for x, dtype in inputs]
        inputs = [x.to(self._device, non_blocking=True) for x in inputs]
        sums = self._steps[kind](self._images(images), *inputs)
        if self._ema_decay:
            with torch.no_grad():
                average, weights = self._predicting.values(), self._tensors.values()
                torch._foreach_lerp_([*average], [*weights], self.next_average_share())
        return sums

    def predict(self, images, subnetwork=None):
        """Start a prediction; return its logits on the device, a handle for ``to_numpy``."""
        import torch

        self._synchronize()
        with torch.no_grad(), self._autocast():
            return self._module(subnetwork, False, True)(self._images(images))

    def to_numpy(self, handle):
        """Wait for a prediction; return its logits (batch, classes)."""
        return handle.to(self._float).cpu().numpy()

    def recompute_bn_statistics(self, batches, subnetwork=None):
        """Recompute the moving averages from ``batches``. See engine.base.Engine."""
        import torch

        self._synchronize()
        module = self._module(subnetwork, True, True)
        momentum, count = self.bn_momentum(subnetwork), 0
        for name in momentum:
            self._predicting[name].zero_()
        with torch.no_grad(), self._autocast():
            for batch in batches:
                count += 1
                module(self._images(batch.images))
            for name in momentum:
                self._predicting[name].div_(1 - momentum[name] ** count)
        self._synchronized = False

    def fetch(self, steps):
        """Wait for several steps; return their sums over all workers. See MXNetEngine.fetch."""
        import torch

        if not steps:
            return np.zeros((0, 2))
        return self.workers.sum(torch.stack(steps).cpu().numpy().astype(np.float64))

    def seed(self, seed):
        """Seed the random operators of the network, differently in every worker."""
        import torch

        torch.manual_seed(seed + self.workers.rank)

    def state_dict(self):
        """Return (parameters and moving averages, state of the optimizer). See Engine."""
        self._synchronize()
        momenta = self._to_arrays(self._momenta) if self._stepped else {}
        raw = self._to_arrays(self._tensors) if self._ema_decay else {}
        return self._to_arrays(self._predicting), self.pack_state(momenta, raw)

    def load_state_dict(self, values, state):
        """Load the arrays that ``state_dict`` of any engine returned. See Engine."""
        import torch

        momenta, raw = self.unpack_state(values, state)
        self._stepped = bool(momenta)
        loads = [(self._predicting, values)]
        loads += [(self._tensors, raw)] if self._ema_decay else []
        loads += [(self._momenta, momenta)] if momenta else []
        with torch.no_grad():
            torch._foreach_zero_([*self._momenta.values()])
            for tensors, arrays in loads:
                for name, tensor in tensors.items():
                    tensor.copy_(torch.from_numpy(arrays[self.strip_prefix(name)]))

    def _to_arrays(self, tensors):
        return {self.strip_prefix(name): _array(tensor) for name, tensor in tensors.items()}

    def _step(self, loss_weights, count, images, labels, lr, targets=None):
        """Take a step on the device; return (sum of losses, number of wrong answers)."""
        import torch
        from torch.nn.functional import cross_entropy

        for name in self._momenta:
            self._tensors[name].grad = None
        with self._autocast():
            logits = [z.to(self._float) for z in self._trainer(images, list(loss_weights))]
        goal = labels if targets is None else targets
        losses = [cross_entropy(z, goal, reduction="sum") for z in logits]
        total = sum(weight * loss for weight, loss in zip(loss_weights.values(), losses))
        (total * (self.workers.count / count)).backward()  # gradients are averaged over workers
        if self._clip_norm:
            trainable = [self._tensors[name] for name in self._momenta]
            torch.nn.utils.clip_grad_norm_(trainable, self._clip_norm)
        with torch.no_grad():
            for decay, tensors, momenta in self._groups:
                gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in tensors]
                self._update(tensors, gradients, momenta, lr, decay=decay)
            sums = {
                subnetwork: torch.stack([loss, (z.argmax(1) != labels).sum()])
                for subnetwork, loss, z in zip(loss_weights, losses, logits)
            }
            return combine_sums(sums, loss_weights)

    def _make_trainer(self, modules):
        """Return a module (images, indices) -> logits of each sub-network, shared by workers."""
        from torch import nn

        class Subnetworks(nn.Module):
            def __init__(self):
                super().__init__()
                self.networks = nn.ModuleDict(
                    {str(subnetwork): m for subnetwork, m in modules.items()}
                )

            def forward(self, images, indices):
                return [self.networks[str(index)](images) for index in indices]

        if self.workers.count == 1:
            return Subnetworks()
        unused = len(modules) > 1  # a step may train only some of them, or drop paths
        with warnings.catch_warnings():  # the new option is not equivalent
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated")
            return nn.parallel.DistributedDataParallel(
                Subnetworks(), broadcast_buffers=False, find_unused_parameters=unused
            )

    def _synchronize(self):
        """Set the moving averages of every worker to their mean over the workers."""
        import torch

        if self._synchronized or self.workers.count == 1:
            return
        sets = [self._tensors] + ([self._predicting] if self._ema_decay else [])
        moving = [t for tensors in sets for n, t in tensors.items() if n not in self._momenta]
        self._synchronized = True
        if not moving:  # without batch normalisation
            return
        flat = self.workers.sum(torch.cat(moving).cpu().numpy()) / self.workers.count
        for own, mean in zip(moving, torch.as_tensor(flat).split([len(t) for t in moving])):
            own.copy_(mean)

    def _module(self, subnetwork, training, predicts):
        """Return the torch module of a sub-network, which the first call makes.

        Args:
            training: whether BatchNorm normalises with the batch and Dropout drops.
            predicts: whether it has the tensors for prediction, and no dropout or drop-path.
        """
        key = (subnetwork, training, predicts)
        if key not in self._modules:
            net = self.predictor if predicts else self.net
            symbol = select_subnetwork(net, subnetwork)(mx.sym.var(INPUT))
            trains = training and not predicts
            skips = self._device.type == "cpu" and not self._compiled
            if trains:
                symbol = move_powers_of_two(symbol)
                symbol = symbol if skips else move_join_weights(symbol)
            tensors = self._predicting if predicts else self._tensors
            module = torch_module(symbol, tensors, training)
            reuse_memory(module)
            if self._compiled and trains:
                module.compile(dynamic=False)
            elif skips:  # a recorded step cannot depend on its random numbers
                module = skip_dropped_paths(module)
            self._modules[key] = module
        return self._modules[key]

    def _group_by_decay(self, weight_decay, decayed):
        """Return [(decay, parameters with this decay, their momenta)]."""
        groups = {}
        for parameter in self.trainable():
            decay = weight_decay * parameter.wd_mult if decays(parameter.name, decayed) else 0.0
            groups.setdefault(decay, []).append(parameter.name)
        tensors, momenta = self._tensors, self._momenta
        return [(d, [tensors[n] for n in g], [momenta[n] for n in g]) for d, g in groups.items()]

    def _tensor(self, parameter):
        """Return a parameter, or moving average, as a tensor on the device."""
        import torch

        tensor = torch.from_numpy(parameter.list_data()[0].asnumpy()).to(self._device)
        if tensor.dim() == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        return torch.nn.Parameter(tensor) if parameter.grad_req != "null" else tensor

    def _images(self, images):
        import torch

        tensor = torch.as_tensor(images, dtype=self._float).to(self._device, non_blocking=True)
        return tensor.contiguous(memory_format=torch.channels_last)


def _require_equal_rates(parameters):
    """Raise an InputError if a parameter has a learning rate of its own."""
    for parameter in parameters:
        if parameter.lr_mult != 1:
            raise unsupported(f"lr_mult {parameter.lr_mult} (of {parameter.name})")


def _array(tensor):
    """Return a copy that further training does not change."""
    return np.array(tensor.detach().cpu().numpy(), order="C")
