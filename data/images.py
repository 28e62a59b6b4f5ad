"""Decode images to pixels, and encode pixels as PNG. A damaged image is a ValueError."""

import io
import warnings

import numpy as np
from PIL import Image, ImageFile, ImageOps

from data.metadata import (
    JPEG_START,
    PNG_START,
    jpeg_header,
    png_header,
    read_orientation,
    without_metadata,
)
from filesystem import named_errors

try:
    import cv2
except ImportError:  # the wheel needs libGL, which some machines lack; Pillow decodes then
    cv2 = None  # type: ignore[assignment]

# Formats of image files, and the endings of their names.
EXTENSIONS = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "BMP": (".bmp",),
    "WEBP": (".webp",),
}
SOURCE_FORMATS = tuple(EXTENSIONS)
FORMATS = ("PNG", "JPEG", "BMP")  # records are given to no other format's decoder
DARK = 16  # above the highest value of 12 bits whose lower 8 are dropped
FILE_LIMIT = 1 << 28  # bytes of an image file; no photograph is larger
_JPEG_END = b"\xff\xd9"
# Signatures of other files in people's folders: (offset, bytes, name).
_OTHERS = (
    (0, b"GIF8", "a GIF"),
    (0, b"II*\0", "a TIFF"),
    (0, b"MM\0*", "a TIFF"),
    (8, b"WEBP", "a WebP"),
    (4, b"ftyp", "a HEIC, an AVIF or a video"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"%PDF", "a PDF"),
    (0, b"<", "a web page or an SVG"),
    (0, b"version https://git-lfs", "a pointer of Git LFS: run git lfs pull"),
)
_TURNS = {
    2: Image.FLIP_LEFT_RIGHT,
    3: Image.ROTATE_180,
    4: Image.FLIP_TOP_BOTTOM,
    5: Image.TRANSPOSE,
    6: Image.ROTATE_270,
    7: Image.TRANSVERSE,
    8: Image.ROTATE_90,
}


def name_formats(formats=SOURCE_FORMATS):
    """Return the names of formats as a list in words, such as "PNG, JPEG or BMP"."""
    *names, last = ("WebP" if name == "WEBP" else name for name in formats)
    return f"{', '.join(names)} or {last}"


def encode(pixels):
    """Return the bytes of a PNG of ``pixels``, uint8 (height, width, 3) RGB."""
    # Level 1, on 4,000 CIFAR images: 6,800/s and 2,244 bytes each; the default: 6,000/s and 2,262.
    # OpenCV encodes 12,100/s; Pillow is used because it needs no system library and this runs once.
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def open_image(data, reduced=False, formats=FORMATS):
    """Return a loaded Pillow image of the bytes ``data``, in its own mode and not rotated.

    Metadata is ignored. Everything else is checked strictly: the checksums of a PNG are verified,
    and an image above Pillow's limit (``Image.MAX_IMAGE_PIXELS``) is refused before its pixels take
    memory.

    Args:
        reduced: decode a JPEG to an eighth of its size, which finds the same damage in half the
            time.
        formats: the formats that are decoded.

    Raises:
        ValueError: the image cannot be decoded; the message says why.
    """
    pixels = without_metadata(data)
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # gluoncv makes the process accept damaged images
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(pixels), formats=formats)
            if reduced:
                image.draft(None, (1, 1))
            image.load()
    except Image.UnidentifiedImageError:
        others = [name for at, start, name in _OTHERS if data[at:].startswith(start)]
        others += [] if data else ["an empty file"]
        raise ValueError(
            f"its image is not a {name_formats(formats)}{', but '.join(['', *others[:1]])}"
        ) from None
    except Exception as error:  # Pillow's decoders raise nearly everything on damaged bytes
        raise ValueError(f"its image cannot be decoded: {error or type(error).__name__}") from None
    if getattr(image, "n_frames", 1) > 1:
        raise ValueError(
            f"its image is an animation of {image.n_frames} pictures: save one of them"
        )
    if image.format == "PNG" and "transparency" in image.info:
        _scale_transparency(image, png_header(pixels)[2])
    return image


def _scale_transparency(image, bits):
    """Scale the colour that a PNG declares transparent to the 8 bits of the decoded pixels."""
    colour = image.info["transparency"]
    if image.mode == "RGB" and bits == 16:
        image.info["transparency"] = tuple(value >> 8 for value in colour)
    elif image.mode in ("1", "L") and bits < 8:
        image.info["transparency"] = colour * 255 // ((1 << bits) - 1)


