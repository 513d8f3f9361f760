"""The row of a scan: the worst of its layouts, column by column."""

from __future__ import annotations

from typing import Any

import pytest

from crawler.layout.verdict import join_reasons, scan_verdict
from crawler.model import File, Instance, Layout, Pixels, Place, Plane, Scan, Verdict


def layout(planes: int, refused: str = "", **verdict: Any) -> Layout:
    placement = tuple(Place(0, number, (number,)) for number in range(planes))
    return Layout(
        "", (planes, 4, 4), ("slice", "row", "column"), placement, verdict=Verdict(**verdict), refused=refused
    )


def row(*layouts: Layout, **instance: Any) -> dict[str, Any]:
    one = Instance(
        File("/in", "a", 1, 1), {}, pixels=Pixels(rows=4, columns=4, frames=1), planes=(Plane(),), **instance
    )
    return scan_verdict(layouts, Scan("s1-0", "1.2.3", (one,)))


@pytest.mark.parametrize("column", ["single_orientation", "unique_positions", "uniform_spacing", "consistent_size"])
def test_a_property_holds_when_it_holds_for_all(column: str) -> None:
    assert row(layout(1, **{column: True}), layout(1, **{column: True}))[column] is True
    assert row(layout(1, **{column: True}), layout(1, **{column: False}))[column] is False
    assert row(layout(1, **{column: True}), layout(1))[column] is True, "one that tells nothing does not count"
    assert row(layout(1), layout(1))[column] is None


@pytest.mark.parametrize(
    "column", ["obliquity_degrees", "largest_gap", "missing_positions", "duplicate_positions", "tilt_degrees"]
)
def test_numbers_are_the_largest(column: str) -> None:
    assert row(layout(1, **{column: 2}), layout(1, **{column: 5}), layout(1))[column] == 5
    assert row(layout(1, **{column: 0}), layout(1))[column] == 0
    assert row(layout(1))[column] is None


def test_the_spacing_is_that_of_the_layout_with_most_planes() -> None:
    assert row(layout(2, spacing=1.0), layout(5, spacing=2.0), layout(3, spacing=9.0))["spacing"] == 2.0
    assert row(layout(2, spacing=1.0), layout(2, spacing=2.0))["spacing"] == 1.0


def test_a_volume_is_regular_when_all_are_and_no_policy_cut_one_out() -> None:
    whole = layout(3, regular_volume=True)
    assert row(whole, whole)["regular_volume"] is True
    assert row(whole, layout(3))["regular_volume"] is False
    assert row(whole, layout(3, regular_volume=True, policy="split"))["regular_volume"] is False
    assert row()["regular_volume"] is False


def test_counts_and_lists() -> None:
    found = row(layout(2, policy="split"), layout(3, "gap", policy="refuse"), layout(1, policy="split"), modality="MR")
    assert (found["n_layouts"], found["n_planes"], found["n_refused"], found["policy"]) == (3, 6, 1, "refuse|split")
    assert (found["n_files"], found["n_images"], found["rows"], found["columns"], found["modality"]) == (
        1,
        1,
        4,
        4,
        "MR",
    )
    two = [
        Instance(File("/in", name, 1, 1), {}, pixels=Pixels(rows=rows, columns=4, frames=1), modality=modality)
        for name, rows, modality in (("a", 4, "CT"), ("b", 5, "MR"), ("c", 5, ""))
    ]
    mixed = scan_verdict([], Scan("s1-0", "1.2.3", tuple(two)))
    assert (mixed["rows"], mixed["columns"], mixed["modality"], mixed["reason"]) == (None, 4, "CT|MR", "no images")
    assert (mixed["n_files"], mixed["n_layouts"], mixed["n_planes"]) == (3, 0, 0)


def test_reasons_are_joined_once_each() -> None:
    assert join_reasons("a; b", "", "b; c", "a") == "a; b; c"
    assert join_reasons() == ""
    assert row(layout(1, reason="a; b"), layout(1, reason="b"))["reason"] == "a; b"
