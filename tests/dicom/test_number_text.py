"""Numbers that are not written as their VR wants are used where they mean one thing only, and told."""

from __future__ import annotations

import io
from typing import Any

import pytest
from dicom.test_fast_header import SOP_CLASS, differs, part10
from support.streams import explicit

from crawler.instance.header import full_instance
from crawler.model import File

SPACING, CENTER, NUMBER, ROWS, POSITION, FRAME_TIME = (
    0x00280030, 0x00281050, 0x00200013, 0x00280010, 0x00200032, 0x00181063,
)  # fmt: skip


def read(tag: int, vr: str, value: bytes) -> tuple[Any, tuple[str, ...]]:
    content = part10(SOP_CLASS + explicit(tag, vr, value))
    assert not differs(content)
    instance = full_instance(File("/nowhere", "file", 0, 0), io.BytesIO(content), "keyword")
    return list(instance.record.values())[-1], instance.header_notes


@pytest.mark.parametrize(
    ("tag", "vr", "value", "number"),
    [
        (SPACING, "DS", b"0,703125\\0,703125", [0.703125, 0.703125]),
        (SPACING, "DS", b"0,5\\0.5 ", [0.5, 0.5]),
        (CENTER, "DS", b"40,5", 40.5),
        (FRAME_TIME, "DS", b"33,3333", 33.3333),
        (POSITION, "DS", b"-123,456\\-100,5\\20,25", [-123.456, -100.5, 20.25]),
        (POSITION, "DS", b"1,5E1\\0\\,5", [15.0, 0, 0.5]),
        (NUMBER, "IS", b"15.5", 15.5),
        (NUMBER, "IS", b"1e3 ", 1000),
        (NUMBER, "IS", b"15,5", 15.5),
        (ROWS, "IS", b"512 ", 512),
        (ROWS, "DS", b"512.0 ", 512),
        (ROWS, "LO", b"512 ", 512),
        (ROWS, "SH", b"0512", 512),
        (SPACING, "LO", b"0.5\\0.5 ", [0.5, 0.5]),
        (SPACING, "UT", b"0.5\\0.5", [0.5, 0.5]),
        (SPACING, "CS", b"0,5\\0,5 ", [0.5, 0.5]),
    ],
)
def test_used_and_told(tag: int, vr: str, value: bytes, number: Any) -> None:
    found, notes = read(tag, vr, value)
    assert found == number
    assert len(notes) == (0 if (tag, vr) == (ROWS, "IS") else 1)


@pytest.mark.parametrize(
    ("tag", "vr", "value", "text"),
    [
        (CENTER, "DS", b"1,234 ", "1,234"),  # thousands?
        (SPACING, "DS", b"0,5 ", "0,5"),  # two values?
        (POSITION, "DS", b"1,2,3 ", "1,2,3"),
        (CENTER, "DS", b"1,2\\x", ["1,2", "x"]),
        (CENTER, "DS", b"1.234,5", "1.234,5"),
        (CENTER, "DS", b"12 mm", "12 mm"),
        (CENTER, "DS", b"0x10", "0x10"),
        (CENTER, "DS", b"nan ", "nan"),
        (NUMBER, "IS", b"1 2 ", "1 2"),
        (NUMBER, "IS", b"9" * 20, "9" * 20),
        (ROWS, "LO", b"12.5", "12.5"),
        (ROWS, "LO", b"many", "many"),
    ],
)
def test_left_as_text(tag: int, vr: str, value: bytes, text: Any) -> None:
    assert read(tag, vr, value) == (text, ())


@pytest.mark.parametrize(
    ("tag", "vr", "value"), [(0x00100020, "LO", b"1,5 "), (0x00100020, "LO", b"0012"), (0x00080060, "CS", b"5 ")]
)
def test_text_that_looks_like_a_number_stays_text(tag: int, vr: str, value: bytes) -> None:
    assert read(tag, vr, value) == (value.decode().strip(), ())
