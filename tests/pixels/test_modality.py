"""Modality values: exact, in the smallest honest type, never wrapped."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.display.lut import Lut
from crawler.errors import PixelError
from crawler.model import File, Frame, Instance, Pixels, Plane
from crawler.pixels.modality import modality, stored_range, value_type

ABSENT = File("/absent", "image.dcm", 0, 0)


def image(
    bits: int = 16,
    stored: int | None = None,
    *,
    signed: bool = False,
    photometric: str = "MONOCHROME2",
    keyword: str = "PixelData",
) -> Instance:
    pixels = Pixels(
        rows=2,
        columns=2,
        samples=3 if photometric == "RGB" else 1,
        photometric=photometric,
        bits_allocated=bits,
        bits_stored=bits if stored is None else stored,
        signed=signed,
        keyword=keyword,
    )
    return Instance(ABSENT, {}, pixels=pixels)


def rescale(slope: float, intercept: float) -> Plane:
    return Plane(slope=float(slope), intercept=float(intercept))


@pytest.mark.parametrize(
    ("instance", "planes", "expected"),
    [
        (image(16, 12), [rescale(1, -1024)], "int16"),
        (image(16, 12), [rescale(1, 0)], "uint16"),
        (image(16, 16), [rescale(1, -1024)], "int32"),
        (image(16, 12, signed=True), [rescale(1, -1024)], "int16"),
        (image(8), [rescale(2, 0)], "uint16"),
        (image(8), [rescale(-1, 0)], "int16"),
        (image(8), [rescale(1, 0), rescale(1, -100)], "int16"),
        (image(16, 12), [rescale(1, 0), rescale(1.5, 0)], "float32"),
        (image(16, 12), [rescale(1, 0.5)], "float32"),
        (image(16, 12), [rescale(float("nan"), 0)], "float32"),
        (image(32), [rescale(1e-5, 0)], "float32"),
        (image(32), [rescale(-1, 0)], "int64"),
        (image(16), [rescale(1e30, 0)], "float64"),
        (image(1), [rescale(1, 0)], "uint8"),
        (image(32, keyword="FloatPixelData"), [rescale(1, 0)], "float32"),
        (image(64, keyword="DoubleFloatPixelData"), [rescale(0.1, 0)], "float64"),
        (image(8, photometric="RGB"), [rescale(3, 7)], "uint8"),
        (image(16, photometric="PALETTE COLOR"), [rescale(3, 7)], "uint16"),
    ],
)
def test_type_holds_the_rescaled_range(instance: Instance, planes: list[Plane], expected: str) -> None:
    assert value_type([instance], planes, "modality") == np.dtype(expected)


@pytest.mark.parametrize(
    ("instance", "expected"),
    [
        (image(8), "float32"),
        (image(16), "float32"),
        (image(32), "float64"),
        (image(32, keyword="FloatPixelData"), "float32"),
        (image(64, keyword="DoubleFloatPixelData"), "float64"),
    ],
)
def test_quantities_have_the_digits_of_their_stored_values(instance: Instance, expected: str) -> None:
    assert value_type([instance], [rescale(2, 1)], "real_world") == np.dtype(expected)


def test_stored_values_keep_their_type() -> None:
    assert value_type([image(16, 12, signed=True)], [rescale(0.1, 3)], "stored") == np.int16


def test_one_type_for_all_planes() -> None:
    narrow, wide = image(16, 8), image(16, 16)
    assert value_type([narrow, wide], [rescale(1, -1)], "modality") == np.int32


def test_nothing_to_choose_from() -> None:
    with pytest.raises(PixelError, match="no pixel data"):
        value_type([Instance(ABSENT, {})], [Plane()], "modality")
    with pytest.raises(PixelError, match="unsupported pixel format"):
        value_type([image(12)], [Plane()], "modality")


@given(
    bits=st.sampled_from([8, 16, 32]),
    cut=st.integers(0, 6),
    signed=st.booleans(),
    slope=st.one_of(st.integers(-(2**12), 2**12).map(float), st.floats(-1e6, 1e6, allow_nan=False)),
    intercept=st.one_of(st.integers(-(2**20), 2**20).map(float), st.floats(-1e6, 1e6, allow_nan=False)),
    share=st.fractions(0, 1),
)
def test_modality_values_are_exact(
    bits: int, cut: int, signed: bool, slope: float, intercept: float, share: Fraction
) -> None:
    instance = image(bits, bits - cut, signed=signed)
    assert instance.pixels is not None
    low, high = stored_range(instance.pixels)
    stored = np.array([[low, high], [int(low + (high - low) * share), 0]], dtype=f"{'ui'[signed]}{bits // 8}")
    dtype = value_type([instance], [rescale(slope, intercept)], "modality")
    found = modality(Frame(0, stored, "MONOCHROME2", slope, intercept), dtype)
    assert found.dtype == dtype
    exact = [Fraction(int(value)) * Fraction(slope) + Fraction(intercept) for value in stored.flat]
    if dtype.kind in "iu":
        assert [int(value) for value in found.flat] == exact
    else:
        # one rounding to the type; the float64 product and sum before it may lose 2**-52 of the larger term
        scale = [abs(Fraction(int(value)) * Fraction(slope)) + abs(Fraction(intercept)) for value in stored.flat]
        for value, wanted, term in zip(found.flat, exact, scale, strict=True):
            allowed = abs(wanted) * Fraction(2) ** -24 + term * Fraction(2) ** -51 + Fraction(2) ** -149
            assert abs(Fraction(float(value)) - wanted) <= allowed


def test_result_that_does_not_fit_is_refused() -> None:
    beyond = Frame(0, np.array([[40_000]], np.uint16), "MONOCHROME2", 1.0, -1024.0)
    with pytest.raises(PixelError, match="exceed Bits Stored"):
        modality(beyond, np.dtype("int16"))


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "PALETTE COLOR"])
def test_colours_are_not_rescaled(photometric: str) -> None:
    values = np.array([[1, 2], [3, 4]], np.uint8)
    np.testing.assert_array_equal(modality(Frame(0, values, photometric, 2.0, 5.0), np.dtype("uint8")), values)


def test_nan_stays_nan() -> None:
    values = np.array([[np.nan, 1.0]], np.float32)
    found = modality(Frame(0, values, "MONOCHROME2", 2.0, 1.0), np.dtype("float32"))
    np.testing.assert_array_equal(found, np.array([[np.nan, 3.0]], np.float32))


# Modality LUT


def lut(*entries: int, first: int = 0) -> Lut:
    return Lut(first, np.array(entries, dtype=np.float64))


@pytest.mark.parametrize(
    ("instances", "tables", "planes", "expected"),
    [
        ([image(16)], [lut(0, 255)], [rescale(1, 0)], "uint16"),  # the stored type does
        ([image(8)], [lut(0, 300)], [rescale(1, 0)], "uint16"),
        ([image(8)], [lut(5, 60_000)], [rescale(0.5, 0)], "uint16"),  # a rescale beside a table is not applied
        ([image(16, signed=True)], [lut(0, 60_000)], [rescale(1, 0)], "uint16"),
        ([image(16), image(16)], [lut(0, 9)], [rescale(1, 0), rescale(1, -1)], "int32"),
        ([image(16), image(16)], [lut(0, 9)], [rescale(0.5, 0)], "float32"),
    ],
)
def test_type_holds_the_entries_of_tables(
    instances: list[Instance], tables: list[Lut], planes: list[Plane], expected: str
) -> None:
    assert value_type(instances, planes, "modality", tables) == np.dtype(expected)


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32"])
def test_table_takes_the_place_of_the_rescale(dtype: str) -> None:
    frame = Frame(0, np.array([[-9, 3], [4, 99]], np.int16), "MONOCHROME2", 2.0, 5.0)
    found = modality(frame, np.dtype(dtype), lut(10, 20_000, 65_535, first=3))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, [[10, 10], [20_000, 65_535]])


def test_table_whose_entries_do_not_fit_is_refused() -> None:
    with pytest.raises(PixelError, match="do not fit"):
        modality(Frame(0, np.array([[1]], np.uint8), "MONOCHROME2"), np.dtype("uint8"), lut(0, 300))


def test_palette_indices_are_not_looked_up() -> None:
    frame = Frame(0, np.array([[1]], np.uint8), "PALETTE COLOR")
    np.testing.assert_array_equal(modality(frame, np.dtype("uint8"), lut(0, 300)), [[1]])


# Slices of one volume with rescales of their own


def test_each_slice_is_rescaled_by_its_own() -> None:
    instance = image(16, 12)
    planes = [rescale(0.5, 0), rescale(0.25, -3)]
    dtype = value_type([instance], planes, "modality")
    stored = np.array([[8, 4095]], np.uint16)
    found = [modality(Frame(0, stored, "MONOCHROME2", plane.slope, plane.intercept), dtype) for plane in planes]
    np.testing.assert_array_equal(found, [[[4.0, 2047.5]], [[-1.0, 1020.75]]])


def test_wide_integers_never_wrap() -> None:
    instance = image(32)
    ends = np.array([[0, 2**32 - 1]], np.uint32)
    dtype = value_type([instance], [rescale(-3, 7)], "modality")
    found = modality(Frame(0, ends, "MONOCHROME2", -3.0, 7.0), dtype)
    assert found.tolist() == [[7, 7 - 3 * (2**32 - 1)]]


# Ends of types


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32"])
@pytest.mark.parametrize("slope", [1, 2, -1, -2])
def test_ends_of_the_type_are_reached_and_not_passed(dtype: str, slope: int) -> None:
    """A result may be the type's least or greatest value; the next one beyond is refused, at either end."""
    limits = np.iinfo(dtype)
    stored = np.array([[3, 10]], "u1")
    for end, value in ((limits.max, 10 if slope > 0 else 3), (limits.min, 3 if slope > 0 else 10)):
        intercept = end - slope * value
        if not all(limits.min <= slope * one + intercept <= limits.max for one in (3, 10)):
            continue
        found = modality(Frame(0, stored, "MONOCHROME2", float(slope), float(intercept)), np.dtype(dtype))
        assert found.dtype == dtype
        assert found.tolist() == [[3 * slope + intercept, 10 * slope + intercept]]
        beyond = intercept + (1 if end == limits.max else -1)
        with pytest.raises(PixelError, match="do not fit the volume"):
            modality(Frame(0, stored, "MONOCHROME2", float(slope), float(beyond)), np.dtype(dtype))


