"""Decoding: the same pixels whichever library, nothing from damaged bytes, no bombs."""

import io
import struct
import zlib
from types import SimpleNamespace

import mxnet as mx
import numpy as np
import pytest
from PIL import Image, ImageFile

from data import images
from data.images import decode, encode, open_image, read_image
from data.photographs import convert
from data.recordio import read_records
from tests.record_files import SHARED_DATA, encoded, random_pixels


@pytest.fixture(params=["opencv", "pillow"])
def library(request, monkeypatch):
    """Runs a test with OpenCV and again as on a machine where it cannot be loaded."""
    if request.param == "pillow":
        monkeypatch.setattr(images, "cv2", None)
    elif images.cv2 is None:
        pytest.skip("OpenCV cannot be loaded here")


def announce(png, width, height):
    """The PNG with another size in its first chunk, checksum and all."""
    head = b"IHDR" + struct.pack(">II", width, height) + png[24:29]
    return png[:12] + head + struct.pack(">I", zlib.crc32(head)) + png[33:]


def test_png_keeps_the_pixels(library):
    for pixels in random_pixels(20):
        np.testing.assert_array_equal(decode(encode(pixels), 32), pixels)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP"])
def test_grey_becomes_rgb(library, kind):
    grey = np.full((32, 32), 77, np.uint8)
    pixels = decode(encoded(grey, kind), 32)
    assert pixels.shape == (32, 32, 3) and pixels.dtype == np.uint8
    assert (pixels == 77).all()


def test_libraries_agree_on_real_jpegs(monkeypatch):
    path = SHARED_DATA / "cifar10" / "test.rec"
    if not path.exists() or images.cv2 is None:
        pytest.skip("the shared data or OpenCV is not here")
    jpegs = [record.image for record, _ in zip(read_records(path), range(300))]
    fast = [decode(jpeg, 32) for jpeg in jpegs]
    monkeypatch.setattr(images, "cv2", None)
    for jpeg, pixels in zip(jpegs, fast):
        np.testing.assert_array_equal(decode(jpeg, 32), pixels)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_every_truncation_is_refused(library, capfd, kind, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as gluoncv leaves it
    data = encoded(random_pixels(1)[0], kind)
    for length in range(0, len(data) - 2, 7):
        with pytest.raises(ValueError, match="its image"):
            decode(data[:length], 32)
    assert capfd.readouterr().err == ""  # the C libraries write there


def test_every_flipped_bit_of_a_png_is_refused(library, capfd):
    data = encoded(random_pixels(1)[0])
    rng = np.random.RandomState(0)
    for place in rng.randint(0, len(data), 100):
        damaged = bytearray(data)
        damaged[place] ^= 1 << rng.randint(8)
        with pytest.raises(ValueError, match="its image"):
            decode(bytes(damaged), 32)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "data", [b"", b"garbage", b"\xff\xd8\xff\xd9", b"\x89PNG\r\n\x1a\n", b"GIF89a"]
)
def test_what_is_no_image_is_refused(library, data):
    with pytest.raises(ValueError, match="its image"):
        decode(data, 32)


def test_another_size_is_refused(library):
    with pytest.raises(ValueError, match="its image is 40x40, but must be 32x32"):
        decode(encoded(random_pixels(1, size=40)[0]), 32)


@pytest.mark.parametrize("side", [12_000, 60_000])  # Pillow warns of the first, refuses the second
def test_bombs_are_refused_before_their_pixels_take_memory(library, side):
    bomb = announce(encoded(random_pixels(1)[0]), side, side)
    for read in (open_image, lambda data: decode(data, 32)):
        with pytest.raises(ValueError, match="decompression bomb"):
            read(bomb)


def test_a_jpeg_that_announces_a_huge_size_never_reaches_opencv(library):
    jpeg = encoded(random_pixels(1)[0], "JPEG")
    frame = jpeg.index(b"\xff\xc0")
    bomb = jpeg[: frame + 5] + struct.pack(">HH", 60_000, 60_000) + jpeg[frame + 9 :]
    with pytest.raises(ValueError, match="decompression bomb"):
        decode(bomb, 32)


def test_a_jpeg_that_hides_its_size_never_reaches_opencv(monkeypatch):
    """A fill byte, after which a careless reader finds a size of 32x32 inside a comment."""
    jpeg = encoded(random_pixels(1)[0], "JPEG")
    frame = jpeg.index(b"\xff\xc0")
    seen = b"\xff\xc0" + struct.pack(">HBHH", 17, 8, 32, 32)
    comment = (bytes(65_276) + seen).ljust(65_400)
    hidden = b"\xff\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment
    bomb = jpeg[:2] + hidden + jpeg[2 : frame + 5] + struct.pack(">HH", 60_000, 60_000)
    monkeypatch.setattr(images, "cv2", SimpleNamespace())  # it has nothing to decode with
    with pytest.raises(ValueError, match="decompression bomb"):
        decode(bomb + jpeg[frame + 9 :], 32)


def test_other_formats_are_refused(library):
    image = Image.new("RGB", (32, 32))
    for kind in ("GIF", "TIFF", "PPM"):
        with pytest.raises(ValueError, match="not a PNG, JPEG or BMP"):
            open_image(encoded(np.asarray(image), kind))


