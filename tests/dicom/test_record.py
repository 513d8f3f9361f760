from __future__ import annotations

import io
import math
import struct
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.valuerep import IS, DSfloat
from support.streams import ITEM, ITEM_END, SEQUENCE_END, UNDEFINED, explicit, head

from crawler.dicom.dictionary import TEXT_VRS, VRS, dictionary_vr, key_for, key_of, tag_text
from crawler.dicom.elements import EXPLICIT_LITTLE, IMPLICIT_LITTLE, Element, quiet_pydicom
from crawler.dicom.record import make_record
from crawler.dicom.walk import MAX_DEPTH, walk
from crawler.errors import FileError, HeaderError
from crawler.instance.header import read_instance
from crawler.model import File


def record_of(data: bytes, implicit: bool = False, keys: Any = "keyword") -> dict[str, Any]:
    coding = IMPLICIT_LITTLE if implicit else EXPLICIT_LITTLE
    with quiet_pydicom():
        record = make_record(list(walk(io.BytesIO(data), coding, len(data))), keys=keys)
    return orjson.loads(orjson.dumps(record))


def value_of(vr: str, value: bytes) -> Any:
    """The JSON value of an element that no dictionary knows, so that the VR in the file decides."""
    return record_of(explicit(0x00080003, vr, value))["(0008,0003)"]


@pytest.mark.parametrize(
    ("vr", "value", "expected"),
    [
        ("IS", b"12 ", 12),
        ("IS", b" -3\\+4 ", [-3, 4]),
        ("IS", b"1\\\\2", [1, None, 2]),
        ("IS", b"12.0", 12),
        ("IS", b"1.5 ", 1.5),
        ("IS", b"1_000 ", "1_000"),
        ("IS", b"99999999999999999999", "99999999999999999999"),
        ("IS", b"9" * 5000, "9" * 5000),
        ("DS", b"1.5\\-2e3", [1.5, -2000.0]),
        ("DS", b" .5 ", 0.5),
        ("DS", b"abc ", "abc"),
        ("DS", b"1,5 ", 1.5),
        ("DS", b"nan ", "nan"),
        ("DS", b"1e999 ", "1e999"),
        ("DS", b"1\\x\\3 ", [1.0, "x", 3.0]),
        ("US", b"\xff\xff", 65535),
        ("US", b"\x01\0\x02\0", [1, 2]),
        ("US", b"\x01\x02\x03", "\x01\x02\x03"),
        ("SS", b"\xff\xff", -1),
        ("UL", b"\xff\xff\xff\xff", 2**32 - 1),
        ("SL", b"\xff\xff\xff\xff", -1),
        ("UV", b"\xff" * 8, 2**64 - 1),
        ("SV", b"\0" * 7 + b"\x80", -(2**63)),
        ("FL", struct.pack("<f", 0.5), 0.5),
        ("FD", struct.pack("<3d", math.nan, math.inf, -math.inf), ["NaN", "Infinity", "-Infinity"]),
        ("AT", b"\x18\0\x63\x10", "(0018,1063)"),
        ("AT", b"\x18\0\x63\x10\xe0\x7f\x10\0", ["(0018,1063)", "(7FE0,0010)"]),
        ("AT", b"\x18\0\x63", "\x18\0c"),
        ("CS", b" ORIGINAL \\PRIMARY ", ["ORIGINAL", "PRIMARY"]),
        ("LT", b"  a\\b  ", "  a\\b"),
        ("UI", b"1.2.3\0", "1.2.3"),
        ("LO", b"    ", None),
        ("LO", b"", None),
        ("LO", b"\\", [None, None]),
        ("DA", b"20260230", "20260230"),
        ("ST", b"\x00\x01\x1f", "\x00\x01\x1f"),
        ("OW", b"\0\0\0\0", {"vr": "OW", "length": 4}),
        ("UN", b"\0\0", {"vr": "UN", "length": 2}),
        ("OB", b"", None),
        ("XX", b"ab", {"vr": "XX", "length": 2}),
        ("SQ", b"", []),
    ],
)
def test_value_has_its_json_type(vr: str, value: bytes, expected: Any) -> None:
    assert value_of(vr, value) == expected


