"""Networks of gluoncv's model zoo under ``gluoncv:NAME``, as baselines for the same programs."""

import sys

import mxnet as mx

from command import InputError, nearest

PREFIX = "gluoncv:"


def is_gluoncv(name):
    """Whether ``name`` means one of gluoncv's networks."""
    return name.startswith(PREFIX)


def get_gluoncv_model(name, depth, classes, widen_factor, **kwargs):
    """gluoncv's network of that name, not yet initialized, with ``classes`` logits.

    Raises:
        InputError: gluoncv has no such network, or not one with a free number of classes; or a
            depth or widen factor is given, which a peer has in its name.
    """
    model_zoo = _model_zoo()
    if depth is not None or widen_factor != 1:
        raise InputError(f"{name} has its depth and width in its name: leave them out")
    short = name[len(PREFIX) :].lower()
    names = model_zoo.get_model_list()
    if short not in names:
        raise InputError(
            f"gluoncv has no network {short!r}{nearest(short, names)} "
            "(gluoncv.model_zoo.get_model_list() names them all)"
        )
    try:
        with mx.name.NameManager():  # counts from 0: parameters get the same names everywhere
            return model_zoo.get_model(short, classes=classes, **kwargs)
    except TypeError as error:
        raise InputError(f"{name} cannot be made with {classes} classes: {error}") from None


def _model_zoo():
    """gluoncv's, whose import fails where it finds PyTorch 2 or later: here it finds none."""
    torch = sys.modules.pop("torch", None)
    sys.modules["torch"] = None  # to import it is an ImportError now
    try:
        from gluoncv import model_zoo
    finally:
        del sys.modules["torch"]
        if torch is not None:
            sys.modules["torch"] = torch
    return model_zoo
