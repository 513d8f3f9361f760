"""Columns of what differs between planes: codes, what is nearly equal, and which of them name volumes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from crawler.layout.columns import (
    axis_of,
    is_component,
    joined,
    names_volumes,
    nearly_equal,
    number_of,
    numbers_of,
    trait_codes,
    trait_columns,
    trait_key,
    value_of,
)
from crawler.model import TRAITS, Plane


def plane(**traits: Any) -> Plane:
    return Plane(traits=tuple(traits.get(name) for name in TRAITS))


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        ([3, 1, 2, 1], [2, 0, 1, 0]),
        ([2, 2.0, 1], [1, 1, 0]),
        ([None, 0, "a"], [0, 1, 2]),
        (["b", "a", "b"], [1, 0, 1]),
        ([1.0000001, 1.0000002, 1.1], [0, 0, 1]),  # six digits count
        ([1.00001, 1.00002], [0, 1]),
        ([-1, 0, 1], [0, 1, 2]),
        ([float("inf"), 1.0], [1, 0]),
        ([10**400, 1], [1, 0]),
        ([True, False], [1, 0]),
    ],
)
def test_codes_in_increasing_order(values: list[Any], codes: list[int]) -> None:
    assert trait_codes(values).tolist() == codes


def test_a_weighting_is_ordered_before_its_direction() -> None:
    values = [(1000.0, (1.0, 0.0, 0.0)), (1000.0, (0.0, 1.0, 0.0)), (0.0, None), (1000.0, (1.0, 0.0, 0.0))]
    codes = trait_codes(values).tolist()
    assert codes[2] == 0
    assert codes[0] == codes[3] != codes[1]
    assert number_of(values[0]) is None


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        ([30.0, 30.29, 30.0], [0, 0, 0]),  # less than 1 % of the larger
        ([30.0, 30.31], [0, 1]),
        ([10.0, 10.05, 10.1, 10.15], [0, 0, 0, 0]),  # each from the next smaller
        ([10.0, 20.0, 10.05], [0, 1, 0]),
        ([None, 10.0], [0, 1]),
        (["x", None], [0, 0]),
        ([-10.0, -10.05], [0, 0]),
    ],
)
def test_contrasts_within_a_hundredth_are_one(values: list[Any], codes: list[int]) -> None:
    assert nearly_equal(values).tolist() == codes


def names(*cells: tuple[int, int]) -> bool:
    """Whether codes of (code, slot) cells name volumes."""
    codes, slots = np.array(cells, dtype=np.intp).T
    return names_volumes(codes, slots)


def test_a_column_names_volumes_when_its_values_are_at_most_positions() -> None:
    assert names((0, 0), (0, 1), (1, 0), (1, 1))
    assert names((0, 0), (0, 1), (1, 0)), "three of four cells"
    assert not names((0, 0), (1, 1)), "half is not more than half"
    assert not names((0, 0), (1, 1), (2, 2), (0, 0))
    assert names((0, 0), (1, 0)), "one position"


@pytest.mark.parametrize(
    ("trait", "axis"),
    [
        ("EchoTime", "te"),
        ("TriggerTime", "trigger_time"),
        ("AcquisitionNumber", "time"),
        ("", "time"),
        ("ImageType", ""),
        ("GE (0043,xx30)", ""),
        ("RepetitionTime", "RepetitionTime"),
        ("(0099,xx10 MAKER)", "0099_xx10_MAKER"),
        ("(0099,xx10 MAKER) (complex component)", ""),
    ],
)
def test_the_axis_of_a_trait(trait: str, axis: str) -> None:
    assert axis_of(trait) == axis


def test_words_for_parts_of_a_complex_image() -> None:
    assert is_component(["M", "p ", None, "Real"])
    assert not is_component(["M", "X"])
    assert not is_component([None, None])
    assert not is_component(["M", 1])


def test_the_wanted_axis_comes_first() -> None:
    planes = [plane(EchoTime=e, TemporalPositionIdentifier=t) for e in (10.0, 20.0) for t in (1, 2)]
    assert list(trait_columns(planes)) == [
        name for name in TRAITS if name in ("EchoTime", "TemporalPositionIdentifier")
    ]
    for order, first in (("te", "EchoTime"), ("time", "TemporalPositionIdentifier")):
        columns = trait_columns(planes, order)
        assert next(iter(columns)) == first
        assert columns["EchoTime"].tolist() == [0, 0, 1, 1]
        assert columns["TemporalPositionIdentifier"].tolist() == [0, 1, 0, 1]


def test_what_does_not_differ_is_no_column() -> None:
    assert trait_columns([plane(EchoTime=10.0), plane(EchoTime=10.05)]) == {}
    assert trait_columns([plane(FlipAngle=5), plane(FlipAngle=5.0)]) == {}
    assert list(trait_columns([plane(FlipAngle=5), plane()])) == ["FlipAngle"]


def test_directions_are_a_part_of_their_weighting() -> None:
    ways = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (1.00004, 0.0, -0.0004), (1.002, 0.0, 0.0)]
    planes = [plane(DiffusionBValue=1000.0, DiffusionGradientOrientation=way) for way in ways]
    codes = trait_columns(planes)["DiffusionBValue"].tolist()
    assert codes[0] == codes[2], "a difference in the fifth decimal"
    assert len({codes[0], codes[1], codes[3]}) == 3
    only_b = trait_columns([plane(DiffusionBValue=b) for b in (0.0, 1000.0, 0.0)])
    assert only_b["DiffusionBValue"].tolist() == [0, 1, 0]


def test_combinations_in_lexicographic_order() -> None:
    one, other = np.array([1, 0, 1, 0]), np.array([0, 2, 2, 0])
    assert joined([one, other]).tolist() == [2, 1, 3, 0]
    assert joined([one]).tolist() == [1, 0, 1, 0]
    assert joined([np.array([5, 9, 5])]).tolist() == [0, 1, 0]


def test_numbers_of_traits() -> None:
    found = numbers_of([1, 2.5, None, "7", (1.0,), math.inf])
    assert found[:2].tolist() == [1.0, 2.5]
    assert np.isnan(found[2:]).all()


def test_keys_sort_anything() -> None:
    values = ["b", None, 3, (5.0, None), "a", -1, math.nan, 10**400, (None, (1.0, 0.0, 0.0))]
    assert sorted(map(trait_key, values)) == sorted(map(trait_key, reversed(values)))
    assert trait_key(None) < trait_key(-1e30) < trait_key(1e30) < trait_key("")


@pytest.mark.parametrize(
    ("record", "name", "expected"),
    [
        ({"RepetitionTime": 2000.0}, "RepetitionTime", 2000.0),
        ({"MRTimingAndRelatedParametersSequence|RepetitionTime": 9.0}, "RepetitionTime", 9.0),
        ({"ScanOptions": ["FS", "PFP"]}, "ScanOptions", "FS\\PFP"),
        ({"SeriesDescription": "of a person"}, "SeriesDescription", None),
        ({"ProtocolName": "of a person"}, "ProtocolName", None),
        ({"(0099,xx10 MAKER)": 4}, "(0099,xx10 MAKER)", 4),
        ({"(0099,xx10 MAKER)": "text"}, "(0099,xx10 MAKER)", None),
        ({}, "RepetitionTime", None),
    ],
)
def test_what_an_element_says_of_a_step(record: dict[str, Any], name: str, expected: Any) -> None:
    assert value_of(record, name, "keyword") == expected


def test_numbers_are_equal_to_six_digits() -> None:
    assert trait_codes([1.000001, 1.0, 1.0000049]).tolist() == [0, 0, 0]
    assert trait_codes([1.00001, 1.0]).tolist() == [1, 0]
