"""Define the steps of each task by this project: its engines, exported files and data pipeline."""

from pathlib import Path
from tempfile import TemporaryDirectory

import compat  # noqa: F401  (before anything imports mxnet)

import mxnet as mx

from data import records
from data.spec import get_spec
from engine import precision
from engine.devices import contexts, torch_device
from engine.mxnet_engine import STATIC, MXNetEngine
from engine.optimizer import OptimizerSettings
from engine.torch_engine import TorchEngine
from network import get_model, has_columns, image_shape
from network.exporter import read_parameters
from network.folding import simplify
from network.graph import to_symbol
from network.initializer import DeepFusionInit
from tools.workload import CLASSES, LR, SETTINGS, consume, mixed, random_batch, some_images
from training.exporting import EXPORT_FORMATS
from training.quantization import quantize

ENGINE_LIBRARIES = ("mxnet", "torch", "torch-compiled")
TORCH_LIBRARIES = ENGINE_LIBRARIES[1:]
EXPORTED = ("mxnet-exported", "onnxruntime", "onnxruntime-int8")


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
    if case.library in TORCH_LIBRARIES:
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


def batches_of_records(case):
    """Return a function that reads batches, mirrored and shifted, from the data pipeline."""
    images, spec = some_images(case.batch_size), get_spec("cifar10")
    how = {"mean": spec.mean, "std": spec.std, "augmentation": "+", "seed": 0}

    def endless():
        epoch = 0
        while True:
            yield from records.train_batches(images, case.batch_size, epoch=epoch, **how)
            epoch += 1

    return consume(records.prefetch(endless()))
