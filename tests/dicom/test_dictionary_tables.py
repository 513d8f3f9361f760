"""Look-ups in pydicom's tables, and the tables that are ours, against pydicom's own functions."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from pydicom import charset, datadict, uid
from pydicom._private_dict import private_dictionaries
from pydicom._uid_dict import UID_dictionary

from crawler.dicom import charsets, dictionary_tables, uids
from crawler.dicom.dictionary import is_known, mask_of, private_entry, public_entry, tag_for

# All of the groups that repeat, in those that hold elements; and some that are in no dictionary, or private.
GROUPS = (
    *range(0x5000, 0x5100),
    *range(0x6000, 0x6100),
    *range(0x7F00, 0x8000),
    0x0009,
    0x0011,
    0x0100,
    0x7777,
    0xFFFE,
)
ELEMENTS = (
    *range(0x0000, 0x0200),
    *range(0x0800, 0x0900),
    *range(0x1000, 0x1400),
    *range(0x2000, 0x2700, 0x10),
    0x3000,
)


def pydicoms(tag: int) -> tuple[str, ...] | None:
    try:
        return datadict.get_entry(tag)
    except KeyError:
        return None


def pydicoms_private(tag: int, creator: str) -> tuple[str, ...] | None:
    try:
        return datadict.get_private_entry(tag, creator)
    except KeyError:
        return None


def test_public_elements_are_pydicoms() -> None:
    assert len(datadict.DicomDictionary) > 5000
    for tag, entry in datadict.DicomDictionary.items():
        assert public_entry(tag) == entry
        assert is_known(tag) == bool(entry[4])


def test_keywords_are_pydicoms() -> None:
    assert dictionary_tables.keywords() == datadict.keyword_dict
    assert tag_for("PatientName") == datadict.tag_for_keyword("PatientName") == 0x00100010
    assert tag_for("Nonsense") is datadict.tag_for_keyword("Nonsense") is None


def test_repeating_groups_are_pydicoms() -> None:
    found = 0
    everywhere = [group << 16 | element for group in GROUPS for element in ELEMENTS]
    tags = set(random.Random(6).sample(everywhere, len(everywhere) // 8))  # pydicom's search takes its time
    tags |= {int(mask.replace("x", digit), 16) for mask in datadict.masks for digit in "0123456789ABCDEF"}
    tags |= {0x00203100 + number for number in range(0x100)}
    for tag in tags:
        expected = pydicoms(tag)
        assert public_entry(tag) == expected, f"{tag:08X}"
        assert mask_of(tag) == datadict.mask_match(tag), f"{tag:08X}"
        found += expected is not None
    assert found > 1000


def test_private_elements_are_pydicoms() -> None:
    found = 0
    for creator, entries in private_dictionaries.items():
        for mask in entries:
            for block in ("10", "11", "FE"):
                tag = int(mask[:4].replace("xx", "21") + mask[4:].replace("xx", block), 16)
                assert private_entry(tag, creator) == pydicoms_private(tag, creator), (creator, mask)
                assert private_entry(tag ^ 0x77, creator) == pydicoms_private(tag ^ 0x77, creator), (creator, mask)
                assert private_entry(tag, "") is None
                found += private_entry(tag, creator) is not None
    assert found > 20_000  # not quite all: a few masks are written in another way than they are looked up
    assert private_entry(0x00191001, "NOBODY") is None


def test_tables_are_loaded_without_pydicom_and_are_its_own() -> None:
    code = (
        "import sys; from crawler.dicom import dictionary_tables as v;"
        "print(len(v.public()), len(v.repeating()), len(v.private()), 'pydicom' in sys.modules);"
        "import pydicom.datadict as d;"
        "print(v.public() == d.DicomDictionary, v.repeating() == d.RepeatersDictionary,"
        " v.private() == d.private_dictionaries)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    tables = (datadict.DicomDictionary, datadict.RepeatersDictionary, private_dictionaries)
    assert out.split() == [*map(str, map(len, tables)), "False", "True", "True", "True"]


def test_loaded_tables_are_shared_with_pydicom() -> None:
    assert dictionary_tables.public() is datadict.DicomDictionary


@pytest.mark.parametrize(
    ("keyword", "value"), [(name, value) for name, value in vars(uids).items() if name[0].isupper()]
)
def test_transfer_syntaxes_are_pydicoms(keyword: str, value: str) -> None:
    newer = ("JPEGXLLossless", "JPEGXLJPEGRecompression", "JPEGXL", "DeflatedImageFrameCompression")
    if value not in UID_dictionary and keyword in newer:
        pytest.skip("newer than the installed pydicom")
    assert uid.UID(value).keyword == keyword
    assert uid.UID(value).type == "Transfer Syntax"


def test_character_sets_are_pydicoms() -> None:
    ours = {"ISO_IR 203": "iso8859_15", "ISO 2022 IR 203": "iso8859_15"}  # Latin-9, newer than pydicom's table
    assert charset.python_encoding | ours == charsets.CODECS
    assert charsets.STAND_ALONE == charset.STAND_ALONE_ENCODINGS
    assert charset.default_encoding == charsets.DEFAULT_ENCODING


@pytest.mark.parametrize(
    "value", [b"", b"ISO_IR 100", b"\\ISO 2022 IR 87 ", b"ISO 2022 IR 13\\ISO 2022 IR 87", b"GB18030"]
)
def test_combinations_of_character_sets_are_pydicoms(value: bytes) -> None:
    names = charsets.names_of(value)
    assert charsets.standard_codecs(names) == tuple(charset.convert_encodings(list(names)))


@pytest.mark.parametrize("value", [b"ISO-IR 100", b"utf8", b"ISO_IR 100\\GBK", b"nonsense", b"ISO\0IR"])
def test_what_is_not_the_standards_is_left_to_pydicom(value: bytes) -> None:
    assert charsets.standard_codecs(charsets.names_of(value)) is None
