"""No array holds planes of two volumes, whatever is missing, doubled, damaged or shuffled; none with a gap is regular.

Every series here knows of each plane which volume it is of. The layouts see headers alone, as always.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crawler.layout.layouts import layouts
from crawler.model import TRAITS, Coordinates, File, Instance, Layout, Pixels, Plane, Scan

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
PIXELS = Pixels(rows=8, columns=6, photometric="MONOCHROME2", bits_allocated=16, keyword="PixelData")
STEP = 3.0


@dataclass(frozen=True)
class Shot:
    """One plane: its volume, its position, and what its header says."""

    volume: tuple[int, ...]
    slot: int
    traits: dict[str, Any]
    record: dict[str, Any]
    number: int | None
    component: str = ""


def instance(shot: Shot, name: str) -> Instance:
    traits = tuple(shot.traits.get(keyword) for keyword in TRAITS)
    plane = Plane((0.0, 0.0, STEP * shot.slot), AXIAL, (1.0, 1.0), STEP, traits=traits)
    return Instance(
        File("/in", name, 1, 1), dict(shot.record), pixels=PIXELS, planes=(plane,), instance_number=shot.number
    )


def run_of(slices: int, kind: str) -> list[int]:
    """Positions in the order of acquisition within a volume."""
    up = list(range(slices))
    return {"up": up, "down": up[::-1], "twos": up[::2] + up[1::2], "late": up[1::2] + up[::2]}[kind]


IDENTITIES: dict[str, Callable[[tuple[int, ...], int, int], tuple[dict[str, Any], dict[str, Any]]]] = {
    # volume (first axis, second axis), slot, place in the order of acquisition of slices -> traits, elements
    "position in time": lambda v, slot, place: (
        {"TemporalPositionIdentifier": v[0] + 1, "EchoTime": 30.0 + 20 * v[1]},
        {},
    ),
    "frame reference time": lambda v, slot, place: (
        {"FrameReferenceTime": 5e3 * v[0], "FlipAngle": 5.0 + 10 * v[1]},
        {},
    ),
    "acquisition number": lambda v, slot, place: ({"AcquisitionNumber": 2 * v[0] + v[1]}, {}),
    "clock": lambda v, slot, place: ({"AcquisitionTime": 36000 + 4.0 * v[0] + 2.0 * v[1] + 0.1 * place}, {}),
    "clock past midnight": lambda v, slot, place: (
        {"AcquisitionTime": (86_393 + 4.0 * v[0] + 2.0 * v[1] + 0.1 * place) % 86_400},
        {},
    ),
    "trigger": lambda v, slot, place: ({"TriggerTime": 50.0 * v[0] + 0.3 * slot, "EchoNumbers": v[1] + 1}, {}),
    "weighting": lambda v, slot, place: (
        {
            "DiffusionBValue": 1000.0 * min(v[0], 1),
            "DiffusionGradientOrientation": None if v[0] == 0 else tuple(np.eye(3)[v[0] % 3].tolist()),
            "AcquisitionNumber": 2 * v[0] + v[1],
        },
        {},
    ),
    "energy": lambda v, slot, place: ({"TemporalPositionIdentifier": v[0], "KVP": 80 + 60 * v[1]}, {}),
    "private element": lambda v, slot, place: ({}, {"(0099,xx10 MAKER)": 2 * v[0] + v[1]}),
    "kernel": lambda v, slot, place: ({"AcquisitionNumber": v[0], "ConvolutionKernel": f"B{v[1]}0f"}, {}),
    "filter": lambda v, slot, place: ({"AcquisitionNumber": v[0]}, {"FilterType": f"F{v[1]}"}),
}


def series(identity: str, shape: tuple[int, int], slices: int, kind: str, numbering: str) -> list[Shot]:
    """A whole series in the order of acquisition."""
    tell, run, shots = IDENTITIES[identity], run_of(slices, kind), []
    for volume in itertools.product(*map(range, shape)):
        for place, slot in enumerate(run):
            traits, record = tell(volume, slot, place)
            shots.append(Shot(volume, slot, traits, record, len(shots) + 1))
    if numbering == "by slice":
        shots = sorted(shots, key=lambda shot: shot.slot)
        shots = [replace(shot, number=number) for number, shot in enumerate(shots, start=1)]
    elif numbering != "by volume":
        shots = [replace(shot, number=None if numbering == "none" else 7) for shot in shots]
    return shots


def scan_of(shots: list[Shot], rng: random.Random) -> tuple[Scan, dict[str, Shot]]:
    names = [f"{number:04}" for number in rng.sample(range(10_000), len(shots))]
    known = dict(zip(names, shots, strict=True))
    return Scan("s1-0", "1.2.3", tuple(instance(shot, name) for name, shot in known.items())), known


def assert_whole(found: list[Layout], of: Scan, known: dict[str, Shot], irregular: str = "split") -> None:
    """The law: each plane once; one volume in each stack of slices; regular ones without gaps."""
    placed = [of.instances[place.instance].file.key for layout in found for place in layout.placement]
    assert sorted(placed) == sorted(known)
    there = sorted({shot.slot for shot in known.values()})
    for layout in found:
        stacks: dict[tuple[int, ...], list[Shot]] = {}
        for place in layout.placement:
            stacks.setdefault(place.index[:-1], []).append(known[of.instances[place.instance].file.key])
        if layout.axes[0] == "frame":
            assert layout.affine is None
            assert not layout.verdict.regular_volume
            assert layout.verdict.reason
            continue
        for stack in stacks.values():
            assert len({shot.volume for shot in stack}) == 1, [(shot.volume, shot.slot) for shot in stack]
            slots = [shot.slot for shot in stack]
            if layout.verdict.regular_volume:
                assert slots == [slot for slot in there if slots[0] <= slot <= slots[-1]]


faults = st.lists(st.tuples(st.integers(0, 200), st.sampled_from(["drop", "double", "damage", "copy"])), max_size=5)
law = settings(max_examples=30, deadline=None)
INFERRED = ("clock", "clock past midnight", "trigger", "private element")
"""Told by a pattern over the series: which there must be. Two volumes at least are whole then."""


def spoil(shots: list[Shot], done: list[tuple[int, str]]) -> list[Shot]:
    """Leave planes out, double them under new names, or take a trait or the number from them."""
    shots = list(shots)
    for where, what in done:
        index = where % len(shots)
        shot = shots[index]
        if what == "drop" and len(shots) > 1:
            del shots[index]
        elif what == "double":
            shots.append(replace(shot, number=None if shot.number is None else len(shots) + 50))
        elif what == "copy":
            shots.append(shot)
        elif what == "damage":
            shots[index] = replace(shot, number=None)
    return shots


@pytest.mark.parametrize("numbering", ["by volume", "by slice", "none", "all alike"])
@pytest.mark.parametrize("identity", IDENTITIES)
@law
@given(
    shape=st.tuples(st.integers(2, 5), st.integers(1, 2)),
    slices=st.integers(3, 6),
    kind=st.sampled_from(["up", "down", "twos", "late"]),
    done=faults,
    rng=st.randoms(use_true_random=False),
)
def test_no_array_mixes_volumes(
    identity: str, numbering: str, shape: tuple[int, int], slices: int, kind: str, done: Any, rng: random.Random
) -> None:
    if identity == "private element":
        shape = (shape[0], 1)
    shots = spoil(series(identity, shape, slices, kind, numbering), done)
    volumes = Counter(volume for volume, _ in {(shot.volume, shot.slot) for shot in shots})
    # A single plane at each position may be one volume, whatever runs on from plane to plane.
    repeated = max(Counter(slot for _, slot in {(shot.volume, shot.slot) for shot in shots}).values()) > 1
    assume(repeated or identity == "position in time")
    # Of each contrast: one that has a position twice and no whole volume is taken for one with a plane taken twice.
    whole = Counter(volume[1] for volume, count in volumes.items() if count == slices)
    assume(identity not in INFERRED or all(whole[contrast] > 1 for contrast in range(shape[1])))
    of, known = scan_of(shots, rng)
    assert_whole(layouts(of), of, known)


@pytest.mark.parametrize("kind", ["up", "down", "twos", "late"])
@pytest.mark.parametrize("numbering", ["by volume", "by slice", "none", "all alike"])
@pytest.mark.parametrize("identity", IDENTITIES)
def test_a_series_without_faults_is_one_regular_array(identity: str, numbering: str, kind: str) -> None:
    """So that the law above is not kept by refusing everything."""
    shape = (3, 1 if identity == "private element" else 2)
    of, known = scan_of(series(identity, shape, 5, kind, numbering), random.Random(1))
    (layout,) = layouts(of)
    assert layout.verdict.regular_volume
    assert layout.shape[-3] == 5
    assert_whole([layout], of, known)


def test_two_positions_are_volumes_in_turn_and_one_is_not() -> None:
    of, known = scan_of(series("clock", (3, 1), 2, "up", "by volume"), random.Random(1))
    (layout,) = layouts(of)
    assert layout.shape[:2] == (3, 2)
    assert_whole([layout], of, known)
    of, known = scan_of(series("clock", (3, 1), 1, "up", "by volume"), random.Random(1))
    (layout,) = layouts(of)
    assert (layout.axes[0], layout.verdict.regular_volume) == ("frame", False)


@pytest.mark.parametrize("numbering", ["by volume", "by slice"])
def test_a_plane_that_is_missing_costs_its_own_volume_alone(numbering: str) -> None:
    shots = series("position in time", (4, 1), 5, "twos", numbering)
    of, known = scan_of([shot for shot in shots if (shot.volume, shot.slot) != ((2, 0), 3)], random.Random(2))
    found = layouts(of)
    whole = max(found, key=lambda layout: len(layout.placement))
    assert (whole.shape[:2], whole.verdict.regular_volume) == ((3, 5), True)
    for layout in found:
        if layout is not whole:
            assert "incomplete: other volumes of the series have more positions" in layout.verdict.reason
            assert not layout.verdict.regular_volume
    assert_whole(found, of, known)


def test_numbers_that_run_against_the_clock_tell_nothing() -> None:
    """Two volumes in time, of which three planes came again under new numbers: those are no third volume."""
    shots = spoil(series("clock", (2, 1), 3, "up", "all alike"), [(0, "double"), (3, "double"), (1, "double")])
    of, known = scan_of(shots, random.Random(3))
    assert_whole(layouts(of), of, known)


def test_two_planes_with_one_of_another_volume_between_are_no_regular_volume() -> None:
    shots = [
        shot for shot in series("position in time", (2, 1), 3, "up", "by slice") if sum(shot.volume) == shot.slot % 2
    ]
    of, known = scan_of(shots, random.Random(3))
    assert [layout.verdict.regular_volume for layout in layouts(of)] == [False, False]
    assert_whole(layouts(of), of, known)


def test_numbers_alone_tell_volumes_also_where_one_plane_is_missing() -> None:
    shots = [Shot((volume,), slot, {}, {}, 6 * volume + slot + 1) for volume in range(4) for slot in range(6)]
    of, known = scan_of([shot for shot in shots if shot.number not in (1, 15)], random.Random(3))
    found = layouts(of)
    assert_whole(found, of, known)
    assert max(len(layout.placement) for layout in found) == 12


def test_numbers_out_of_any_order_tell_nothing() -> None:
    numbers = random.Random(4).sample(range(1, 25), 24)
    shots = [Shot((volume,), slot, {}, {}, numbers.pop()) for volume in range(4) for slot in range(6)]
    of, known = scan_of(shots, random.Random(5))
    (layout,) = layouts(of)
    assert (layout.axes[0], layout.affine, layout.verdict.regular_volume) == ("frame", None, False)
    assert "repeated positions that nothing tells apart" in layout.verdict.reason
    assert_whole([layout], of, known)


def test_the_axis_of_an_element_carries_its_keyword() -> None:
    of, _ = scan_of(series("energy", (1, 2), 5, "up", "by slice"), random.Random(6))
    (layout,) = layouts(of)
    assert layout.axes[:2] == ("KVP", "slice")
    assert layout.coordinates == (Coordinates("KVP", (80, 140), "KVP"),)
    kernels, _ = scan_of(series("kernel", (1, 2), 5, "up", "by slice"), random.Random(6))
    assert layouts(kernels)[0].coordinates[0].values == ("B00f", "B10f")


def test_what_a_description_says_stays_in_the_header() -> None:
    """A *Series Description* may hold a name: that it differs tells volumes apart, what it says is not repeated."""
    shots = [
        Shot((volume,), slot, {}, {"SeriesDescription": f"Doe {volume}"}, 7) for volume in range(2) for slot in range(4)
    ]
    of, _ = scan_of(shots, random.Random(7))
    (layout,) = layouts(of)
    assert layout.coordinates == (Coordinates("SeriesDescription", (None, None), "SeriesDescription"),)


def test_copies_in_another_encoding_are_no_time() -> None:
    shots = [
        Shot(
            (copy,), slot, {"AcquisitionTime": 5.0 * slot}, {"TransferSyntaxUID": f"1.2.840.10008.1.2.{copy}"}, slot + 1
        )
        for copy in (1, 4)
        for slot in range(5)
    ]
    of, known = scan_of(shots, random.Random(8))
    found = layouts(of)
    assert [(layout.shape[0], layout.axes[0]) for layout in found] == [(5, "slice"), (5, "slice")]
    assert_whole(found, of, known)


def test_a_plane_taken_twice_leaves_its_volume_in_doubt() -> None:
    shots = [Shot((0,), slot, {}, {}, slot + 1) for slot in range(8)]
    of, _known = scan_of([*shots, replace(shots[3])], random.Random(9))
    volume, second = sorted(layouts(of), key=lambda layout: -len(layout.placement))
    assert (volume.shape[0], volume.affine is not None, volume.verdict.regular_volume) == (8, True, False)
    assert volume.verdict.reason == (
        "repeated positions in unequal numbers; the first of several planes that nothing tells apart"
    )
    assert (second.shape[0], second.verdict.regular_volume) == (1, False)


def shuttle(volumes: int, slices: int) -> list[tuple[int, int]]:
    """(volume, slot) in the order of a table that goes up and down in turn."""
    ways = [list(range(slices)), list(range(slices))[::-1]]
    return [(volume, slot) for volume in range(volumes) for slot in ways[volume % 2]]


HOSTILE: dict[str, list[Shot]] = {
    "a table that goes to and fro": [
        Shot((v,), k, {"AcquisitionTime": 36_000 + 0.4 * n}, {}, n)
        for n, (v, k) in enumerate(shuttle(6, 4), start=1)
        if (v, k) != (3, 1)
    ],
    "numbers that go to and fro": [
        Shot((v,), k, {}, {}, n) for n, (v, k) in enumerate(shuttle(4, 5), start=1) if (v, k) != (2, 2)
    ],
    "numbers made anew after a loss": [
        Shot((v,), k, {}, {}, n)
        for n, (v, k) in enumerate(
            ((v, k) for v in range(5) for k in range(5) if (v, k) not in ((1, 2), (3, 4))), start=1
        )
    ],
    "numbers that begin anew": [Shot((v,), k, {}, {}, k + 1) for v in range(3) for k in range(5)],
    "every volume lacks another plane": [
        Shot((v,), k, {"AcquisitionTime": 36_000 + 2.5 * v + 0.5 * k}, {}, 1 + 5 * v + k)
        for v in range(5)
        for k in range(5)
        if v != k
    ],
    "a heart at its own pace, without one phase": [
        Shot((v,), k, {"TriggerTime": 20 + v * (100 + 5.0 * k)}, {}, 1 + 8 * k + v)
        for v in range(8)
        for k in range(5)
        if (v, k) != (3, 2)
    ],
    "slices at once, without one": [
        Shot((v,), k, {"AcquisitionTime": 36_000 + 2.0 * v + 0.5 * (k % 3)}, {}, 1 + 6 * v + k)
        for v in range(4)
        for k in range(6)
        if (v, k) != (2, 4)
    ],
    "a time for the whole series": [
        Shot((v,), k, {"AcquisitionTime": 36_000.0}, {}, 1 + 5 * v + k)
        for v in range(4)
        for k in range(5)
        if (v, k) not in ((0, 0), (3, 4))
    ],
    "energies whose ends are missing": [
        Shot((v,), k, {"KVP": 80 + 60 * v}, {}, 1 + 2 * k + (v if k % 2 else 1 - v))
        for v in range(2)
        for k in range(8)
        if (v, k) not in ((0, 0), (0, 7), (1, 3))
    ],
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("seed", range(3))
def test_series_of_other_makers_are_not_mixed(name: str, seed: int) -> None:
    of, known = scan_of(HOSTILE[name], random.Random(seed))
    found = layouts(of)
    assert_whole(found, of, known)
    assert not all(layout.verdict.regular_volume for layout in found), "none of them is whole"
