"""Read the parameters of a trained network from a run, a pretrained network or a file."""

from pathlib import Path

import mxnet as mx

from command import InputError, last_line, nearest
from filesystem import plain_path
from network import list_pretrained
from network.graph import PIXEL_CONSTANTS
from training.run_folder import CONFIG
from training.stored import read_stored


def load_parameters(source):
    """Return the parameters in ``source``, {name: array}, without the network's prefix.

    Args:
        source: a run's folder, whose newest checkpoint is used, the name of a pretrained network,
            a ``.params`` file, or a ``.safetensors`` file such as those of export.py --format torch
            --trainable.

    Raises:
        InputError: ``source`` is not one of these, or it is damaged.
    """
    path, pretrained = Path(source), list_pretrained()
    if (path / CONFIG).exists() or (str(source) in pretrained and not path.exists()):
        return read_stored(source).values
    if not path.is_file():
        there = [each.name for each in path.parent.glob("*")] if path.parent.is_dir() else []
        names = f" ({', '.join(pretrained)})" if pretrained else ""
        raise InputError(
            f"init_from must be a run's folder, a .params or .safetensors file or the name of a "
            f"pretrained network{names}, not {path}"
            f"{'' if path.is_dir() else nearest(path.name, [*there, *pretrained])}",
            argument="init_from",
        )
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    try:
        with plain_path(path) as plain:
            arrays = mx.nd.load(plain)
    except mx.MXNetError as error:
        reason = last_line(error)
        raise InputError(f"{path} holds no parameters: {reason}", argument="init_from") from None
    if not isinstance(arrays, dict):  # a list, also if there are none
        raise InputError(f"{path} has no arrays with names", argument="init_from")
    return {name: array.asnumpy() for name, array in arrays.items()}


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
