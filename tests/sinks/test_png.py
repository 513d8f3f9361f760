"""The own PNG writer against four readers: pixels are equal, and so are the bytes of equal pixels."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from crawler.sinks import picture, png

SIDES = st.integers(1, 17)
GREY = st.tuples(SIDES, SIDES)
RGB = st.tuples(SIDES, SIDES, st.just(3))
PICTURES = st.one_of(arrays(np.uint8, GREY), arrays(np.uint16, GREY), arrays(np.uint8, RGB))


@given(PICTURES)
def test_pillow_and_libpng_see_the_same_pixels(pixels):
    encoded = png.encode(pixels)
    with Image.open(io.BytesIO(encoded)) as image:
        image.load()  # checks the checksums of the chunks
        assert image.mode == {(2, 1): "L", (2, 2): "I;16", (3, 1): "RGB"}[pixels.ndim, pixels.itemsize]
        np.testing.assert_array_equal(np.asarray(image), pixels)
    found = imagecodecs.png_decode(encoded)
    assert found.dtype == pixels.dtype
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (513, 511)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_extreme_shapes_and_values(shape, dtype):
    noise = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    for pixels in (noise, np.full(shape, np.iinfo(dtype).max, dtype), np.zeros(shape, dtype)):
        np.testing.assert_array_equal(imagecodecs.png_decode(png.encode(pixels)), pixels)


def test_neither_byte_order_nor_memory_order_matters():
    pixels = np.arange(0, 60_000, 1000, dtype=np.uint16).reshape(6, 10)
    encoded = png.encode(pixels)
    assert png.encode(pixels.astype(">u2")) == encoded
    assert png.encode(np.asfortranarray(pixels)) == encoded
    assert png.encode(np.pad(pixels, 3)[3:-3, 3:-3]) == encoded


def test_long_data_take_several_chunks(monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    monkeypatch.setattr(png, "CHUNK", 1000)
    encoded = png.encode(pixels)
    assert encoded.count(b"IDAT") == 5
    np.testing.assert_array_equal(imagecodecs.png_decode(encoded), pixels)
    with Image.open(io.BytesIO(encoded)) as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)


def test_chunks_have_their_checksums():
    encoded = png.encode(np.zeros((2, 3), np.uint16))
    place, names = len(png.SIGNATURE), []
    while place < len(encoded):
        (length,) = struct.unpack_from(">I", encoded, place)
        body = encoded[place + 4 : place + 8 + length]
        assert struct.unpack_from(">I", encoded, place + 8 + length) == (zlib.crc32(body),)
        names.append(body[:4])
        place += 12 + length
    assert names == [b"IHDR", b"IDAT", b"IEND"]


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((0, 4), np.uint8),
        np.zeros((4, 0, 3), np.uint8),
        np.zeros((2, 2), np.int16),
        np.zeros((2, 2), bool),
        np.zeros((2, 2, 3), np.uint16),
        np.zeros((2, 2, 4), np.uint8),
        np.zeros(4, np.uint8),
    ],
)
def test_other_pixels_are_left_to_pillow(pixels):
    assert not png.holds(pixels)


def test_parameters_are_pillows(monkeypatch):
    pixels = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    assert picture.encode(pixels, "PNG", ".png", {}) == png.encode(pixels)
    stored = picture.encode(pixels, "PNG", ".png", {"compress_level": 0})
    assert len(stored) > pixels.nbytes
    with Image.open(io.BytesIO(stored)) as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)
    assert picture.encode(pixels.astype(np.uint8), "BMP", ".bmp", {})[:2] == b"BM"
