"""Metadata never decides over sound pixels: the orientation is read safely, the rest not at all."""

import io
import struct
import zlib

import mxnet as mx
import numpy as np
import pytest
from PIL import Image

from data.images import decode, open_image, read_image
from data.metadata import ORIENTATION, jpeg_header, read_orientation, without_metadata
from data.photographs import convert
from tests.photo_files import file_of, picture

IMAGE = picture(60, 40)


def tiff(*entries, order=">"):
    """A TIFF of one directory of (tag, type, count, value's four bytes)."""
    rows = b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3] for entry in entries)
    start = b"MM\0*" if order == ">" else b"II*\0"
    return start + struct.pack(order + "IH", 8, len(entries)) + rows + bytes(4)


def short(value, order=">"):
    return (ORIENTATION, 3, 1, struct.pack(order + "HH", value, 0))


def segment(marker, body):
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def jpeg(*segments, image=IMAGE):
    """A JPEG with more segments, (marker, body), behind its first one."""
    data = file_of(image)
    return data[:20] + b"".join(segment(*each) for each in segments) + data[20:]


def png(*chunks, image=IMAGE):
    """A PNG with more chunks, (name, body), behind its first one."""
    data = file_of(image, "PNG")
    return data[:33] + b"".join(map(chunk, *zip(*chunks))) + data[33:]


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def exif(*entries, order=">"):
    return 0xE1, b"Exif\0\0" + tiff(*entries, order=order)


