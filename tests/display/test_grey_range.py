"""The range of levels that values tell: percentiles, samples and padding, by their numbers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from crawler.dicom.dictionary import tag_for
from crawler.dicom.values import Value, Values
from crawler.display.attributes import DisplayAttributes
from crawler.display.grey_range import padding, range_of, spread_numbers, values_of
from crawler.display.lut import Lut
from crawler.model import Frame, Pixels


def test_half_a_percent_is_left_out_at_either_end() -> None:
    assert range_of([np.arange(501.0), np.arange(501.0, 1001.0)]) == (5.0, 995.0)
    assert range_of([np.arange(1001.0)], whole=True) == (0.0, 1000.0)


def test_few_values_on_an_even_ground_are_the_range() -> None:
    assert range_of([np.array([7.0] * 999 + [9.0])]) == (7.0, 9.0)
    assert range_of([np.array([7.0] * 9)]) == (7.0, 7.0)
    assert range_of([]) == range_of([np.zeros(0)]) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, [0]), (2, [0, 1]), (16, list(range(16))), (17, [*range(15), 16]), (31, list(range(0, 31, 2)))],
)
def test_sixteen_files_or_frames_at_most(count: int, expected: list[int]) -> None:
    found = spread_numbers(count)
    assert (found[0], found[-1], len(found)) == (0, count - 1, min(count, 16))
    assert len(set(found)) == len(found)
    if count != 17:
        assert found == expected


def attributes_of(**elements: Any) -> DisplayAttributes:
    found = {tag_for(keyword) or 0: Value("", b"", True, value) for keyword, value in elements.items()}
    return cast("DisplayAttributes", SimpleNamespace(values=Values(found)))


@pytest.mark.parametrize(
    ("signed", "bits", "value", "limit", "expected"),
    [
        (False, 16, 63536, None, (63536, 63536)),
        (True, 16, 63536, None, (-2000, -2000)),
        (True, 16, -2000, None, (-2000, -2000)),
        (True, 16, 32767, None, (32767, 32767)),
        (True, 16, 32768, None, (-32768, -32768)),
        (True, 16, 63536, 63546, (-2000, -1990)),
        (True, 16, 63546, 63536, (-2000, -1990)),
        (True, 8, 127, None, (127, 127)),
        (True, 8, 128, None, (-128, -128)),
        (True, 8, 255, 0, (-1, 0)),
        (True, 0, 0, None, (0, 0)),
        (False, 16, 5, "none", (5, 5)),
        (False, 16, "none", 5, None),
        (False, 16, None, 5, None),
    ],
)
def test_values_that_stand_for_none(signed: bool, bits: int, value: Any, limit: Any, expected: Any) -> None:
    """Some writers give a signed padding value as US."""
    attributes = attributes_of(PixelPaddingValue=value, PixelPaddingRangeLimit=limit)
    pixels = Pixels(bits_allocated=bits, signed=signed, keyword="PixelData")
    assert padding(attributes, pixels) == expected


def test_padding_of_floats_has_names_of_its_own() -> None:
    attributes = attributes_of(FloatPixelPaddingValue=-1.5, FloatPixelPaddingRangeLimit=-2.5, PixelPaddingValue=7)
    assert padding(attributes, Pixels(keyword="FloatPixelData")) == (-2.5, -1.5)
    assert padding(attributes, Pixels(keyword="DoubleFloatPixelData")) is None


def test_a_sample_is_regular_and_does_not_fall_into_columns() -> None:
    values = np.arange(512 * 1024, dtype=np.int64).reshape(512, 1024)
    found = values_of(Frame(0, values, "MONOCHROME2"), None, None)
    assert 58_000 < found.size <= 65_536
    assert set(np.diff(found).tolist()) == {9.0}
    every = values_of(Frame(0, values, "MONOCHROME2"), None, None, every=True)
    np.testing.assert_array_equal(every, values.reshape(-1))
    small = values_of(Frame(0, values[:4], "MONOCHROME2"), None, None)
    assert small.size == 4096


@pytest.mark.parametrize(("columns", "size"), [(65_535, 65_535), (65_536, 65_536), (131_072, 43_691)])
def test_size_of_a_sample(columns: int, size: int) -> None:
    values = np.zeros((1, columns), np.uint8)
    assert values_of(Frame(0, values, "MONOCHROME2"), None, None).size == size


def test_padding_and_what_is_not_finite_are_no_values() -> None:
    values = np.array([[-5, -4, -3, -2, -1]], np.int16)
    frame = Frame(0, values, "MONOCHROME2", 2.0, 1.0)
    assert values_of(frame, None, (-4, -2)).tolist() == [-9, -1]
    assert values_of(frame, Lut(-5, np.array([10.0, 20, 30, 40, np.inf])), (-4, -4)).tolist() == [10, 30, 40]
