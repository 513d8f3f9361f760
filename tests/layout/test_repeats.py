"""Planes at one position told apart: by what, how far, and what is left untold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.layout.columns import BY_ORDER
from crawler.layout.planes import PlaneSet
from crawler.layout.repeats import Separation, repetitions, separate
from crawler.model import TRAITS, File, Instance, Plane

Row = dict[str, Any]
"""A plane: its slot, and traits or elements by name; `number` is that of its instance."""


def told(rows: list[Row], order: str = "auto") -> Separation:
    planes, instances, numbers, records = [], [], [], []
    for count, row in enumerate(rows):
        plane = Plane(traits=tuple(row.get(name) for name in TRAITS), custom=row.get("custom"))
        record = {name: value for name, value in row.items() if name not in (*TRAITS, "slot", "number", "custom")}
        planes.append(plane)
        records.append(record)
        instances.append(Instance(File("/in", f"{count:03}", 1, 1), record, planes=(plane,)))
        number = row.get("number", count + 1)
        numbers.append(np.nan if number is None else float(number))
    slots = np.array([row["slot"] for row in rows], dtype=np.intp)
    sequence = np.argsort(np.argsort(np.nan_to_num(numbers, nan=1e9), kind="stable"), kind="stable")
    return separate(
        PlaneSet(slots, planes, instances, np.array(numbers), sequence, lambda plane: records[plane]), order
    )


def groups(found: Separation) -> list[list[int]]:
    return [sorted(group.tolist()) for group in found.groups]


def volumes(slots: int, *values: Row) -> list[Row]:
    """A volume for each of some values, one after the other."""
    return [{"slot": slot, **value} for value in values for slot in range(slots)]


def test_distinct_positions_are_together() -> None:
    found = told([{"slot": slot} for slot in (2, 0, 1)])
    assert groups(found) == [[0, 1, 2]]
    assert (found.traits, found.doubtful, found.second, found.untold) == ((), frozenset(), (), ())


@pytest.mark.parametrize("name", ["EchoTime", "KVP", "FilterType", "TemporalPositionIdentifier"])
def test_one_trait_or_element(name: str) -> None:
    found = told(volumes(4, {name: 20}, {name: 10}))
    assert (found.traits, found.codes.tolist()) == ((name,), [[0], [1]])
    assert groups(found) == [[4, 5, 6, 7], [0, 1, 2, 3]], "in the order of the values"


def test_two_contrasts_and_a_time() -> None:
    rows = volumes(3, *({"EchoTime": e, "FlipAngle": f, "TemporalPositionIdentifier": t}
                        for e in (1, 2) for f in (5, 9) for t in (1, 2)))  # fmt: skip
    found = told(rows)
    assert found.traits == ("EchoTime", "FlipAngle", "TemporalPositionIdentifier")
    assert found.codes.tolist() == [[e, f, t] for e in (0, 1) for f in (0, 1) for t in (0, 1)]


def test_no_more_than_it_takes() -> None:
    both = volumes(3, {"EchoTime": 1, "EchoNumbers": 1}, {"EchoTime": 2, "EchoNumbers": 2})
    assert told(both).traits == ("EchoTime",)
    timed = volumes(3, {"EchoTime": 1, "AcquisitionNumber": 1}, {"EchoTime": 2, "AcquisitionNumber": 2})
    assert told(timed).traits == ("EchoTime",), "a time comes after a contrast"
    kinds = volumes(3, {"AcquisitionNumber": 1, "ImageType": ("A",)}, {"AcquisitionNumber": 2, "ImageType": ("B",)})
    assert told(kinds).traits == ("AcquisitionNumber",), "and before a kind"


def test_two_times_are_one_axis() -> None:
    rows = volumes(3, *({"AcquisitionNumber": a, "TemporalPositionIdentifier": t} for a in (1, 2) for t in (1, 2)))
    found = told(rows)
    assert found.traits == (BY_ORDER,)
    assert len(found.groups) == 4


def test_a_trait_at_few_positions_tells_nothing() -> None:
    """As a clock does; the numbers tell it."""
    rows = volumes(4, {}, {})
    for count, row in enumerate(rows):
        row["FlipAngle"] = count
    found = told(rows)
    assert found.traits == (BY_ORDER,)
    assert groups(found) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_the_wanted_axis_is_tried_first() -> None:
    rows = volumes(
        3, {"EchoTime": 1, "TemporalPositionIdentifier": 1}, {"EchoTime": 2, "TemporalPositionIdentifier": 2}
    )
    assert told(rows).traits == ("EchoTime",)
    assert told(rows, "te").traits == ("EchoTime",)


def test_a_custom_element_comes_first() -> None:
    rows = volumes(3, {"custom": 1, "EchoTime": 4}, {"custom": 2, "EchoTime": 4})
    assert told(rows, "SaturationRecoveryTime").traits == ("custom",)


# -- what nothing tells apart


@pytest.mark.parametrize(("doubled", "taken"), [(1, True), (2, True), (3, False)])
def test_a_quarter_of_the_positions_may_be_taken_twice(doubled: int, taken: bool) -> None:
    rows = [{"slot": slot, "number": None} for slot in range(8)]
    rows += [{"slot": slot + 2, "number": None} for slot in range(doubled)]
    found = told(rows)
    if taken:
        assert groups(found) == [list(range(8))]
        assert found.doubtful == {0}
        assert sorted(plane for planes in found.second for plane in planes.tolist()) == list(range(8, 8 + doubled))
        assert found.untold == ()
    else:
        assert groups(found) == []
        assert sorted(plane for planes in found.untold for plane in planes.tolist()) == list(range(11))


def test_three_at_one_position_are_not_told() -> None:
    rows = [{"slot": slot, "number": None} for slot in (*range(12), 5, 5)]
    found = told(rows)
    placed = [plane for group in found.groups for plane in group.tolist()]
    assert placed == []
    assert sum(len(planes) for planes in found.untold) == 14


def test_a_whole_volume_beside_one_with_a_plane_taken_twice() -> None:
    rows = volumes(6, {"EchoTime": 1, "number": None}, {"EchoTime": 2, "number": None})
    rows.append({"slot": 3, "EchoTime": 2, "number": None})
    found = told(rows)
    assert groups(found) == [list(range(6)), list(range(6, 12))]
    assert found.doubtful == {1}
    assert [planes.tolist() for planes in found.second] == [[12]]


def test_a_copy_at_another_number_is_a_copy() -> None:
    rows = volumes(8, {"TriggerTime": 1.0}, {"TriggerTime": 2.0})
    rows.append({**rows[3], "number": 90})
    found = told(rows)
    assert groups(found) == [list(range(8)), list(range(8, 16))]
    assert found.doubtful == {0}
    assert [planes.tolist() for planes in found.second] == [[16]]


# -- stacks that overlap in part


@pytest.mark.parametrize(
    ("stacks", "apart"),
    [
        ([[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]], True),
        ([[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 9], [8, 9, 10, 11]], False),  # three of four are not more than that
        ([[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 10], [9, 10, 11, 12]], True),
        ([[0, 1, 2, 3], [3, 4, 5, 6], [6]], False),  # a single plane is no stack
    ],
)
def test_stacks_have_more_than_three_quarters_of_their_positions(stacks: list[list[int]], apart: bool) -> None:
    rows = [
        {"slot": slot, "AcquisitionNumber": number, "number": None}
        for number, slots in enumerate(stacks)
        for slot in slots
    ]
    found = told(rows)
    assert (found.traits == ("AcquisitionNumber",) and len(found.groups) == len(stacks)) is apart


# -- any other element


def test_any_element_with_the_fewest_values() -> None:
    rows = volumes(4, {"(0099,xx10 A)": 1, "number": 7}, {"(0099,xx10 A)": 2, "number": 7})
    for count, row in enumerate(rows):
        row["(0099,xx11 A)"] = count  # another one for each plane
    found = told(rows)
    assert found.traits == ("(0099,xx10 A)",)
    assert len(found.groups) == 2


def test_an_element_whose_volumes_are_mostly_broken_is_none() -> None:
    """Half of its volumes at least are whole."""
    rows = [{"slot": slot, "(0099,xx10 A)": value, "number": 7} for slot, value in
            [(0, 1), (1, 1), (2, 1), (3, 1), (0, 2), (1, 2), (2, 2), (1, 3), (2, 3), (3, 3)]]  # fmt: skip
    assert told(rows).traits != ("(0099,xx10 A)",)
    rows += [{"slot": 3, "(0099,xx10 A)": 2, "number": 7}]
    found = told(rows)
    assert found.traits == ("(0099,xx10 A)",)
    assert [len(group) for group in found.groups] == [4, 4, 3]


# -- numbers slice by slice


def test_numbers_slice_by_slice_are_counted() -> None:
    rows = [{"slot": slot} for slot in range(4) for _ in range(3)]
    found = told(rows)
    assert found.traits == (BY_ORDER,)
    assert groups(found) == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]
    assert found.counted
    assert found.doubtful == {0, 1, 2}
    for count, row in enumerate(rows):
        row["AcquisitionTime"] = 100.0 * (count // 3) + count % 3
    proved = told(rows)
    assert (proved.counted, proved.doubtful) == (False, frozenset())


def test_repetitions_are_counted_in_sequence() -> None:
    slots, sequence = np.array([0, 0, 1, 0, 1]), np.array([4, 0, 3, 2, 1])
    assert repetitions(slots, sequence).tolist() == [2, 0, 1, 1, 0]


# -- clocks


@pytest.mark.parametrize("name", ["TriggerTime", "FrameReferenceTime"])
def test_phases_that_each_position_runs_through_at_its_own_pace(name: str) -> None:
    """One position after the other, as a breath-hold cine: the trigger time tells, not the numbers."""
    paces = [30.0, 46.0, 61.0, 37.0, 52.0, 55.0]
    rows = [{"slot": slot, name: pace * phase} for slot, pace in enumerate(paces) for phase in range(4)]
    for row in rows:
        row["number"] = 7
    found = told(rows)
    assert found.traits == (name,)
    assert groups(found) == [[4 * slot + phase for slot in range(6)] for phase in range(4)]
    assert (found.counted, found.doubtful) == (False, frozenset())


@pytest.mark.parametrize(
    ("beats", "phases"),
    [((800.0, 850.0), 20), ((900.0, 905.0), 20), ((120.0, 184.0, 244.0), 4), ((700.0, 900.0), 2), ((569.0, 892.0), 20),
     ((792.0, 829.0, 794.0), 25), ((957.0, 660.0, 782.0, 699.0), 4)],
)  # fmt: skip
def test_each_position_keeps_its_own_time(beats: tuple[float, ...], phases: int) -> None:
    """All begin at 0, and other times of two positions fall together, too: each phase is one volume for all that."""
    rows = [{"slot": slot, "TriggerTime": round(beat / phases * phase, 1), "number": 7} for slot, beat in
            enumerate(beats) for phase in range(phases)]  # fmt: skip
    found = told(rows)
    assert found.traits == ("TriggerTime",)
    assert groups(found) == [[phases * slot + phase for slot in range(len(beats))] for phase in range(phases)]


@pytest.mark.parametrize("gone", [(1,), (17,), (19, 33), (0, 59)])
def test_a_missing_phase_leaves_the_others_in_their_volumes(gone: tuple[int, ...]) -> None:
    beats = (762.0, 797.0, 805.0)
    rows = [{"slot": slot, "TriggerTime": round(beat / 20 * phase, 1), "phase": phase, "number": 7} for slot, beat in
            enumerate(beats) for phase in range(20)]  # fmt: skip
    rows = [row for place, row in enumerate(rows) if place not in gone]
    phases = [row.pop("phase") for row in rows]
    found = told(rows)
    assert found.traits == ("TriggerTime",)
    assert [len({phases[plane] for plane in group}) for group in groups(found)] == [1] * 20
    assert found.doubtful == frozenset()


@settings(deadline=None, max_examples=80)
@given(
    beats=st.lists(st.floats(600, 1000), min_size=3, max_size=6),
    phases=st.integers(8, 20),
    encodings=st.integers(1, 3),
    gone=st.lists(st.integers(0, 10**6), max_size=3),
    by_phase=st.booleans(),
)
def test_no_volume_of_a_cine_has_planes_of_two_phases(
    beats: list[float], phases: int, encodings: int, gone: list[int], by_phase: bool
) -> None:
    """Whatever each position's time, however it is encoded, in whichever order it came, and with planes missing.

    Of two positions, or of fewer phases, too little is left to show the pace of each.
    """
    slots = range(len(beats))
    turns = [(slot, phase) for phase in range(phases) for slot in slots]
    turns = turns if by_phase else sorted(turns)
    rows = [{"slot": slot, "TriggerTime": round(beats[slot] / phases * phase, 1), "of": (name, phase),
             **({"SequenceName": f"encoding {name}"} if encodings > 1 else {})}
            for name in range(encodings) for slot, phase in turns]  # fmt: skip
    for number, row in enumerate(rows):
        row["number"] = number + 1
    for place in gone:
        del rows[place % len(rows)]
    of = [row.pop("of") for row in rows]
    found = told(rows)
    for number, group in enumerate(groups(found)):
        assert len({of[plane] for plane in group}) == 1 or number in found.doubtful


def test_another_clock_knows_no_pace_of_its_own() -> None:
    """Acquisition times that each position has at its own pace are no phases: the numbers, slice by slice, tell."""
    rows = [{"slot": slot, "AcquisitionTime": pace * turn} for slot, pace in enumerate((30.0, 33.0, 36.0))
            for turn in range(4)]  # fmt: skip
    found = told(rows)
    assert found.traits == (BY_ORDER,)
    assert groups(found) == [[turn, 4 + turn, 8 + turn] for turn in range(4)]


@pytest.mark.parametrize("name", ["TriggerTime", "AcquisitionTime"])
def test_a_clock_does_not_count_from_one(name: str) -> None:
    """A run through four positions that begins in the middle of a volume, without a pause: no number says where."""
    slots = [2, 3, 0, 1] * 3
    rows = [{"slot": slot, name: 9.0 + turn, "number": 7} for turn, slot in enumerate(slots)]
    by_clock = told(rows)
    for turn, row in enumerate(rows):
        row["number"] = row.pop(name)
        assert row["number"] == 9.0 + turn
    by_number = told(rows)
    assert by_clock.traits == ((name,) if name == "TriggerTime" else (BY_ORDER,))
    assert groups(by_clock) != groups(by_number)


# -- copies


def test_without_any_time_another_number_is_another_plane() -> None:
    """It may be of a volume of which no more came. Of two planes with one number the first is taken, in doubt."""
    rows = volumes(8, {"EchoTime": 1}, {"EchoTime": 2})
    rows.append({**rows[3], "number": 90})
    found = told(rows)
    assert [len(group) for group in found.groups] == [8, 1, 8]
    assert found.doubtful == frozenset()
    rows[-1]["number"] = rows[3]["number"] = 4
    found = told(rows)
    assert groups(found) == [list(range(8)), list(range(8, 16))]
    assert found.doubtful == {0}
    assert [planes.tolist() for planes in found.second] == [[16]]


def test_planes_without_a_number_are_copies_of_one_another() -> None:
    rows = volumes(8, {"TriggerTime": 1.0, "number": None}, {"TriggerTime": 2.0, "number": None})
    rows += [{**rows[slot]} for slot in range(8)]  # more than a quarter of all: by their numbers, which are all absent
    found = told(rows)
    assert groups(found) == [list(range(8)), list(range(8, 16))]
    assert found.doubtful == {0}
    assert sorted(plane for planes in found.second for plane in planes.tolist()) == list(range(16, 24))


@pytest.mark.parametrize(("copies", "alike"), [(4, True), (5, False)])
def test_a_quarter_of_all_planes_may_be_copies_at_other_numbers(copies: int, alike: bool) -> None:
    """Four of sixteen planes are no more than a quarter; five of seventeen are volumes that are not whole."""
    rows = volumes(6, {"TriggerTime": 1.0}, {"TriggerTime": 2.0})
    rows += [{**rows[slot], "number": 90 + slot} for slot in range(copies)]
    found = told(rows)
    assert (found.doubtful == {0} and len(found.groups) == 2) is alike


def test_copies_of_planes_in_no_volume_stay_by_themselves() -> None:
    """What cannot be placed itself gives its copy no place: not with another such copy, nor in a volume's second."""
    rows = [{"slot": slot, "EchoTime": 1, "AcquisitionTime": 1.0, "number": None} for slot in range(6)]
    rows += [{"slot": slot, "EchoTime": 2, "AcquisitionTime": 1.0, "number": None} for slot in range(6)]
    rows += [{"slot": slot, "EchoTime": 2, "AcquisitionTime": 2.0, "number": None} for slot in (0, 1, 2)]
    rows += [{**rows[3]}, {**rows[12]}, {**rows[13]}]
    found = told(rows)
    assert groups(found) == [list(range(6))]
    assert found.doubtful == {0, 1}  # of the first echo, and of what has no group
    assert [planes.tolist() for planes in found.second] == [[15], [16], [17]]
    assert sorted(plane for planes in found.untold for plane in planes.tolist()) == list(range(6, 15))


