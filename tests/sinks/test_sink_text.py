"""The header as text: key information first, the tree, nothing left out, and no name from the patient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_testdata_file
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from support.factories import quick_dataset, save

from crawler.errors import SinkError
from crawler.instance.header import read_instance
from crawler.model import File
from crawler.sinks.base import Target
from crawler.sinks.text import KEY_INFORMATION, write_text


@pytest.fixture
def target(tmp_path: Path) -> Target:
    (tmp_path / "temp").mkdir()
    return Target(str(tmp_path / "out" / "name"), str(tmp_path / "temp"))


def record_of(path: Path, keys: Any = "keyword") -> dict[str, Any]:
    return read_instance(File(str(path.parent), path.name, path.stat().st_size, 0), keys).record


def rows_of(record: dict[str, Any], target: Target, keys: Any = "keyword") -> list[str]:
    [product] = write_text(record, keys, target)
    assert (product.path, product.kind) == (target.path + ".txt", "text")
    assert list(Path(target.temp).iterdir()) == []
    return Path(product.path).read_text("utf-8").split("\n")


@pytest.mark.parametrize("keys", ["keyword", "name", "tag"])
def test_key_information_comes_first_whatever_names_elements(tmp_path: Path, target: Target, keys: str) -> None:
    path = save(quick_dataset(WindowCenter=[40, 400], StudyDescription=""), tmp_path / "a.dcm")
    lines = rows_of(record_of(path, keys), target, keys)
    part = lines[lines.index("Key Information:") + 2 : lines.index("Complete DICOM Header:") - 2]
    assert part[:2] == ["PatientName: Test^Quick", "PatientID: QUICK"]
    assert "WindowCenter: 40.0\\400.0" in part
    shown = [line.partition(":")[0] for line in part]
    assert shown == [keyword for keyword in KEY_INFORMATION if keyword in shown]
    assert "StudyDescription" not in shown


def test_the_tree_holds_every_element(target: Target) -> None:
    record = record_of(Path(get_testdata_file("waveform_ecg.dcm")))
    lines = rows_of(record, target)
    tree = lines[lines.index("Complete DICOM Header:") + 3 :]
    heads = [line.partition(":")[0] for line in tree if line and not line.startswith(" ")]
    assert len(heads) == len(record)
    for head, name in zip(heads, record, strict=True):
        if tag := tag_for_keyword(name):
            assert head == f"({tag >> 16:04X},{tag & 0xFFFF:04X}) {dictionary_VR(tag)} {name}", "PS3.6"
        else:
            assert name.split(" ")[0] in head
    assert "(5400,0100) SQ WaveformSequence: 2 items" in tree
    assert "    (5400,1010) OW WaveformData: <OW, 240,000 bytes>" in tree
    assert "            (0008,0104) LO CodeMeaning: Lead I (Einthoven)" in tree


def test_private_elements_are_told_with_their_creator(target: Target) -> None:
    record = {"(0019,xx0C) SIEMENS MR HEADER": 1000, "(0019,0010)": "SIEMENS MR HEADER", "(0011,1001)": "x"}
    lines = rows_of(record, target)
    assert lines[-4:-1] == [
        "(0019,xx0C) IS SIEMENS MR HEADER: 1000",
        "(0019,0010) LO: SIEMENS MR HEADER",
        "(0011,1001) UN: x",
    ]


def test_values_of_several_lines_stay_below_their_element(tmp_path: Path, target: Target) -> None:
    item = Dataset()
    item.TextValue = "first\r\nPatientID: forged\n\nlast"
    path = save(quick_dataset(ImageComments="one\r\ntwo", ContentSequence=[item, Dataset()]), tmp_path / "a.dcm")
    text = "\n".join(rows_of(record_of(path), target))
    assert "\n(0020,4000) LT ImageComments: one\n  two\n" in text
    below = "  [1]\n    (0040,A160) UT TextValue: first\n      PatientID: forged\n      \n      last\n  [2]\n"
    assert f"\n(0040,A730) SQ ContentSequence: 2 items\n{below}" in text


def test_values_that_a_record_does_not_hold(target: Target) -> None:
    record = {"PixelData": {"vr": "OB", "length": None}, "A": {"vr": "OW", "length": 9, "error": "truncated header"}}
    lines = rows_of({**record, "Empty": None, "None": [], "Odd": "\udcff"}, target)
    assert lines[-6:] == [
        "(7FE0,0010) OB PixelData: <OB, undefined length>",
        "A: <OW, 9 bytes, truncated header>",
        "Empty:",
        "None:",
        "Odd: ?",
        "",
    ]


def test_a_target_that_cannot_be_written_leaves_nothing(target: Target) -> None:
    Path(target.path + ".txt").mkdir(parents=True)
    with pytest.raises(SinkError, match="a folder lies at the target"):
        write_text({"Rows": 1}, "keyword", target)
    assert list(Path(target.temp).iterdir()) == []