def png_of(mode, **options):
    """A PNG of 32x32 random pixels of a Pillow mode."""
    pixels = random_pixels(1)[0]
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257 ^ 0x00AB)
    else:
        image = Image.fromarray(pixels).convert(mode)
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "I;16", "LA", "RGBA"])
def test_opaque_images_are_what_mxnet_makes_of_them(library, mode):
    data = png_of(mode)
    pixels = decode(data, 32)
    np.testing.assert_array_equal(pixels, mx.image.imdecode(data).asnumpy())
    np.testing.assert_array_equal(pixels, np.asarray(read_image(data)))


def opacity(kind):
    """(PNG whose left half is transparent and has black under it, its opaque pixels)."""
    pixels = np.full((32, 32), 90, np.uint8)
    pixels[:, :16] = 0
    alpha = np.where(pixels, 255, 0).astype(np.uint8)
    transparent, image = None, Image.fromarray(pixels)
    if kind in ("LA", "RGBA"):
        image = image.convert(kind)
        image.putalpha(Image.fromarray(alpha))
    elif kind == "P":
        image = image.quantize(2)
        transparent = image.getpixel((0, 0))
    elif kind == "1":
        image, transparent = image.point(lambda value: 255 * bool(value)).convert("1"), 0
    elif kind == "I;16":
        image, transparent = Image.fromarray(pixels.astype(np.uint16) << 8), 0
    else:
        image, transparent = image.convert(kind), 0 if kind == "L" else (0, 0, 0)
    file = io.BytesIO()
    options = {} if transparent is None else {"transparency": transparent}
    image.save(file, "PNG", **options)
    return file.getvalue(), 255 if kind == "1" else 90


@pytest.mark.parametrize("kind", ["1", "L", "RGB", "P", "I;16", "LA", "RGBA"])
def test_what_is_transparent_shows_white(library, kind):
    data, value = opacity(kind)
    for pixels in (decode(data, 32), np.asarray(read_image(data))):
        assert (pixels[:, :16] == 255).all()
        assert (pixels[:, 16:] == value).all()


def test_half_transparent_is_half_white():
    image = Image.new("RGBA", (32, 32), (100, 0, 200, 51))
    pixels = np.asarray(read_image(encoded(np.asarray(image))))
    assert pixels[0, 0].tolist() == [224, 204, 244]


def test_a_transparent_colour_of_few_or_many_bits_is_found():
    grey = Image.fromarray(np.repeat([[0, 170]], 16, 0).astype(np.uint8)).resize((32, 32), 0)
    for bits in (2, 4, 8):
        data = grey_png(np.asarray(grey), bits, transparent=170 * ((1 << bits) - 1) // 255)
        pixels = np.asarray(read_image(data))
        assert (pixels[:, :16] == 0).all() and (pixels[:, 16:] == 255).all(), bits


def grey_png(pixels, bits, transparent):
    """A PNG of 8-bit grey pixels stored with fewer bits, and a transparent value."""
    values = pixels.astype(int) * ((1 << bits) - 1) // 255
    rows = b""
    for row in values:
        line = "".join(f"{value:0{bits}b}" for value in row)
        rows += b"\0" + int(line, 2).to_bytes(len(line) // 8, "big")
    height, width = pixels.shape
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)),
        (b"tRNS", struct.pack(">H", transparent)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in chunks:
        check = struct.pack(">I", zlib.crc32(kind + body))
        data += struct.pack(">I", len(body)) + kind + body + check
    return data


@pytest.mark.parametrize("mode, words", [("F", "floating-point"), ("I", "32 bits")])
def test_pixels_without_a_scale_are_refused(mode, words):
    image = Image.fromarray(np.full((4, 4), 70_000, np.float32 if mode == "F" else np.int32))
    with pytest.raises(ValueError, match=words):
        images.to_rgb(image)


def test_a_file_that_uses_few_of_its_16_bits_is_refused():
    grey = random_pixels(1)[0, ..., 0].astype(np.uint16)
    for bits in (8, 12, 16):
        file = io.BytesIO()
        Image.fromarray(grey << (bits - 8)).save(file, "PNG")
        if bits == 16:
            np.testing.assert_array_equal(np.asarray(read_image(file.getvalue()))[..., 0], grey)
            continue
        for read in (read_image, lambda data: convert(data, "a.png", 480)):
            with pytest.raises(ValueError, match="uses at most the lower 12: scale its values"):
                read(file.getvalue())


def test_an_animation_is_refused_by_its_name():
    file = io.BytesIO()
    frames = [Image.fromarray(pixels) for pixels in random_pixels(3)]
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match="an animation of 3 pictures"):
        read_image(file.getvalue())


@pytest.mark.parametrize("kind, name", [("GIF", "a GIF"), ("TIFF", "a TIFF"), ("WEBP", "a WebP")])
def test_other_formats_are_called_by_their_names(kind, name):
    with pytest.raises(ValueError, match=f"not a PNG, JPEG or BMP, but {name}"):
        open_image(encoded(random_pixels(1)[0], kind))


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "not a PNG, .* but an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS"),
    ],
)
def test_files_that_were_not_downloaded_are_called_so(data, words):
    with pytest.raises(ValueError, match=words):
        read_image(data)
