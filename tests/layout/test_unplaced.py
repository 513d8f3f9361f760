"""Frames without a position in the patient: slices in an order alone, volumes in a frame of reference of their own."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from crawler.dicom.attributes import Attributes
from crawler.instance.functional import planes_of
from crawler.layout.columns import element_keys
from crawler.layout.layouts import layouts
from crawler.model import TRAITS, File, Instance, Layout, Pixels, Plane, Scan

PIXELS = Pixels(rows=8, columns=6, photometric="MONOCHROME2", bits_allocated=16, keyword="PixelData")
AXIAL = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]


def slices(count: int = 6, modality: str = "CT", located: bool = True, **more: Any) -> list[Instance]:
    """Slices without a position, whose numbers run against their locations."""
    return [
        Instance(
            File("/in", f"{7 * place % 10}", 1, 1),
            {"SliceLocation": 2.0 * place} if located else {},
            modality=modality,
            pixels=PIXELS,
            planes=(Plane(spacing=(0.8, 0.6), thickness=2.0),),
            instance_number=count - place,
            **more,
        )
        for place in range(count)
    ]


def scan(instances: list[Instance]) -> Scan:
    return Scan("s1-0", "1.2.3", tuple(random.Random(1).sample(instances, len(instances))))


def order(layout: Layout, of: Scan) -> list[float]:
    return [of.instances[place.instance].record["SliceLocation"] for place in layout.placement]


def test_slices_in_the_order_of_their_locations() -> None:
    of = scan(slices())
    (layout,) = layouts(of)
    assert (layout.shape, layout.axes) == ((6, 8, 6), ("slice", "row", "column"))
    assert order(layout, of) == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    assert (layout.affine, layout.verdict.regular_volume, layout.verdict.spacing) == (None, False, None)
    assert layout.verdict.reason == "no position or orientation; slices in the order of their locations"


def test_slices_in_the_order_of_their_numbers() -> None:
    of = scan(slices(located=False))
    (layout,) = layouts(of)
    numbers = [of.instances[place.instance].instance_number for place in layout.placement]
    assert numbers == [1, 2, 3, 4, 5, 6]
    assert layout.verdict.reason == "no position or orientation; slices in the order of their numbers"


@pytest.mark.parametrize(
    "instances",
    [
        slices(3, modality="DX"),  # pictures, of which each is its own
        [one._replace(instance_number=1) for one in slices(3, located=False)],
        [one._replace(record={"SliceLocation": 5.0}) for one in slices(3)],
        [one._replace(record={} if number else one.record) for number, one in enumerate(slices(3))],
    ],
    ids=["radiographs", "equal numbers", "equal locations", "a location that is missing"],
)
def test_what_has_no_order_stays_apart(instances: list[Instance]) -> None:
    found = layouts(scan(instances))
    assert [layout.shape[0] for layout in found] == [1, 1, 1]
    assert {layout.verdict.reason for layout in found} == {"no position or orientation"}


def test_one_slice_is_no_stack() -> None:
    (layout,) = layouts(scan(slices(1)))
    assert layout.verdict.reason == "no position or orientation"


def test_vendors_elements_are_known_by_the_block_of_their_creator() -> None:
    """In the style "tag" a key tells the block: the first is what vendors use."""
    assert {"(0043,1030)", "(0043,102F)", "(2005,1011)", "(0051,1016)", "(0021,1075)"} <= set(element_keys("tag"))


def test_unlike_slices_are_not_joined() -> None:
    short = tuple(90.0 if name == "EchoTime" else None for name in TRAITS)
    instances = slices(3, "MR") + [
        one._replace(file=File("/in", f"t2-{one.file.path}", 1, 1), planes=(one.planes[0]._replace(traits=short),))
        for one in slices(4, "MR")
    ]
    assert sorted(layout.shape[0] for layout in layouts(scan(instances))) == [3, 4]


def ultrasound(times: int, planes: int) -> Instance:
    """An Enhanced US Volume (PS3.3 A.59): places in the volume's own frame of reference."""
    groups = [
        {
            "PlanePositionVolumeSequence": [{"ImagePositionVolume": [0.0, 0.0, 0.5 * plane]}],
            "TemporalPositionSequence": [{"TemporalPositionTimeOffset": 0.1 * time}],
        }
        for time in range(times)
        for plane in range(planes)
    ]
    record = {
        "Modality": "US",
        "SharedFunctionalGroupsSequence": [
            {
                "PlaneOrientationVolumeSequence": [{"ImageOrientationVolume": AXIAL}],
                "PixelMeasuresSequence": [{"PixelSpacing": [0.8, 0.6], "SliceThickness": 0.5}],
            }
        ],
        "PerFrameFunctionalGroupsSequence": groups,
    }
    found = planes_of(Attributes(record, "keyword"), len(groups))
    return Instance(File("/in", "us", 1, 1), record, pixels=PIXELS._replace(frames=len(groups)), planes=found)