@pytest.mark.parametrize(
    ("bits", "signed", "slope", "intercept", "expected"),
    [
        (8, False, 1, 0, "uint8"),
        (8, False, 1, 1, "uint16"),
        (8, False, 2, 0, "uint16"),
        (8, False, 1, -1, "int16"),
        (8, True, 1, 0, "int8"),
        (8, True, 1, 1, "int16"),
        (8, True, 1, 128, "uint8"),
        (8, True, -1, -1, "int8"),
        (8, True, -1, 0, "int16"),
        (16, False, 1, -32768, "int16"),
        (16, False, 1, -32769, "int32"),
        (16, True, 1, 32768, "uint16"),
        (16, True, 2, 0, "int32"),
        (32, False, 1, 0, "uint32"),
        (32, False, 1, 1, "uint64"),
        (32, False, 2**32, 0, "uint64"),
        (32, True, 2**32, 0, "int64"),
        (32, True, 2**32, -1, "float64"),
        (32, False, 2**33, 0, "float64"),
        (32, False, -(2**32), 0, "float64"),
    ],
)
def test_smallest_type_that_holds_both_ends(bits: int, signed: bool, slope: int, intercept: int, expected: str) -> None:
    instance = image(bits, signed=signed)
    plane = rescale(slope, intercept)
    dtype = value_type([instance], [plane], "modality")
    assert dtype == np.dtype(expected)
    assert instance.pixels is not None
    ends = stored_range(instance.pixels)
    stored = np.array([ends], f"{'ui'[signed]}{bits // 8}")
    found = modality(Frame(0, stored, "MONOCHROME2", plane.slope, plane.intercept), dtype)
    assert found.dtype == dtype
    assert found.tolist() == [[end * slope + intercept for end in ends]] or expected == "float64"
    np.testing.assert_array_equal(found[0], [float(end) * slope + intercept for end in ends])