XMP = (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta tiff:Orientation='8'>\xff broken")
RATIONAL = (0x011A, 10, 1, struct.pack(">I", 0x7FFFFFFF))  # its value lies outside


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("order", "<>")
def test_every_orientation_of_either_byte_order_is_read(value, order):
    assert read_orientation(jpeg(exif(short(value, order), order=order))) == value


@pytest.mark.parametrize(
    "data, orientation",
    [
        (jpeg(), 1),
        (jpeg(XMP, exif(short(6))), 6),
        (jpeg((0xE2, b"ICC_PROFILE\0\1\1none"), (0xFE, b"comment"), exif(short(3))), 3),
        (jpeg((0xE1, b"Exif\0\0nonsense"), exif(short(8))), 8),
        (jpeg(exif(RATIONAL, short(6))), 6),
        (jpeg(exif((ORIENTATION, 4, 1, struct.pack(">I", 6)))), 6),
        (jpeg(exif((ORIENTATION, 1, 1, b"\6\0\0\0"))), 6),
        (jpeg(exif((ORIENTATION, 2, 2, b"6\0\0\0"))), 1),
        (jpeg(exif(short(0))), 1),
        (jpeg(exif(short(9))), 1),
        (jpeg(exif((ORIENTATION, 8, 1, b"\xff\xfa\0\0"))), 1),
        (jpeg((0xE1, b"Exif\0\0")), 1),
        (jpeg((0xE1, b"Exif\0\0" + tiff(short(6))[:19])), 1),
        (jpeg((0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff")), 1),
        (png((b"eXIf", tiff(short(6)))), 6),
        (png((b"eXIf", b"Exif\0\0" + tiff(short(6, "<"), order="<"))), 6),
        (png((b"eXIf", b"\0\x08\0\2" + bytes(20))), 1),
        (file_of(IMAGE, "WEBP", exif=b"Exif\0\0" + tiff(short(5))), 5),
        (b"", 1),
        (b"\xff\xd8\xff", 1),
    ],
)
def test_the_orientation_is_read_wherever_it_stands(data, orientation):
    assert read_orientation(data) == orientation


@pytest.mark.parametrize(
    "segments",
    [
        [(0xE1, b"Exif\0\0")],
        [exif(RATIONAL)],
        [exif(short(0))],
        [exif(short(9))],
        [exif((ORIENTATION, 2, 2, b"6\0\0\0"))],
        [XMP],
        [(0xE2, b"ICC_PROFILE\0\1\2" + bytes(9)), (0xE2, b"ICC_PROFILE\0\7\2")],
        [(0xE2, b"MPF\0MM\0*" + bytes(9))],
        [(0xED, b"Photoshop 3.0\x008BIM\x03\xed")],
    ],
)
def test_a_sound_upright_jpeg_is_packed_byte_for_byte(segments):
    data = jpeg(*segments)
    assert convert(data, "a.jpg", 40) == (data, [])
    np.testing.assert_array_equal(np.asarray(read_image(data)), np.asarray(open_image(jpeg())))


def test_a_jpeg_of_several_pictures_is_its_first():
    file = io.BytesIO()
    IMAGE.save(file, "MPO", save_all=True, append_images=[picture(60, 40, seed=1)])
    data = file.getvalue()
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert convert(data, "a.jpg", 40) == (data, [])
    np.testing.assert_array_equal(np.asarray(read_image(data)), np.asarray(open_image(jpeg())))
    np.testing.assert_array_equal(
        mx.image.imdecode(data).asnumpy().shape, np.asarray(open_image(data)).shape
    )


@pytest.mark.parametrize(
    "kind, body",
    [
        (b"eXIf", b"\0\x08\0\2" + bytes(20)),
        (b"iCCP", b"name\0\0broken"),
        (b"zTXt", b"Raw profile type exif\0\0broken"),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0\xff\xfe"),
        (b"pHYs", b""),
        (b"tIME", b"never"),
        (b"gAMA", b""),
        (b"cHRM", b""),
        (b"acTL", struct.pack(">II", 7, 0)),
    ],
)
def test_a_png_with_odd_metadata_is_read(kind, body):
    for data in (png((kind, body)), png((kind, body)).replace(chunk(kind, body)[-4:], b"lost", 1)):
        np.testing.assert_array_equal(np.asarray(read_image(data)), np.asarray(IMAGE))
        convert(data, "a.png", 40)


@pytest.mark.parametrize(
    "value, turned", [(3, IMAGE.rotate(180)), (6, IMAGE.rotate(-90, expand=1))]
)
def test_an_image_is_turned_the_same_whichever_way_it_comes_in(value, turned):
    data = png((b"eXIf", tiff(short(value))))
    np.testing.assert_array_equal(np.asarray(read_image(data)), np.asarray(turned))
    made, notes = convert(data, "a.png", 40)
    assert notes == ["rotated by its EXIF orientation"] and read_orientation(made) == 1
    difference = np.asarray(open_image(made), float) - np.asarray(turned, float)
    assert np.abs(difference).mean() < 2


def test_what_decides_on_the_colours_of_a_jpeg_is_kept():
    data = file_of(picture(32, 32, mode="CMYK"))
    adobe = b"\xff\xee"
    assert adobe in data and adobe in without_metadata(data)
    grey = decode(file_of(picture(32, 32, mode="CMYK")), 32)
    np.testing.assert_array_equal(grey, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_fill_bytes_before_a_marker_hide_nothing():
    data = file_of(IMAGE)
    filled = (
        data[:2] + b"\xff" * 5 + data[2:20] + b"\xff" * 3 + segment(*exif(short(6))) + data[20:]
    )
    assert read_orientation(filled) == 6
    assert jpeg_header(filled) == (60, 40, 8, 3)
    np.testing.assert_array_equal(np.asarray(open_image(filled)), np.asarray(open_image(data)))


@pytest.mark.parametrize("seed", range(4))
def test_bytes_of_any_kind_are_no_error(seed):
    rng = np.random.RandomState(seed)
    for start in (jpeg(exif(short(6))), png((b"eXIf", tiff(short(6)))), file_of(IMAGE, "WEBP")):
        for _ in range(200):
            data = bytearray(start)
            for place in rng.randint(0, min(len(data), 120), 3):
                data[place] = rng.randint(256)
            assert read_orientation(bytes(data)) in range(1, 9)
