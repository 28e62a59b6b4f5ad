"""A network, or a part of one, as files that run without this project: MXNet's symbol, or ONNX."""

import json
import os
import warnings
from ast import literal_eval
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import mxnet as mx
import numpy as np
from mxnet import gluon

from command import CommandError, InputError

INPUT, OUTPUT = "data", "logits"
TOLERANCE = 1e-4  # of the largest logit
OPSET, IR_VERSION = 13, 7  # ONNX of 2020: the newest operators that MXNet 1.9.1 writes


def export(graph, values, shape, kind, place, description, images, logits):
    """Write ``graph`` as files that give ``logits`` for ``images``; their paths and the difference.

    Beside them stands ``<place>.<kind>.json``, the ``description``. Everything is written aside and
    looked at before it gets its name.

    Args:
        graph: a symbol with the input ``data``, and one output (batch, classes).
        values: {name: NDArray} of what else goes in.
        shape: of an image, (channels, height, width).
        kind: one of FORMATS.
        place: path of the files, without the endings that tell them apart.
        images, logits: arrays (N, *shape) and (N, classes).

    Raises:
        InputError: a package is missing.
        CommandError: what is written gives something else; nothing is left of it.
    """
    write, load = EXPORT_FORMATS[kind]
    folder, name = place.parent, place.name
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as aside:
        stem = Path(aside) / name
        try:
            files = write(graph, values, shape, stem)
            difference = largest_difference(load(stem), images, logits)
        except mx.MXNetError as error:
            reason = str(error).strip().splitlines()[-1]
            raise OSError(f"{folder} could not be written (a full disk?): {reason}") from None
        if not difference <= TOLERANCE:
            raise CommandError(
                f"{kind} differs from the network by {difference:.1e} of its largest logit "
                f"({TOLERANCE:.0e} at most is right): nothing was written to {folder}"
            )
        files.append(Path(f"{stem}.{kind}.json"))
        described = {"files": [file.name for file in files[:-1]], **description}
        described["largest_difference"] = difference
        files[-1].write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
        for file in files:
            os.replace(file, folder / file.name)
    return [folder / file.name for file in files], difference


def read_parameters(graph, net):
    """{name: NDArray} of what goes into ``graph``, which ``net`` compiles to, beside images."""
    parameters = net.collect_params()
    return {name: parameters[name].data() for name in graph.list_inputs() if name in parameters}


def largest_difference(predict, images, logits):
    """Between ``logits`` and what ``predict`` gives for ``images``, over the largest logit.

    The first image goes alone: batches are of any size.
    """
    parts = [part for part in np.split(images, [1]) if len(part)]
    found = np.concatenate([predict(part) for part in parts])
    largest = max(np.abs(logits).max(), np.finfo(np.float32).tiny)  # or 0 / 0
    return float(np.abs(found - logits).max() / largest)


def from_pixels(graph, values, mean, std):
    """(graph, values) that take RGB pixels, 0 to 255: graph((pixels - mean) / std)."""
    constants = {
        name: mx.nd.array(value).reshape((1, -1, 1, 1))
        for name, value in (("pixel_mean", mean), ("pixel_std", std))
    }
    centred = mx.sym.broadcast_sub(mx.sym.var(INPUT), mx.sym.var("pixel_mean"), name="centred")
    scaled = mx.sym.broadcast_div(centred, mx.sym.var("pixel_std"), name="normalized")
    return graph(**{INPUT: scaled}), {**values, **constants}


def to_pixels(images, mean, std):
    """The pixels, 0 to 255, of normalised images (N, 3, height, width)."""
    mean, std = (np.array(value, np.float32).reshape(-1, 1, 1) for value in (mean, std))
    return np.rint(images * std + mean)


def write_symbol(graph, values, shape, stem):
    """``<stem>-symbol.json`` and ``<stem>-0000.params``, as MXNet's front ends read them."""
    symbol, params = _symbol_files(stem)
    kinds = {"arg": graph.list_arguments(), "aux": graph.list_auxiliary_states()}
    graph.save(str(symbol))
    named = {f"{kind}:{n}": values[n] for kind, names in kinds.items() for n in names if n != INPUT}
    mx.nd.save(str(params), named)
    return [symbol, params]