def test_an_element_that_changes_within_whole_volumes_splits_none() -> None:
    """Planes are missing, so elements in which whole volumes agree count; this one differs inside of two of them."""
    things = {0: (0, 0, 0), 1: (None, 1, 0), 2: (2, 1, 1), 3: (1, None, 3), 4: (None, None, 4)}
    rows = [
        {"slot": slot, "Thing": thing, "number": 3 * volume + slot + 1}
        for volume, row in things.items()
        for slot, thing in enumerate(row)
        if thing is not None
    ]
    found = told(rows)
    assert groups(found) == [[0, 1, 2], [3, 4], [5, 6, 7], [8, 9], [10]]
    assert found.traits == (BY_ORDER,)


def test_an_element_in_which_whole_volumes_agree_splits_the_others() -> None:
    """What was counted as the last one has planes of two values, and is two."""
    things = ("aaa", "bbb", "c c", "d e", "f g")
    rows = [
        {"slot": slot, "Thing": thing, "number": 3 * volume + slot + 1}
        for volume, row in enumerate(things)
        for slot, thing in enumerate(row)
        if thing != " "
    ]
    assert groups(told(rows)) == [[0, 1, 2], [3, 4, 5], [6, 7], [8], [9], [10], [11]]


def test_two_planes_at_each_position_show_no_pace() -> None:
    """Of three volumes each position lacks one: equal times are one volume, and no position is twice as fast."""
    times = ((0, 10_000), (0, 10_000), (0, 5_000))
    rows = [{"slot": slot, "FrameReferenceTime": float(time)} for slot, pair in enumerate(times) for time in pair]
    assert groups(told(rows)) == [[0, 2, 4], [5], [1, 3]]
