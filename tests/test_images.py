"""Decoding: the same pixels whichever library, nothing from damaged bytes, no bombs."""

import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageFile

from data import images
from data.images import decode, encode, open_image
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
    with pytest.raises(ValueError, match="its image is 40x40 where 32x32 is needed"):
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
        with pytest.raises(ValueError, match="no PNG, JPEG or BMP"):
            open_image(encoded(np.asarray(image), kind))
