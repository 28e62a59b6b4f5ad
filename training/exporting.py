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

TOLERANCE = 1e-4  # largest allowed difference, divided by the largest logit


@dataclass(frozen=True)
class ExportFormat:
    """A kind of file: the functions that write and run it."""

    write: Callable  # see network.exporter.write_symbol
    load: Callable  # path without endings -> function: images -> logits
    endings: Tuple[str, ...]  # endings of its files
    packages: Tuple[str, ...]  # packages that writing needs in addition to MXNet
    runs_with: Tuple[str, ...]  # packages that running needs in addition to MXNet
    usage: str  # Python code that sets ``logits`` for ``images``, in the folder of the files


EXPORT_FORMATS = {
    "symbol": ExportFormat(
        write_symbol,
        load_symbol,
        ("-symbol.json", "-0000.params"),
        (),
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
        ("onnxruntime",),
        """import onnxruntime
session = onnxruntime.InferenceSession("{name}.onnx")
(logits,) = session.run(None, {{"data": images}})""",
    ),
    "torch": ExportFormat(
        write_torch,
        load_torch,
        (".pt2", ".safetensors"),
        ("torch", "safetensors"),
        ("torch",),
        """import torch
net = torch.export.load("{name}.pt2").module()
with torch.no_grad():
    logits = net(torch.from_numpy(images)).numpy()""",
    ),
}


def require_packages(kind, packages):
    """Check that ``packages`` for files of ``kind`` are installed.

    Raises:
        InputError: a package is missing.
    """
    for package in packages:
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
