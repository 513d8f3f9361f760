"""Bits beside the stored ones, the sign, and single bits: a file and its compressed copy give equal values."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom.encaps import encapsulate
from support.factories import quick_dataset, save

from crawler.errors import PixelError
from crawler.instance.header import read_instance
from crawler.model import File, Pixels
from crawler.pixels.bits import drop_unused_bits, stored_values
from crawler.pixels.codestream import SampleFormat, sample_format
from crawler.pixels.frames import frames

RLE, JPEG, JPEG_LOSSLESS = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70"
JPEG_LS, JPEG_LS_NEAR = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"
J2K, J2K_LOSSY, HTJ2K, HTJ2K_LOSSY = (f"1.2.840.10008.1.2.4.{last}" for last in (90, 91, 201, 203))
JPEG_XL, JPEG_XL_LOSSY = "1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.112"


def rle(data: np.ndarray) -> bytes:
    """Segments of literal runs (PS3.5 G.3), the most significant byte of all samples first."""
    planes = data.reshape(-1).view(np.uint8).reshape(data.size, data.itemsize)[:, ::-1].T
    segments = []
    for plane in planes:
        runs = b"".join(
            bytes([len(part) - 1]) + part
            for part in (plane.tobytes()[at : at + 128] for at in range(0, plane.size, 128))
        )
        segments.append(runs + b"\x80" * (len(runs) % 2))
    offsets = [64 + sum(map(len, segments[:number])) for number in range(len(segments))]
    header = struct.pack("<16L", len(segments), *offsets, *[0] * (15 - len(segments)))
    return header + b"".join(segments)


LOSSLESS: dict[str, Callable[[np.ndarray], bytes]] = {
    RLE: rle,
    JPEG_LOSSLESS: lambda v: imagecodecs.jpeg8_encode(v, lossless=True, bitspersample=16),
    JPEG_LS: imagecodecs.jpegls_encode,
    J2K: lambda v: imagecodecs.jpeg2k_encode(v, codecformat="j2k"),
    HTJ2K: imagecodecs.htj2k_encode,
    JPEG_XL: lambda v: imagecodecs.jpegxl_encode(v, lossless=True),
}


@pytest.fixture
def decoded(tmp_path: Path) -> Callable[..., np.ndarray]:
    """Write a frame as a codestream under a transfer syntax, and read its stored values."""

    def read(source: bytes, pixels: np.ndarray, syntax: str, **keywords: Any) -> np.ndarray:
        stand_in = syntax if ".4.11" not in syntax else HTJ2K  # pydicom writes no JPEG XL
        dataset = quick_dataset(pixels, TransferSyntaxUID=stand_in, PixelData=encapsulate([source]), **keywords)
        path = save(dataset, tmp_path / "image.dcm")
        if stand_in != syntax:
            path.write_bytes(path.read_bytes().replace(stand_in.encode(), syntax.encode(), 1))
        status = path.stat()
        instance = read_instance(File(str(tmp_path), path.name, status.st_size, status.st_mtime_ns))
        (frame,) = frames(instance)
        assert frame.within is not None
        return frame.values

    return read


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize(("bits", "high"), [(12, 11), (12, 15), (10, 12), (12, 0)])
@pytest.mark.parametrize("dtype", ["uint16", "int16"])
def test_a_lossless_copy_equals_the_native_file(
    decoded: Callable[..., np.ndarray], syntax: str, bits: int, high: int, dtype: str
) -> None:
    low = -(1 << bits - 1) if dtype == "int16" else 0
    values = np.linspace(low, low + (1 << bits) - 1, 64).astype(dtype).reshape(8, 8)
    place = max(high, bits - 1) - bits + 1
    field = ((1 << bits) - 1) << place
    noise = np.random.default_rng(0).integers(0, 65536, (8, 8)).astype(np.uint16)
    data = (values.view(np.uint16) << place & field) | (noise & ~np.uint16(field))
    found = decoded(LOSSLESS[syntax](data), values, syntax, BitsStored=bits, HighBit=high)
    np.testing.assert_array_equal(found, values)
    assert found.dtype == dtype


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_negative_values_as_twos_complement(decoded: Callable[..., np.ndarray], syntax: str) -> None:
    values = np.linspace(-2000, 2000, 64).astype(np.int16).reshape(8, 8)
    bits = values.view(np.uint16) & 0x0FFF
    np.testing.assert_array_equal(decoded(LOSSLESS[syntax](bits), values, syntax, BitsStored=12, HighBit=11), values)


@pytest.mark.parametrize(
    ("syntax", "source"),
    [
        (J2K, lambda v: imagecodecs.jpeg2k_encode(v & 0x0FFF, codecformat="j2k", bitspersample=12)),
        (JPEG_LOSSLESS, lambda v: imagecodecs.ljpeg_encode(v & 0x0FFF, bitspersample=12)),
        (JPEG_XL, lambda v: imagecodecs.jpegxl_encode(v & 0x0FFF, lossless=True, bitspersample=12)),
    ],
)
@pytest.mark.parametrize("high", [11, 15])
def test_a_codestream_of_as_many_bits_as_are_stored(
    decoded: Callable[..., np.ndarray], syntax: str, source: Callable[[np.ndarray], bytes], high: int
) -> None:
    """What lies above the precision of a codestream is no place for *High Bit*."""
    values = np.linspace(-2000, 2000, 64).astype(np.int16).reshape(8, 8)
    stream = source(values.view(np.uint16))
    np.testing.assert_array_equal(decoded(stream, values, syntax, BitsStored=12, HighBit=high), values)


def test_sign_of_a_jpeg_2000_counts_bits_of_its_own(decoded: Callable[..., np.ndarray]) -> None:
    values = np.linspace(-128, 127, 64).round().astype(np.int8).reshape(8, 8)
    source = imagecodecs.jpeg2k_encode(values, codecformat="j2k")
    found = decoded(source, values.astype(np.int16), J2K, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(found, values)
    unsigned = decoded(source, values.astype(np.uint16), J2K, BitsStored=8, HighBit=7)
    np.testing.assert_array_equal(unsigned, values.view(np.uint8))


def test_bytes_of_a_codestream_without_sign_are_positive(decoded: Callable[..., np.ndarray]) -> None:
    values = np.arange(192, 256, dtype=np.uint8).reshape(8, 8)
    found = decoded(imagecodecs.jpegls_encode(values), values.astype(np.int16), JPEG_LS, BitsStored=12, HighBit=11)
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("dtype", ["uint16", "int16"])
@pytest.mark.parametrize("syntax", [J2K_LOSSY, HTJ2K_LOSSY])
def test_overshoot_of_a_lossy_process_takes_the_end(
    decoded: Callable[..., np.ndarray], syntax: str, dtype: str
) -> None:
    low, high = (-2048, 2047) if dtype == "int16" else (0, 4095)
    values = np.full((64, 64), low, dtype)
    values[16:48, 16:48] = high
    if syntax == J2K_LOSSY:
        source = imagecodecs.jpeg2k_encode(values, level=45, codecformat="j2k", reversible=False)
        plain = imagecodecs.jpeg2k_decode(source).astype(int)
    else:
        source = imagecodecs.htj2k_encode(values, level=0.02, reversible=False)
        plain = imagecodecs.htj2k_decode(source).astype(int)
    assert plain.max() > high, "the codestream of 16 bits leaves room for it"
    found = decoded(source, values, syntax, BitsStored=12, HighBit=11)
    np.testing.assert_allclose(found, np.clip(plain, low, high), atol=2)  # OpenJPH and OpenJPEG round differently
    assert (found.min(), found.max()) == (low, high)


def test_near_lossless_overshoot() -> None:
    pixels = Pixels(bits_allocated=16, bits_stored=12, high_bit=11, keyword="PixelData")
    source = imagecodecs.jpegls_encode(np.full((8, 8), 4097, np.uint16), level=3)
    coded = sample_format(source, JPEG_LS_NEAR)
    assert coded == SampleFormat(16, signed=False, lossy=True)
    assert (stored_values(np.array([[4097, 5]], np.uint16), pixels, coded) == [4095, 5]).all()


def test_samples_that_need_more_than_bits_allocated_are_refused(decoded: Callable[..., np.ndarray]) -> None:
    values = np.arange(300, 364, dtype=np.uint16).reshape(8, 8)
    source = imagecodecs.jpegls_encode(values)
    with pytest.raises(PixelError, match="need more than 8 bits"):
        decoded(source, values.astype(np.uint8), JPEG_LS)
    small = imagecodecs.jpegls_encode(values - 200)
    np.testing.assert_array_equal(decoded(small, values.astype(np.uint8), JPEG_LS), values - 200)


@pytest.mark.parametrize(("dtype", "least", "greatest"), [("int32", -128, 255), ("int32", -129, 0), ("int32", 0, 256)])
def test_ends_of_bits_allocated(dtype: str, least: int, greatest: int) -> None:
    pixels = Pixels(bits_allocated=8, bits_stored=8, high_bit=7, keyword="PixelData")
    values = np.array([[least, greatest]], dtype)
    if (least, greatest) == (-128, 255):
        assert stored_values(values, pixels, None).tolist() == [[128, 255]]
    else:
        with pytest.raises(PixelError, match="need more than 8 bits"):
            stored_values(values, pixels, None)


def test_samples_that_are_no_integers_are_refused() -> None:
    pixels = Pixels(bits_allocated=16, bits_stored=16, high_bit=15, keyword="PixelData")
    with pytest.raises(PixelError, match="holds float32 samples"):
        stored_values(np.zeros((2, 2), np.float32), pixels, None)


def test_all_bits_and_no_bits_stored_change_nothing() -> None:
    values = np.array([[0, 65535]], np.uint16)
    for stored in (0, 16, 17):
        drop_unused_bits(values, Pixels(bits_allocated=16, bits_stored=stored, high_bit=15))
    assert values.tolist() == [[0, 65535]]


@pytest.mark.parametrize(
    ("signed", "value", "expected"),
    [
        *((True, -2048, -2048), (True, -2049, 2047), (True, -2050, 2046)),
        *((True, 2047, 2047), (True, 2048, -2048), (True, 2049, -2047), (True, 4096, 0)),
        *((False, 4095, 4095), (False, 4096, 0), (False, 4097, 1), (False, 8192, 0)),
    ],
)
def test_a_value_alone_beyond_the_stored_bits_is_seen(signed: bool, value: int, expected: int) -> None:
    values = np.array([[value, 0]], np.int16 if signed else np.uint16)
    drop_unused_bits(values, Pixels(bits_allocated=16, bits_stored=12, high_bit=11, signed=signed))
    assert values.tolist() == [[expected, 0]]


def test_no_values_have_no_bits() -> None:
    values = np.zeros((0, 4), np.uint16)
    drop_unused_bits(values, Pixels(bits_allocated=16, bits_stored=12, high_bit=11))
    assert stored_values(values.astype(np.uint32), Pixels(bits_allocated=16, keyword="PixelData"), None).size == 0


# -- what a codestream says


@pytest.mark.parametrize(
    ("source", "syntax", "expected"),
    [
        (imagecodecs.jpeg8_encode(np.zeros((8, 8), np.uint8)), JPEG, (8, False, True)),
        (LOSSLESS[JPEG_LOSSLESS](np.zeros((8, 8), np.uint16)), JPEG_LOSSLESS, (16, False, False)),
        (imagecodecs.jpegls_encode(np.zeros((8, 8), np.uint8)), JPEG_LS_NEAR, (8, False, False)),
        (imagecodecs.jpegls_encode(np.zeros((8, 8, 3), np.uint8), level=1), JPEG_LS, (8, False, True)),
        (imagecodecs.jpeg2k_encode(np.zeros((8, 8), np.int16)), J2K, (16, True, False)),
        (imagecodecs.jpeg2k_encode(np.zeros((8, 8), np.uint8), level=30, reversible=False), J2K, (8, False, True)),
        (imagecodecs.htj2k_encode(np.zeros((8, 8), np.int16)), HTJ2K, (16, True, False)),
        (imagecodecs.htj2k_encode(np.zeros((8, 8), np.uint8), level=0.1), HTJ2K, (8, False, True)),
    ],
)
def test_sample_format(source: bytes, syntax: str, expected: tuple[int, bool, bool]) -> None:
    assert sample_format(source, syntax) == SampleFormat(*expected)


@pytest.mark.parametrize("syntax", [JPEG, JPEG_LS, J2K, HTJ2K])
def test_sample_format_of_junk_and_of_every_beginning(syntax: str) -> None:
    encode = imagecodecs.jpegls_encode if syntax in (JPEG, JPEG_LS) else LOSSLESS[J2K]
    source = encode(np.zeros((8, 8), np.uint8))
    whole = sample_format(source, syntax)
    assert whole is not None
    for end in range(60):
        part = sample_format(source[:end], syntax)
        assert part is None or part == whole
    assert sample_format(b"\xff\xd8" + bytes(80), syntax) is None
    assert sample_format(source, RLE) is None


# -- single bits


@pytest.mark.parametrize("shape", [(8, 8), (5, 7), (3, 3), (1, 17)])
@pytest.mark.parametrize("kind", ["bytes", "packed", "255", "padded"])
def test_rle_of_single_bits(decoded: Callable[..., np.ndarray], shape: tuple[int, int], kind: str) -> None:
    bits = np.random.default_rng(1).integers(0, 2, shape, np.uint8)
    data = {
        "bytes": bits,
        "255": bits * np.uint8(255),
        "packed": np.packbits(bits.reshape(-1), bitorder="little"),
        "padded": np.frombuffer(bits.tobytes() + b"\0" * (bits.size % 2), np.uint8),
    }[kind]
    found = decoded(rle(data), bits, RLE, BitsAllocated=1, BitsStored=1, HighBit=0)
    np.testing.assert_array_equal(found, bits)


def test_rle_of_single_bits_of_another_length_is_refused(decoded: Callable[..., np.ndarray]) -> None:
    bits = np.zeros((8, 8), np.uint8)
    described = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}
    with pytest.raises(PixelError, match="the segment holds 40 bytes, 64 pixels need 8"):
        decoded(rle(np.zeros(40, np.uint8)), bits, RLE, **described)
    with pytest.raises(PixelError, match="damaged pixel data"):
        decoded(b"\1\0\0\0" * 20, bits, RLE, **described)


@pytest.mark.parametrize("level", [1, 255])
def test_jpeg_2000_of_single_bits(decoded: Callable[..., np.ndarray], level: int) -> None:
    bits = np.random.default_rng(1).integers(0, 2, (8, 8), np.uint8)
    precision = {"bitspersample": 1} if level == 1 else {}
    source = imagecodecs.jpeg2k_encode(bits * np.uint8(level), codecformat="j2k", **precision)
    found = decoded(source, bits, J2K, BitsAllocated=1, BitsStored=1, HighBit=0)
    np.testing.assert_array_equal(found, bits)


def test_a_precision_that_no_decoder_has(decoded: Callable[..., np.ndarray]) -> None:
    source = bytearray(imagecodecs.jpeg2k_encode(np.zeros((8, 8), np.uint8), codecformat="j2k"))
    source[42] = 0x7F  # Ssiz: 128 bits
    with pytest.raises(PixelError, match="samples of 128 bits"):
        decoded(bytes(source), np.zeros((8, 8), np.uint8), J2K)


@pytest.mark.parametrize(
    ("high", "precision", "expected"),
    [
        (11, None, 0x0ABC),
        (12, None, 0x0D5E),
        (12, 13, 0x0D5E),  # there is room for it
        (12, 12, 0x0ABC),  # there is none
        (15, 16, 0x1ABC >> 4 & 0xFFF),
        (15, 15, 0x0ABC),
        (200, None, 0x1ABC >> 4 & 0xFFF),  # no bit of 16 is the 200th: the uppermost
    ],
)
def test_high_bit_within_the_sample(high: int, precision: int | None, expected: int) -> None:
    values = np.array([[0x1ABC]], np.uint16)
    drop_unused_bits(values, Pixels(bits_allocated=16, bits_stored=12, high_bit=high), precision)
    assert values.tolist() == [[expected]]
