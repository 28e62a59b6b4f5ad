"""Define the benchmark's contestants: the steps of each task by each library, and their process."""

import json
import os
import sys
import time
from itertools import cycle, product
from pathlib import Path
from tempfile import TemporaryDirectory

import compat  # noqa: F401  (before anything imports mxnet)

import mxnet as mx
import numpy as np

from command import InputError
from data import records
from data.spec import get_spec
from engine import precision
from engine.devices import contexts, torch_device
from engine.mxnet_engine import STATIC, MXNetEngine
from engine.optimizer import OptimizerSettings
from engine.torch_engine import TorchEngine
from network import default_depth, get_model, has_columns, image_shape
from network.exporter import read_parameters
from network.folding import simplify
from network.graph import to_symbol
from network.initializer import DeepFusionInit
from tools.timing import Case
from training.exporting import EXPORT_FORMATS
from training.quantization import quantize

LIBRARIES = {
    "mxnet": "the engine of train_cifar.py",
    "torch": "train_cifar.py --engine torch",
    "torch-compiled": "train_cifar.py --engine torch --compile",
    "pytorch": "the same network written directly in PyTorch, eager",
    "pytorch-channels-last": "pytorch with channels last in memory",
    "pytorch-compiled": "pytorch with torch.compile",
    "mxnet-exported": "the symbol that export.py writes (predicts only)",
    "onnxruntime": "the ONNX file that export.py writes (predicts only)",
    "onnxruntime-plain": "the ONNX file that torch.onnx writes of pytorch (predicts only)",
    "onnxruntime-int8": "the ONNX file of --int8, calibrated on the batch (predicts only)",
}
ENGINES = ("mxnet", "torch", "torch-compiled")
TORCH_ENGINE = ENGINES[1:]
SETTINGS = {"momentum": 0.9, "weight_decay": 1e-4}
LR, CLASSES, IMAGES = 0.01, 10, 2048


def list_cases(args):
    """Return the cases that the flags describe, except those that a library does not support.

    Raises:
        InputError: a network does not exist, or no library supports any case.
    """
    networks = []
    for text in args.network:
        if text.startswith("gluoncv:"):
            networks.append((text, None, 1))
            continue
        name, *numbers = text.split(":")
        if len(numbers) > 2 or not all(each.isdecimal() and int(each) > 0 for each in numbers):
            raise InputError(f"--network takes NAME, NAME:DEPTH or NAME:DEPTH:WIDEN, not {text!r}")
        depth, widen = [*map(int, numbers), None, None][:2]
        networks.append((name, depth or default_depth(name), widen or 1))
    for name, depth, widen in networks:
        get_model(name, depth, CLASSES, widen)  # refuses networks that do not exist
    settings = product(args.task, networks, args.batch_size, args.dtype, args.library, args.threads)
    cases = [
        Case(task, *network, batch_size, dtype, library, threads)
        for task, network, batch_size, dtype, library, threads in settings
        if (task, library) in STEPS
        and not (library in NEEDS_PLAIN and task != "data" and network[0] not in PLAIN)
        and dtype in (precision.MXNET_DTYPES if library == "mxnet" else precision.TORCH_DTYPES)
        and not (library in FILES and dtype != "float32")
    ]
    if not cases:
        raise InputError("none of these libraries supports any of these tasks and networks")
    return cases


def random_batch(case):
    """Return a batch of random images and labels."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(case.batch_size, *image_shape(case.network)))
    return images.astype(np.float32), rng.integers(0, CLASSES, case.batch_size)


def make_net(case, training):
    """Build and initialize the network, with local drop-path if it is trained with it."""
    options = {"drop_path": 0.15} if has_columns(case.network) and training else {}
    size = (case.depth, CLASSES, case.widen_factor)
    net = get_model(case.network, *size, **options)
    net.initialize(DeepFusionInit(0))
    # this gives parameters of gluoncv's networks their shapes
    net(mx.nd.zeros((1, *image_shape(case.network))))
    return net


def make_engine(case, training=True, hybridize=STATIC):
    """Build the engine of a case; ``hybridize`` are MXNet's arguments of compilation."""
    if case.library in TORCH_ENGINE:
        device = torch_device()  # before MXNet's first operator; see engine.torch_process
        net, settings = make_net(case, training), OptimizerSettings(**SETTINGS)
        compiled = case.library == "torch-compiled"
        return TorchEngine(net, device, settings, dtype=case.dtype, compile=compiled)
    devices = contexts()
    precision.use(case.dtype, devices)
    net = make_net(case, training)
    net.collect_params().reset_ctx(devices)
    net.hybridize(**hybridize)
    how = {"dtype": case.dtype, "hybridize": hybridize}
    return MXNetEngine(net, devices, OptimizerSettings(**SETTINGS), **how)


