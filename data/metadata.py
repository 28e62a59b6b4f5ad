"""Separate the pixels of an image file from its metadata, and read the EXIF orientation.

Decoders get only the pixels. Pillow also reads EXIF, XMP, colour profiles and the index of JPEGs
with several pictures, and refuses valid pixels if one of these is unusual; its behaviour differs
between versions.
"""

import struct
import zlib

PNG_START, JPEG_START = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
APP0, EXIF, ADOBE, COMMENT = 0xE0, 0xE1, 0xEE, 0xFE  # JPEG markers
METADATA = {*range(APP0 + 1, 0xF0), COMMENT} - {ADOBE}  # APP0 and ADOBE determine the colours
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers before a JPEG's height and width
ORIENTATION = 0x0112  # the EXIF tag
# Integers that a TIFF entry may hold: type -> how to read it. SHORT is the usual one.
WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}


def read_orientation(data):
    """Return the EXIF orientation, 1 to 8, of the encoded image ``data`` (JPEG, PNG or WebP).

    1 means upright; it is also returned if EXIF is missing, damaged or out of range.
    """
    for exif in _exif_blocks(data):
        orientation = _tiff_orientation(exif[6:] if exif.startswith(b"Exif\0") else exif)
        if orientation in range(1, 9):
            return orientation
    return 1


def without_metadata(data):
    """Return the encoded image ``data`` without the metadata of a JPEG or PNG.

    Raises:
        ValueError: a PNG is truncated, or a chunk with pixels has a wrong checksum, which some
            decoders ignore.
    """
    if data.startswith(PNG_START):
        parts = [data[start:end] for kind, start, end in _png_chunks(data) if kind in PIXEL_CHUNKS]
        return b"".join([PNG_START, *parts])
    if not data.startswith(JPEG_START):
        return data
    parts, rest = [JPEG_START], len(JPEG_START)
    for marker, start, end in _jpeg_segments(data):
        rest = end
        if marker not in METADATA:
            parts.append(data[start:end])
    return b"".join([*parts, data[rest:]])


def png_header(data):
    """Return (width, height, bits, colour type) from the header of the PNG ``data``.

    Raises:
        struct.error: ``data`` is too short.
    """
    return struct.unpack_from(">IIBB", data, 16)  # the first chunk has a fixed position


def jpeg_header(data):
    """Return (width, height, bits, channels) from the header of the JPEG ``data``, or None."""
    for marker, start, end in _jpeg_segments(data):
        if marker in FRAMES and end - start >= 10:
            bits, height, width, channels = struct.unpack_from(">BHHB", data, start + 4)
            return width, height, bits, channels
    return None


def _png_chunks(data):
    """Yield (kind, start, end) of each chunk of the PNG ``data``; check those with pixels."""
    at = len(PNG_START)
    while at + 12 <= len(data):
        (length,), kind = struct.unpack_from(">I", data, at), data[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(data):
            break
        # Names of metadata begin with a small letter; one flipped bit turns IDAT into iDAT.
        holds_pixels = kind[:1].isupper() or kind.upper() in PIXEL_CHUNKS or kind == b"tRNS"
        checksum = struct.unpack_from(">I", data, end - 4)[0]
        if holds_pixels and zlib.crc32(data[at + 4 : end - 4]) != checksum:
            raise ValueError(
                f"its image is damaged: wrong checksum of the PNG's chunk at byte {at}"
            )
        yield kind, at, end
        if kind == b"IEND":
            return
        at = end
    raise ValueError("its image is damaged: the PNG is cut short")


def _jpeg_segments(data):
    """Yield (marker, start, end) of the segments of the JPEG ``data`` before its first scan."""
    at = len(JPEG_START)
    while data[at : at + 1] == b"\xff":
        while data[at + 1 : at + 2] == b"\xff":  # markers may have fill bytes before them
            at += 1
        if at + 4 > len(data):
            return
        marker, length = struct.unpack_from(">xBH", data, at)
        end = at + 2 + length
        if marker < 0xC0 or 0xD0 <= marker <= 0xDA or length < 2 or end > len(data):
            return  # a scan, or not a segment
        yield marker, at, end
        at = end


def _exif_blocks(data):
    """Yield the bytes of each EXIF block of the encoded image ``data``."""
    if data.startswith(JPEG_START):
        for marker, start, end in _jpeg_segments(data):
            if marker == EXIF and data[start + 4 : start + 9] == b"Exif\0":
                yield data[start + 4 : end]
    elif data.startswith(PNG_START):
        try:
            for kind, start, end in _png_chunks(data):
                if kind == b"eXIf":
                    yield data[start + 8 : end - 4]
        except ValueError:  # the decoder of the pixels reports it
            return
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        at = 12
        while at + 8 <= len(data):
            (length,) = struct.unpack_from("<I", data, at + 4)
            if data[at : at + 4] == b"EXIF":
                yield data[at + 8 : at + 8 + length]
            at += 8 + length + length % 2


def _tiff_orientation(tiff):
    """Return the number under ORIENTATION in the first directory of ``tiff``, or None."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(tiff[:4]))
    if order is None:
        return None
    try:
        (at,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, at)
        for entry in range(at + 2, at + 2 + 12 * entries, 12):
            tag, kind = struct.unpack_from(order + "HH", tiff, entry)
            if tag == ORIENTATION and kind in WHOLE_NUMBERS:
                return struct.unpack_from(order + WHOLE_NUMBERS[kind], tiff, entry + 8)[0]
    except struct.error:  # the block is truncated
        return None
    return None
