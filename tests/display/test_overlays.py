"""Overlay planes that are short, or that are none: they cost the overlay, never the picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.factories import quick_dataset, save

from crawler.display.display import ScanDisplay, display_for
from crawler.display.overlays import Overlay
from crawler.instance.header import read_instance
from crawler.model import File
from crawler.pixels.frames import frames

VRS = {0x0010: "US", 0x0011: "US", 0x0015: "IS", 0x0050: "SS", 0x0051: "US", 0x0100: "US", 0x3000: "OB"}


def packed(bits: np.ndarray) -> bytes:
    data = np.packbits(bits.reshape(-1).astype(np.uint8), bitorder="little").tobytes()
    return data + b"\0" * (len(data) % 2)


@pytest.fixture
def drawn(tmp_path: Path) -> Callable[..., tuple[list[np.ndarray], tuple[str, ...]]]:
    """Write a black image with group 6000, its elements by number; return what is drawn on every frame, and notes."""

    def draw(elements: dict[int, Any], count: int = 1, syntax: str = "1.2.840.10008.1.2.1", vr: str = "OB") -> Any:
        shape = (count, 5, 7) if count > 1 else (5, 7)
        dataset = quick_dataset(np.zeros(shape, np.uint8), TransferSyntaxUID=syntax)
        for number, value in elements.items():
            dataset.add_new((0x6000, number), vr if number == 0x3000 else VRS[number], value)
        path = save(dataset, tmp_path / "image.dcm")
        status = path.stat()
        instance = read_instance(File(str(tmp_path), path.name, status.st_size, status.st_mtime_ns))
        display = display_for(instance, overlays=True)
        return [display.render(frame) > 0 for frame in frames(instance)], display.notes

    return draw


PLANE = np.random.default_rng(2).integers(0, 2, (5, 7)).astype(bool)
WHOLE: dict[int, Any] = {0x0010: 5, 0x0011: 7, 0x0050: [1, 1], 0x0100: 1, 0x3000: packed(PLANE)}
Drawn = Callable[..., tuple[list[np.ndarray], tuple[str, ...]]]


@pytest.mark.parametrize("absent", [None, 0x0050, 0x0100])
def test_a_whole_plane(drawn: Drawn, absent: int | None) -> None:
    (found,), notes = drawn({number: value for number, value in WHOLE.items() if number != absent})
    np.testing.assert_array_equal(found, PLANE)
    assert notes == ()


@pytest.mark.parametrize("size", [4, 3, 1])
def test_a_plane_that_is_short_is_drawn_as_far_as_it_goes(drawn: Drawn, size: int) -> None:
    (found,), notes = drawn(WHOLE | {0x3000: packed(PLANE)[:size] + b""})
    expected = PLANE.copy().reshape(-1)
    expected[8 * size :] = False
    np.testing.assert_array_equal(found, expected.reshape(5, 7))
    held = 8 * (size + size % 2)  # values are padded on writing
    assert notes == (() if held >= 35 else (f"the overlay of group 6000 holds {held} of 35 bits",))


@pytest.mark.parametrize(
    "changes",
    [
        {0x0010: None},
        {0x0011: None},
        {0x0010: 0},
        {0x0011: 0},
        {0x0010: [5, 5]},
        {0x0050: [1]},
        {0x0050: [1, 1, 1]},
        {0x0100: 16, 0x3000: bytes(70)},
        {0x0100: 8, 0x3000: bytes(90)},
    ],
)
def test_what_is_no_overlay_is_not_drawn(drawn: Drawn, changes: dict[int, Any]) -> None:
    elements = {number: value for number, value in (WHOLE | changes).items() if value is not None}
    (found,), notes = drawn(elements)
    assert not found.any()
    assert notes == ("the overlay of group 6000 is not drawn: it cannot be read",)


def test_an_empty_plane_is_none(drawn: Drawn) -> None:
    (found,), notes = drawn(WHOLE | {0x3000: b""})
    assert not found.any()
    assert len(notes) == 1


@pytest.mark.parametrize(("rows", "columns"), [(1, 7), (5, 1), (1, 1)])
def test_a_plane_of_one_row_or_column(drawn: Drawn, rows: int, columns: int) -> None:
    (found,), notes = drawn(WHOLE | {0x0010: rows, 0x0011: columns, 0x3000: b"\xff\xff"})
    assert np.argwhere(found).tolist() == [[row, column] for row in range(rows) for column in range(columns)]
    assert notes == ()


@pytest.mark.parametrize("absent", [None, 0x0100])
def test_more_bits_than_are_needed_and_no_more(drawn: Drawn, absent: int | None) -> None:
    elements = {number: value for number, value in WHOLE.items() if number != absent}
    (found,), notes = drawn(elements | {0x3000: packed(PLANE) + bytes(90)})
    np.testing.assert_array_equal(found, PLANE)
    assert notes == ()
    (found,), notes = drawn(elements | {0x0010: 4, 0x0011: 4, 0x3000: b"\xff\xff"})
    assert np.count_nonzero(found) == 16
    assert notes == ()


def test_a_first_frame_of_zero_is_the_first(drawn: Drawn) -> None:
    found, _ = drawn(WHOLE | {0x0015: 1, 0x0051: 0}, 2)
    assert [one.any() for one in found] == [True, False]


@pytest.mark.parametrize("padding", [0, 1])
def test_a_byte_a_pixel(drawn: Drawn, padding: int) -> None:
    data = (PLANE * np.uint8(255)).tobytes() + bytes(padding)
    (found,), notes = drawn(WHOLE | {0x0100: 8, 0x3000: data})
    np.testing.assert_array_equal(found, PLANE)
    assert notes == ()


@pytest.mark.parametrize("allocated", [8, 16])
def test_bits_that_are_called_otherwise(drawn: Drawn, allocated: int) -> None:
    (found,), _ = drawn(WHOLE | {0x0100: allocated})
    np.testing.assert_array_equal(found, PLANE)
    (found,), _ = drawn(WHOLE | {0x0100: allocated, 0x3000: packed(PLANE) + bytes(2)})
    assert not found.any(), "two bytes more than the bits need"


@pytest.mark.parametrize("vr", ["OB", "OW"])
def test_big_endian(drawn: Drawn, vr: str) -> None:
    data = packed(PLANE)
    data = data if vr == "OB" else np.frombuffer(data, "u2").byteswap().tobytes()
    (found,), _ = drawn(WHOLE | {0x3000: data}, syntax="1.2.840.10008.1.2.2", vr=vr)
    np.testing.assert_array_equal(found, PLANE)


@pytest.mark.parametrize("first", [1, 2, None])
def test_frames_of_an_overlay_begin_inside_of_bytes(drawn: Drawn, first: int | None) -> None:
    planes = np.random.default_rng(3).integers(0, 2, (2, 5, 7)).astype(bool)
    elements = WHOLE | {0x0015: 2, 0x3000: packed(planes)} | ({} if first is None else {0x0051: first})
    found, notes = drawn(elements, 3)
    expected = np.zeros((3, 5, 7), bool)
    expected[(first or 1) - 1 : (first or 1) + 1] = planes
    np.testing.assert_array_equal(np.stack(found), expected)
    assert notes == ()


def test_many_frames_of_an_overlay(drawn: Drawn) -> None:
    planes = np.random.default_rng(3).integers(0, 2, (5, 5, 7)).astype(bool)
    found, _ = drawn(WHOLE | {0x0015: 5, 0x0051: 1, 0x3000: packed(planes)}, 5)
    np.testing.assert_array_equal(np.stack(found), planes)


def test_one_frame_lies_on_all_frames(drawn: Drawn) -> None:
    found, _ = drawn(WHOLE | {0x0015: 1}, 2)
    np.testing.assert_array_equal(np.stack(found), np.stack([PLANE, PLANE]))


def test_frames_that_are_claimed_and_not_there(drawn: Drawn) -> None:
    found, notes = drawn(WHOLE | {0x0015: 10**9}, 3)
    np.testing.assert_array_equal(found[0], PLANE)
    assert not found[2].any()
    assert notes == ("the overlay of group 6000 holds 48 of 35,000,000,000 bits",)


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [(0, 0, 6), (1, 2, 6), (3, 5, 4), (4, 0, 3), (-1, -1, 2), (-2, 0, 0), (5, 0, 0), (0, 7, 0), (0, -3, 0), (9, 9, 0)],
)
def test_place_of_a_plane(row: int, column: int, expected: int) -> None:
    picture = np.zeros((5, 7), np.uint16)
    Overlay((np.ones((2, 3), bool),), row, column).draw(picture, 4, 65535)
    assert np.count_nonzero(picture) == expected
    if expected:
        places = np.argwhere(picture)
        assert places.min(axis=0).tolist() == [max(row, 0), max(column, 0)]
        assert set(picture[picture > 0].tolist()) == {65535}


@pytest.mark.parametrize("number", [0x0010, 0x0050])
def test_elements_that_cannot_be_converted(tmp_path: Path, number: int) -> None:
    """A group of another meaning: two or four bytes that call themselves numbers of eight; no place is made up."""
    dataset = quick_dataset(np.zeros((5, 7), np.uint8))
    for element, value in WHOLE.items():
        dataset.add_new((0x6000, element), VRS[element], value)
    path = save(dataset, tmp_path / "image.dcm")
    head = b"\0\x60" + number.to_bytes(2, "little")
    whole = path.read_bytes()
    assert whole.count(head + VRS[number].encode()) == 1
    path.write_bytes(whole.replace(head + VRS[number].encode(), head + b"FD"))
    instance = read_instance(File(str(tmp_path), path.name, path.stat().st_size, 0))
    display = display_for(instance, overlays=True)
    (frame,) = frames(instance)
    assert not display.render(frame).any()
    assert display.notes == ("the overlay of group 6000 is not drawn: it cannot be read",)


def test_a_scan_draws_overlays_only_on_request(tmp_path: Path) -> None:
    dataset = quick_dataset(np.zeros((5, 7), np.uint8))
    for number, value in WHOLE.items():
        dataset.add_new((0x6000, number), VRS[number], value)
    path = save(dataset, tmp_path / "image.dcm")
    instance = read_instance(File(str(tmp_path), path.name, path.stat().st_size, 0))
    (frame,) = frames(instance)
    for scan, drawn in (
        (ScanDisplay([instance], lambda number: frame), False),
        (ScanDisplay([instance], lambda number: frame, overlays=True), True),
    ):
        assert scan.of(0).render(frame).any() == drawn
    assert not display_for(instance).render(frame).any()


@pytest.mark.parametrize(("group", "drawn"), [(0x6000, True), (0x6002, True), (0x601E, True), (0x6020, False)])
def test_sixteen_groups_hold_overlays(tmp_path: Path, group: int, drawn: bool) -> None:
    """PS3.5 7.6: 6000 to 601E."""
    dataset = quick_dataset(np.zeros((5, 7), np.uint8))
    for number, value in WHOLE.items():
        dataset.add_new((group, number), VRS[number], value)
    path = save(dataset, tmp_path / "image.dcm")
    instance = read_instance(File(str(tmp_path), path.name, path.stat().st_size, 0))
    assert display_for(instance, overlays=True).render(next(frames(instance))).any() == drawn
