"""A network, or a part of one, as files that run without this project."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import mxnet as mx
from mxnet import gluon

from training.engine import MXNetEngine


def extract(net, folder, name, shape):
    """Write ``<name>-symbol.json`` and ``<name>-0000.params`` into ``folder``; their paths.

    ``gluon.SymbolBlock.imports(symbol, ["data"], params)`` reads them, as do MXNet's other front
    ends.

    Args:
        net: an initialized, compiled HybridBlock.
        folder: a Path; it is made.
        shape: of an image, (channels, height, width).
    """
    device = next(iter(net.collect_params().values())).list_ctx()[0]
    net(mx.nd.zeros((1, *shape), ctx=device))
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as aside:
        try:
            net.export(str(Path(aside) / name))
        except mx.MXNetError as error:
            reason = str(error).strip().splitlines()[-1]
            raise OSError(f"{folder} could not be written (a full disk?): {reason}") from None
        for file in (f"{name}-symbol.json", f"{name}-0000.params"):
            os.replace(Path(aside) / file, folder / file)
    return folder / f"{name}-symbol.json", folder / f"{name}-0000.params"


def engine_of_extracted(symbol, params, contexts):
    """An engine that predicts with what ``extract`` wrote."""
    net = gluon.SymbolBlock.imports(str(symbol), ["data"], str(params), ctx=contexts)
    return MXNetEngine(net, contexts, momentum=0, weight_decay=0)
