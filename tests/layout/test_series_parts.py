"""Several volumes without a repeated position: what splits a stack, and what does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crawler.layout.planes import PlaneSet
from crawler.layout.series_parts import part_of_series
from crawler.model import TRAITS, File, Instance, Plane

Z = np.array([0.0, 0.0, 1.0])


def parts(heights: list[float], **columns: list[Any]) -> tuple[tuple[str, ...], list[list[int]]]:
    """What a stack at these heights is split by, and into which planes; columns are traits, or `thickness`."""
    thickness = columns.pop("thickness", [3.0] * len(heights))
    numbers = np.array(columns.pop("numbers", range(1, len(heights) + 1)), dtype=np.float64)
    planes = [
        Plane(
            (0.0, 0.0, height),
            thickness=thickness[number],
            traits=tuple(columns[name][number] if name in columns else None for name in TRAITS),
        )
        for number, height in enumerate(heights)
    ]
    instances = [Instance(File("/in", f"{number}", 1, 1), {}, planes=(one,)) for number, one in enumerate(planes)]
    slots = np.argsort(np.argsort(heights)).astype(np.intp)
    of = PlaneSet(slots, planes, instances, numbers, np.argsort(np.argsort(numbers)), lambda plane: {})
    positions = np.array([one.position for one in planes])
    found = part_of_series(of, positions, Z)
    return found.traits, [group.tolist() for group in found.groups]


EVEN = [0.0, 3.0, 6.0, 9.0, 12.0, 15.0]
WHOLE: tuple[tuple[str, ...], list[list[int]]] = ((), [[0, 1, 2, 3, 4, 5]])


@pytest.mark.parametrize(
    "keyword", ["EchoTime", "DiffusionBValue", "KVP", "InversionTime", "TemporalPositionIdentifier"]
)
def test_two_contrasts_are_two_volumes(keyword: str) -> None:
    values = [10, 10, 10, 20, 20, 20]
    assert parts(EVEN, **{keyword: values}) == ((keyword,), [[0, 1, 2], [3, 4, 5]])
    assert parts(EVEN, **{keyword: [10] * 6}) == WHOLE


def test_two_kernels_are_two_volumes() -> None:
    kernels = ["B30f", "B70f"] * 3
    assert parts(EVEN, ConvolutionKernel=kernels) == (("ConvolutionKernel",), [[0, 2, 4], [1, 3, 5]])


@pytest.mark.parametrize("keyword", ["EchoTime", "DiffusionBValue", "KVP"])
def test_a_single_plane_of_another_contrast_is_split_off(keyword: str) -> None:
    """But one that does not tell its contrast is not."""
    assert parts(EVEN, **{keyword: [10, 10, 20, 10, 10, 10]}) == ((keyword,), [[0, 1, 3, 4, 5], [2]])
    assert parts(EVEN, **{keyword: [10, 10, None, 10, 10, 10]}) == WHOLE
    assert parts(EVEN, **{keyword: [None, None, 10, 10, 10, 10]}) == ((keyword,), [[0, 1], [2, 3, 4, 5]])


def test_inversion_times_that_differ_from_plane_to_plane_split_nothing() -> None:
    assert parts(EVEN, InversionTime=[100, 200, 300, 400, 500, 600]) == WHOLE
    assert parts(EVEN, InversionTime=[100, 100, 300, 400, 500, 600]) == WHOLE
    assert parts(EVEN, InversionTime=[100, 100, 300, 300, 300, 100]) == (("InversionTime",), [[0, 1, 5], [2, 3, 4]])


def test_positions_in_time_that_count_planes_split_nothing() -> None:
    assert parts(EVEN, TemporalPositionIdentifier=[1, 2, 3, 4, 5, 6]) == WHOLE
    assert parts(EVEN[:4], TemporalPositionIdentifier=[1, 2, 3, 4]) == ((), [[0, 1, 2, 3]])
    assert parts(EVEN[:3], TemporalPositionIdentifier=[1, 2, 3]) == (("TemporalPositionIdentifier",), [[0], [1], [2]])
    one_other = parts(EVEN, TemporalPositionIdentifier=[1, 1, 1, 1, 1, 2])
    assert one_other == (("TemporalPositionIdentifier",), [[0, 1, 2, 3, 4], [5]])


def test_two_contrasts_that_go_together_are_named_once() -> None:
    both = parts(EVEN, EchoTime=[10, 10, 10, 20, 20, 20], KVP=[80, 80, 80, 140, 140, 140])
    assert both == (("EchoTime",), [[0, 1, 2], [3, 4, 5]])
    crossed = parts(EVEN, EchoTime=[10, 10, 10, 20, 20, 20], KVP=[80, 80, 140, 80, 140, 140])
    assert crossed == (("EchoTime", "KVP"), [[0, 1], [2], [3], [4, 5]])


def test_thin_and_thick_slices() -> None:
    """Side by side they are one stack as long as it is even; in turn, or unevenly, they are two."""
    assert parts(EVEN, thickness=[1.0, 1.0, 1.0, 5.0, 5.0, 5.0]) == WHOLE
    assert parts(EVEN, thickness=[1.0, 5.0] * 3) == (("SliceThickness",), [[0, 2, 4], [1, 3, 5]])
    uneven = [0.0, 1.0, 2.0, 2.5, 7.5, 12.5]
    assert parts(uneven, thickness=[1.0, 1.0, 1.0, 5.0, 5.0, 5.0]) == (("SliceThickness",), [[0, 1, 2], [3, 4, 5]])
    assert parts(uneven, thickness=[1.0] * 6) == WHOLE
    assert parts(EVEN, thickness=[1.0, 5.0, 1.0, 1.0, 1.0, 1.0]) == WHOLE, "a single one is no volume"


@pytest.mark.parametrize("keyword", ["AcquisitionNumber", "TemporalPositionIdentifier", "ImageType", "AcquisitionTime"])
def test_acquisitions_that_interleave_unevenly(keyword: str) -> None:
    heights = [0.0, 3.0, 6.0, 1.0, 4.0, 7.0]
    values = [1.0, 1.0, 1.0, 2.0, 2.0, 2.0] if keyword != "ImageType" else [("A",)] * 3 + [("B",)] * 3
    assert parts(heights, **{keyword: values}) == ((keyword,), [[0, 1, 2], [3, 4, 5]])
    if keyword != "TemporalPositionIdentifier":
        assert parts(EVEN, **{keyword: values}) == WHOLE, "evenly they are one"
        uneven = [0.0, 3.0, 7.0, 1.0, 4.0, 7.5]
        assert parts(uneven, **{keyword: values}) == WHOLE, "neither is even by itself"
        assert parts(heights, **{keyword: [*values[:5], None]}) == WHOLE, "a single plane is no acquisition"


@pytest.mark.parametrize(("thickness", "apart"), [(3.0, True), (3.2, True), (3.4, False), (2.3, True), (2.2, False)])
def test_acquisitions_that_overlap_each_other_are_two(thickness: float, apart: bool) -> None:
    """Steps of 3 mm each, 1.5 mm together: thin slices may be one stack in two turns, thick ones overlap anyway."""
    heights, along = [0.0, 3.0, 6.0, 1.5, 4.5, 7.5], [1, 3, 5, 2, 4, 6]
    told: dict[str, list[Any]] = {"AcquisitionNumber": [1, 1, 1, 2, 2, 2], "numbers": along}
    found = parts(heights, **told, thickness=[thickness] * 6)
    assert found == ((("AcquisitionNumber",), [[0, 1, 2], [3, 4, 5]]) if apart else WHOLE)
    assert parts(heights, **told, thickness=[None] * 6) == WHOLE
    found = parts(heights, thickness=[thickness] * 6)
    assert found == ((("",), [[0, 1, 2], [3, 4, 5]]) if apart else WHOLE), "one after the other"
    assert parts(heights, thickness=[thickness] * 6, numbers=along) == WHOLE, "numbered along the stack"
    assert parts(heights, thickness=[thickness] * 6, numbers=[1, 4, 2, 5, 3, 6]) == WHOLE
    for numbers in ([1, 1, 1, 1, 1, 1], [1, 2, 3, 4, 5, float("nan")]):
        assert parts(heights, thickness=[thickness] * 6, numbers=numbers) == WHOLE
    assert parts([0.0, 3.0, 1.5], thickness=[thickness] * 3) == ((), [[0, 1, 2]])


def test_three_passes_over_a_table_that_moves() -> None:
    heights = [3.0 * slot + volume for volume in range(3) for slot in range(4)]
    assert parts(heights) == (("",), [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]])
    assert parts(heights[:-1])[0] == (), "not as many each"


def test_two_planes_are_always_even() -> None:
    assert parts([0.0, 3.0], AcquisitionNumber=[1, 2]) == ((), [[0, 1]])
    assert parts([0.0, 3.0, 100.0], AcquisitionNumber=[1, 1, 2]) == ((), [[0, 1, 2]])


@pytest.mark.parametrize("turns", [2, 3])
def test_acquisitions_one_after_the_other_that_overlap(turns: int) -> None:
    """Slices of 3 mm every 1.5 or 1 mm, as two or three acquisitions of slices side by side, told by their numbers."""
    step, count = 3.0 / turns, 4 * turns
    heights = [3.0 * place + step * turn for turn in range(turns) for place in range(4)]
    found = parts(heights)
    assert len(found[1]) == turns
    assert [sorted(group) for group in found[1]] == [list(range(4 * turn, 4 * turn + 4)) for turn in range(turns)]
    along = parts(sorted(heights))
    assert along == ((), [list(range(count))]), "numbered along the stack: one acquisition"