@pytest.mark.parametrize("vr", sorted(VRS | {"XX"}))
@given(value=st.binary(max_size=64))
def test_no_value_raises_or_leaves_json(vr: str, value: bytes) -> None:
    value_of(vr, value)


@given(
    charset=st.one_of(
        st.binary(max_size=20),
        st.sampled_from(
            ["ISO_IR 192", "GB18030", "\\ISO 2022 IR 87", "raw_unicode_escape", "idna", "undefined", "utf_7"]
        ).map(str.encode),
    ),
    value=st.binary(max_size=40),
)
def test_any_character_set_gives_valid_text(charset: bytes, value: bytes) -> None:
    data = explicit(0x00080005, "CS", charset) + explicit(0x00100010, "PN", value) + explicit(0x00100020, "LO", b"A")
    assert record_of(data)["PatientID"] == "A"


def test_character_set_is_inherited_and_replaced_in_items() -> None:
    name = "Ä".encode()
    latin = explicit(0x00080005, "CS", b"ISO_IR 100") + explicit(0x00081030, "LO", b"\xc4")
    items = b"".join(head(ITEM, len(item)) + item for item in (explicit(0x00081030, "LO", name), latin))
    record = record_of(explicit(0x00080005, "CS", b"ISO_IR 192") + explicit(0x00081110, "SQ", items))
    first, second = record["ReferencedStudySequence"]
    assert first["StudyDescription"] == second["StudyDescription"] == "Ä"


@pytest.mark.parametrize(
    ("tag", "creator", "keyword", "name"),
    [
        (0x00100010, "", "PatientName", "Patient's Name"),
        (0x00020010, "", "TransferSyntaxUID", "Transfer Syntax UID"),
        (0x0019100C, "SIEMENS MR HEADER", "(0019,xx0C) SIEMENS MR HEADER", "(0019,xx0C) SIEMENS MR HEADER"),
        (0x0019100C, "", "(0019,100C)", "(0019,100C)"),
        (0x00190010, "", "(0019,0010)", "(0019,0010)"),
        (0x00080003, "", "(0008,0003)", "(0008,0003)"),
        (0x60000010, "", "OverlayRows", "Overlay Rows"),
        (0x60020010, "", "OverlayRows_6002", "Overlay Rows_6002"),
        (0x002031F0, "", "SourceImageIDs_31F0", "Source Image IDs_31F0"),
        (0x7FE00010, "", "PixelData", "Pixel Data"),
        (0x00280010, "", "Rows", "Rows"),
        (0x00280400, "", "TransformLabel", "Transform Label"),
    ],
)
def test_key(tag: int, creator: str, keyword: str, name: str) -> None:
    assert key_of(tag, creator, "keyword") == keyword
    assert key_of(tag, creator, "name") == name
    assert key_of(tag, creator, "tag") == tag_text(tag)


def test_key_for_a_keyword_is_the_key_in_each_style() -> None:
    assert [key_for("Rows", "keyword"), key_for("Rows", "tag")] == ["Rows", "(0028,0010)"]
    with pytest.raises(KeyError, match="NoSuchKeyword"):
        key_for("NoSuchKeyword")


def test_private_element_is_named_and_read_by_its_creator_whatever_its_block() -> None:
    data = (
        explicit(0x00190011, "LO", b"SIEMENS MR HEADER ")
        + explicit(0x0019110C, "UN", b"1000")
        + explicit(0x0019120C, "UN", b"1000")
    )
    record = record_of(data)
    assert dictionary_vr(0x0019110C, "SIEMENS MR HEADER") == "IS"
    assert record["(0019,xx0C) SIEMENS MR HEADER"] == 1000
    assert record["(0019,120C)"] == {"vr": "UN", "length": 4}  # no creator reserves block 12


def test_repeated_keys_are_numbered_and_nothing_is_overwritten() -> None:
    twice = b"".join(explicit(0x00280010, "US", struct.pack("<H", n)) for n in (1, 2, 3))
    assert record_of(twice) == {"Rows": 1, "Rows#2": 2, "Rows#3": 3}


