"""Dataclasses out of plain JSON values, each checked for its type."""

from typing import Union, get_type_hints

from command import InputError


def from_plain(cls, values):
    """``cls`` from a dict that may hold more than its fields.

    Raises:
        InputError: a field is missing or of another type.
    """
    types = get_type_hints(cls)
    if not isinstance(values, dict):
        raise InputError(f"settings of the {cls.__name__.lower()} are missing")
    missing = [name for name in types if name not in values]
    if missing:
        raise InputError(f"settings are missing: {', '.join(missing)}")
    for name, expected in types.items():
        origin = getattr(expected, "__origin__", expected)
        possible = expected.__args__ if origin is Union else (origin,)  # Optional is a Union
        if type(values[name]) not in possible:
            raise InputError(f"{name} cannot be {values[name]!r}")
    return cls(**{name: values[name] for name in types})
