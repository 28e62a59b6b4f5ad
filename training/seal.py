"""JSON objects that show whether they are what was written: a checksum goes with the values."""

import difflib
import json
import zlib

KEY = "crc32"


def seal(values):
    """The dict ``values`` after its checksum.

    In front: damage that takes the checksum away and goes on takes the first value's name, too.
    """
    return {KEY: _checksum(values), **values}


def unseal(values):
    """What ``seal`` got. A dict without a checksum, of an older run, is taken as it is.

    Raises:
        ValueError: a value was changed, or is text that no file can hold; or it is no dict.
    """
    if not isinstance(values, dict):
        raise ValueError("it holds no object")
    if KEY not in values and difflib.get_close_matches(KEY, values):
        raise ValueError(f"its {KEY} lost its name")
    values = dict(values)
    if values.pop(KEY, _checksum(values)) != _checksum(values):
        raise ValueError(f"its values do not fit its {KEY}")
    json.dumps(values, ensure_ascii=False).encode()  # half a character is a UnicodeEncodeError
    return values


def _checksum(values):
    return zlib.crc32(json.dumps(values, sort_keys=True).encode())
