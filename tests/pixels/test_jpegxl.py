"""What the header of a JPEG XL codestream says, against what the encoder was told and the decoder makes of it."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.errors import PixelError
from crawler.model import Pixels
from crawler.pixels.bits import stored_values
from crawler.pixels.codestream import SampleFormat, require_size, sample_format
from crawler.pixels.jpegxl import Header, read_header

LOSSLESS, RECOMPRESSED, LOSSY = (f"1.2.840.10008.1.2.4.{last}" for last in (110, 111, 112))

# The last seven have a ratio of their own in the header.
SIZES = [(1, 1), (8, 8), (8, 256), (264, 8), (511, 3), (513, 600), (9000, 2), (2, 70_000)]
SIZES += [(20, 20), (20, 24), (30, 40), (20, 30), (90, 160), (40, 50), (11, 22)]


@pytest.mark.parametrize(("rows", "columns"), SIZES)
@pytest.mark.parametrize("colour", [False, True])
def test_size(rows: int, columns: int, colour: bool) -> None:
    values = np.zeros((rows, columns, 3)[: 2 + colour], np.uint8)
    assert read_header(imagecodecs.jpegxl_encode(values, lossless=True)) == Header(rows, columns, 8, False)


@pytest.mark.parametrize("container", [False, True])
@pytest.mark.parametrize("bits", range(1, 17))
def test_precision(bits: int, container: bool) -> None:
    values = np.zeros((7, 5), np.uint8 if bits <= 8 else np.uint16)
    source = imagecodecs.jpegxl_encode(values, lossless=True, bitspersample=bits, usecontainer=container)
    assert source.startswith(b"\0\0\0\x0cJXL ") == (container or bits > 12), "more bits need a level that a box tells"
    assert read_header(source) == Header(7, 5, bits, False)


def test_lossy_colours_are_transformed() -> None:
    grey = imagecodecs.jpegxl_encode(np.zeros((16, 24), np.uint16), lossless=False, distance=1.0)
    assert read_header(grey) == Header(16, 24, 16, True)
    colour = imagecodecs.jpegxl_encode(np.zeros((16, 24, 3), np.uint8), lossless=False, distance=1.0)
    assert read_header(colour) == Header(16, 24, 8, True)
    assert sample_format(colour, LOSSY) == SampleFormat(8, False, True)


def test_a_jpeg_inside() -> None:
    jpeg = imagecodecs.jpeg8_encode(np.zeros((24, 32), np.uint8))
    assert read_header(imagecodecs.jpegxl_encode_jpeg(jpeg)) == Header(24, 32, 8, False)


def test_what_is_no_picture_of_integers() -> None:
    assert read_header(b"") is None
    assert read_header(b"\xff\xd8\xff\xe0") is None
    assert read_header(imagecodecs.jpegxl_encode(np.zeros((4, 4), np.float32), lossless=True)) is None
    animation = imagecodecs.jpegxl_encode(np.zeros((3, 4, 4), np.uint8), lossless=True, photometric="gray")
    assert read_header(animation) is None


@given(st.binary(max_size=80), st.sampled_from([b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n", b""]))
def test_junk_raises_nothing(data: bytes, start: bytes) -> None:
    found = read_header(start + data)
    assert found is None or (found.rows > 0 and found.columns >= 0 and 0 < found.precision <= 64)


def test_every_beginning_says_the_same_or_nothing() -> None:
    source = imagecodecs.jpegxl_encode(np.zeros((513, 600), np.uint16), lossless=True, bitspersample=12)
    found = [read_header(source[:end]) for end in range(len(source))]
    assert set(found) == {None, Header(513, 600, 12, False)}
    assert found.index(Header(513, 600, 12, False)) < 16


def test_another_size_is_refused_before_the_decoder_allocates() -> None:
    source = imagecodecs.jpegxl_encode(np.zeros((8, 24), np.uint8), lossless=True)
    require_size(source, LOSSLESS, 8, 24)
    with pytest.raises(PixelError, match="8 x 24, the header says 24 x 8"):
        require_size(source, LOSSLESS, 24, 8)


def test_overshoot_of_a_lossy_codestream_takes_the_end() -> None:
    """Rounding beyond *Bits Stored* is no other value: 4,097 of 4,095 is white and not black."""
    pixels = Pixels(bits_allocated=16, bits_stored=12, high_bit=11, keyword="PixelData")
    values = np.full((64, 64), 4095, np.uint16)
    values[16:48, 16:48] = 0
    source = imagecodecs.jpegxl_encode(values, lossless=False, distance=3.0)
    plain = imagecodecs.jpegxl_decode(source)
    assert plain.max() > 4095, "the codestream of 16 bits leaves room for it"
    found = stored_values(plain, pixels, sample_format(source, LOSSY))
    np.testing.assert_array_equal(found, np.minimum(plain, 4095))
