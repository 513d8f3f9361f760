"""Where a data set begins: behind the prefix, unless the prefix is part of a value in a file without preamble."""

from __future__ import annotations

import io

import pytest
from dicom.test_fast_header import SOP_CLASS, implicit, part10, quickly
from support.streams import explicit

from crawler.dicom.sniff import dataset_start
from crawler.errors import NotDicom
from crawler.instance.header import full_instance
from crawler.model import File

INSTANCE = explicit(0x00080018, "UI", b"1.2.3.4\0")


def start(content: bytes) -> int:
    stream = io.BytesIO(content)
    found = dataset_start(stream, len(content))
    assert stream.tell() == found
    return found


@pytest.mark.parametrize("tail", [b"more text of it ", b"    ", b"\x08\0\x18\0UI"])
def test_prefix_by_chance(tail: bytes) -> None:
    data = SOP_CLASS + INSTANCE
    content = data + explicit(0x00104000, "LT", b"x" * (128 - len(data) - 8) + b"DICM" + tail)
    content += explicit(0x00280010, "US", b"\7\0")
    assert content[128:132] == b"DICM"
    assert start(content) == 0
    record = full_instance(File("/nowhere", "file", 0, 0), io.BytesIO(content), "keyword").record
    assert record["Rows"] == 7
    assert "DICM" in record["PatientComments"]
    assert quickly(content) is None  # leaves what it does not know to the full reader


def test_prefix_by_chance_in_implicit_vr() -> None:
    data = implicit(0x00080016, b"1.2.3\0") + implicit(0x00080018, b"1.2.3.4\0")
    content = data + implicit(0x00104000, b"x" * (128 - len(data) - 8) + b"DICM" + b"more")
    assert start(content) == 0


@pytest.mark.parametrize("preamble", [bytes(128), b"II*\0".ljust(128, b"\0"), b"\x08\0".ljust(128, b"x")])
def test_prefix_behind_a_preamble(preamble: bytes) -> None:
    assert start(preamble + part10(SOP_CLASS)[128:]) == 132


def test_a_preamble_that_reads_as_a_data_set_is_one_where_file_meta_information_follows() -> None:
    preamble = (SOP_CLASS + INSTANCE).ljust(128, b"\0")
    assert start(preamble + part10(SOP_CLASS)[128:]) == 132


def test_no_data_set() -> None:
    for content in (b"", b"\x08\0" + b"text" * 100, b"\x02\0\x10\0" * 50):
        with pytest.raises(NotDicom):
            start(content)
