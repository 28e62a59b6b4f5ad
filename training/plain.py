"""Dataclasses out of plain JSON values, each checked for its type."""

from dataclasses import MISSING, fields
from typing import Union, get_type_hints

from command import InputError


def from_plain(cls, values):
    """``cls`` from a dict that may hold more than its fields, or less: defaults stand for the rest.

    Raises:
        InputError: a field without a default is missing, or one is of another type.
    """
    types = get_type_hints(cls)
    if not isinstance(values, dict):
        raise InputError(f"settings of the {cls.__name__.lower()} are missing")
    required = {f.name for f in fields(cls) if MISSING is f.default is f.default_factory}
    missing = [name for name in types if name in required - set(values)]
    if missing:
        raise InputError(f"settings are missing: {', '.join(missing)}")
    given = {name: values[name] for name in types if name in values}
    for name, value in given.items():
        expected = types[name]
        origin = getattr(expected, "__origin__", expected)
        possible = expected.__args__ if origin is Union else (origin,)  # Optional is a Union
        unusable = isinstance(value, int) and abs(value) >= 1 << 63
        unusable |= isinstance(value, str) and "\0" in value  # no path can have it
        if type(value) not in possible or unusable:
            raise InputError(f"{name} cannot be {value!r}")
    return cls(**given)
