"""Define options: dataclass fields that have a default, limits and a help text.

The field of an option determines how its value is checked, written to ``config.json``, shown by
``--help`` and read from a flag, so that each fact is stated once.
"""

import argparse
import functools
import math
from dataclasses import MISSING, field, fields
from typing import Any, Callable, Optional, Sequence, Union, get_type_hints

from command import InputError, flag_name, nearest
from training.serialization import TOO_LARGE


def option(
    default: Any = MISSING,
    *,
    help: str,
    low: Optional[float] = None,
    below: Optional[float] = None,
    choices: Optional[Sequence[Any]] = None,
    parse: Optional[Callable[[str], Any]] = None,
    metavar: Optional[str] = None,
) -> Any:
    """Return a dataclass field that describes its flag and the values it allows.

    Args:
        default: default of the field; without it, the field is required.
        help: text of ``--help``.
        low, below: limits of a number; ``below`` itself is not allowed.
        choices: the values that are allowed.
        parse: function that converts the flag's text to the value; None means the field's type.
        metavar: name of the value in ``--help``.
    """
    limits = {"low": low, "below": below, "choices": choices}
    metadata = {"help": help, "parse": parse, "metavar": metavar, **limits}
    return field(default=default, metadata=metadata)


def check_options(instance):
    """Check every option of a dataclass instance; convert ints in float fields to floats.

    Raises:
        InputError: a value is not allowed; ``argument`` names its field.
    """
    types = get_type_hints(type(instance))
    for each in fields(instance):
        value = getattr(instance, each.name)
        if types[each.name] is float and type(value) is int:
            value = float(value)
            object.__setattr__(instance, each.name, value)  # the dataclass is frozen
        if value is not None and each.metadata:
            _check(each.name, value, types[each.name], each.metadata)


def _check(name, value, kind, limits):
    choices, low, below = (limits[key] for key in ("choices", "low", "below"))
    if choices and value not in choices:
        listed = f"{' or '.join(map(str, choices))}, not {value!r}{nearest(value, choices)}"
        raise InputError(f"{name} must be {listed}", argument=name)
    if isinstance(value, int) and abs(value) >= TOO_LARGE:
        raise InputError(f"{name} is too large: {value}", argument=name)
    if low is None and below is None:
        return
    number = isinstance(value, (int, float)) and math.isfinite(value)
    if not number or (low is not None and value < low):
        expected = "a number of at least 0" if kind is float and low == 0 else f"at least {low}"
        raise InputError(f"{name} must be {expected}, not {value}", argument=name)
    if below is not None and value >= below:
        raise InputError(f"{name} must be below {below}, not {value}", argument=name)


def add_flags(group, cls, skip=(), show_defaults=True, **changes):
    """Add a flag for each option of the dataclass ``cls`` to an argparse group.

    A flag that is not given has the value None; ``given`` returns the others.

    Args:
        skip: names of options without a flag.
        show_defaults: whether the help text ends with the default.
        changes: {name of an option: arguments of ``add_argument`` to replace}.
    """
    types = get_type_hints(cls)
    for each in fields(cls):
        if not each.metadata or each.name in skip:
            continue
        words = _argument(each, types[each.name])
        words.update(changes.get(each.name, {}))
        default = words.pop("default", each.default)
        if show_defaults and default not in (MISSING, None, False):
            words["help"] += f"; default: {default}"
        group.add_argument(flag_name(each.name), dest=each.name, default=None, **words)


def _argument(each, kind):
    """Return arguments of ``add_argument`` for a field of type ``kind``."""
    metadata = each.metadata
    words = {"help": metadata["help"], "choices": metadata["choices"]}
    if metadata["metavar"]:
        words["metavar"] = metadata["metavar"]
    if getattr(kind, "__origin__", None) is Union:  # Optional
        kind = kind.__args__[0]
    if kind is bool:
        words.update(nargs="?", const=True, metavar="on|off")
    parse = parse_switch if kind is bool else metadata["parse"]
    return {**words, "type": _explaining(parse) if parse else kind}


def _explaining(parse):
    """Return ``parse`` with the text of its ValueErrors as argparse's message."""

    @functools.wraps(parse)
    def explained(text):
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return explained


def parse_switch(text):
    """Return True for "on" and False for "off".

    Raises:
        ValueError: ``text`` is neither.
    """
    if text not in ("on", "off"):
        raise ValueError(f"{text!r} is neither on nor off")
    return text == "on"


def given(args, cls):
    """Return {name: value} of the options of ``cls`` whose flags were given."""
    values = {each.name: getattr(args, each.name, None) for each in fields(cls)}
    return {name: value for name, value in values.items() if value is not None}