def test_same_creator_in_two_blocks_keeps_both_values() -> None:
    data = explicit(0x00190010, "LO", b"ACME") + explicit(0x00190011, "LO", b"ACME")
    data += explicit(0x00191001, "LO", b"a ") + explicit(0x00191101, "LO", b"b ")
    record = record_of(data)
    assert (record["(0019,xx01) ACME"], record["(0019,xx01) ACME#2"]) == ("a", "b")


@pytest.mark.parametrize(("sign", "expected"), [(0, 65535), (1, -1)])
def test_ambiguous_vr_follows_pixel_representation_even_from_behind_and_from_around(sign: int, expected: int) -> None:
    smallest = head(0x00280106, 2) + b"\xff\xff"
    icon = head(0x00880200, 8 + len(smallest)) + head(ITEM, len(smallest)) + smallest
    data = smallest + head(0x00280103, 2) + struct.pack("<H", sign) + icon
    record = record_of(data, implicit=True)
    assert record["SmallestImagePixelValue"] == expected
    assert record["IconImageSequence"][0]["SmallestImagePixelValue"] == expected


def test_count_of_a_lut_descriptor_is_never_negative() -> None:
    data = head(0x00280103, 2) + b"\x01\0" + head(0x00283002, 6) + struct.pack("<Hhh", 40000, -5, 16)
    assert record_of(data, implicit=True)["LUTDescriptor"] == [40000, -5, 16]


def nested(levels: int, defined: bool) -> bytes:
    """A sequence in a sequence in a sequence; the innermost item holds Rows."""
    data = explicit(0x00280010, "US", b"\x07\0")
    for _ in range(levels):
        if defined:
            data = explicit(0x00081110, "SQ", head(ITEM, len(data)) + data)
        else:
            data = head(ITEM, UNDEFINED) + data + head(ITEM_END)
            data = explicit(0x00081110, "SQ", data + head(SEQUENCE_END), UNDEFINED)
    return data


@pytest.mark.parametrize("defined", [True, False])
@pytest.mark.parametrize("levels", [1, MAX_DEPTH, MAX_DEPTH + 1, 3000])
def test_deep_nesting_costs_the_depth_and_not_the_file(levels: int, defined: bool) -> None:
    record = record_of(nested(levels, defined) + explicit(0x00280011, "US", b"\x09\0"))
    assert record["Columns"] == 9
    value: Any = record
    for _ in range(min(levels, MAX_DEPTH)):
        value = value["ReferencedStudySequence"][0]
    if levels <= MAX_DEPTH:
        assert value["Rows"] == 7
    else:
        value = value["ReferencedStudySequence"]
        assert (value["vr"], value["error"]) == ("SQ", "nested too deep")
        assert (value["length"] is not None) == defined


def test_sequence_with_nonsense_inside_costs_itself_alone() -> None:
    record = record_of(explicit(0x00081110, "SQ", b"no items here   ") + explicit(0x00280010, "US", b"\x07\0"))
    assert record["ReferencedStudySequence"] == {"vr": "SQ", "length": 16, "error": "damaged header"}
    assert record["Rows"] == 7


def test_implicit_items_inside_explicit_vr() -> None:
    item = head(0x00280010, 2) + b"\x07\0"
    record = record_of(explicit(0x00081110, "SQ", head(ITEM, len(item)) + item))
    assert record["ReferencedStudySequence"] == [{"Rows": 7}]


def test_fragments_inside_an_item_are_passed_over() -> None:
    fragments = head(ITEM, 0) + head(ITEM, 4) + b"abcd" + head(SEQUENCE_END)
    item = explicit(0x7FE00010, "OB", fragments, UNDEFINED) + explicit(0x7FE10010, "LO", b"ACME")
    record = record_of(explicit(0x00880200, "SQ", head(ITEM, len(item)) + item))
    assert record["IconImageSequence"] == [{"PixelData": {"vr": "OB", "length": None}, "(7FE1,0010)": "ACME"}]


