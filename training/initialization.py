"""Start a run from the parameters of a trained network instead of random ones."""

import os
import re

import numpy as np

from command import InputError
from engine.optimizer_state import RAW
from training.parameter_files import load_parameters

NAMED = 5  # the most parameters that a message names


def initialize_from(engine, source):
    """Load the parameters in ``source`` that match the network of ``engine`` by name and shape.

    A classifier for another number of classes does not match and keeps its random values.

    Returns:
        A line that says which parameters were loaded and which were not.

    Raises:
        InputError: no parameter but the classifier's matches, batch normalisation is folded, there
            are no moving averages, values are not finite, or ``source`` cannot be read.
    """
    values, _ = engine.state_dict()
    given = _strip_prefixes(load_parameters(source), values)
    taken = {
        name: given[name]
        for name, value in values.items()
        if name in given and given[name].shape == value.shape
    }
    fault = _find_fault(source, values, given, taken)
    if fault:
        raise InputError(f"init_from: {fault}", argument="init_from")
    engine.load_state_dict({**values, **taken}, {})
    return f"started from {source}: {_describe(values, given, taken)}"


def _find_fault(source, values, given, taken):
    """Return why a network of ``values`` cannot start from ``taken`` of the ``given``, or None."""
    if _is_folded(given, values):
        return (
            f"in {source}, batch normalisation is folded into the convolutions: export the network "
            "with export.py --trainable"
        )
    if not _without_classifier(taken, values):
        return _explain_mismatch(source, values, given)
    if not any(map(_is_average, given)) and any(map(_is_average, values)):
        return (
            f"{source} has no moving averages of batch normalisation: give net.params, not "
            "optimizer.params, or another file of all parameters"
        )
    broken = [name for name, value in taken.items() if not np.isfinite(value).all()]
    if broken:
        return (
            f"{broken[0]} in {source} has values that are not finite: the run diverged, or the "
            "file is damaged"
        )
    return None


def _is_folded(given, values):
    """Return whether arrays are those of a network whose batch normalisation was folded.

    They have no moving averages, and convolutions have a bias that they do not have in ``values``.
    Earlier versions gave them other names.
    """
    if any(name.endswith(("folded_weight", "folded_bias")) for name in given):
        return True
    weights = (name[: -len("bias")] + "weight" for name in given if name.endswith("bias"))
    added = [name for name in weights if name in values and f"{name[:-6]}bias" not in values]
    return bool(added) and not any(map(_is_average, given))


def _is_average(name):
    """Return whether ``name`` is that of a moving average of batch normalisation."""
    return name.endswith(("running_mean", "running_var")) and not name.startswith(RAW)


def _strip_prefixes(given, values):
    """Return ``given`` with names as in ``values``, if these follow a prefix.

    Files of exported networks have arg: or aux: before a name, and the network's own prefix may
    follow, which Gluon's ``collect_params().save()`` writes, too.
    """
    if set(given) & set(values):
        return given
    bare = {re.sub("^(arg|aux):", "", name): array for name, array in given.items()}
    common = os.path.commonprefix(list(bare))
    prefixes = ["", *(common[: mark.end()] for mark in re.finditer("_", common))]
    stripped = [{n[len(prefix) :]: a for n, a in bare.items()} for prefix in prefixes]
    return max(stripped, key=lambda names: len(set(names) & set(values)))


def _without_classifier(names, values):
    """Return those of ``names`` that do not belong to dense layers of a network's ``values``."""
    dense = [name for name, value in values.items() if name.endswith("weight") and value.ndim == 2]
    layers = tuple(name[: -len("weight")] for name in dense)
    return [name for name in names if not name.startswith(layers)]


def _explain_mismatch(source, values, given):
    """Return why nothing in ``source`` but a classifier matches a network's ``values``."""
    shared = _without_classifier([name for name in values if name in given], values)
    if shared:
        name = shared[0]
        return (
            f"the parameters in {source} have other widths, such as {name} with "
            f"{_size(given[name])} there and {_size(values[name])} here: give a network of the "
            "same widen_factor"
        )
    return (
        f"no parameter in {source} matches this network by name and shape: give a "
        "network of the same family and depth"
    )


def _size(array):
    return "x".join(map(str, array.shape))


def _describe(values, given, taken):
    """Return a text on which of a network's ``values`` were ``taken``, and why not the others."""

    lists = {
        "random, because the shapes differ": [
            f"{name} ({_size(given[name])} there, {_size(value)} here)"
            for name, value in sorted(values.items())
            if name in given and name not in taken
        ],
        "random, because they are not there": sorted(set(values) - set(given)),
        "there, but not in this network": sorted(set(given) - set(values)),
    }
    words = [f"{what}: {_name(names)}" for what, names in lists.items() if names]
    return "; ".join([f"{len(taken)} of {len(values)} parameters", *words])


def _name(names):
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
