"""Write a compiled network to files for PyTorch and ONNX runtimes, by means of PyTorch."""

import io
import logging
import os
import warnings
from contextlib import contextmanager
from pathlib import Path

from command import InputError
from engine.torch_graph import torch_module
from network.graph import INPUT, PIXEL_CONSTANTS

OUTPUT = "logits"
FIRST_TRAINABLE = (2, 6)  # torch.export keeps aten.batch_norm, which can also train
OPSET = 20  # version of ONNX's operators; onnxruntime 1.17 and later support it


def require_trainable_programs():
    """Check that the exporter keeps the operators that training needs.

    Raises:
        InputError: PyTorch is older.
    """
    import torch

    if tuple(map(int, torch.__version__.split(".")[:2])) < FIRST_TRAINABLE:
        raise InputError(
            f"a trainable program needs PyTorch 2.6 or later, not {torch.__version__}, whose "
            "exporter writes batch normalisation for prediction alone"
        )


def write_torch(graph, values, shape, stem):
    """Write ``<stem>.pt2``, a program of ``torch.export``, and ``<stem>.safetensors``.

    The program takes batches of any size and needs only PyTorch. The other file has its parameters
    and moving averages by name.

    Args:
        graph: a symbol for prediction with the input ``data``.
        values: {name: NDArray} of its other inputs.
        shape: shape of an image, (channels, height, width).
        stem: path of the files without their endings.

    Returns:
        The paths of the files.

    Raises:
        InputError: the network has an operator that ``engine.torch_operators`` does not support.
    """
    import torch
    from safetensors.torch import save

    program, parameters = Path(f"{stem}.pt2"), Path(f"{stem}.safetensors")
    exported = _export_program(_make_module(graph, values), shape)
    content = io.BytesIO()  # if PyTorch writes a file itself, a full disk aborts the process
    with quiet():
        torch.export.save(exported, content)
    program.write_bytes(content.getvalue())
    tensors = {name: t.detach().contiguous() for name, t in exported.state_dict.items()}
    # safetensors' own files can be read by their owner alone
    parameters.write_bytes(save(tensors, metadata={"format": "pt"}))
    return [program, parameters]


def load_torch(stem):
    """Return the program that ``write_torch`` wrote as a function: images -> logits."""
    import torch

    with quiet():
        module = torch.export.load(f"{stem}.pt2").module()

    def predict(images):
        with torch.no_grad():
            return module(torch.as_tensor(images, dtype=torch.float32)).numpy()

    return predict


def write_onnx(graph, values, shape, stem):
    """Write ``<stem>.onnx``: ``data`` (batch, *shape) -> ``logits`` (batch, classes), any batch.

    Arguments, result and errors are those of ``write_torch``.
    """
    import torch

    path = Path(f"{stem}.onnx")
    exported = _export_program(_make_module(graph, values), shape)
    with quiet():
        program = torch.onnx.export(
            exported,
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        program.model.producer_name = "deep-fusion"
        program.save(str(path), external_data=False)
    return [path]


def load_onnx(stem):
    """Return the network that ``write_onnx`` wrote as a function: images -> logits.

    It runs on the CPU, with as many threads as MXNet would.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()  # which ignore OMP_NUM_THREADS
    options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])  # compat has set it
    session = onnxruntime.InferenceSession(
        f"{stem}.onnx", options, providers=["CPUExecutionProvider"]
    )
    return lambda images: session.run([OUTPUT], {INPUT: images})[0]


def _make_module(graph, values):
    """Return the torch module of ``graph``: trained arrays are parameters, others buffers."""
    import torch

    tensors = {name: torch.from_numpy(value.asnumpy()) for name, value in values.items()}
    for name in graph.list_arguments():
        if name in tensors and name not in PIXEL_CONSTANTS:
            tensors[name] = torch.nn.Parameter(tensors[name])
    try:
        module = torch_module(graph, tensors, training=False)
    except InputError as error:
        what = str(error).partition(":")[0].replace("torch does", "it does", 1)
        raise InputError(
            f"the network cannot be written with PyTorch ({what}): export it with format symbol",
            argument="format",
        ) from None
    return module.eval()


def _export_program(module, shape):
    """Return the torch.export.ExportedProgram of ``module``, for batches of any size."""
    import torch

    # with an example of one image, the program would only take single images
    example, batch = torch.zeros(2, *shape), torch.export.Dim("batch")
    with quiet():
        return torch.export.export(module, (example,), dynamic_shapes=({0: batch},))


@contextmanager
def quiet():
    """Suppress the warnings of exporters and quantizers about their own work."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
