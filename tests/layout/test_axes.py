"""Fourth and further axes: what repeats regularly becomes one array with named axes and their values."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.layout.axes import axis_of_times
from crawler.layout.layouts import layouts
from crawler.model import TRAITS, Coordinates, File, Instance, Layout, Pixels, Plane, Scan

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
PIXELS = Pixels(rows=8, columns=6, photometric="MONOCHROME2", bits_allocated=16, keyword="PixelData")


def plane(z: float, x: float = 0.0, **more: Any) -> Plane:
    traits = tuple(more.pop(name, None) for name in TRAITS)
    return Plane((x, 0.0, z), AXIAL, (1.0, 1.0), 2.0, traits=traits, **more)


def scan(planes: Sequence[Plane], numbered: bool = True) -> Scan:
    """One file a plane, in order of acquisition."""
    instances = tuple(
        Instance(
            File("/in", f"{number:05}", 1, 1),
            {},
            pixels=PIXELS,
            planes=(one,),
            instance_number=number + 1 if numbered else None,
        )
        for number, one in enumerate(planes)
    )
    return Scan("s1-00000000", "1.2.3", instances)


def only(found: Sequence[Layout]) -> Layout:
    assert len(found) == 1, [(layout.shape, layout.axes, layout.verdict.reason) for layout in found]
    return found[0]


def planes_at(layout: Layout, of: Scan) -> dict[tuple[int, ...], Plane]:
    return {place.index: of.instances[place.instance].plane(place.frame) for place in layout.placement}


SLICES = range(5)


def series(**traits: Any) -> list[Plane]:
    return [plane(2.0 * slot, **traits) for slot in SLICES]


@pytest.mark.parametrize(
    ("keyword", "values", "axis", "unit"),
    [
        ("EchoTime", (4.9, 7.4, 9.8), "te", "ms"),
        ("EchoNumbers", (1, 2), "echo", ""),
        ("InversionTime", (100.0, 400.0), "ti", "ms"),
        ("FlipAngle", (3.0, 15.0), "fa", "degree"),
        ("NominalPercentageOfCardiacPhase", (0.0, 25.0, 50.0), "phase", "%"),
        ("TriggerTime", (0.0, 33.3, 66.6), "trigger_time", "ms"),
        ("TemporalPositionIdentifier", (1, 2, 3), "time", ""),
        ("AcquisitionNumber", (4, 5), "time", ""),
    ],
)
def test_each_trait_becomes_its_axis(keyword: str, values: tuple[Any, ...], axis: str, unit: str) -> None:
    planes = [one for value in values for one in series(**{keyword: value})]
    of = scan(random.Random(3).sample(planes, len(planes)))
    layout = only(layouts(of))
    assert layout.axes == (axis, "slice", "row", "column")
    assert layout.shape == (len(values), 5, 8, 6)
    assert layout.coordinates == (Coordinates(axis, values, keyword, unit),)
    for index, found in planes_at(layout, of).items():
        assert (found.trait(keyword), found.position) == (values[index[0]], (0.0, 0.0, 2.0 * index[1]))
    assert layout.verdict.regular_volume
    assert layout.verdict.duplicate_positions == 5 * (len(values) - 1)
    assert layout.affine is not None


def test_two_traits_become_two_axes_with_time_inside() -> None:
    planes = [
        one
        for point in (1, 2, 3)
        for echo in (30.0, 50.0)
        for one in series(EchoTime=echo, TemporalPositionIdentifier=point)
    ]
    layout = only(layouts(scan(planes)))
    assert (layout.shape, layout.axes) == ((2, 3, 5, 8, 6), ("te", "time", "slice", "row", "column"))
    assert [steps.values for steps in layout.coordinates] == [(30.0, 50.0), (1, 2, 3)]


def test_echoes_of_a_functional_series_that_only_the_order_tells() -> None:
    planes = [one for _ in range(4) for echo in (13.0, 30.0, 47.0) for one in series(EchoTime=echo)]
    layout = only(layouts(scan(planes)))
    assert (layout.shape[:3], layout.axes[:3]) == ((3, 4, 5), ("te", "time", "slice"))
    assert layout.verdict.reason == "repeated positions told apart by EchoTime and order of acquisition"


def test_order_of_acquisition_gets_its_seconds_from_the_clock() -> None:
    start = 86_398.0  # two seconds to midnight
    planes = [
        plane(2.0 * slot, AcquisitionTime=(start + 2.5 * point + 0.5 * slot) % 86_400)
        for point in range(4)
        for slot in SLICES
    ]
    layout = only(layouts(scan(planes)))
    assert layout.coordinates == (Coordinates("time", (0.0, 2.5, 5.0, 7.5), "AcquisitionTime", "s"),)


def test_frame_reference_time_in_seconds() -> None:
    planes = [one for start in (5_000.0, 15_000.0, 45_000.0) for one in series(FrameReferenceTime=start)]
    layout = only(layouts(scan(planes)))
    assert layout.coordinates == (Coordinates("time", (5.0, 15.0, 45.0), "FrameReferenceTime", "s"),)


def test_diffusion_volumes_follow_the_acquisition_with_their_directions() -> None:
    scheme: list[tuple[float, Any]] = [
        (0.0, None), (1000.0, (1.0, 0.0, 0.0)), (0.0, None), (1000.0, (0.0, 1.0, 0.0)), (1000.0, (1.0, 0.0, 0.0)),
    ]  # fmt: skip
    volumes = [
        [
            plane(2.0 * slot, DiffusionBValue=b, DiffusionGradientOrientation=to, AcquisitionNumber=number)
            for slot in SLICES
        ]
        for number, (b, to) in enumerate(scheme)
    ]
    by_volume = [one for volume in volumes for one in volume]
    by_slice = [volume[slot] for slot in SLICES for volume in volumes]
    for planes in (by_volume, by_slice):
        layout = only(layouts(scan(planes)))
        assert (layout.shape[:2], layout.axes[0]) == ((5, 5), "b")
        assert layout.coordinates[0].values == tuple(b for b, _ in scheme)
        assert layout.coordinates[0].directions == tuple(to for _, to in scheme)
        assert layout.coordinates[0].unit == "s/mm2"


def test_diffusion_whose_files_run_slice_by_slice_in_their_own_order() -> None:
    """Each slice numbers its volumes differently: only b-values tell which belong together."""
    planes = [
        plane(2.0 * slot, DiffusionBValue=b) for slot in SLICES for b in ((0.0, 500.0) if slot % 2 else (500.0, 0.0))
    ]
    of = scan(planes)
    layout = only(layouts(of))
    assert layout.coordinates[0].values == (0.0, 500.0)
    assert {(index[0], one.trait("DiffusionBValue")) for index, one in planes_at(layout, of).items()} == {
        (0, 0.0),
        (1, 500.0),
    }


def test_trigger_times_that_run_on_from_slice_to_slice() -> None:
    planes = [plane(2.0 * slot, TriggerTime=40.0 * phase + 0.3 * slot) for slot in SLICES for phase in range(6)]
    layout = only(layouts(scan(planes, numbered=False)))
    assert (layout.axes[0], layout.shape[0]) == ("trigger_time", 6)
    assert layout.coordinates[0].values == pytest.approx([40.0 * phase + 0.6 for phase in range(6)])


def test_an_incomplete_last_volume_stays_by_itself() -> None:
    planes = [one for point in range(4) for one in series(TemporalPositionIdentifier=point)][:-2]
    whole, rest = layouts(scan(planes))
    assert (whole.shape[:2], whole.axes[0], whole.verdict.regular_volume) == ((3, 5), "time", True)
    assert (rest.shape[0], rest.axes[0]) == (3, "slice")
    assert "repeated positions in unequal numbers" in rest.verdict.reason


@pytest.mark.parametrize(("count", "lacking"), [(4, 0), (3, 6)])
def test_a_stack_with_a_step_of_its_own_lacks_nothing(count: int, lacking: int) -> None:
    """Four slices at every third position are made so; three may be what is left."""
    thin = [plane(2.0 * slot, EchoTime=30.0) for slot in range(10)]
    thick = [plane(6.0 * slot, EchoTime=90.0) for slot in range(count)]
    whole, other = layouts(scan([*thin, *thick]))
    assert (whole.shape[0], whole.verdict.regular_volume) == (10, True)
    assert (other.shape[0], other.verdict.regular_volume) == (count, lacking == 0)
    assert other.verdict.missing_positions == (lacking + 1 if lacking else 0)


def test_a_missing_cell_gives_up_the_outer_axis() -> None:
    planes = [
        one
        for point in (1, 2, 3)
        for echo in (30.0, 50.0)
        for one in series(EchoTime=echo, TemporalPositionIdentifier=point)
    ]
    short, long = layouts(scan(planes[:-5]))
    assert (short.shape[:2], short.axes[0]) == ((3, 5), "time")
    assert (long.shape[:2], long.axes[0]) == ((2, 5), "time")


def test_volumes_that_are_shifted_in_plane_share_no_array() -> None:
    planes = [plane(2.0 * slot, 3.0 * point, TemporalPositionIdentifier=point) for point in range(2) for slot in SLICES]
    assert [layout.axes[0] for layout in layouts(scan(planes))] == ["slice", "slice"]


@pytest.mark.parametrize(
    ("order", "shapes"),
    [
        ("auto", [(2, 3, 5)]),
        ("none", [(5,)] * 6),
        ("time", [(3, 5)] * 2),
        ("te", [(2, 5)] * 3),
        ("b", [(5,)] * 6),
    ],
)
def test_order_chooses_the_axis(order: str, shapes: list[tuple[int, ...]]) -> None:
    planes = [
        one
        for point in (1, 2, 3)
        for echo in (30.0, 50.0)
        for one in series(EchoTime=echo, TemporalPositionIdentifier=point)
    ]
    found = layouts(scan(planes), order=order)
    assert [layout.shape[:-2] for layout in found] == shapes


def test_order_prefers_its_own_trait() -> None:
    """Both would do; the first in `TRAITS` wins unless the other is asked for."""
    planes = [one for point in range(3) for one in series(TemporalPositionIdentifier=point, TriggerTime=40.0 * point)]
    assert only(layouts(scan(planes))).axes[0] == "time"
    assert only(layouts(scan(planes), order="trigger_time")).axes[0] == "trigger_time"


def test_an_axis_of_any_keyword() -> None:
    planes = [one._replace(custom=angle) for angle in (10, 20) for one in series(AcquisitionNumber=angle)]
    layout = only(layouts(scan(planes), order="SaturationRecoveryTime"))
    assert layout.axes[0] == "SaturationRecoveryTime"
    assert layout.coordinates == (Coordinates("SaturationRecoveryTime", (10, 20), "SaturationRecoveryTime"),)


def test_image_types_and_components_never_share_an_array() -> None:
    planes = [one for kind in ("A", "B") for one in series(ImageType=("ORIGINAL", "PRIMARY", kind))]
    assert [layout.shape[:-2] for layout in layouts(scan(planes))] == [(5,), (5,)]
    magnitude, phase = series(), [one._replace(component="phase") for one in series()]
    found = layouts(scan([*magnitude, *phase]))
    assert [(layout.shape[:-2], layout.verdict.reason) for layout in found] == [((5,), ""), ((5,), "")]


def test_echoes_side_by_side_are_two_volumes() -> None:
    """No position is repeated; one stack would mix two contrasts."""
    planes = [plane(float(slot), EchoTime=10.0 if slot % 2 else 90.0) for slot in range(10)]
    first, second = layouts(scan(planes))
    assert (first.shape[0], second.shape[0]) == (5, 5)
    assert first.verdict.reason == "told apart by EchoTime"
    assert (first.verdict.spacing, first.verdict.regular_volume) == (2.0, True)


def test_an_echo_time_that_is_adjusted_from_slice_to_slice_splits_nothing() -> None:
    planes = [plane(float(slot), EchoTime=90.0 + 0.01 * slot) for slot in range(10)]
    assert only(layouts(scan(planes))).shape[0] == 10


def test_interleaved_acquisitions_are_two_volumes() -> None:
    planes = [plane(3.0 * slot + 1.1 * number, AcquisitionNumber=number) for number in (0, 1) for slot in SLICES]
    found = layouts(scan(planes))
    assert [layout.shape[0] for layout in found] == [5, 5]
    assert [layout.verdict.reason for layout in found] == ["told apart by AcquisitionNumber"] * 2
    whole = [plane(3.0 * slot, AcquisitionNumber=slot // 3) for slot in range(9)]  # a scan in parts stays whole
    assert only(layouts(scan(whole))).shape[0] == 9


def test_one_position_for_all_slices_is_no_volume() -> None:
    layout = only(layouts(scan([plane(7.0) for _ in range(20)])))
    assert (layout.axes[0], layout.affine, layout.verdict.regular_volume) == ("frame", None, False)
    assert layout.verdict.reason == "one position for all slices"
    timed = only(layouts(scan([plane(7.0, TriggerTime=50.0 * number) for number in range(20)])))
    assert (timed.shape[:2], timed.axes[:2]) == ((20, 1), ("trigger_time", "slice"))


def test_an_uneven_stack_is_split_alike_in_every_volume() -> None:
    at = (0.0, 2.0, 4.0, 8.0, 10.0, 12.0, 14.0)
    planes = [plane(z, TemporalPositionIdentifier=point) for point in (1, 2) for z in at]
    found = layouts(scan(planes))
    assert [layout.shape[:2] for layout in found] == [(2, 3), (2, 4)]
    kept = only(layouts(scan(planes), "keep"))
    assert (kept.shape[:2], kept.affine) == ((2, 7), None)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from([None, 1.0, 2.0])), max_size=30),
    st.sampled_from(["auto", "none", "time", "te"]),
    st.randoms(),
)
def test_whatever_repeats_every_plane_lands_once_and_order_of_files_is_nothing(
    rows: list[tuple[int, int, float | None]], order: str, rng: random.Random
) -> None:
    planes = [plane(float(z), TemporalPositionIdentifier=point, EchoTime=echo) for z, point, echo in rows]
    of = scan(planes)
    shuffled = of._replace(instances=tuple(rng.sample(of.instances, len(of.instances))))
    found, again = layouts(of, order=order), layouts(shuffled, order=order)
    placed = [of.instances[place.instance].file.key for layout in found for place in layout.placement]
    assert sorted(placed) == sorted(one.file.key for one in of.instances)
    assert placed == [shuffled.instances[place.instance].file.key for layout in again for place in layout.placement]
    for layout in found:
        assert [place.index for place in layout.placement] == list(np.ndindex(layout.shape[:-2]))
        for place in layout.placement if layout.affine else ():
            position = of.instances[place.instance].planes[0].position
            assert np.allclose((np.array(layout.affine) @ [place.index[-1], 0, 0, 1])[:3], position, atol=0.1)


@pytest.mark.parametrize("clocked", [True, False])
def test_time_is_linear_in_the_number_of_planes(clocked: bool) -> None:
    """Measured: 20,000 planes in 0.3 s; comparing pairs of planes would take minutes."""
    planes = [
        plane(2.0 * slot, AcquisitionTime=2.0 * point + 0.01 * slot if clocked else None)
        for point in range(500)
        for slot in range(40)
    ]
    of = scan(planes)
    began = time.process_time()
    layout = only(layouts(of))
    assert time.process_time() - began < 5.0
    assert layout.shape[:2] == (500, 40)


def test_directions_alone_tell_volumes_of_one_weighting_apart() -> None:
    """One b-value, directions 0.06 apart, and numbers that tell nothing."""
    turns = [(np.cos(angle), np.sin(angle), 0.0) for angle in (0.0, 0.06, 0.12, 0.18)]
    planes = [
        plane(2.0 * slot, DiffusionBValue=700.0, DiffusionGradientOrientation=to) for slot in SLICES for to in turns
    ]
    random.Random(2).shuffle(planes)
    of = scan(planes, numbered=False)
    layout = only(layouts(of))
    assert (layout.shape[:2], layout.axes[0], layout.verdict.regular_volume) == ((4, 5), "b", True)
    assert set(layout.coordinates[0].directions) == set(turns)
    for index, found in planes_at(layout, of).items():
        assert found.trait("DiffusionGradientOrientation") == layout.coordinates[0].directions[index[0]]


def test_directions_that_differ_by_rounding_are_one() -> None:
    planes = [
        plane(2.0 * slot, DiffusionBValue=b, DiffusionGradientOrientation=(1.0, 1e-5 * slot, 0.0) if b else None)
        for b in (0.0, 700.0)
        for slot in SLICES
    ]
    assert only(layouts(scan(planes, numbered=False))).shape[:2] == (2, 5)


def test_a_weighting_that_is_left_out_is_zero() -> None:
    """Images without weighting of Toshiba hold no b-value; beside explicit zeros nothing is known of such an image."""
    none, one = series(), series(DiffusionBValue=1000.0, DiffusionGradientOrientation=(1.0, 0.0, 0.0))
    layout = only(layouts(scan([*none, *one])))
    assert layout.coordinates[0].values == (0.0, 1000.0)
    assert layout.coordinates[0].directions == (None, (1.0, 0.0, 0.0))
    zero = series(DiffusionBValue=0.0)
    assert set(only(layouts(scan([*none, *zero, *one]))).coordinates[0].values) == {None, 0.0, 1000.0}


@pytest.mark.parametrize("keyword", ["EchoTime", "TemporalPositionIdentifier", "AcquisitionNumber"])
def test_volumes_of_two_planes(keyword: str) -> None:
    planes = [plane(2.0 * slot, **{keyword: value}) for value in (3, 5, 7) for slot in range(2)]
    layout = only(layouts(scan(random.Random(5).sample(planes, 6), numbered=False)))
    assert (layout.shape[:2], layout.verdict.regular_volume) == ((3, 2), True)
    assert layout.coordinates[0].values == (3, 5, 7)


def test_a_clock_that_ties_between_volumes_tells_no_seconds() -> None:
    """Two volumes within one tick of the clock: their order is that of the numbers, and no time is made up."""
    planes = [plane(2.0 * slot, AcquisitionTime=float(point // 2)) for point in range(4) for slot in SLICES]
    layout = only(layouts(scan(planes)))
    assert layout.coordinates == (Coordinates("time", (0, 1, 2, 3)),)


def test_a_clock_that_ticks_coarsely_within_volumes() -> None:
    """Times in whole seconds, 1.5 s a volume: a second is found in two volumes, and names none."""
    planes = [
        plane(2.0 * slot, AcquisitionTime=float(int(1.5 * point + 0.3 * slot))) for point in range(6) for slot in SLICES
    ]
    of = scan(planes)
    layout = only(layouts(of))
    assert layout.shape[:2] == (6, 5)
    numbers = [of.instances[place.instance].instance_number for place in layout.placement]
    assert numbers == list(range(1, 31))


def test_a_step_without_a_value_keeps_its_place() -> None:
    planes = [*series(EchoTime=None), *series(EchoTime=10.0), *series(EchoTime=20.0)]
    layout = only(layouts(scan(planes)))
    assert layout.coordinates == (Coordinates("te", (None, 10.0, 20.0), "EchoTime", "ms"),)


def test_one_plane_without_its_time_leaves_the_other_volumes_whole() -> None:
    planes = [one for point in range(4) for one in series(TemporalPositionIdentifier=point)]
    planes[7] = plane(4.0)
    found = layouts(scan(planes))
    whole = max(found, key=lambda layout: len(layout.placement))
    assert (whole.shape[:2], whole.verdict.regular_volume) == ((3, 5), True)
    assert sorted(len(layout.placement) for layout in found) == [1, 2, 2, 15]


def test_a_keyword_that_repeats_and_a_time_beside_it() -> None:
    planes = [
        one._replace(custom=angle)
        for angle in (10, 20)
        for point in range(3)
        for one in series(TemporalPositionIdentifier=point)
    ]
    found = layouts(scan(planes), order="SaturationRecoveryTime")
    assert [layout.shape[:2] for layout in found] == [(2, 5)] * 3
    assert {layout.axes[0] for layout in found} == {"SaturationRecoveryTime"}


def test_a_contrast_counts_only_where_it_differs_by_more_than_its_jitter() -> None:
    """0.5 % are one echo time, 2 % are two, with positions that repeat."""
    jitter = [
        plane(2.0 * slot, EchoTime=30.0 + 0.03 * slot, TemporalPositionIdentifier=t) for t in (1, 2) for slot in SLICES
    ]
    assert only(layouts(scan(jitter))).axes[0] == "time"
    echoes = [plane(2.0 * slot, EchoTime=te + 0.01 * slot) for te in (30.0, 30.8) for slot in SLICES]
    assert only(layouts(scan(echoes))).axes[0] == "te"


def test_a_single_odd_echo_is_not_stacked() -> None:
    """A slice of another echo fills the gap of a stack: it is of another volume all the same."""
    planes = [plane(2.0 * slot, EchoTime=90.0 if slot == 2 else 30.0) for slot in SLICES]
    for layout in layouts(scan(planes)):
        assert len({planes[place.instance].trait("EchoTime") for place in layout.placement}) == 1
    lost = [plane(2.0 * slot, EchoTime=None if slot == 2 else 30.0) for slot in SLICES]
    assert only(layouts(scan(lost))).shape[0] == 5


# -- the values of an axis of time


def clocked(*steps: Sequence[float | None], keyword: str = "AcquisitionTime") -> list[list[Plane]]:
    return [[plane(2.0 * slot, **{keyword: time}) for slot, time in enumerate(step)] for step in steps]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (([10.0, 11.0], [12.5, 13.5], [15.0, 16.0]), ((0.0, 2.5, 5.0), "s")),
        (([11.0, 10.0], [13.5, 12.5]), ((0.0, 2.5), "s")),  # the earliest of each
        (([10.0, None], [None, 12.0]), ((0.0, 2.0), "s")),
        (([86_399.0], [1.0], [3.0]), ((0.0, 2.0, 4.0), "s")),
        (([86_399.5, 0.5], [2.0, 1.5]), ((0.0, 2.0), "s")),
        (([40_000.0], [83_000.0]), ((0.0, 43_000.0), "s")),  # less than half a day
        (([40_000.0], [83_300.0]), ((7, 8, 9), "")),  # a jump back of half a day and more is none of a scan
        (([10.0], [10.0]), ((7, 8, 9), "")),
        (([12.0], [10.0]), ((7, 8, 9), "")),
        (([10.0], [None], [12.0]), ((7, 8, 9), "")),
        (([10.1234567], [12.3456789]), ((0.0, 2.222222), "s")),
    ],
)
def test_seconds_from_the_clock(steps: Any, expected: Any) -> None:
    assert axis_of_times(clocked(*steps), "TemporalPositionIdentifier", (7, 8, 9)) == expected


def test_seconds_from_the_frame_reference_time() -> None:
    """The mean over the slices of a step, which may begin anywhere."""
    steps = clocked([5000.0, 5200.0], [20_000.0, 20_100.0], keyword="FrameReferenceTime")
    assert axis_of_times(steps, "FrameReferenceTime", (1, 2)) == ((5.1, 20.05), "s")
    lost = clocked([5000.0, None], [20_000.0, 20_100.0], keyword="FrameReferenceTime")
    assert axis_of_times(lost, "FrameReferenceTime", (1, 2)) == ((1, 2), "")


@pytest.mark.parametrize(("shift", "together"), [(0.0, True), (0.09, True), (0.11, False), (0.3, False)])
def test_volumes_share_an_array_up_to_a_shift_of_a_tenth_of_a_millimetre(shift: float, together: bool) -> None:
    """Within the plane; along the normal the positions have to be the same ones."""
    planes = [
        plane(2.0 * slot, x=shift * volume, EchoTime=10.0 * volume + 10) for volume in range(2) for slot in SLICES
    ]
    found = layouts(scan(planes))
    assert [layout.shape[:-2] for layout in found] == ([(2, 5)] if together else [(5,), (5,)])
    wider = layouts(scan(planes), tolerance=0.4)
    assert [layout.shape[:-2] for layout in wider] == [(2, 5)]


def test_the_order_of_axes_is_that_of_nifti() -> None:
    traits = {"EchoTime": (5.0, 9.0), "FlipAngle": (3.0, 15.0), "TemporalPositionIdentifier": (1, 2)}
    planes = [
        one
        for time in traits["TemporalPositionIdentifier"]
        for angle in traits["FlipAngle"]
        for echo in traits["EchoTime"]
        for one in series(EchoTime=echo, FlipAngle=angle, TemporalPositionIdentifier=time)
    ]
    layout = only(layouts(scan(planes)))
    assert layout.axes == ("te", "fa", "time", "slice", "row", "column")
    assert layout.shape[:4] == (2, 2, 2, 5)
    of = scan(planes)
    at = planes_at(layout, of)
    assert at[1, 0, 1, 2].traits == plane(0, EchoTime=9.0, FlipAngle=3.0, TemporalPositionIdentifier=2).traits
    alone = layouts(scan(planes), order="fa")
    assert [layout.axes[0] for layout in alone] == ["fa"] * 4


# -- one position alone, and steps of an axis that lack something


def test_repetitions_of_one_position() -> None:
    """Steps of one plane each: an element, and a wanted one (`volume.order`), as one slice many times has them."""
    times = [plane(0.0, AcquisitionTime=10.0 + 2.5 * turn, FrameReferenceTime=None) for turn in range(3)]
    assert axis_of_times([[one] for one in times], "", range(3)) == ((0.0, 2.5, 5.0), "s")
    custom = [plane(0.0, EchoTime=4.0, custom=value) for value in (7, 9, 8)]
    layout = only(layouts(scan(custom), order="SaturationRecoveryTime"))
    assert layout.coordinates == (Coordinates("SaturationRecoveryTime", (7, 8, 9), "SaturationRecoveryTime"),)
    agents = scan([plane(0.0), plane(0.0)])
    given = [one._replace(record={"ContrastBolusAgent": agent}) for one, agent in
             zip(agents.instances, "BA", strict=True)]  # fmt: skip
    layout = only(layouts(agents._replace(instances=tuple(given))))
    assert [(steps.keyword, steps.values) for steps in layout.coordinates] == [("ContrastBolusAgent", ("A", "B"))]


def test_a_grid_with_a_step_missing_keeps_the_echoes_apart() -> None:
    """Three echoes, of which the last came once: one array for each, none with planes of another."""
    planes = [one for echo, turns in ((10.0, 2), (20.0, 2), (30.0, 1)) for turn in range(turns)
              for one in series(EchoTime=echo, TemporalPositionIdentifier=turn + 1)]  # fmt: skip
    of = scan(planes)
    found = layouts(of)
    assert [layout.shape[:2] for layout in found] == [(2, 5), (2, 5), (5, 8)]
    for layout, echo in zip(found, (10.0, 20.0, 30.0), strict=True):
        assert {one.trait("EchoTime") for one in planes_at(layout, of).values()} == {echo}


def test_a_trace_without_a_direction_keeps_its_weighting() -> None:
    """What leaves out its b-value and its direction is the image without weighting; a trace image has one, and none."""
    planes = [one for b, to in ((None, None), (500.0, None), (1000.0, None)) for one in
              series(DiffusionBValue=b, DiffusionGradientOrientation=to)]  # fmt: skip
    (steps,) = only(layouts(scan(planes))).coordinates
    assert steps.values == (0.0, 500.0, 1000.0)


def test_directions_that_differ_in_one_number_are_two() -> None:
    ways = [(0.6, 0.8, 0.0), (-0.6, 0.8, 0.0)]
    planes = [one for to in ways for one in series(DiffusionBValue=1000.0, DiffusionGradientOrientation=to)]
    layout = only(layouts(scan(planes)))
    assert layout.shape[0] == 2
    assert [steps.directions for steps in layout.coordinates] == [tuple(ways)], "in order of acquisition"


def test_trigger_times_are_means_to_the_millionth() -> None:
    planes = [plane(2.0 * slot, TriggerTime=turn * 100.0 + slot / 3e5) for turn in range(3) for slot in SLICES]
    (steps,) = only(layouts(scan(planes))).coordinates
    assert steps.values == (7e-06, 100.000007, 200.000007)
