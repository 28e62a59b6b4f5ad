"""Export a network to files: write them aside, check them, then replace the old files as a set."""

import importlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Callable, Tuple

import mxnet as mx
import numpy as np

from command import CommandError, InputError, StorageError, last_line
from engine.torch_export import load_onnx, load_torch, write_onnx, write_torch
from filesystem import hash_file, new_folder, plain_path
from network.exporter import load_symbol, write_symbol
from network.graph import PIXEL_CONSTANTS

TOLERANCE = 1e-4  # largest allowed difference, divided by the largest logit


@dataclass(frozen=True)
class ExportFormat:
    """A kind of file: the functions that write and run it."""

    write: Callable  # see network.exporter.write_symbol
    load: Callable  # path without endings -> function: images -> logits
    endings: Tuple[str, ...]  # endings of its files
    packages: Tuple[str, ...]  # packages that it needs in addition to MXNet
    usage: str  # Python code that sets ``logits`` for ``images``, in the folder of the files


EXPORT_FORMATS = {
    "symbol": ExportFormat(
        write_symbol,
        load_symbol,
        ("-symbol.json", "-0000.params"),
        (),
        """import numpy as np
np.bool = np.bool_  # MXNet 1.9.1 cannot be imported beside NumPy 1.24 and later without it
import mxnet as mx
net = mx.gluon.SymbolBlock.imports("{name}-symbol.json", ["data"], "{name}-0000.params")
logits = net(mx.nd.array(images)).asnumpy()""",
    ),
    "onnx": ExportFormat(
        write_onnx,
        load_onnx,
        (".onnx",),
        ("torch", "onnx", "onnxscript", "onnxruntime"),
        """import onnxruntime
session = onnxruntime.InferenceSession("{name}.onnx")
(logits,) = session.run(None, {{"data": images}})""",
    ),
    "torch": ExportFormat(
        write_torch,
        load_torch,
        (".pt2", ".safetensors"),
        ("torch", "safetensors"),
        """import torch
net = torch.export.load("{name}.pt2").module()
with torch.no_grad():
    logits = net(torch.from_numpy(images)).numpy()""",
    ),
}


def require_packages(kind, *more):
    """Check that the packages for files of ``kind``, and ``more`` packages, are installed.

    Raises:
        InputError: a package is missing.
    """
    for package in (*EXPORT_FORMATS[kind].packages, *more):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise InputError(
                f"{kind} files need a missing package ({error}): pip install -e '.[{kind}]'"
            ) from None


def export(graph, values, shape, kind, place, description, images, logits, quantize=None):
    """Write ``graph`` as files that compute ``logits`` for ``images``.

    ``<place>.<kind>.json`` has the ``description``. All is written aside, checked, then renamed.

    Args:
        graph: a symbol with the input ``data``, and one output (batch, classes).
        values: {name: NDArray} of its other inputs, the parameters.
        shape: shape of an image, (channels, height, width).
        kind: one of EXPORT_FORMATS.
        place: path of the files without their endings.
        images, logits: arrays (N, *shape) and (N, classes).
        quantize: a function like ``training.quantization.Int8.quantize``, called after the check.

    Returns:
        (paths of the files, contents of their JSON file).

    Raises:
        InputError: the network has an operator that ``kind`` does not support.
        CommandError: the files compute different logits; they have been removed.
    """
    folder, name = place.parent, place.name
    with new_folder(folder), TemporaryDirectory(dir=folder) as aside, plain_path(
        Path(aside) / name
    ) as plain:
        stem = Path(plain)
        try:
            files = EXPORT_FORMATS[kind].write(graph, values, shape, stem)
            difference = largest_difference(EXPORT_FORMATS[kind].load(stem), images, logits)
        except mx.MXNetError as error:
            reason = last_line(error)
            raise StorageError(f"{folder} could not be written (a full disk?): {reason}") from None
        _require_close(difference, kind, folder)
        described = {"files": [file.name for file in files], **description}
        described["largest_difference"] = difference
        if quantize:
            described["int8"] = quantize(stem)
        described["sha256"] = {file.name: hash_file(file) for file in files}
        described["usage"] = EXPORT_FORMATS[kind].usage.format(name=name).splitlines()
        return replace_set([*files, write_description(stem, kind, described)], folder), described


def write_description(stem, kind, described):
    """Write ``<stem>.<kind>.json``; return its path."""
    path = Path(f"{stem}.{kind}.json")
    text = json.dumps(described, indent=1, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def replace_set(files, folder):
    """Move ``files`` to ``folder``; return their new paths.

    Old files with these names are removed first, the last of ``files`` before the others, and the
    new files are moved in order: after a crash, files may be missing, but old and new files are
    never mixed.
    """
    places = [folder / file.name for file in files]
    for place in reversed(places):
        place.unlink(missing_ok=True)
    for file, place in zip(files, places):
        os.replace(file, place)
    return places


def read_safetensors(path):
    """Return {name: array} of a ``.safetensors`` file, without the constants that scale pixels.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise InputError(f"{path}: {error}: pip install -e '.[torch]'") from None
    try:
        with plain_path(path) as plain:
            arrays = load_file(plain)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} cannot be read as .safetensors: {error}") from None
    except (KeyError, TypeError, AttributeError) as error:  # its versions differ
        raise InputError(
            f"{path} has a data type that NumPy lacks ({error}): save it as float32"
        ) from None
    return {name: array for name, array in arrays.items() if name not in PIXEL_CONSTANTS}


def replace_values(values, path):
    """Return ``values``, {name: array} of a network, updated from a ``.safetensors`` file.

    ``write_torch`` writes such a file for a network that remains trainable; another program may
    train it and save it with the same names. The file need not have all of ``values``.

    Returns:
        (the updated values, names of the arrays in the file).

    Raises:
        InputError: the file cannot be read, has no array, or one that the network does not have.
    """
    arrays = read_safetensors(path)
    unknown = sorted(set(arrays) - set(values))
    source = "it must come from export.py --format torch --trainable of this run"
    if unknown:
        raise InputError(
            f"{path} has an array {unknown[0]}, which the network does not have: {source}"
        )
    if not arrays:
        raise InputError(f"{path} has no array of the network: {source}")
    updated = {name: array.astype(values[name].dtype) for name, array in arrays.items()}
    return {**values, **updated}, frozenset(updated)


def largest_difference(predict, images, logits):
    """Return the largest difference of ``predict``'s logits, divided by the largest of ``logits``.

    The first image is predicted separately, to test that batches may have any size.
    """
    parts = [part for part in np.split(images, [1]) if len(part)]
    found = np.concatenate([predict(part) for part in parts])
    largest = max(np.abs(logits).max(), np.finfo(np.float32).tiny)  # avoids 0 / 0
    return float(np.abs(found - logits).max() / largest)


def _require_close(difference, kind, folder):
    if not difference <= TOLERANCE:
        raise CommandError(
            f"{kind} differs from the network by {difference:.1e} of its largest logit "
            f"(allowed: {TOLERANCE:.0e}): nothing was written to {folder}"
        )
