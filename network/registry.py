"""Names of networks -> their constructors: the one way in."""

import inspect
import re

from command import InputError, nearest
from network import gluoncv_zoo

_CONSTRUCTORS = {}


def register_model(constructor):
    """Make ``constructor(depth, classes, widen_factor, **kwargs)`` known under its own name.

    In an interactive session a cell that defines a network may be run again.

    Raises:
        ValueError: a network of that name is registered already.
    """
    name = constructor.__name__
    if name in _CONSTRUCTORS and not _interactive(constructor, _CONSTRUCTORS[name]):
        raise ValueError(f"a network named {name!r} is registered already")
    _CONSTRUCTORS[name] = constructor
    return constructor


def _interactive(*constructors):
    return all(constructor.__module__ == "__main__" for constructor in constructors)


def list_models():
    """Names that ``get_model`` knows, sorted."""
    return sorted(_CONSTRUCTORS)


def find_constructor(name):
    """The constructor registered as ``name``.

    Raises:
        InputError: no such network; the message lists those there are.
    """
    if name not in _CONSTRUCTORS:
        raise InputError(
            f"no network is named {name!r}{nearest(name, list_models())} (there are "
            f"{', '.join(list_models())}, and {gluoncv_zoo.PREFIX}NAME for one of gluoncv's)"
        )
    return _CONSTRUCTORS[name]


def default_depth(name):
    """Depth that ``get_model(name)`` builds when none is given; None for a peer."""
    if gluoncv_zoo.is_gluoncv(name):
        return None
    return inspect.signature(find_constructor(name)).parameters["depth"].default


def image_shape(name):
    """(channels, height, width) of the images that a network is for."""
    size = 224 if name.endswith("_imagenet") else 32
    return 3, size, size


def get_model(name, depth=None, classes=10, widen_factor=1, **kwargs):
    """Build the network ``name``.

    Args:
        name: one of ``list_models()``, or ``gluoncv:NAME`` for a network of gluoncv's model zoo.
        depth: weight layers of the corresponding plain network; None takes the network's default.
        classes: number of logits.
        widen_factor: multiplies the network's widths.
        kwargs: the network's own options, and ``prefix`` and ``params`` as for any Gluon block.

    Returns:
        A HybridBlock, not yet initialized: images (batch, 3, height, width) -> logits (batch,
        classes).

    Raises:
        InputError (a ValueError): an unknown name or option, or a depth, width or number of classes
            that cannot be; the message lists what is possible.
    """
    require_positive(classes=classes, widen_factor=widen_factor)
    if gluoncv_zoo.is_gluoncv(name):
        return gluoncv_zoo.get_gluoncv_model(name, depth, classes, widen_factor, **kwargs)
    constructor = find_constructor(name)
    if depth is None:
        depth = default_depth(name)
    require_positive(depth=depth)
    kwargs.setdefault("prefix", f"{name}_")  # parameters get the same names in every process
    try:
        return constructor(depth, classes=classes, widen_factor=widen_factor, **kwargs)
    except TypeError as error:
        unknown = re.search("unexpected keyword argument '(.*?)'", str(error))
        if unknown is None:
            raise
        raise InputError(f"{name} has no option {unknown.group(1)}") from None


def require_positive(**values):
    """Refuse anything but positive whole numbers, with its name in the message."""
    for name, value in values.items():
        whole = hasattr(value, "__index__") and not isinstance(value, bool)
        if not whole or value < 1:
            raise InputError(f"{name} must be a whole number of at least 1, not {value!r}")
