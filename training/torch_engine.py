"""The engine on PyTorch: it runs what a network compiles to, also where MXNet has no code for."""

from functools import partial

import mxnet as mx
import numpy as np

from training.cuda_graph import Replayed
from training.engine import Engine, part_of, told
from training.optimizer import decays, require_known
from training.torch_graph import torch_module
from training.torch_images import HeldImages
from training.torch_optimizer import UPDATES


class TorchEngine(Engine):
    """Trains ``net`` on one device, with the methods of MXNetEngine.

    It gives what MXNetEngine gives, but for the order of sums and for what chance draws inside the
    network (dropout, local drop-path). On a GPU a step is a CUDA graph, unless workers share it:
    then gradients are summed by DistributedDataParallel.

    Args:
        net, predictor, workers: see Engine; initialized on the CPU, where values are taken from.
        device: a torch.device.
        optimizer, momentum, weight_decay, decayed: see training.optimizer.
        dtype: "bfloat16" computes in it what torch.autocast does; parameters, gradients and
            averages are float32 in any case.

    Raises:
        InputError: the network has an operator that is not known here.
    """

    def __init__(
        self,
        net,
        device,
        momentum,
        weight_decay,
        optimizer="nesterov",
        decayed="all",
        workers=None,
        predictor=None,
        dtype="float32",
    ):
        import torch

        super().__init__(net, predictor, workers)
        require_known(optimizer, decayed)
        self.contexts = [device]
        self._device = device
        self._autocast = partial(
            torch.autocast, device.type, getattr(torch, dtype), dtype != "float32"
        )
        self._update = partial(UPDATES[optimizer], momentum=momentum)
        self._tensors = {p.name: self._tensor(p) for p in self.parameters.values()}
        self._float = next(iter(self._tensors.values())).dtype
        self._momenta = {p.name: torch.zeros_like(self._tensors[p.name]) for p in self.trained()}
        self._groups = self._grouped(weight_decay, decayed)
        self._stepped = False
        self._modules = {}  # (part, training, whether of net) -> torch.nn.Module
        self._trainer = self._shared({p: self._module(p, True) for p in (None, *range(self.parts))})
        self._steps = {}  # kind of a step -> function of images, labels and rate
        self._synchronized = True

    def hold(self, pixels, mean, std):
        """HeldImages, where the device is a GPU. See Engine.hold."""
        if self._device.type == "cpu":
            return None
        return HeldImages(pixels, mean, std, self._device)

    def train_step(self, images, labels, lr, weights=None, total=None):
        """One update with the mean gradient of the batch; its sums. See MXNetEngine.train_step."""
        import torch

        weights, total = weights or {None: 1.0}, total or len(labels)
        kind = (len(labels), total, *weights.items())
        if kind not in self._steps:
            step, alone = partial(self._step, weights, total), self.workers.count == 1
            self._steps[kind] = Replayed(step) if self._device.type == "cuda" and alone else step
        self._stepped, self._synchronized = True, False
        labels = torch.as_tensor(labels, dtype=torch.int64).to(self._device, non_blocking=True)
        lr = torch.tensor(lr, dtype=self._float).to(self._device, non_blocking=True)
        return self._steps[kind](self._images(images), labels, lr)

    def predict(self, images, part=None):
        """Logits of a part in predict mode, still on the device: a handle for ``gather``."""
        import torch

        self._synchronize()
        with torch.no_grad(), self._autocast():
            return self._module(part, training=False)(self._images(images))

    def gather(self, handle):
        """Wait for a prediction: array (batch, classes)."""
        return handle.to(self._float).cpu().numpy()

    def observe(self, batches, part=None):
        """Estimate the moving averages of a part anew. See MXNetEngine.observe."""
        import torch

        self._synchronize()
        module = self._module(part, training=True, net=self.predictor)
        for name, tensor in module.named_buffers():
            tensor.fill_(name.endswith("var"))
        with torch.no_grad(), self._autocast():
            for batch in batches:
                module(self._images(batch.images))
        self._synchronized = False

    def fetch(self, steps):
        """Wait for the sums of several steps over all workers. See MXNetEngine.fetch."""
        import torch

        if not steps:
            return np.zeros((0, 2))
        return self.workers.sum(torch.stack(steps).cpu().numpy().astype(np.float64))

    def seed(self, seed):
        """Seed what is random inside the network; every worker draws something else."""
        import torch

        torch.manual_seed(seed + self.workers.rank)

    def arrays(self):
        """(parameters and moving averages, momenta). See MXNetEngine.arrays."""
        self._synchronize()
        values = {self.short(name): _array(tensor) for name, tensor in self._tensors.items()}
        momenta = {self.short(name): _array(tensor) for name, tensor in self._momenta.items()}
        return values, momenta if self._stepped else {}

    def load(self, values, momenta):
        """Take back what the ``arrays`` of any engine gave. See MXNetEngine.load."""
        import torch

        self.require_fit(values, momenta)
        self._stepped = bool(momenta)
        with torch.no_grad():
            for name, tensor in self._tensors.items():
                tensor.copy_(torch.from_numpy(values[self.short(name)]))
            for name, tensor in self._momenta.items():
                tensor.copy_(torch.from_numpy(momenta[self.short(name)]) if momenta else 0)

    def _step(self, weights, count, images, labels, lr):
        """A step on the device; (sum of losses, number of wrong answers)."""
        import torch
        from torch.nn.functional import cross_entropy

        for name in self._momenta:
            self._tensors[name].grad = None
        with self._autocast():
            logits = [z.to(self._float) for z in self._trainer(images, list(weights))]
        losses = [cross_entropy(z, labels, reduction="sum") for z in logits]
        total = sum(weight * loss for weight, loss in zip(weights.values(), losses))
        (total * (self.workers.count / count)).backward()  # of workers, gradients are averaged
        with torch.no_grad():
            for decay, tensors, momenta in self._groups:
                gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in tensors]
                self._update(tensors, gradients, momenta, lr, decay=decay)
            sums = {
                part: torch.stack([loss, (z.argmax(1) != labels).sum()])
                for part, loss, z in zip(weights, losses, logits)
            }
            return told(sums, weights)

    def _shared(self, modules):
        """(images, parts) -> logits of each part, of networks that train; workers share them."""
        from torch import nn

        class Parts(nn.Module):
            def __init__(self):
                super().__init__()
                self.networks = nn.ModuleDict({str(part): m for part, m in modules.items()})

            def forward(self, images, parts):
                return [self.networks[str(part)](images) for part in parts]

        if self.workers.count == 1:
            return Parts()
        return nn.parallel.DistributedDataParallel(
            Parts(), broadcast_buffers=False, find_unused_parameters=len(modules) > 1
        )

    def _synchronize(self):
        """Give every worker the mean of the workers' moving averages."""
        import torch

        if self._synchronized or self.workers.count == 1:
            return
        averages = [t for name, t in self._tensors.items() if name not in self._momenta]
        flat = self.workers.sum(torch.cat(averages).cpu().numpy()) / self.workers.count
        for own, mean in zip(averages, torch.as_tensor(flat).split([len(t) for t in averages])):
            own.copy_(mean)
        self._synchronized = True

    def _module(self, part, training, net=None):
        """The torch module of a part of what trains, or of what predicts, made when first asked."""
        net = net or (self.net if training else self.predictor)
        key = (part, training, net is self.net)
        if key not in self._modules:
            symbol = part_of(net, part)(mx.sym.var("data"))
            self._modules[key] = torch_module(symbol, self._tensors, training)
        return self._modules[key]

    def _grouped(self, weight_decay, decayed):
        """[(decay, parameters that have it, their momenta)]."""
        groups = []
        for decay, kind in ((weight_decay, True), (0.0, False)):
            names = [name for name in self._momenta if decays(name, decayed) == kind]
            if names:
                tensors, momenta = self._tensors, self._momenta
                groups.append((decay, [tensors[n] for n in names], [momenta[n] for n in names]))
        return groups

    def _tensor(self, parameter):
        """A parameter, or moving average, on the device."""
        import torch

        tensor = torch.from_numpy(parameter.list_data()[0].asnumpy()).to(self._device)
        if tensor.dim() == 4:
            tensor = tensor.contiguous(memory_format=torch.channels_last)
        return torch.nn.Parameter(tensor) if parameter.grad_req != "null" else tensor

    def _images(self, images):
        import torch

        tensor = torch.as_tensor(images, dtype=self._float).to(self._device, non_blocking=True)
        return tensor.contiguous(memory_format=torch.channels_last)


def _array(tensor):
    return np.ascontiguousarray(tensor.detach().cpu().numpy())
