"""Define the steps of each task as PyTorch users write them, and what torch.onnx exports."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from data.spec import get_spec
from engine import precision
from engine.devices import torch_device
from tools.workload import CLASSES, LR, SETTINGS, consume, mixed, random_batch, some_images
from training.exporting import EXPORT_FORMATS

PLAIN = ("cross", "fractal", "half", "resnet")  # the networks of tools/torch_reference.py


def plain(case):
    """Return the plain PyTorch network, images, labels, and the autocast context of the dtype."""
    import torch

    from tools.torch_reference import PLAIN_NETWORKS

    device = torch_device()
    images, labels = (torch.as_tensor(array).to(device) for array in random_batch(case))
    net = PLAIN_NETWORKS[case.network](case.depth, CLASSES, case.widen_factor).to(device)
    if case.library in ("pytorch-channels-last", "pytorch-compiled"):
        net = net.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    if case.library == "pytorch-compiled":
        net = torch.compile(net)
    return net, images, labels, precision.use_in_torch(case.dtype, device)()


def train_by_pytorch(case):
    """Return a function that takes training steps as PyTorch users write them."""
    import torch

    net, images, labels, typed = plain(case)
    optimizer = torch.optim.SGD(net.parameters(), LR, nesterov=True, **SETTINGS)
    parts = mixed(len(net.blocks[0].columns) if case.network == "fractal" else 0)

    def take(steps):
        for part in (next(parts) for _ in range(steps)):
            optimizer.zero_grad()
            with typed:
                logits = net(images) if part is None else net(images, part)
                loss = torch.nn.functional.cross_entropy(logits, labels)
            loss.backward()
            optimizer.step()
        loss.item()  # waits for the device

    return take


def predict_by_pytorch(case):
    """Return a function that predicts as PyTorch users write it."""
    import torch

    net, images, _, typed = plain(case)
    net.eval()

    def take(steps):
        with torch.inference_mode(), typed:
            for _ in range(steps):
                net(images).cpu()

    return take


def predict_by_plain_export(case):
    """Return a function that predicts with what torch.onnx writes of the plain network."""
    import torch

    net, images, _, _ = plain(case)
    net, images = net.cpu(), images.cpu()
    example, batch = torch.zeros(2, *images.shape[1:]), torch.export.Dim("batch")
    with TemporaryDirectory() as folder:
        stem = Path(folder) / "plain"
        torch.onnx.export(
            net.eval(),
            (example,),
            f"{stem}.onnx",
            dynamic_shapes=({0: batch},),
            input_names=["data"],
            output_names=["logits"],
            dynamo=True,
            verbose=False,
        )
        predict = EXPORT_FORMATS["onnx"].load(stem)
    return lambda steps: [predict(images.numpy()) for _ in range(steps)]


def batches_of_pytorch(case):
    """Return a function that reads batches of a DataLoader with one worker process per thread.

    Pillow mirrors and shifts the images.
    """
    from PIL import Image, ImageOps
    from torch.utils.data import DataLoader, Dataset

    pixels, spec = some_images(case.batch_size).pixels, get_spec("cifar10")
    images = pixels.transpose(0, 2, 3, 1)
    mean, std = (np.array(each, np.float32) for each in (spec.mean, spec.std))

    class Augmented(Dataset):
        def __len__(self):
            return len(images)

        def __getitem__(self, index):
            image = ImageOps.expand(Image.fromarray(images[index]), 4)
            left, top, mirrored = np.random.randint(0, (9, 9, 2))
            image = image.crop((left, top, left + 32, top + 32))
            image = ImageOps.mirror(image) if mirrored else image
            return ((np.asarray(image) - mean) / std).transpose(2, 0, 1), 0

    workers = {"num_workers": case.threads, "persistent_workers": True}
    loader = DataLoader(Augmented(), case.batch_size, shuffle=True, **workers)

    def endless():
        while True:
            yield from loader

    return consume(endless())
