"""Read JSON objects, and make dataclasses from their values with type checks."""

import json
from dataclasses import MISSING, fields
from typing import Union, get_type_hints

from command import InputError

ENCODING = "utf-8-sig"  # of the files that are read: editors of Windows add a byte order mark
TOO_LARGE = 1 << 63  # the smallest integer that settings cannot have


def from_plain(cls, values):
    """Return a ``cls`` made from a dict; other keys are ignored, missing ones get defaults.

    Raises:
        InputError: a field without a default is missing, or a value has a wrong type.
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
        unusable = isinstance(value, int) and abs(value) >= TOO_LARGE
        unusable |= isinstance(value, str) and "\0" in value  # which no path can contain
        whole = float in possible and type(value) is int  # JSON writes 1.0 as 1, too
        if not (type(value) in possible or whole) or unusable:
            raise InputError(f"{name} cannot be {value!r}")
    return cls(**given)


def parse_object(text):
    """Return the JSON object in ``text``.

    Raises:
        ValueError: there is no object, or it has text that cannot be written to a file.
    """
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError("it holds no object")
    # A lone surrogate is an error, unless it stands for a byte of a path that is not UTF-8.
    json.dumps(values, ensure_ascii=False).encode(errors="surrogateescape")
    return values