@pytest.mark.parametrize(("slope", "intercept"), [(2, 0), (1, 1), (2, 1), (-1, 0), (3, -7)])
@pytest.mark.parametrize("within", [None, (0, 4095)])
def test_small_slopes_and_intercepts(slope: int, intercept: int, within: tuple[int, int] | None) -> None:
    stored = np.array([[0, 1], [2, 4095]], np.uint16)
    frame = Frame(0, stored, "MONOCHROME2", float(slope), float(intercept), within=within)
    for dtype in ("int16", "int32", "float32"):
        found = modality(frame, np.dtype(dtype))
        np.testing.assert_array_equal(found, stored.astype(int) * slope + intercept)
        assert found.dtype == dtype
    assert stored.tolist() == [[0, 1], [2, 4095]], "the frame is as it was"


def test_what_is_known_of_the_values_spares_a_look_at_them() -> None:
    """Every value that *Bits Stored* allows has to fit, so that no frame's outcome depends on its content."""
    stored = np.array([[0, 1]], np.uint16)
    with pytest.raises(PixelError, match="do not fit"):
        modality(Frame(0, stored, "MONOCHROME2", 10.0, 0.0, within=(0, 4095)), np.dtype("int16"))
    assert modality(Frame(0, stored, "MONOCHROME2", 10.0, 0.0), np.dtype("int16")).tolist() == [[0, 10]]


