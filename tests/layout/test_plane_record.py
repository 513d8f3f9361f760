"""What tells planes apart where it stands inside sequences, in functional groups, or nowhere but in numbers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from crawler.layout.layouts import layouts
from crawler.layout.plane_record import DEEPEST, MOST_ELEMENTS, last_key, plane_record
from crawler.model import TRAITS, File, Instance, Layout, Pixels, Plane, Scan

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
ENHANCED_CT, CT = "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2"


def plane(slot: float, thickness: float = 2.0, **traits: Any) -> Plane:
    values = tuple(traits.get(name) for name in TRAITS)
    return Plane((0.0, 0.0, slot), AXIAL, (1.0, 1.0), thickness, traits=values)


def pixels(frames: int = 1) -> Pixels:
    return Pixels(rows=8, columns=6, frames=frames, photometric="MONOCHROME2", bits_allocated=16, keyword="PixelData")


def files(planes: Sequence[Plane], records: Sequence[dict[str, Any]] = ()) -> Scan:
    """Files of one plane each, numbered in their order."""
    instances = [
        Instance(
            File("/in", f"{number:03}", 1, 1),
            records[number] if records else {},
            sop_class=CT,
            pixels=pixels(),
            planes=(one,),
            instance_number=number + 1,
        )
        for number, one in enumerate(planes)
    ]
    return Scan("s1-0", "1.2.3", tuple(instances))


def volumes(layout: Layout, told: Sequence[int]) -> list[list[int]]:
    """What each stack of a layout holds, from what every file or frame is known to be."""
    stacks: dict[tuple[int, ...], list[int]] = {}
    for place in layout.placement:
        stacks.setdefault(place.index[:-1], []).append(told[max(place.instance, place.frame)])
    return list(stacks.values())


def test_elements_of_a_plane_lie_flat() -> None:
    record = {
        "Modality": "CT",
        "KVP": 100,
        "OtherSequence": [{"A": 1, "Inner": [{"B": 2}]}, {"A": 3}],
        "SharedFunctionalGroupsSequence": [{"Measures": [{"C": 4, "D": 5}]}],
        "PerFrameFunctionalGroupsSequence": [{}, {"Measures": [{"C": 6}]}],
        "PixelData": {"vr": "OW", "length": 9},
        "Empty": [],
    }
    assert plane_record(record, 1, "keyword") == {
        "Modality": "CT",
        "KVP": 100,
        "Measures|C": 6,
        "Measures|D": 5,
        "OtherSequence|A": 1,
        "OtherSequence|Inner|B": 2,
        "OtherSequence[1]|A": 3,
        "PixelData": {"vr": "OW", "length": 9},
        "Empty": [],
    }
    assert plane_record(record, 0, "keyword")["Measures|C"] == 4
    assert plane_record(record, 2, "keyword")["Measures|C"] == 4  # a frame that lacks its item
    assert (last_key("OtherSequence[1]|A"), last_key("KVP")) == ("A", "KVP")


def test_neither_depth_nor_number_of_elements_is_without_end() -> None:
    wide = {"S": [{f"E{number}": number for number in range(MOST_ELEMENTS + 5)}]}
    assert len(plane_record(wide, 0, "keyword")) == MOST_ELEMENTS
    deep: dict[str, Any] = {"X": 1}
    for _ in range(DEEPEST + 1):
        deep = {"S": [deep], "Y": 2}
    assert sorted(len(path) // 2 for path in plane_record(deep, 0, "keyword")) == list(range(DEEPEST + 1))


@pytest.mark.parametrize("style", ["keyword", "name", "tag"])
def test_an_element_inside_a_sequence_tells_files_apart(style: Any) -> None:
    """Two energies at each position, in an order that changes; only an item of a sequence says which is which."""
    told = [0, 1, 1, 0] * 3
    planes = [plane(2.0 * (number // 2)) for number in range(12)]
    of = files(planes, [{"MultienergySequence": [{"Energy": 80 + 60 * one}]} for one in told])
    (layout,) = layouts(of, keys=style)
    assert (layout.shape[:2], layout.axes[0]) == ((2, 6), "MultienergySequence_Energy")
    assert volumes(layout, told) == [[0] * 6, [1] * 6]
    assert layout.coordinates[0].values == (80, 140)
    assert layout.verdict.regular_volume


@pytest.mark.parametrize("element", ["FilterType", "AnythingElse"])
def test_an_element_of_a_functional_group_tells_frames_apart(element: str) -> None:
    shots = [(slot, volume) for slot in range(6) for volume in range(2)]
    random.Random(3).shuffle(shots)
    told = [volume for _, volume in shots]
    groups = [{"CTReconstructionSequence": [{element: f"F{volume}"}]} for volume in told]
    instance = Instance(
        File("/in", "a", 1, 1),
        {"PerFrameFunctionalGroupsSequence": groups},
        sop_class=ENHANCED_CT,
        pixels=pixels(12),
        planes=tuple(plane(2.0 * slot) for slot, _ in shots),
    )
    (layout,) = layouts(Scan("s1-0", "1.2.3", (instance,)))
    assert (layout.shape[:2], volumes(layout, told)) == ((2, 6), [[0] * 6, [1] * 6])
    named = element == "FilterType"
    assert layout.axes[0] == ("FilterType" if named else "CTReconstructionSequence_AnythingElse")
    assert layout.coordinates[0].values == (("F0", "F1") if named else (None, None))


def test_a_vendors_element_inside_a_functional_group_splits() -> None:
    """Philips copies its private elements of classic images into a sequence of each frame's group."""
    shots = [(0, 0), (0, 1), (1, 1), (1, 0), (2, 0), (2, 1)]
    element, place = "(2005,xx11) Philips MR Imaging DD 001", "(2005,xx0F) Philips MR Imaging DD 005"
    instance = Instance(
        File("/in", "a", 1, 1),
        {"PerFrameFunctionalGroupsSequence": [{place: [{element: "MP"[volume]}]} for _, volume in shots]},
        sop_class="1.2.840.10008.5.1.4.1.1.4.1",
        pixels=pixels(6),
        planes=tuple(plane(2.0 * slot) for slot, _ in shots),
    )
    found = layouts(Scan("s1-0", "1.2.3", (instance,)))
    told = [volume for _, volume in shots]
    assert [volumes(layout, told) for layout in found] == [[[0] * 3], [[1] * 3]]
    assert "Philips (2005,xx11)" in found[0].verdict.reason


