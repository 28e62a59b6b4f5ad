"""Start a run from the parameters of a trained network instead of random ones."""

from pathlib import Path

import mxnet as mx

from command import InputError, nearest
from training import checkpoint
from training.exporting import read_safetensors
from training.run_folder import CONFIG

NAMED = 5  # the most parameters that a message names


def load_parameters(source):
    """Return {name: array} of the parameters that ``source`` holds, without the network's prefix.

    Args:
        source: a run's folder, whose newest checkpoint is taken, or a ``.params`` file, or a
            ``.safetensors`` file, such as export.py --format torch --trainable writes.

    Raises:
        InputError: it is neither, or it is damaged.
    """
    path = Path(source)
    if (path / CONFIG).exists():
        newest = checkpoint.latest(path / checkpoint.FOLDER)
        if newest is None:
            raise InputError(f"{path} has no checkpoint to start from", argument="init_from")
        return checkpoint.load(newest)[0]
    if not path.is_file():
        there = [each.name for each in path.parent.glob("*")] if path.parent.is_dir() else []
        raise InputError(
            "init_from takes a run's folder or a .params or .safetensors file, and "
            f"{path} is neither{nearest(path.name, there)}",
            argument="init_from",
        )
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    try:
        return {name: array.asnumpy() for name, array in dict(mx.nd.load(str(path))).items()}
    except (mx.MXNetError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise InputError(f"{path} holds no parameters: {reason}", argument="init_from") from None


def initialize_from(engine, source):
    """Load the parameters in ``source`` that match the network of ``engine`` by name and shape.

    A classifier for another number of classes does not match and keeps its random values.

    Returns:
        A line that says which parameters were loaded and which were not.

    Raises:
        InputError: no parameter matches, or ``source`` cannot be read.
    """
    given = load_parameters(source)
    values, _ = engine.state_dict()
    taken = {
        name: given[name]
        for name, value in values.items()
        if name in given and given[name].shape == value.shape
    }
    if not taken:
        raise InputError(
            f"no parameter in {source} fits this network by name and shape: give one of the same "
            "family and depth",
            argument="init_from",
        )
    engine.load_state_dict({**values, **taken}, {})
    fresh = sorted(set(values) - set(taken))
    unused = sorted(set(given) - set(taken))
    words = f"started from {source}: {len(taken)} of {len(values)} parameters"
    words += f"; random: {_name(fresh)}" if fresh else ""
    return words + (f"; not used: {_name(unused)}" if unused else "")


def _name(names):
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
