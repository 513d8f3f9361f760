"""Headers that break the standard without hiding where the next element begins, and headers that end too early.

The kinds come from bug reports of pydicom, dcmtk, fo-dicom, dicom-rs and dicomParser; each is read on where one of them
does, and noted.
"""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest
from support.streams import ITEM, ITEM_END, SEQUENCE_END, UNDEFINED, explicit, head

from crawler.dicom.element_skips import skip_sequence
from crawler.dicom.elements import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Coding, Element, Notes
from crawler.dicom.walk import LONGEST_START, LONGEST_VALUE, MAX_DEPTH, walk
from crawler.errors import HeaderError
from crawler.instance.header import full_instance
from crawler.model import File, Instance

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"


def big(tag: int, vr: str, value: bytes) -> bytes:
    long = vr in ("SQ", "UN", "OB", "OW")
    return (
        struct.pack(">HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
        + (struct.pack(">HL", 0, len(value)) if long else struct.pack(">H", len(value)))
        + value
    )


def implicit(tag: int, value: bytes) -> bytes:
    return head(tag, len(value)) + value


def odd_vr(tag: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def part10(data: bytes, syntax: str = EXPLICIT) -> bytes:
    meta = explicit(0x00020010, "UI", syntax.encode() + b"\0" * (len(syntax) % 2))
    return bytes(128) + b"DICM" + explicit(0x00020000, "UL", struct.pack("<L", len(meta))) + meta + data


def read(data: bytes, syntax: str = EXPLICIT) -> Instance:
    return full_instance(File("/nowhere", "file", 0, 0), io.BytesIO(part10(data, syntax)), "keyword")


def elements(data: bytes, coding: Coding = EXPLICIT_LITTLE) -> tuple[list[Element], tuple[str, ...]]:
    notes = Notes()
    return list(walk(io.BytesIO(data), coding, len(data), notes=notes)), notes.lines()


SOP_CLASS = explicit(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.88.11\0")
PATIENT = explicit(0x00100020, "LO", b"P1")
CREATOR = explicit(0x00110010, "LO", b"ACME 1")
BEHIND = explicit(0x00280010, "US", b"\x02\0") + explicit(0x00280011, "US", b"\x03\0")
INNER = explicit(0x00081150, "UI", b"1.2.3\0")
SEQUENCE = explicit(0x00081140, "SQ", head(ITEM, len(INNER)) + INNER)


@pytest.mark.parametrize(
    "odd",
    [
        head(SEQUENCE_END),
        head(ITEM_END),
        head(ITEM_END) + head(SEQUENCE_END),
        head(ITEM, len(INNER)) + INNER,
        head(ITEM, UNDEFINED) + INNER + head(ITEM_END),
        head(ITEM, UNDEFINED) + SEQUENCE + head(ITEM_END) + head(SEQUENCE_END),
        bytes(8),
        bytes(4),
        bytes(12),
        bytes(10_000),
        CREATOR + odd_vr(0x00111001, b"??", b"ABCD"),
        CREATOR + odd_vr(0x00111001, b"??", b"ABCD") + odd_vr(0x00111002, b"??", b"EF"),
        CREATOR + odd_vr(0x00111001, b"\0\0", b"ABCD"),
        CREATOR + odd_vr(0x00111001, b"  ", b"ABCDEF"),
        CREATOR + odd_vr(0x00111001, b"lo", b"AB"),
        CREATOR + odd_vr(0x00111001, b"OX", b"ABCD"),
        CREATOR + odd_vr(0x00111001, b"UN", b"ABCD") + odd_vr(0x00111002, b"UN", b"ABCD"),
        CREATOR + struct.pack("<HH2sHL", 0x0011, 0x1001, b"ZZ", 0, 4) + b"ABCD",  # a VR of the future
        SEQUENCE[:-4] + SEQUENCE[-4:],
        explicit(0x00100030, "DA", b"1970010") + b"\0",  # odd, with a byte of padding that is not counted
    ],
)
def test_read_on_and_noted(odd: bytes) -> None:
    # PATIENT comes first where the group is 0011, so that tags ascend.
    parts = PATIENT + odd if odd.startswith(CREATOR) or b"1970010" in odd else SEQUENCE + odd + PATIENT
    instance = read(SOP_CLASS + parts + BEHIND)
    assert instance.header_fault is None
    assert (instance.record["PatientID"], instance.record["Rows"], instance.record["Columns"]) == ("P1", 2, 3)
    assert bool(instance.header_notes) is (odd != SEQUENCE)


@pytest.mark.parametrize(("vr", "value"), [(b"??", b"\x02\0"), (b"\0\0", b"\x02\0"), (b"us", b"\x02\0")])
def test_a_damaged_vr_is_that_of_the_dictionary(vr: bytes, value: bytes) -> None:
    instance = read(SOP_CLASS + odd_vr(0x00280010, vr, value) + explicit(0x00280011, "US", b"\x03\0"))
    assert (instance.record["Rows"], instance.record["Columns"]) == (2, 3)
    assert len(instance.header_notes) == 1


def test_implicit_elements_among_explicit_ones_need_no_note() -> None:
    instance = read(
        SOP_CLASS + PATIENT + CREATOR + implicit(0x00111001, b"ABCD") + implicit(0x00111002, b"E" * 300) + BEHIND
    )
    assert (instance.record["Rows"], instance.header_notes, instance.header_fault) == (2, (), None)


def test_explicit_elements_among_implicit_ones() -> None:
    data = (
        implicit(0x00080016, b"1.2.3\0")
        + PATIENT
        + implicit(0x00280010, b"\x02\0")
        + implicit(0x7FE00010, bytes(2**21))
    )
    instance = read(data, IMPLICIT)  # the VR and the length, taken for a length, lie inside the pixel data
    assert (instance.record["PatientID"], instance.record["Rows"]) == ("P1", 2)
    assert instance.pixels is not None
    assert instance.pixels.length == 2**21
    assert len(instance.header_notes) == 1


@pytest.mark.parametrize(
    "items",
    [
        head(ITEM, len(INNER)) + INNER + head(ITEM_END),
        head(ITEM, len(INNER)) + INNER + head(ITEM_END) + head(ITEM, len(INNER)) + INNER,
        head(ITEM, len(INNER)) + INNER + bytes(8),
        head(ITEM, len(INNER)) + INNER + b"\0\0\0",
        head(ITEM, UNDEFINED) + INNER,  # without a delimiter
        head(ITEM, UNDEFINED) + INNER + head(SEQUENCE_END),
        head(ITEM, len(INNER) + 2) + INNER,  # longer than its sequence
        head(ITEM, len(INNER)) + INNER + head(SEQUENCE_END),
    ],
)
def test_sequences_of_defined_length(items: bytes) -> None:
    instance = read(SOP_CLASS + explicit(0x00081140, "SQ", items) + PATIENT)
    assert instance.record["PatientID"] == "P1"
    assert instance.record["ReferencedImageSequence"][0] == {"ReferencedSOPClassUID": "1.2.3"}
    assert instance.header_notes
    assert instance.header_fault is None


@pytest.mark.parametrize("end", [b"", head(ITEM_END)])
def test_a_sequence_without_its_delimiter_ends_at_the_next_element(end: bytes) -> None:
    items = head(ITEM, UNDEFINED) + INNER + head(ITEM_END) if end else head(ITEM, len(INNER)) + INNER
    instance = read(SOP_CLASS + explicit(0x00081140, "SQ", items, UNDEFINED) + PATIENT)
    assert (instance.record["PatientID"], len(instance.record["ReferencedImageSequence"])) == ("P1", 1)
    assert len(instance.header_notes) == 1


def test_a_damaged_sequence_of_defined_length_costs_itself() -> None:
    instance = read(SOP_CLASS + explicit(0x00081140, "SQ", b"not an item.") + PATIENT)
    assert instance.record["ReferencedImageSequence"] == {"vr": "SQ", "length": 12, "error": "damaged header"}
    assert instance.record["PatientID"] == "P1"
    assert instance.header_notes


IMPLICIT_PATIENT = implicit(0x00100020, b"P1") + implicit(0x00280010, b"\x02\0") + implicit(0x00280011, b"\x03\0")
WRONG_LENGTHS = pytest.mark.parametrize("off", [-10, -8, -2, 8, 10, 26])


def reference(element: Any) -> bytes:
    body = element(0x00081150, b"1.2.3\0") + element(0x00081155, b"1.2.9\0")
    return head(ITEM, len(body)) + body


@WRONG_LENGTHS
@pytest.mark.parametrize("coding", [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
def test_items_tell_where_a_sequence_of_a_wrong_length_ends(coding: Coding, off: int) -> None:
    """Two items whose lengths are right, in a sequence whose length is not: dcmtk reads on behind the items."""
    items = 2 * reference(implicit if coding.implicit else lambda tag, value: explicit(tag, "UI", value))
    if coding.implicit:
        data = head(0x00081140, len(items) + off) + items + IMPLICIT_PATIENT
    else:
        length = struct.pack("<L", len(items) + off)
        data = struct.pack("<HH2sH", 0x0008, 0x1140, b"SQ", 0) + length + items + PATIENT + BEHIND
    found, notes = elements(data, coding)
    assert [element.tag for element in found] == [0x00081140, 0x00100020, 0x00280010, 0x00280011]
    assert [[len(item) for item in element.value] for element in found[:1]] == [[2, 2]]  # type: ignore[union-attr]
    assert found[1].value == b"P1"
    assert any("bytes off its declared length" in note for note in notes)


def test_a_right_length_is_not_doubted() -> None:
    """What follows is damaged, and the items say nothing else than the sequence."""
    items = reference(lambda tag, value: explicit(tag, "UI", value))
    found, notes = elements(explicit(0x00081140, "SQ", items) + odd_vr(0x00100020, b"\xff\x01", b"P1") + BEHIND)
    assert [element.tag for element in found] == [0x00081140, 0x00100020, 0x00280010, 0x00280011]
    assert not any("declared" in note for note in notes)


def test_what_was_read_of_a_sequence_that_breaks_off_stays() -> None:
    item = explicit(0x00081155, "UI", b"1.2.9\0")
    whole = head(ITEM, UNDEFINED) + item + head(ITEM_END, 0)
    begun = head(ITEM, UNDEFINED) + item + explicit(0x00081150, "UI", b"1.2.3\0")[:-3]
    instance = read(SOP_CLASS + explicit(0x00081140, "SQ", b"", UNDEFINED) + whole + begun)
    first, second = instance.record["ReferencedImageSequence"]
    assert first == {"ReferencedSOPInstanceUID": "1.2.9"}
    cut = {"vr": "UI", "length": 6, "error": "truncated header"}
    assert second == {"ReferencedSOPInstanceUID": "1.2.9", "ReferencedSOPClassUID": cut}
    assert instance.header_fault is not None
    assert (instance.header_fault.stage, instance.header_fault.reason) == ("header", "truncated header")


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_what_was_read_of_a_damaged_sequence_of_defined_length_stays(syntax: str) -> None:
    if syntax == IMPLICIT:
        items = reference(implicit) + b"no item."
        data = implicit(0x00080016, b"1.2.3\0") + head(0x00081140, len(items)) + items + IMPLICIT_PATIENT
    else:
        items = reference(lambda tag, value: explicit(tag, "UI", value)) + b"no item."
        data = SOP_CLASS + explicit(0x00081140, "SQ", items) + PATIENT + BEHIND
    instance = read(data, syntax)
    assert instance.record["ReferencedImageSequence"][0] == {
        "ReferencedSOPClassUID": "1.2.3",
        "ReferencedSOPInstanceUID": "1.2.9",
    }
    assert (instance.record["PatientID"], instance.header_fault) == ("P1", None)
    assert any("the sequence cannot be read" in note for note in instance.header_notes)


def test_offsets_of_notes_count_in_the_file() -> None:
    inside = explicit(0x00081199, "SQ", head(ITEM, len(INNER)) + INNER + head(ITEM_END))
    content = part10(SOP_CLASS + explicit(0x00081140, "UN", head(ITEM, len(inside)) + inside) + PATIENT)
    instance = full_instance(File("/nowhere", "file", 0, 0), io.BytesIO(content), "keyword")
    where = content.index(head(ITEM_END))
    assert instance.header_notes == (f"(FFFE,E00D) at offset {where}: a delimiter between items, passed over",)


@pytest.mark.parametrize("items", ["little", "big", "explicit"])
@pytest.mark.parametrize("delimited", [False, True])
def test_un_in_big_endian(items: str, delimited: bool) -> None:
    inner = {
        "little": implicit(0x00081155, b"1.2.9\0"),
        "explicit": explicit(0x00081155, "UI", b"1.2.9\0"),
        "big": big(0x00081155, "UI", b"1.2.9\0"),
    }[items]
    mark = struct.pack("<HHL" if items != "big" else ">HHL", 0xFFFE, 0xE000, len(inner))
    end = struct.pack("<HHL" if items != "big" else ">HHL", 0xFFFE, 0xE0DD, 0)
    value = mark + inner + (end if delimited else b"")
    length = struct.pack(">L", UNDEFINED if delimited else len(value))
    sequence = struct.pack(">HH2sxx", 0x0008, 0x2112, b"UN") + length + value
    instance = read(big(0x00080016, "UI", b"1.2.3\0") + sequence + big(0x00280010, "US", b"\0\x07"), BIG)
    assert instance.record["SourceImageSequence"] == [{"ReferencedSOPInstanceUID": "1.2.9"}]
    assert (instance.record["Rows"], instance.header_fault) == (7, None)


def test_numbers_of_un_are_little_endian_in_big_endian() -> None:
    instance = read(big(0x00080016, "UI", b"1.2.3\0") + big(0x00280010, "UN", b"\x07\0"), BIG)  # PS3.5 6.2.2
    assert instance.record["Rows"] == 7


REPORT = {
    "defined": SOP_CLASS + PATIENT + explicit(0x0040A730, "SQ", (head(ITEM, len(INNER)) + INNER) * 3)
    + explicit(0x0040A491, "CS", b"COMPLETE"),
    "undefined": SOP_CLASS + PATIENT
    + explicit(0x0040A730, "SQ", (head(ITEM, UNDEFINED) + INNER + head(ITEM_END)) * 3 + head(SEQUENCE_END), UNDEFINED)
    + explicit(0x0040A491, "CS", b"COMPLETE"),
    "nested": SOP_CLASS + PATIENT + explicit(0x0040A730, "SQ", head(ITEM, UNDEFINED) + explicit(
        0x0040A730, "SQ", head(ITEM, UNDEFINED) + INNER + head(ITEM_END) + head(SEQUENCE_END), UNDEFINED
    ) + head(ITEM_END) + head(SEQUENCE_END), UNDEFINED),
}  # fmt: skip


@pytest.mark.parametrize("kind", REPORT)
def test_an_object_without_pixels_that_ends_early_has_a_fault(kind: str) -> None:
    """Cut at every byte: only between top-level elements nothing can be seen."""
    data = REPORT[kind]
    whole = {len(SOP_CLASS), len(SOP_CLASS + PATIENT), len(data)}
    if kind != "nested":
        whole.add(len(data) - 16)
    for cut in range(len(SOP_CLASS), len(data) + 1):
        instance = read(data[:cut])
        assert (instance.header_fault is None) is (cut in whole), cut
        if instance.header_fault is not None:
            assert instance.header_fault.stage == "header"
            assert instance.record["SOPClassUID"].endswith(".88.11")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\0", bytes(5), bytes(100), b"\x1a"])
def test_padding_at_the_end_of_a_file_is_no_fault(end: bytes) -> None:
    instance = read(REPORT["defined"] + end)
    assert instance.header_fault is None
    assert bool(instance.header_notes) is any(end)


@pytest.mark.parametrize("junk", [b"JUNK", b"JUNKJUNKJUNKJUNK", bytes(16) + b"JUNKJUNKJUNK"])
def test_junk_behind_an_object_without_pixels_is_a_fault(junk: bytes) -> None:
    assert read(REPORT["defined"] + junk).header_fault is not None


def test_very_long_values_are_cut_and_told() -> None:
    length = LONGEST_VALUE + 2
    data = (
        SOP_CLASS
        + explicit(0x00204000, "UT", "é".encode("latin-1") * length)
        + PATIENT.replace(b"\x10\0\x20", b"\x28\0\x20")
    )
    instance = read(explicit(0x00080005, "CS", b"ISO_IR 100") + data)
    value: dict[str, Any] = instance.record["ImageComments"]
    assert value["length"] == length
    assert len(value["xxh3_128"]) == 32
    assert len(value["begins"]) <= LONGEST_START
    assert any("(0020,4000)" in note for note in instance.header_notes)


def test_the_cut_of_a_long_text_halves_no_character() -> None:
    text = ("a" + "é" * LONGEST_VALUE).encode()
    instance = read(explicit(0x00080005, "CS", b"ISO_IR 192") + SOP_CLASS + explicit(0x00204000, "UT", text + b" "))
    begins = instance.record["ImageComments"]["begins"]
    assert begins
    assert set(begins) <= {"a", "é"}


def test_long_values_are_not_read_beyond_their_beginning() -> None:
    data = implicit(0x00080016, b"1.2.3\0") + implicit(0x00281199, b"\1\0" * LONGEST_VALUE)
    instance = read(data, IMPLICIT)
    assert instance.header_fault is None


def test_notes_are_bounded() -> None:
    instance = read(SOP_CLASS + head(ITEM_END) * 100 + PATIENT)
    assert len(instance.header_notes) == 21
    assert instance.header_notes[-1] == "and 80 more"


def test_nothing_is_read_beyond_the_end() -> None:
    class Watched(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            assert 0 <= size <= len(self.getvalue())
            return super().read(size)

    data = SOP_CLASS + explicit(0x00204000, "UT", b"x", 0xFFFFFFF0)
    with pytest.raises(HeaderError):
        list(walk(Watched(data), EXPLICIT_LITTLE, len(data)))


def test_deep_nesting_is_passed_over() -> None:
    depth = MAX_DEPTH + 40
    deep = b"".join(explicit(0x00081140, "SQ", head(ITEM, UNDEFINED), UNDEFINED) for _ in range(depth))
    data = SOP_CLASS + deep + (head(ITEM_END) + head(SEQUENCE_END)) * depth + PATIENT
    found, _ = elements(data)
    assert [element.tag for element in found] == [0x00080016, 0x00081140, 0x00100020]


@pytest.mark.parametrize("coding", [EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG])
def test_an_empty_data_set(coding: Coding) -> None:
    assert elements(b"", coding) == ([], ())


def test_skipping_stops_at_the_end() -> None:
    from crawler.dicom.element_heads import DataSetBytes

    data = head(ITEM, UNDEFINED) + INNER
    with pytest.raises(HeaderError, match="truncated header"):
        skip_sequence(DataSetBytes(io.BytesIO(data), EXPLICIT_LITTLE, len(data)))
