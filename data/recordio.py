"""Read and write the record files (.rec) of MXNet without MXNet.

MXNet aborts the process on a damaged file; this module returns the fault. A record is, in 32-bit
little-endian words,

    magic number, (part << 29) + length, payload of ``length`` bytes, zeros up to the next word

and its payload is a header (flag, label, id, id2), ``flag`` more labels, and an encoded image. If
a word of the payload equals the magic number, the writer splits the payload there and omits the
word: part is 1, 2, ..., 2, 3 for the pieces, and 0 for a record in one piece. A word that equals
the magic number is therefore always the start of a piece, so reading can continue after damage.
"""

import contextlib
import os
import struct
from typing import NamedTuple, Optional, Tuple

from command import InputError
from filesystem import mapped

MAGIC = 0xCED7230A
_MAGIC_BYTES = struct.pack("<I", MAGIC)
_PIECE = struct.Struct("<II")
_HEADER = struct.Struct("<IfQQ")
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)


class Record(NamedTuple):
    """A record, or the fault at its position (``problem``; the other values are then empty)."""

    index: int  # type: ignore[assignment]  # from 0, in the order of the file
    offset: int  # position of its first byte in the file
    labels: Tuple[float, ...] = ()
    image: bytes = b""  # encoded (JPEG, PNG, ...)
    problem: Optional[str] = None


def frame(label, number, image):
    """Return the bytes of the record ``number`` with the encoded ``image`` and one ``label``.

    Records can be appended to an existing file, which MXNet's writer cannot do.
    """
    payload = _HEADER.pack(0, label, number, 0) + image
    cuts, start = [], 0
    while (found := _find_magic(payload, start, len(payload))) >= 0:
        cuts.append(payload[start:found])
        start = found + 4
    cuts.append(payload[start:])
    parts = [_FIRST, *[_MIDDLE] * (len(cuts) - 2), _LAST] if len(cuts) > 1 else [_WHOLE]
    return b"".join(
        _PIECE.pack(MAGIC, (part << 29) + len(piece)) + piece + bytes(-len(piece) % 4)
        for part, piece in zip(parts, cuts)
    )


def read_records(path, images=True):
    """Yield a Record for each record of the file ``path``, and for each damaged position.

    With ``images=False`` only the headers are read, a small part of a large file; ``image`` is then
    empty. Damaged bytes raise no exception; a file that is missing, empty or cannot be read is an
    InputError.
    """
    with _mapped(path) as data:
        offset = 0
        index = 0
        while offset < len(data):
            record, offset = _read_record(data, offset, index, images)
            yield record
            index += 1


@contextlib.contextmanager
def _mapped(path):
    """Yield the bytes of the file ``path``."""
    try:
        file = open(path, "rb")  # noqa: SIM115 (closed below)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read ({reason}): give a .rec file") from None
    with file:
        if os.fstat(file.fileno()).st_size == 0:
            raise InputError(f"{path} is empty: give a .rec file with records")
        with mapped(file) as data:
            yield data


def _read_record(data, offset, index, images):
    """Return the record at ``offset`` and the offset of the next one."""
    pieces, end, problem = _find_pieces(data, offset)
    if problem is None and images:
        problem = _swallowed(data, pieces)
    if problem is not None:
        return Record(index, offset, problem=problem), _next_start(data, offset + 4)
    labels, image, problem = _read_payload(data, pieces, images)
    return Record(index, offset, labels, image, problem), end


def _find_pieces(data, offset):
    """Return the pieces of the record at ``offset``, the record's end, and its fault or None."""
    pieces = []
    size = len(data)
    while True:
        if offset + _PIECE.size > size:
            return pieces, size, f"the file ends {size - offset} bytes into its start"
        magic, word = _PIECE.unpack_from(data, offset)
        part, length = word >> 29, word & 0x1FFFFFFF
        if magic != MAGIC:
            place = "a later piece of it" if pieces else "it"
            return pieces, offset, f"no magic number where {place} should begin"
        if part not in ((_MIDDLE, _LAST) if pieces else (_WHOLE, _FIRST)):
            return pieces, offset, f"its pieces are out of order (part {part})"
        start = offset + _PIECE.size
        offset = start + (length + 3) // 4 * 4
        if offset > size:
            return pieces, size, f"cut short: {size - start} of its {length} bytes are there"
        pieces.append((start, start + length))
        if part in (_WHOLE, _LAST):
            break
    # A wrong length usually ends where no record begins; the next record then begins inside it.
    if offset < size and data[offset : offset + 4] != _MAGIC_BYTES:
        return pieces, offset, _swallowed(data, pieces)
    return pieces, offset, None


def _swallowed(data, pieces):
    """Return the fault of a record that contains the start of another one, or None."""
    if any(_find_magic(data, *piece) >= 0 for piece in pieces):
        return "its length is wrong: another record begins inside it"
    return None


def _find_magic(data, start, stop):
    """Return the position of the first magic number among the words of ``data``, or -1."""
    found = data.find(_MAGIC_BYTES, start, stop)
    while found >= 0 and found % 4:
        found = data.find(_MAGIC_BYTES, found + 1, stop)
    return found


def _next_start(data, offset):
    """Return the next offset, from ``offset`` on, at which a record begins, or the end."""
    size = len(data)
    offset = _find_magic(data, offset, size)
    while 0 <= offset <= size - _PIECE.size:
        if _PIECE.unpack_from(data, offset)[1] >> 29 in (_WHOLE, _FIRST):
            return offset
        offset = _find_magic(data, offset + 4, size)
    return size


def _read_payload(data, pieces, images):
    """Return labels, image (with ``images``) and problem of the record in ``pieces``."""
    if len(pieces) > 1:
        data = _MAGIC_BYTES.join(data[start:stop] for start, stop in pieces)
        pieces = [(0, len(data))]
    ((start, stop),) = pieces
    if stop - start < _HEADER.size:
        return (), b"", f"its header is cut short ({stop - start} of {_HEADER.size} bytes)"
    flag, label, _, _ = _HEADER.unpack_from(data, start)
    start += _HEADER.size
    if flag == 0:
        labels = (label,)
    elif 4 * flag > stop - start:
        return (), b"", f"its header announces {flag} labels, more than it has bytes for"
    else:
        labels = struct.unpack_from(f"<{flag}f", data, start)
        start += 4 * flag
    if start == stop:
        return labels, b"", "it has no image"
    return labels, data[start:stop] if images else b"", None