def turn(image, orientation):
    """Return a Pillow image rotated upright from an EXIF ``orientation``, 1 to 8."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def to_rgb(image):
    """Convert a Pillow image of any mode to RGB with 8 bits per channel.

    Of 16 bits, the upper 8 are used, as in MXNet and OpenCV. Transparent pixels are blended with
    white.

    Raises:
        ValueError: its pixels are floating-point numbers or have 32 bits.
    """
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers: save it with 8 or 16 bits")
    if image.mode.startswith("I"):
        image = _upper_bytes(image)
    if image.mode == "1":
        image = image.convert("L")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _upper_bytes(image):
    """Return a 16-bit grey Pillow image with 8 bits; its transparent value becomes white."""
    grey = np.asarray(image)
    if grey.min() < 0 or grey.max() > 0xFFFF:
        raise ValueError("its pixels have 32 bits: save it with 8 or 16")
    pixels = (grey >> 8).astype(np.uint8)
    if "transparency" in image.info:
        pixels[grey == image.info["transparency"]] = 255
    return Image.fromarray(pixels)


def read_file(path):
    """Return the bytes of the image file ``path``.

    Raises:
        ValueError: it has more than FILE_LIMIT bytes, or no file can have this name.
        OSError: it cannot be read.
    """
    with named_errors(path), open(path, "rb") as file:
        data = file.read(FILE_LIMIT + 1)
    if len(data) > FILE_LIMIT:
        raise ValueError(f"it has more than {FILE_LIMIT} bytes")
    return data


def read_image(data):
    """Return the image file ``data`` as a viewer shows it: a Pillow image, upright, RGB.

    Raises:
        ValueError: the file cannot be used; the message says why.
    """
    image = open_image(data, formats=SOURCE_FORMATS)
    return require_bright(to_rgb(turn(image, read_orientation(data))), data)


def require_bright(image, data):
    """Return an RGB image; check that it is not black because the file uses few of its 16 bits.

    Cameras and scanners of 10 or 12 bits store their values so.

    Raises:
        ValueError: the file ``data`` is a PNG with 16 bits, but uses at most the lower 12.
    """
    if data.startswith(PNG_START) and png_header(data)[2] == 16 and np.max(image) < DARK:
        raise ValueError(
            "its image has 16 bits per value, but uses at most the lower 12: scale its values to 0 "
            "to 65535, or save it with 8 bits"
        )
    return image


def fit(image, size):
    """Return an RGB image as pixels, uint8 (size, size, 3): shorter side resized, centre cut."""
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.LANCZOS)
    return np.asarray(image)


def decode(data, size):
    """Return the pixels of the record's image ``data``, uint8 (size, size, 3) RGB; see ``to_rgb``.

    Raises:
        ValueError: it is damaged or of another size.
    """
    # Images/s on one core, CIFAR-10 test set as JPEG and as PNG: OpenCV 38,000 and 23,500, Pillow
    # 9,500 and 10,200, mx.image.imdecode 5,800 and 6,900. A second thread speeds up none of them by
    # more than 10%, because Python takes most of the time. OpenCV and Pillow give the same pixels.
    if cv2 is not None and _is_plain(data, size):
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(without_metadata(data), np.uint8), flags)
        if pixels is not None and pixels.shape == (size, size, 3):
            return pixels[:, :, ::-1]
    image = open_image(data)
    if image.size != (size, size):
        width, height = image.size
        raise ValueError(f"its image is {width}x{height}, but must be {size}x{size}")
    return np.asarray(to_rgb(image))


def _is_plain(data, size):
    """Return whether ``data`` is an opaque 8-bit PNG or JPEG, grey or RGB, of ``size`` x ``size``.

    Only the header is read. Other images are not given to OpenCV, which reserves memory for any
    size that a header announces, writes to stderr about damage, and drops transparency.
    """
    if data.startswith(PNG_START) and len(data) >= 26:
        return png_header(data) in ((size, size, 8, 0), (size, size, 8, 2)) and b"tRNS" not in data
    if data.startswith(JPEG_START) and data.endswith(_JPEG_END):
        return jpeg_header(data) in ((size, size, 8, 1), (size, size, 8, 3))
    return False