def test_a_shared_group_tells_enhanced_objects_apart() -> None:
    """Each object holds every other position of both energies; their shared groups say which is which."""
    instances = [
        Instance(
            File("/in", f"{number}", 1, 1),
            {"SharedFunctionalGroupsSequence": [{"CTReconstructionSequence": [{"FilterType": f"F{number % 2}"}]}]},
            sop_class=ENHANCED_CT,
            pixels=pixels(3),
            planes=tuple(plane(2.0 * (3 * (number // 2) + slot)) for slot in range(3)),
            instance_number=1,
        )
        for number in (0, 1, 3, 2)
    ]
    (layout,) = layouts(Scan("s1-0", "1.2.3", tuple(instances)))
    assert (layout.axes[0], layout.shape[:2]) == ("FilterType", (2, 6))
    files_of = [
        {instances[place.instance].file.key for place in layout.placement if place.index[0] == n} for n in (0, 1)
    ]
    assert files_of == [{"0", "2"}, {"1", "3"}]


def test_numbers_that_run_slice_by_slice_are_no_proof() -> None:
    """Each position has two planes that only their numbers tell apart: the order may change from slice to slice."""
    planes = [plane(2.0 * (number // 2)) for number in range(12)]
    (layout,) = layouts(files(planes))
    assert layout.shape[:2] == (2, 6)
    assert not layout.verdict.regular_volume
    assert "only the numbers of the instances tell it, slice by slice" in layout.verdict.reason


@pytest.mark.parametrize("step", [1.0, -1.0])
def test_a_clock_can_prove_them(step: float) -> None:
    planes = [plane(2.0 * (number // 2), AcquisitionTime=36000 + step * (number % 2)) for number in range(12)]
    (layout,) = layouts(files(planes))
    assert layout.shape[:2] == (2, 6)
    assert layout.verdict.regular_volume
    starts = {planes[place.instance].trait("AcquisitionTime") for place in layout.placement if place.index[0] == 0}
    assert starts == {min(36000, 36000 + step)}


def test_thin_and_thick_slices_are_two_volumes() -> None:
    thin = [plane(2.0 * slot) for slot in range(7)]
    thick = [plane(1 + 4.0 * slot, 4.0) for slot in range(3)]
    found = layouts(files([*thin, *thick]))
    assert sorted(layout.shape[0] for layout in found) == [3, 7]
    assert all(layout.verdict.regular_volume for layout in found)
    assert "told apart by SliceThickness" in found[0].verdict.reason


def test_two_thicknesses_in_turn_are_two_volumes() -> None:
    """Together they would be one even stack of half the step."""
    of = files([plane(float(slot), 2.0 + slot % 2) for slot in range(12)])
    assert [(layout.shape[0], layout.verdict.spacing) for layout in layouts(of)] == [(6, 2.0), (6, 2.0)]


def test_a_thickness_that_changes_within_an_even_stack_splits_nothing() -> None:
    of = files([plane(2.0 * slot, 2.0 if slot < 5 else 3.0) for slot in range(9)])
    assert [layout.shape[0] for layout in layouts(of)] == [9]


def test_two_kernels_are_two_volumes_also_side_by_side() -> None:
    of = files([plane(2.0 * slot, ConvolutionKernel="B30" if slot < 5 else "B70") for slot in range(9)])
    assert sorted(layout.shape[0] for layout in layouts(of)) == [4, 5]


XA = "(0021,xx75) SIEMENS MR SDI 02"


@pytest.mark.parametrize(
    ("key", "words", "shapes"),
    [
        ("(0065,xx90) Image Private Header", ("MAGNITUDE", "phase "), [(6,), (6,)]),
        ("(700D,xx90) TOSHIBA_MEC_MR3", ("REAL", "IMAG"), [(6,), (6,)]),
        ("(0065,xx90) Image Private Header", ("MAGNITUDE", "SOMETHING"), [(2, 6)]),
        ("(0065,xx90) Image Private Header", ("1", None), [(2, 6)]),
        (XA, (["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]), [(6,), (6,)]),
    ],
)
def test_parts_of_a_complex_image_share_no_array(key: str, words: Any, shapes: Any) -> None:
    """Whichever vendor's element says it: magnitude and phase are no steps of an axis."""
    told = [0, 1, 1, 0] * 3
    of = files([plane(2.0 * (number // 2)) for number in range(12)], [{key: words[one]} for one in told])
    found = layouts(of)
    assert [layout.shape[:-2] for layout in found] == shapes
    assert sorted(stack for layout in found for stack in volumes(layout, told)) == [[0] * 6, [1] * 6]
    assert ("complex component" in found[0].verdict.reason) == (len(shapes) == 2 and key != XA)
