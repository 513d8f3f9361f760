"""Layouts made of layouts: axes taken apart, colours of palettes, empty slices of segmentations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crawler.layout.derived import LABEL_MAP, split_axes, with_colours
from crawler.layout.empty_slices import SEGMENTATIONS, with_empty_slices
from crawler.layout.layouts import layouts
from crawler.model import TRAITS, Coordinates, File, Instance, Layout, Pixels, Place, Plane, Scan

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def array(name: str, shape: tuple[int, ...], axes: tuple[str, ...]) -> Layout:
    leading = list(np.ndindex(shape[: axes.index("row")]))
    places = tuple(Place(number, 0, index) for number, index in enumerate(leading))
    coordinates = tuple(
        Coordinates(axis, tuple(range(shape[axes.index(axis)]))) for axis in axes if axis in ("te", "b")
    )
    return Layout(name, shape, axes, places, coordinates=coordinates)


def test_each_step_of_an_axis_becomes_an_array() -> None:
    plan = [array("", (2, 3, 4, 5, 6), ("te", "b", "slice", "row", "column"))]
    parts = split_axes(plan, ["te"])
    assert [part.name for part in parts] == ["1", "2"]
    for echo, part in enumerate(parts):
        assert (part.shape, part.axes) == ((3, 4, 5, 6), ("b", "slice", "row", "column"))
        assert [one.axis for one in part.coordinates] == ["b"]
        assert [place.index for place in part.placement] == list(np.ndindex(3, 4))
        assert [place.instance for place in part.placement] == list(range(12 * echo, 12 * echo + 12))


def test_several_axes_and_layouts_without_them() -> None:
    plan = [
        array("1", (2, 3, 4, 5, 6), ("te", "b", "slice", "row", "column")),
        array("2", (4, 5, 6), ("slice", "row", "column")),
    ]
    parts = split_axes(plan, ["b", "te"])
    assert [part.name for part in parts] == [str(number) for number in range(1, 8)]
    assert {part.axes for part in parts} == {("slice", "row", "column")}
    assert [part.placement[0].instance for part in parts[:6]] == [0, 4, 8, 12, 16, 20]
    assert split_axes(plan, []) == plan
    assert split_axes(plan[1:], ["te"]) == plan[1:]


def picture(photometric: str, sop_class: str = "") -> Instance:
    return Instance(File("/in", "a", 1, 1), {}, sop_class=sop_class, pixels=Pixels(photometric=photometric))


@pytest.mark.parametrize(
    ("kinds", "colours"),
    [
        ([("PALETTE COLOR", "")] * 2, True),
        ([("PALETTE COLOR", ""), ("MONOCHROME2", "")], False),
        ([("PALETTE COLOR", LABEL_MAP)] * 2, False),
        ([("MONOCHROME2", "")] * 2, False),
    ],
)
def test_palettes_have_an_axis_of_colours(kinds: list[tuple[str, str]], colours: bool) -> None:
    plan = [array("", (2, 5, 6), ("slice", "row", "column"))]
    (found,) = with_colours(plan, [picture(*kind) for kind in kinds])
    assert (found.shape, found.axes[-1]) == (((2, 5, 6, 3), "sample") if colours else ((2, 5, 6), "column"))


def segmentation(
    segments: dict[int, list[float]], sop_class: str = SEGMENTATIONS[0], thickness: float | None = 2.0, **plane: Any
) -> Scan:
    """One object with a frame for each position (z, mm) of each segment."""
    kinds = {keyword: None for keyword in TRAITS}
    planes = tuple(
        Plane(
            (0.0, 0.0, z),
            AXIAL,
            (0.8, 0.6),
            thickness,
            traits=tuple((kinds | {"DimensionIndexValues": (number,)}).values()),
        )._replace(
            **plane,
        )
        for number, positions in segments.items()
        for z in positions
    )
    pixels = Pixels(
        rows=4, columns=5, frames=len(planes), photometric="MONOCHROME2", bits_allocated=8, keyword="PixelData"
    )
    instance = Instance(
        File("/in", "a", 1, 1), {}, sop_class=sop_class, frame_of_reference="1.2", pixels=pixels, planes=planes
    )
    return Scan("s1", "1.2.3", (instance,))


def restored(scan: Scan, irregular: str = "split") -> list[Layout]:
    return with_empty_slices(layouts(scan, irregular), scan.instances)


@pytest.mark.parametrize("irregular", ["split", "keep", "refuse"])
def test_empty_slices_of_a_segment_are_restored(irregular: str) -> None:
    scan = segmentation({1: [4.0, 6.0, 8.0, 14.0], 2: [2.0, 4.0, 6.0, 8.0, 10.0]})
    found = {layout.placement[0].frame: layout for layout in restored(scan, irregular)}
    assert {first: layout.shape for first, layout in found.items()} == {0: (6, 4, 5), 4: (5, 4, 5)}
    first = found[0]
    assert [place.index for place in first.placement] == [(0,), (1,), (2,), (5,)]
    assert [place.frame for place in first.placement] == [0, 1, 2, 3]
    assert first.affine is not None
    np.testing.assert_allclose(np.array(first.affine) @ (5, 0, 0, 1), (0, 0, 14, 1))
    assert (first.verdict.regular_volume, first.verdict.spacing, first.verdict.missing_positions) == (True, 2.0, 0)
    assert (first.verdict.reason, first.refused) == ("empty slices restored", "")


def test_runs_that_are_even_each_are_joined_too() -> None:
    """Two runs of two slices at the step of the whole grid: neither lacks a slice by itself."""
    found = restored(segmentation({1: [0.0, 3.0, 12.0, 15.0], 2: [6.0, 9.0]}))
    assert [layout.shape[0] for layout in found] == [6, 2]
    assert [place.index[0] for place in found[0].placement] == [0, 1, 4, 5]


@pytest.mark.parametrize("start", [0.0, 0.5, 1.0, -0.5, 1000.5])
def test_wherever_the_grid_begins_its_slices_are_whole_steps_apart(start: float) -> None:
    (one,) = restored(segmentation({1: [start + 2.0 * number for number in (0, 1, 4, 5, 6)]}))
    assert (one.shape[0], [place.index[0] for place in one.placement]) == (7, [0, 1, 4, 5, 6])


def test_frames_in_any_order() -> None:
    (layout,) = restored(segmentation({1: [14.0, 6.0, 4.0, 8.0]}))
    assert (layout.name, layout.shape) == ("", (6, 4, 5))
    assert [(place.frame, place.index) for place in layout.placement] == [(2, (0,)), (1, (1,)), (3, (2,)), (0, (5,))]


def test_the_thickness_tells_the_step_where_no_two_frames_are_next_to_each_other() -> None:
    (layout,) = restored(segmentation({1: [0.0, 4.0, 10.0]}, thickness=2.0))
    assert [place.index for place in layout.placement] == [(0,), (2,), (5,)]


def test_positions_of_few_digits_over_many_slices() -> None:
    """As an oblique stack has them: multiples of 1.9987 mm to a hundredth, of which half are empty."""
    positions = [round(1.9987 * number, 2) for number in range(0, 200) if number % 7 and number % 3]
    scan = segmentation({1: positions, 2: [round(1.9987 * number, 2) for number in (0, 1, 2, 199)]})
    whole, part = restored(scan)
    assert (whole.shape[0], part.shape[0]) == (199, 200)
    assert whole.verdict.spacing == pytest.approx(1.9987, abs=1e-4)
    assert [place.index[0] for place in part.placement] == [0, 1, 2, 199]


@pytest.mark.parametrize(
    "scan",
    [
        segmentation({1: [0.0, 2.0, 5.1]}),  # no even grid
        segmentation({1: [0.0, 2.0, 8.0]}, sop_class="1.2.840.10008.5.1.4.1.1.2.1"),  # an image lacks slices
        segmentation({1: [0.0, 1e-2, 1e4]}),  # a step that makes a million slices
    ],
)
def test_what_is_no_grid_stays_apart(scan: Scan) -> None:
    assert restored(scan) == layouts(scan)


def test_a_segment_of_fewer_slices_than_another_lacks_none() -> None:
    scan = segmentation({1: [0.0, 2.0, 4.0], 2: [2.0, 4.0]})
    whole, part = restored(scan)
    assert whole == layouts(scan)[0]
    assert (part.shape, part.verdict.regular_volume, part.verdict.reason) == ((2, 4, 5), True, "")
    assert (part.affine, part.placement) == (layouts(scan)[1].affine, layouts(scan)[1].placement)


OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, -0.8)
NORMAL = np.cross(OBLIQUE[:3], OBLIQUE[3:])


def placed(scan: Scan, position: Callable[[float, int], np.ndarray], orientation: Any = OBLIQUE) -> Scan:
    """The same frames elsewhere: `position` makes LPS of a distance along the normal and the number of the frame."""
    (instance,) = scan.instances
    planes = tuple(
        plane._replace(orientation=orientation, position=tuple(position(plane.position[2], number).tolist()))
        for number, plane in enumerate(instance.planes)
        if plane.position is not None
    )
    return scan._replace(instances=(instance._replace(planes=planes),))


ORIGIN = np.array([51.3, -20.7, 113.9])
GAPPED = {1: [4.0, 6.0, 8.0, 14.0], 2: [2.0, 4.0, 6.0]}


def test_an_oblique_segmentation_far_from_the_origin() -> None:
    found = {
        layout.placement[0].frame: layout
        for layout in restored(placed(segmentation(GAPPED), lambda z, _: ORIGIN + z * NORMAL))
    }
    assert {first: layout.shape[0] for first, layout in found.items()} == {0: 6, 4: 3}
    for first, start, last in ((0, 4.0, 14.0), (4, 2.0, 6.0)):
        place = np.array(found[first].affine)
        np.testing.assert_allclose(place @ (0, 0, 0, 1), (*(ORIGIN + start * NORMAL), 1), atol=1e-6)
        np.testing.assert_allclose(
            place @ (found[first].shape[0] - 1, 0, 0, 1), (*(ORIGIN + last * NORMAL), 1), atol=1e-6
        )


def test_a_tilted_stack_stays_apart() -> None:
    """Slices that do not lie on a line along the normal: a distance does not tell which of them is empty."""
    scan = placed(segmentation(GAPPED), lambda z, _: ORIGIN + z * NORMAL + z * 0.2 * np.array(OBLIQUE[:3]))
    assert restored(scan) == layouts(scan)


def test_frames_in_two_directions_stay_apart() -> None:
    (instance,) = segmentation({1: [0.0, 2.0, 8.0]}).instances
    turned = tuple(plane._replace(orientation=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0)) for plane in instance.planes[:2])
    planes = instance.planes + turned
    assert instance.pixels is not None
    pixels = instance.pixels._replace(frames=len(planes))
    scan = Scan("s1", "1.2.3", (instance._replace(planes=planes, pixels=pixels),))
    assert restored(scan) == layouts(scan)


def test_segments_one_above_the_other_are_two_volumes() -> None:
    """As vertebrae lie: no position repeats, and all together they would look like one even stack."""
    scan = segmentation({1: [0.0, 2.0, 4.0], 2: [6.0, 8.0, 10.0]})
    found = [[place.frame for place in layout.placement] for layout in restored(scan)]
    assert found == [[0, 1, 2], [3, 4, 5]]
    assert [np.array(layout.affine)[2, 3] for layout in restored(scan)] == [0.0, 6.0]


def test_two_objects_of_a_series_are_not_joined() -> None:
    first = segmentation({1: [0.0, 2.0, 8.0]})
    second = segmentation({1: [20.0, 26.0, 28.0]})
    other = second.instances[0]._replace(file=File("/in", "b", 1, 1), sop_uid="2")
    found = restored(Scan("s1", "1.2.3", (first.instances[0], other)))
    assert [(layout.name, layout.shape[0], layout.placement[0].instance) for layout in found] == [
        ("1", 5, 0),
        ("2", 5, 1),
    ]


def test_gaps_of_other_segments_tell_the_step_whatever_the_thickness() -> None:
    scan = segmentation({1: [0.0, 6.0, 9.0], 2: [3.0, 30.0]}, thickness=1.0)
    assert {layout.placement[0].frame: layout.shape[0] for layout in restored(scan)} == {0: 4, 3: 10}


@pytest.mark.parametrize("thickness", [None, 0.0, -1.0])
def test_without_a_step_nothing_is_restored(thickness: float | None) -> None:
    scan = segmentation({1: [0.0, 4.0, 10.0]}, thickness=thickness)
    assert restored(scan) == layouts(scan)


def test_the_verdict_of_a_restored_segment_says_all_of_it() -> None:
    (layout,) = restored(segmentation({1: [4.0, 6.0, 8.0, 14.0]}, thickness=None))
    verdict = layout.verdict
    assert (verdict.unique_positions, verdict.uniform_spacing, verdict.regular_volume) == (True, True, True)
    assert (verdict.spacing, verdict.largest_gap, verdict.tilt_degrees) == (2.0, 2.0, 0.0)
    assert (verdict.missing_positions, verdict.duplicate_positions, verdict.policy) == (0, 0, "")


def test_the_step_is_that_of_the_nearest_frames_alone() -> None:
    (layout,) = restored(segmentation({1: [0.0, 0.5, 1.5, 2.5]}, thickness=None))
    assert [place.index for place in layout.placement] == [(0,), (1,), (3,), (5,)]
    (layout,) = restored(segmentation({1: [0.0, 2.0, 6.0, 10.0]}, thickness=None))
    assert [place.index for place in layout.placement] == [(0,), (1,), (3,), (5,)]


@pytest.mark.parametrize(("last", "together"), [(16_383.0, True), (16_384.0, False)])
def test_a_grid_has_sixteen_thousand_slices_at_most(last: float, together: bool) -> None:
    found = restored(segmentation({1: [0.0, 1.0, last]}, thickness=1.0))
    assert (len(found) == 1 and found[0].shape[0] == 16_384) is together


@pytest.mark.parametrize("lacking", ["orientation", "spacing"])
def test_frames_that_lack_a_part_of_their_geometry_are_not_restored(lacking: str) -> None:
    scan = segmentation({1: [4.0, 6.0, 8.0, 14.0]}, **{lacking: None})
    assert restored(scan) == layouts(scan)
