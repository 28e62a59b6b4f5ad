"""Encoded images (PNG, JPEG) to pixels, and pixels to PNG. A damaged image is a ValueError."""

import io
import struct
import warnings
import zlib

import numpy as np
from PIL import Image, ImageFile

try:
    import cv2
except ImportError:  # the wheel needs libGL, which bare machines lack; Pillow then does it all
    cv2 = None

FORMATS = ("PNG", "JPEG", "BMP")  # no other format's decoder ever sees the bytes
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"


def encode(pixels):
    """The bytes of a PNG of ``pixels``, uint8 (height, width, 3) RGB."""
    # Level 1, on 4,000 CIFAR images: 6,800/s and 2,244 bytes each; the default: 6,000/s and 2,262.
    # OpenCV encodes 12,100/s; Pillow is kept for what runs once, as it needs no system library.
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def open_image(data, reduced=False):
    """A loaded Pillow image of the bytes ``data``; ValueError says why there is none.

    As strict as can be: a PNG's checksums are checked, and an image larger than Pillow's limit
    (``Image.MAX_IMAGE_PIXELS``) is refused before its pixels take memory. ``reduced`` makes an
    eighth of a JPEG's pixels, which finds the same damage in half of the time.
    """
    problem = _png_problem(data) if data.startswith(_PNG_START) else None
    if problem:
        raise ValueError(problem)
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # gluoncv lets the whole process take damaged images
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            if reduced:
                image.draft(None, (1, 1))
            image.load()
    except Image.UnidentifiedImageError:
        raise ValueError("its image is no PNG, JPEG or BMP") from None
    except Exception as error:  # Pillow's decoders raise nearly everything on damaged bytes
        raise ValueError(f"its image cannot be decoded: {error or type(error).__name__}") from None
    return image


def decode(data, size):
    """The pixels of the image ``data``, uint8 (size, size, 3) RGB; grey becomes RGB.

    ValueError where it is damaged or of another size.
    """
    # Images/s on one core, CIFAR-10 test set as JPEG and as PNG: OpenCV 38,000 and 23,500, Pillow
    # 9,500 and 10,200, mx.image.imdecode 5,800 and 6,900. A second thread gives none of them more
    # than a tenth: most of the time is Python's. OpenCV and Pillow give the same pixels.
    if cv2 is not None and _is_plain(data, size):
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        if pixels is not None and pixels.shape == (size, size, 3):
            return pixels[:, :, ::-1]
    image = open_image(data)
    if image.size != (size, size):
        width, height = image.size
        raise ValueError(f"its image is {width}x{height} where {size}x{size} is needed")
    return np.asarray(image.convert("RGB"))


def _is_plain(data, size):
    """Whether ``data`` is, by its own account, a whole 8-bit PNG or JPEG of ``size`` x ``size``.

    OpenCV reserves memory for whatever size is announced and writes to stderr about damage.
    """
    if data.startswith(_PNG_START):
        plain = data[24:25] == b"\x08"  # bits a channel
        return plain and _png_size(data) == (size, size) and _png_problem(data) is None
    if data.startswith(_JPEG_START) and data.endswith(_JPEG_END):
        return _jpeg_size(data) == (size, size)
    return False


def _png_size(data):
    """(width, height) that the PNG ``data`` announces; its first chunk has a fixed place."""
    return struct.unpack_from(">II", data, 16) if len(data) >= 24 else None


def _png_problem(data):
    """What is wrong with the chunks of the PNG ``data``, or None. Decoders skip some checksums."""
    at = len(_PNG_START)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        if zlib.crc32(data[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            return f"its image is damaged: wrong checksum in the PNG's byte {at} and on"
        at = end + 4
        if data[at - 8 : at] == _PNG_END:
            return None
    return "its image is damaged: the PNG is cut short"


def _jpeg_size(data):
    """(width, height) that the JPEG ``data`` announces, or None where that is not found."""
    at = len(_JPEG_START)
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = struct.unpack_from(">xBH", data, at)
        if marker < 0xC0 or 0xD0 <= marker <= 0xDA or marker == 0xFF:
            return None  # no segment with a length: a decoder would go on elsewhere
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # a frame begins
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        at += 2 + length
    return None