def test_an_ultrasound_volume_has_spacing_and_time_and_no_place_in_the_patient() -> None:
    (layout,) = layouts(Scan("s1-0", "1.2.3", (ultrasound(2, 5),)))
    assert (layout.shape, layout.axes[:2]) == ((2, 5, 8, 6), ("time", "slice"))
    assert (layout.affine, layout.verdict.spacing, layout.verdict.uniform_spacing) == (None, 0.5, True)
    assert "positions in the frame of reference of the volume, not of the patient" in layout.verdict.reason
    assert not layout.verdict.regular_volume


def test_two_ultrasound_volumes_are_never_stacked() -> None:
    """Each has a frame of reference of its own, whatever the numbers say."""
    first = ultrasound(1, 3)
    second = first._replace(file=File("/in", "us2", 1, 1))
    assert [layout.shape[0] for layout in layouts(Scan("s1-0", "1.2.3", (first, second)))] == [3, 3]


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("(0043,xx30) GEMS_PARM_01", (0, 2)),
        ("(0043,xx2F) GEMS_PARM_01", (0, 4)),
        ("(2005,xx11) Philips MR Imaging DD 001", ("M", "B0")),
        ("(0051,xx16) SIEMENS MR HEADER", ("p2 M/ND", "p2 P/ND")),
    ],
)
def test_vendors_elements_tell_what_image_type_does_not(key: str, values: tuple[Any, Any]) -> None:
    """A map and its magnitude, numbered one after the other, are no two times."""
    assert key in element_keys("keyword")
    instances = [
        Instance(
            File("/in", f"{part}{slot}", 1, 1),
            {key: value},
            modality="MR",
            pixels=PIXELS,
            planes=(Plane((0.0, 0.0, 3.0 * slot), tuple(AXIAL), (1.0, 1.0), 3.0),),
            instance_number=5 * part + slot + 1,
        )
        for part, value in enumerate(values)
        for slot in range(5)
    ]
    found = layouts(Scan("s1-0", "1.2.3", tuple(instances)))
    assert [(layout.shape[0], layout.axes[0]) for layout in found] == [(5, "slice"), (5, "slice")]
    for layout in found:
        assert len({instances[place.instance].record[key] for place in layout.placement}) == 1
    assert np.isfinite([layout.verdict.spacing for layout in found]).all()


def test_slices_without_a_position_are_each_the_first_frame_of_its_file() -> None:
    of = scan(slices())
    (layout,) = layouts(of)
    assert [place.frame for place in layout.placement] == [0] * 6
    assert [place.index for place in layout.placement] == [(place,) for place in range(6)]


def test_two_frames_have_their_times() -> None:
    """As a cine of one file; the times of the frames are their coordinates, for two as for more."""
    times = [(0.0, 40.0), (0.0, 40.0, 80.0)]
    for known in times:
        planes = tuple(
            Plane(traits=tuple(time if name == "FrameReferenceTime" else None for name in TRAITS)) for time in known
        )
        one = Instance(File("/in", "a", 1, 1), {}, pixels=PIXELS._replace(frames=len(known)), planes=planes)
        (layout,) = layouts(Scan("s1-0", "1.2.3", (one,)))
        assert layout.coordinates[0].values == tuple(time / 1000 for time in known)