def load_symbol(stem):
    """What ``write_symbol`` wrote, as a function: images -> logits."""
    symbol, params = map(str, _symbol_files(stem))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Cannot decide type")  # of the input
        net = gluon.SymbolBlock.imports(symbol, [INPUT], params)
    net.hybridize(static_alloc=True, static_shape=True)
    return lambda images: net(mx.nd.array(images)).asnumpy()


def _symbol_files(stem):
    return Path(f"{stem}-symbol.json"), Path(f"{stem}-0000.params")


def write_onnx(graph, values, shape, stem):
    """``<stem>.onnx``: ``data`` (batch, *shape) -> ``logits`` (batch, classes), any batch.

    Raises:
        InputError: a package is missing, or ONNX has no such operator.
    """
    require_onnx()
    from mxnet.onnx.mx2onnx._export_onnx import MXNetGraph  # mx.onnx lets no one choose the opset
    from onnx import TensorProto, checker, helper, save

    shapes = {name: value.shape for name, value in values.items()}
    _, ((_, classes),), _ = graph.infer_shape(**{INPUT: (1, *shape)}, **shapes)
    MXNetGraph.register("mean", OPSET)(_reduce_mean)
    with _checked_as_opset(OPSET):
        try:
            converted = MXNetGraph().create_onnx_graph_proto(
                graph,
                values,
                [(1, *shape)],
                [TensorProto.FLOAT],
                opset_version=OPSET,
                dynamic=True,
                dynamic_input_shapes=[("batch", *shape)],
            )
        except (AttributeError, NotImplementedError) as error:  # no conversion function
            raise InputError(f"the network cannot be written as ONNX: {error}") from None
    (last,) = (node for node in converted.node if converted.output[0].name in node.output)
    last.output[0] = OUTPUT
    del converted.output[:], converted.input[:]  # MXNet lists weights as inputs: nothing is folded
    for into, name, dimensions in (
        (converted.input, INPUT, shape),
        (converted.output, OUTPUT, (classes,)),
    ):
        into.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ("batch", *dimensions)))
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(converted, opset_imports=[opset], ir_version=IR_VERSION)
    model.producer_name = "deep-fusion"
    checker.check_model(model, full_check=True)
    path = Path(f"{stem}.onnx")
    save(model, str(path))
    return [path]


def load_onnx(stem):
    """What ``write_onnx`` wrote, as a function: images -> logits."""
    import onnxruntime

    session = onnxruntime.InferenceSession(f"{stem}.onnx", providers=["CPUExecutionProvider"])
    return lambda images: session.run([OUTPUT], {INPUT: images})[0]


def require_onnx():
    """Make sure that there are onnx, with what MXNet needs of it, and onnxruntime.

    Raises:
        InputError: they are not installed.
    """
    try:
        import onnxruntime  # noqa: F401
        from onnx import mapping  # noqa: F401
    except ImportError as error:
        message = f"--format onnx lacks a package ({error}): pip install -e '.[onnx]'"
        raise InputError(message) from None


def _reduce_mean(node, **graph):
    """``mean`` as one node; MXNet's own conversion is twelve, for a mean that leaves no axis."""
    from mxnet.onnx.mx2onnx._op_translations._op_translations_opset12 import get_inputs
    from onnx import helper

    name, inputs, settings = get_inputs(node, graph)
    keepdims = int(settings.get("keepdims") in ("True", "1"))
    axes = literal_eval(settings.get("axis", "None"))
    axes = [axes] if isinstance(axes, int) else axes  # None: all
    return [helper.make_node("ReduceMean", inputs, [name], name, axes=axes, keepdims=keepdims)]


@contextmanager
def _checked_as_opset(version):
    """Have onnx's checker, which MXNet calls with its default, take graphs for this opset's."""
    from onnx import checker

    before = dict(checker.DEFAULT_CONTEXT.opset_imports)
    checker.DEFAULT_CONTEXT.opset_imports = {"": version}
    try:
        yield
    finally:
        checker.DEFAULT_CONTEXT.opset_imports = before


EXPORT_FORMATS = {"symbol": (write_symbol, load_symbol), "onnx": (write_onnx, load_onnx)}
