"""Planes as columns: what has a geometry, which kinds there are, and in what order planes were acquired."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from crawler.layout.planes import FRAME_LIMIT, NUMBER_LIMIT, clusters, image, plane_set, planes_of
from crawler.model import TRAITS, File, Instance, Mosaic, Pixels, Plane

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
PIXELS = Pixels(rows=8, columns=6, samples=1, photometric="MONOCHROME2", bits_allocated=16, keyword="PixelData")
SEG, LABEL_MAP, DOSE = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7", "1.2.840.10008.5.1.4.1.1.481.2"


def plane(z: float = 0.0, **fields: Any) -> Plane:
    traits = tuple(fields.pop(name, None) for name in TRAITS)
    return Plane(**{"position": (0.0, 0.0, z), "orientation": AXIAL, "spacing": (1.0, 1.0), "traits": traits, **fields})


def instance(name: str, *planes: Plane, pixels: Pixels | None = PIXELS, **fields: Any) -> Instance:
    described = pixels._replace(frames=fields.pop("frames", len(planes))) if pixels is not None else None
    return Instance(File("/in", name, 1, 1), {}, pixels=described, planes=planes, **fields)


def kinds(*instances: Instance) -> list[int]:
    return planes_of(instances).kind.tolist()


# -- clusters


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[0.0], [1.0], [1.001]], [0, 0, 1]),
        ([[1.0], [0.0], [2.0]], [0, 0, 0]),  # both are near the first row
        ([[0.0], [0.9], [1.8]], [0, 0, 1]),  # the first row counts, and no chain
        ([[0.0, 0.0], [0.5, 1.0], [0.5, 1.1], [-1.0, -1.0]], [0, 0, 1, 0]),
        ([[5.0], [0.0], [5.5], [0.5]], [0, 1, 0, 1]),
        ([[0.0, 9.0], [0.2, 0.0], [0.1, 9.5]], [0, 1, 0]),
    ],
)
def test_rows_near_the_first_of_a_cluster(rows: list[list[float]], expected: list[int]) -> None:
    assert clusters(np.array(rows)).tolist() == expected


def test_no_rows_are_no_clusters() -> None:
    assert clusters(np.zeros((0, 3))).tolist() == []


# -- images


def test_what_lies_in_no_layout() -> None:
    assert image(instance("a", pixels=None)) is None
    assert image(instance("a", plane(), pixels=PIXELS._replace(rows=0))) is None
    assert image(instance("a", plane(), pixels=PIXELS._replace(columns=0))) is None
    assert image(instance("a", plane(), pixels=PIXELS._replace(rows=1, columns=1))) is not None
    assert image(instance("a", plane(), is_index=True)) is None
    assert image(instance("a", plane(), frames=FRAME_LIMIT)) is not None
    assert image(instance("a", plane(), frames=FRAME_LIMIT + 1)) is None


def test_a_mosaic_is_described_by_its_tiles() -> None:
    tiles = (plane(0.0), plane(3.0), plane(6.0))
    made = instance("a", *tiles, frames=1, mosaic=Mosaic(tiles=3, across=2, rows=4, columns=3))
    described = image(made)
    assert described is not None
    assert (described.rows, described.columns, described.frames) == (4, 3, 3)
    assert planes_of([made]).frame.tolist() == [0, 1, 2]


# -- kinds


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"rows": 9}, False),
        ({"columns": 7}, False),
        ({"samples": 3}, False),
        ({"photometric": "MONOCHROME1"}, False),
        ({"keyword": "FloatPixelData"}, False),
        ({"bits_allocated": 8}, True),  # values go to a type that holds both
        ({"bits_stored": 12}, True),
        ({"signed": True}, True),
    ],
)
def test_pixels_of_one_kind(change: dict[str, Any], same: bool) -> None:
    found = kinds(instance("a", plane(0)), instance("b", plane(3), pixels=PIXELS._replace(**change)))
    assert (found[0] == found[1]) is same


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"component": "PHASE"}, False),
        ({"stack": "2"}, False),
        ({"of_volume": True}, False),
        ({"spacing": (1.0, 1.0009)}, True),
        ({"spacing": (1.0, 1.0011)}, False),
        ({"spacing": (1.0011, 1.0)}, False),
        ({"spacing": None}, False),
        ({"orientation": (1.0, 0.0019, 0.0, 0.0, 1.0, 0.0)}, True),
        ({"orientation": (1.0, 0.0021, 0.0, 0.0, 1.0, 0.0)}, False),
        ({"orientation": (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)}, False),
        ({"thickness": 9.0}, True),
        ({"slope": 2.0}, True),
    ],
)
def test_planes_of_one_kind(change: dict[str, Any], same: bool) -> None:
    found = kinds(instance("a", plane(0)), instance("b", plane(3, **change)))
    assert (found[0] == found[1]) is same


@pytest.mark.parametrize("word", ["Units", "RescaleType", "modality"])
@pytest.mark.parametrize(
    ("values", "kinds_of_them"),
    [
        (("BQML", "BQML", "CNTS"), [0, 0, 1]),
        (("BQML", "", "BQML"), [0, 0, 0]),  # what is not said is no other
        (("BQML", "", "CNTS"), [0, 1, 2]),
    ],
)
def test_values_of_two_units_are_of_two_kinds(word: str, values: tuple[str, ...], kinds_of_them: list[int]) -> None:
    made = [instance(f"{z}", plane(z)) for z in range(3)]
    for number, value in enumerate(values):
        told: dict[str, Any] = {"modality": value} if word == "modality" else {"record": {word: value or None}}
        made[number] = made[number]._replace(**told)
    assert kinds(*made) == kinds_of_them


def test_tolerances_grow_with_that_of_the_volume() -> None:
    pair = [instance("a", plane(0)), instance("b", plane(3, spacing=(1.0, 1.0015)))]
    turned = [instance("a", plane(0)), instance("b", plane(3, orientation=(1.0, 0.003, 0.0, 0.0, 1.0, 0.0)))]
    for made in (pair, turned):
        assert len(set(planes_of(made).kind.tolist())) == 2
        assert len(set(planes_of(made, 2.0).kind.tolist())) == 1


def test_planes_without_spacing_are_of_one_kind() -> None:
    spacings = [None, (0.0, 1.0), (-1.0, 1.0), (float("nan"), 1.0), (1.0, 1.0)]
    found = kinds(*(instance(f"{z}", plane(z, spacing=one)) for z, one in enumerate(spacings)))
    assert found[:4] == [found[0]] * 4
    assert found[4] != found[0]


@pytest.mark.parametrize(
    ("sop_class", "together"), [("1.2.840.10008.5.1.4.1.1.4", True), (SEG, False), (LABEL_MAP, False), (DOSE, False)]
)
def test_results_of_two_objects_are_never_one_kind(sop_class: str, together: bool) -> None:
    found = kinds(*(instance(name, plane(z), sop_class=sop_class) for z, name in enumerate("ab")))
    assert (found[0] == found[1]) is together


@pytest.mark.parametrize(("sop_class", "apart"), [(SEG, True), (LABEL_MAP, True), (DOSE, False)])
def test_segments_are_kinds_of_their_own(sop_class: str, apart: bool) -> None:
    planes = [plane(z, DimensionIndexValues=(segment,)) for segment in (1, 2) for z in (0, 3)]
    found = kinds(instance("a", *planes, sop_class=sop_class))
    assert found == ([0, 0, 1, 1] if apart else [0] * 4)


# -- frames of reference


def referenced(*uids: str, frames: int = 1) -> tuple[list[int], bool]:
    made = [
        instance(f"{number}", *(plane(number + frame) for frame in range(frames)), frame_of_reference=uid)
        for number, uid in enumerate(uids)
    ]
    found = planes_of(made)
    return found.kind.tolist(), found.references_ignored


@pytest.mark.parametrize(
    ("uids", "kinds_of_them", "ignored"),
    [
        (("1", "1", "1"), [0, 0, 0], False),
        (("1", "2"), [0, 1], False),  # two scouts
        (("1", "2", "3"), [0, 0, 0], True),
        (("1", "2", "3", "4", "4"), [0] * 5, True),
        (("1", "2", "3", "4", "4", "4"), [0, 1, 2, 3, 3, 3], False),  # half of them share one
        (("1", "2", "", ""), [0, 1, 2, 2], False),
        (("", "", ""), [0, 0, 0], False),
    ],
)
def test_a_frame_of_reference_for_each_file(uids: tuple[str, ...], kinds_of_them: list[int], ignored: bool) -> None:
    assert referenced(*uids) == (kinds_of_them, ignored)


def test_objects_of_many_frames_keep_their_frames_of_reference() -> None:
    assert referenced("1", "2", "3", frames=2) == ([0, 0, 1, 1, 2, 2], False)


# -- what has no geometry


def test_planes_without_a_place_are_left_out() -> None:
    made = [
        instance("a", plane(0)),
        instance("b", plane(3, position=None)),
        instance("c", plane(6, orientation=(1.0, 0.0, 0.0, 1.0, 0.0, 0.0))),
        instance("d", plane(1e7)),
        instance("e", plane(9), frames=5),
        instance("f", plane(12), plane(15, position=None), plane(18, position=None)),
    ]
    found = planes_of(made)
    assert found.instance.tolist() == [0, 5]
    assert set(found.without_geometry) == {(1, (0,)), (2, (0,)), (3, (0,)), (4, (0, 1, 2, 3, 4)), (5, (1, 2))}


def test_planes_are_in_the_order_of_names() -> None:
    found = planes_of([instance("b", plane(0)), instance("a", plane(3), plane(6)), instance("c", plane(9))])
    assert found.instance.tolist() == [1, 1, 0, 2]
    assert found.frame.tolist() == [0, 1, 0, 0]
    assert found.rank.tolist() == [1, 0, 2]
    assert found.position[:, 2].tolist() == [3, 6, 0, 9]
    assert found.single_orientation is True
    assert planes_of([]).single_orientation is None
    turned = instance("z", plane(0, orientation=(0.0, 1.0, 0.0, 0.0, 0.0, -1.0)))
    assert planes_of([instance("a", plane(0)), turned]).single_orientation is False


# -- the order of acquisition


def ordered(made: list[Instance]) -> tuple[list[float], list[int]]:
    planes = planes_of(made)
    members = np.arange(len(planes.instance))
    of = plane_set(made, planes, members, np.zeros(len(members), dtype=np.intp))
    return of.numbers.tolist(), of.sequence.tolist()


def test_numbers_of_their_own_are_the_numbers() -> None:
    made = [instance(name, plane(), instance_number=number) for name, number in zip("abc", (7, 5, 90), strict=True)]
    assert ordered(made) == ([7.0, 5.0, 90.0], [1, 0, 2])


def test_numbers_that_are_shared_are_broken_by_time_and_frame() -> None:
    made = [
        instance(name, plane(AcquisitionTime=time), instance_number=1)
        for name, time in zip("abc", (30.0, 10.0, 20.0), strict=True)
    ]
    assert ordered(made) == ([3.0, 1.0, 2.0], [2, 0, 1])
    frames = [instance("a", plane(), plane(), plane(), instance_number=4)]
    assert ordered(frames) == ([1.0, 2.0, 3.0], [0, 1, 2])


def test_numbers_that_tell_nothing_stay_as_they_are() -> None:
    alike = [instance(name, plane(), instance_number=1) for name in "abc"]
    assert ordered(alike) == ([1.0, 1.0, 1.0], [0, 1, 2])
    lost = [instance(name, plane(), instance_number=number) for name, number in zip("abc", (2, None, 1), strict=True)]
    numbers, sequence = ordered(lost)
    assert numbers[::2] == [2.0, 1.0]
    assert np.isnan(numbers[1])
    assert sequence == [1, 2, 0], "without a number last"
    timed = [instance(name, plane(AcquisitionTime=float(time))) for name, time in zip("abc", (3, 1, 2), strict=True)]
    assert ordered(timed) == ([3.0, 1.0, 2.0], [2, 0, 1])


@pytest.mark.parametrize(("number", "kept"), [(NUMBER_LIMIT - 1, True), (NUMBER_LIMIT, False), (-NUMBER_LIMIT, False)])
def test_numbers_that_no_is_can_hold(number: int, kept: bool) -> None:
    made = [instance(name, plane(), instance_number=one) for name, one in zip("ab", (number, 5), strict=True)]
    numbers, sequence = ordered(made)
    assert (numbers[0] == number) is kept
    assert sequence == ([1, 0] if number > 0 else [0, 1])


def test_a_part_of_a_set_keeps_its_order_and_numbers_its_slots_anew() -> None:
    made = [instance(name, plane(z), instance_number=9 - z) for z, name in enumerate("abcd")]
    planes = planes_of(made)
    of = plane_set(made, planes, np.arange(4), np.array([0, 2, 4, 4]))
    part = of.part(np.array([1, 3]))
    assert part.slots.tolist() == [0, 1]
    assert part.numbers.tolist() == [8.0, 6.0]
    assert [one.file.name for one in part.instances] == ["b", "d"]
    assert part.record_of(1) is not None