def test_absurd_slopes_give_infinities() -> None:
    frame = Frame(0, np.array([[0, 2]], np.uint16), "MONOCHROME2", 1e308, 0.0)
    assert modality(frame, np.dtype("float64")).tolist() == [[0, 2e308]]
    assert modality(frame, np.dtype("float32")).tolist() == [[0, float("inf")]]


def test_stored_values_of_the_type_are_not_copied() -> None:
    values = np.array([[0, 2]], np.uint16)
    assert modality(Frame(0, values, "MONOCHROME2"), np.dtype("uint16")) is values
    floats = values.astype(np.float32)
    assert modality(Frame(0, floats, "MONOCHROME2"), np.dtype("float32")) is floats


@pytest.mark.parametrize(
    ("bits", "stored", "signed", "expected"),
    [
        (16, 12, False, (0, 4095)),
        (16, 12, True, (-2048, 2047)),
        (16, 0, False, (0, 65535)),
        (8, 16, True, (-128, 127)),
        (1, 1, True, (0, 1)),
        (8, 2, True, (-2, 1)),
        (8, 1, True, (0, 1)),
    ],
)
def test_range_of_stored_values(bits: int, stored: int, signed: bool, expected: tuple[int, int]) -> None:
    pixels = image(bits, stored, signed=signed).pixels
    assert pixels is not None
    assert stored_range(pixels) == expected


def test_widths_of_samples() -> None:
    for bits in (8, 16, 32, 64):
        assert value_type([image(bits)], [Plane()], "stored").itemsize == bits // 8
    for bits in (0, 4, 12, 24, 65, 128):
        with pytest.raises(PixelError, match="unsupported pixel format"):
            value_type([image(bits)], [Plane()], "stored")


def test_a_table_for_some_of_the_files() -> None:
    """Without a table of its own a file is rescaled, so both kinds of results have to fit."""
    files = [image(8), image(8)]
    assert value_type(files, [rescale(1, -5)], "modality", [lut(0, 9)]) == np.int16
    assert value_type(files, [rescale(1, -5)], "modality", [lut(0, 9), lut(1, 2)]) == np.uint8
    assert value_type(files, [rescale(1, -5)], "modality", [lut(0, 9), lut(1, 2), lut(3, 4)]) == np.uint8


def test_a_table_of_colours_or_floats_is_not_looked_at() -> None:
    assert value_type([image(8, photometric="RGB")], [rescale(9, 9)], "modality") == np.uint8
    mixed = [image(8), image(8, photometric="PALETTE COLOR")]
    assert value_type(mixed, [rescale(300, 0)], "modality") == np.uint8
    both = [image(32, keyword="FloatPixelData"), image(16)]
    assert value_type(both, [rescale(1, 0)], "modality") == np.float32
    assert value_type([image(64, keyword="DoubleFloatPixelData"), image(16)], [rescale(1, 0)], "modality") == np.float64
