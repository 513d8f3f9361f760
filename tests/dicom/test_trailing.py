"""Elements behind the pixel data reach the record, by the full reader and the fast one, for any kind of pixel data."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import pytest
from dicom.test_fast_header import differs, implicit, part10, quickly
from support.streams import ITEM, ITEM_END, SEQUENCE_END, UNDEFINED, explicit, head

from crawler.dicom.trailing import end_of_pixels
from crawler.instance.header import full_instance
from crawler.model import File, Instance

IMPLICIT, DEFLATED, JPEG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.50"

IMAGE = (
    explicit(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.7\0")
    + explicit(0x00280010, "US", b"\2\0") + explicit(0x00280011, "US", b"\2\0") + explicit(0x00280100, "US", b"\x08\0")
)  # fmt: skip
SIGNATURES = explicit(
    0xFFFAFFFA, "SQ", head(ITEM, UNDEFINED) + explicit(0x04000005, "US", b"\7\0") + head(ITEM_END) + head(SEQUENCE_END),
    UNDEFINED,
)  # fmt: skip
TAIL = explicit(0x7FE10010, "LO", b"ACME 1") + explicit(0x7FE11001, "LO", b"BEHIND") + SIGNATURES
PADDING = explicit(0xFFFCFFFC, "OB", bytes(20))
NATIVE = explicit(0x7FE00010, "OW", b"abcd")


def fragments(count: int, table: bool = False) -> bytes:
    """Encapsulated pixel data of so many frames."""
    frames = b"".join(head(ITEM, 6) + b"\xff\xd8ab\xff\xd9" for _ in range(count))
    offsets = b"".join(struct.pack("<L", 14 * number) for number in range(count)) if table else b""
    value = head(ITEM, len(offsets)) + offsets + frames + head(SEQUENCE_END)
    return explicit(0x7FE00010, "OB", value, UNDEFINED)


def full(content: bytes) -> Instance:
    return full_instance(File("/nowhere", "file", 0, 0), io.BytesIO(content), "keyword")


@pytest.mark.parametrize(
    "pixels",
    [NATIVE, explicit(0x7FE00010, "OB", b"abc"), fragments(1), fragments(3), fragments(40), fragments(40, True),
     explicit(0x7FE00008, "OF", bytes(16))],
    ids=["native", "odd", "one", "three", "many", "table", "float"],
)  # fmt: skip
@pytest.mark.parametrize("tail", [TAIL, TAIL + PADDING, TAIL[: -len(SIGNATURES)]], ids=["tail", "padded", "plain"])
def test_reach_the_record(pixels: bytes, tail: bytes) -> None:
    content = part10(IMAGE + pixels + tail, JPEG if pixels.startswith(fragments(1)[:12]) else "1.2.840.10008.1.2.1")
    record = full(content).record
    assert record["(7FE1,xx01) ACME 1"] == "BEHIND"
    if tail.startswith(TAIL):
        assert record["DigitalSignaturesSequence"] == [{"MACIDNumber": 7}]
    assert differs(content) is False
    assert full(content).pixels is not None


def test_in_implicit_vr() -> None:
    data = implicit(0x00080016, b"1.2.3\0") + implicit(0x7FE00010, b"abcd")
    content = part10(data + implicit(0x7FE10010, b"ACME 1") + implicit(0x7FE11001, b"BEHIND"), IMPLICIT)
    assert "(7FE1,xx01) ACME 1" in full(content).record
    assert differs(content) is False


def test_out_of_order_they_are_read_all_the_same() -> None:
    content = part10(IMAGE + NATIVE + explicit(0x00104000, "LT", b"LATE"))
    assert full(content).record["PatientComments"] == "LATE"
    assert not differs(content)


def test_an_element_that_comes_again_keeps_both_values() -> None:
    instance = full(part10(IMAGE + NATIVE + explicit(0x00280010, "US", b"\x09\0") + NATIVE))
    assert (instance.record["Rows"], instance.record["Rows#2"]) == (2, 9)
    assert instance.pixels is not None
    assert instance.pixels.rows == 2


@pytest.mark.parametrize(
    ("tail", "noted"),
    [
        (b"", False), (b"\0", False), (bytes(700), False), (PADDING, False), (PADDING[:-3], False),
        (b"JUNKJUNKJUNK", True), (TAIL[:-5], True), (b"\xff" * 40, True), (b"\x08\0\x18\0UI\xff\x00", True),
    ],
)  # fmt: skip
def test_what_is_no_element_is_padding_or_noted(tail: bytes, noted: bool) -> None:
    content = part10(IMAGE + NATIVE + tail)
    instance = full(content)
    assert (instance.header_fault, bool(instance.header_notes)) == (None, noted)
    assert not differs(content)


@pytest.mark.parametrize("cut", [1, 8, 9, 20])
def test_pixel_data_that_break_off_are_the_decoders_business(cut: int) -> None:
    for pixels in (NATIVE + b"", fragments(3)):
        content = part10(IMAGE + pixels)[:-cut] if cut < len(pixels) - 12 else part10(IMAGE + pixels)
        assert full(content).header_fault is None
        assert not differs(content)


def test_a_series_with_elements_behind_is_read_by_templates() -> None:
    contents = [part10(IMAGE + explicit(0x00281050, "DS", b"%d " % number) + NATIVE + TAIL) for number in range(1, 6)]
    assert [differs(content) for content in contents] == [False] * 5
    found = [quickly(content) for content in contents]
    assert [one.record["WindowCenter"] for one in found if one] == [1, 2, 3, 4, 5]


def test_templates_do_not_take_over_what_lies_behind() -> None:
    series = IMAGE[:34] + explicit(0x0020000E, "UI", b"1.2.3.4\0") + IMAGE[34:]
    with_tail, without = part10(series + NATIVE + TAIL), part10(series + NATIVE)
    for content in (without, with_tail, without, with_tail, with_tail):
        assert differs(content) is False


@pytest.mark.parametrize("table", [False, True])
@pytest.mark.parametrize("count", [1, 15, 16, 17, 300])
def test_end_of_fragments(tmp_path: Path, count: int, table: bool) -> None:
    element = fragments(count, table)
    path = tmp_path / "x"
    for behind in (b"", TAIL, PADDING):
        content = b"HEAD" + element + behind
        path.write_bytes(content)
        with open(path, "rb") as stream:
            assert end_of_pixels(stream, 16, None, os.path.getsize(path)) == 4 + len(element)
        assert end_of_pixels(io.BytesIO(content), 16, None, len(content)) == 4 + len(element)
    cut = content[: 4 + len(element) - 8]
    assert end_of_pixels(io.BytesIO(cut), 16, None, len(cut)) is None


def test_a_table_that_lies_leads_nowhere() -> None:
    element = fragments(40, True)
    for wrong in (b"\xff\xff\xff\xff", b"\x01\0\0\0", b"\0\0\0\0"):
        at = 12 + 8 + 39 * 4
        content = element[:at] + wrong + element[at + 4 :] + TAIL
        assert end_of_pixels(io.BytesIO(content), 12, None, len(content)) == len(element)