def mixed(columns):
    """Yield what mixed drop-path trains: the whole network (None) and a column, alternately."""
    return cycle([part for column in range(columns) for part in (None, column)] or [None])


def train_by_engine(case):
    """Return a function that takes training steps with an engine."""
    engine, batch = make_engine(case), random_batch(case)
    parts = mixed(engine.num_subnetworks)

    def take(steps):
        chosen = (engine.loss_weights or {next(parts): 1.0} for _ in range(steps))
        engine.fetch([engine.train_step(*batch, LR, weights) for weights in chosen])

    return take


def predict_by_engine(case):
    """Return a function that predicts with an engine."""
    engine, (images, _) = make_engine(case, training=False), random_batch(case)
    return lambda steps: [engine.to_numpy(engine.predict(images)) for _ in range(steps)]


def predict_by_export(case):
    """Return a function that predicts with an exported file."""
    net, (images, _) = make_net(case, training=False), random_batch(case)
    graph = to_symbol(net)
    graph, values = simplify(graph, read_parameters(graph, net))
    kind = EXPORT_FORMATS["symbol" if case.library == "mxnet-exported" else "onnx"]
    with TemporaryDirectory() as folder:
        stem = Path(folder) / "network"
        files = kind.write(graph, values, image_shape(case.network), stem)
        if case.library == "onnxruntime-int8":
            quantize(*files, [images])
        predict = kind.load(stem)
    return lambda steps: [predict(images) for _ in range(steps)]


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


def some_images():
    """Return random images of CIFAR's size."""
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, 3, 32, 32), dtype=np.uint8)
    return records.Images(pixels, np.zeros(IMAGES, np.int32))


def batches_of_records(case):
    """Return a function that reads batches, mirrored and shifted, from the data pipeline."""
    images, spec = some_images(), get_spec("cifar10")
    how = {"mean": spec.mean, "std": spec.std, "augmentation": "+", "seed": 0}

    def endless():
        epoch = 0
        while True:
            yield from records.train_batches(images, case.batch_size, epoch=epoch, **how)
            epoch += 1

    return consume(records.prefetch(endless()))


def consume(batches):
    """Return a function that reads batches and discards them."""

    def take(steps):
        for _ in range(steps):
            next(batches)

    return take


def batches_of_pytorch(case):
    """Return a function that reads batches of a DataLoader with one worker process per thread.

    Pillow mirrors and shifts the images.
    """
    from PIL import Image, ImageOps
    from torch.utils.data import DataLoader, Dataset

    images, spec = some_images().pixels.transpose(0, 2, 3, 1), get_spec("cifar10")
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


PLAIN = ("cross", "fractal", "half", "resnet")  # the networks of tools/torch_reference.py
EXPORTED = ("mxnet-exported", "onnxruntime", "onnxruntime-int8")
PYTORCH = [name for name in LIBRARIES if name.startswith("pytorch")]
NEEDS_PLAIN = (*PYTORCH, "onnxruntime-plain")
FILES = (*EXPORTED, "onnxruntime-plain")  # their numbers are float32, except with 8 bits
STEPS = {  # (task, library) -> a Case's function of a number of steps, which waits for them
    **{("train", name): train_by_engine for name in ENGINES},
    **{("train", name): train_by_pytorch for name in PYTORCH},
    **{("predict", name): predict_by_engine for name in ("mxnet", "torch")},
    **{("predict", name): predict_by_pytorch for name in PYTORCH},
    **{("predict", name): predict_by_export for name in EXPORTED},
    ("predict", "onnxruntime-plain"): predict_by_plain_export,
    ("data", "mxnet"): batches_of_records,
    ("data", "pytorch"): batches_of_pytorch,
}
TASKS = sorted({task for task, _ in STEPS})


def contest(case):
    """Take steps of ``case`` on request of tools.timing.Contestant."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # so that the output of libraries is not taken for an answer

    def answer(seconds):
        status = Path("/proc/self/status").read_text(encoding="ascii")
        peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
        answers.write(json.dumps([seconds, peak]) + "\n")

    take = STEPS[case.task, case.library](case)
    take(1)
    answer(0)
    for line in sys.stdin:
        started = time.perf_counter()
        take(int(line))
        answer(time.perf_counter() - started)