def test_long_values_are_whole_when_text_and_unread_when_binary() -> None:
    data = explicit(0x00080003, "UT", b"x" * 100_000) + explicit(0x00080004, "OB", b"\0" * 100_000)
    elements = list(walk(io.BytesIO(data), EXPLICIT_LITTLE, len(data)))
    assert [element.value is None for element in elements] == [False, True]
    assert make_record(elements) == {"(0008,0003)": "x" * 100_000, "(0008,0004)": {"vr": "OB", "length": 100_000}}


def test_declared_length_beyond_the_end_is_not_allocated() -> None:
    data = explicit(0x00280010, "US", b"\x07\0") + explicit(0x00282000, "OB", b"", UNDEFINED - 1)
    elements: list[Element] = []
    with pytest.raises(HeaderError, match=r"\(0028,2000\) at offset 10 declares 4,294,967,294 bytes, 0 are left"):
        elements.extend(walk(io.BytesIO(data), EXPLICIT_LITTLE, len(data)))


# Agreement with pydicom


def plain(value: Any, vr: str) -> Any:
    """What pydicom made of a value, as JSON; padding aside, which PS3.5 6.2 calls insignificant."""
    if isinstance(value, (MultiValue, list)):
        return [plain(item, vr) for item in value]
    if value is None or not str(value).strip(" \0"):
        return None
    if vr == "IS" and isinstance(value, IS):
        return int(value)
    if vr == "DS" and isinstance(value, DSfloat):
        return float(value)
    if isinstance(value, BaseTag):
        return tag_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    return value if isinstance(value, (int, float)) else str(value).strip(" \0")


def stripped(value: Any) -> Any:
    if isinstance(value, list):
        return [stripped(item) for item in value]
    return value.strip(" \0") if isinstance(value, str) else value


def compare(record: dict[str, Any], dataset: Dataset, where: str) -> int:
    """Compare every element that pydicom can convert; return how many those were."""
    compared = 0
    for tag in dataset.keys():  # noqa: SIM118 - iterating converts, and stops at the first bad element
        try:
            element = dataset[tag]
        except (NotImplementedError, ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError):
            continue
        ours, place = record[tag_text(tag)], f"{where}{tag_text(tag)}"
        if f"{tag_text(tag)}#2" in record:
            continue  # of repeated elements pydicom keeps the last
        if element.VR == "SQ":
            if isinstance(ours, dict):  # deeper than a record goes
                assert ours["error"], place
                continue
            assert len(ours) == len(element.value), place
            compared += sum(compare(a, b, f"{place}/") for a, b in zip(ours, element.value, strict=True))
        elif isinstance(element.value, bytes):
            if element.value and isinstance(ours, dict):
                assert ours["length"] in {None, len(element.value)}, place
        elif element.VR in TEXT_VRS and isinstance(element.value, (bytes, int, float)) and isinstance(ours, str):
            continue  # pydicom tries other VRs when a value does not fit; a record keeps the text
        else:
            assert stripped(ours) == plain(element.value, str(element.VR)), place
            compared += 1
    return compared


def check_file(path: Path) -> int:
    """Read a file both ways; return how many values were compared."""
    info = path.stat()
    file = File(str(path.parent), path.name, info.st_size, info.st_mtime_ns)
    try:
        record = read_instance(file, keys="tag").record
    except FileError:
        return 0
    orjson.dumps(record)
    with quiet_pydicom():
        try:
            dataset = dcmread(path, stop_before_pixels=True, force=True)
        except (OSError, RecursionError):
            return 0
        return compare(record, dataset.file_meta, "") + compare(record, dataset, "")


def test_values_agree_with_pydicom_on_its_own_files(dicom_files: list[Path]) -> None:
    compared = [check_file(path) for path in dicom_files if path.stat().st_size]
    assert sum(count > 0 for count in compared) > 180
    assert sum(compared) > 15_000


@pytest.mark.slow
def test_values_agree_with_pydicom_on_real_files(shared_data: Path) -> None:
    compared = [check_file(path) for path in sorted((shared_data / "in").rglob("*")) if path.is_file()]
    assert sum(count > 0 for count in compared) > 990
    assert sum(compared) > 100_000
