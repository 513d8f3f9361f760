"""missing_files.csv: every file that a DICOMDIR lists is found in the input, or named."""

from __future__ import annotations

import csv
import logging
import shutil
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from support.factories import quick_dataset, save
from support.runs import export

from crawler.tables.missing import COLUMNS, canonical

CD = Path(str(get_testdata_file("DICOMDIR"))).parent / "TINY_ALPHA"
ROWS = {"metadata": {}}


def table(out: Path) -> list[list[str]]:
    """Rows below the header."""
    with open(out / "missing_files.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == list(COLUMNS)
    return rows


@pytest.fixture
def cd(tmp_path: Path) -> Path:
    """A copy of a CD in a folder of the input."""
    return Path(shutil.copytree(CD, tmp_path / "in" / "cd"))


def write_index(path: Path, *records: dict[str, object]) -> None:
    """A DICOMDIR with these directory records."""
    items = []
    for keywords in records:
        items.append(Dataset())
        for keyword, value in keywords.items():
            setattr(items[-1], keyword, value)
    index = quick_dataset(
        SOPClassUID="1.2.840.10008.1.3.10",
        MediaStorageSOPClassUID="1.2.840.10008.1.3.10",
        DirectoryRecordSequence=items,
    )
    save(index, path)


def test_a_whole_cd(cd: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    export(tmp_path / "in", tmp_path / "out", **ROWS)
    assert table(tmp_path / "out") == []
    assert "missing_files.csv" not in caplog.text


@pytest.mark.parametrize("keys", ["keyword", "name", "tag"])
def test_files_that_are_gone(cd: Path, tmp_path: Path, keys: str, caplog: pytest.LogCaptureFixture) -> None:
    gone = sorted(path for path in cd.rglob("IM*") if path.is_file())[3:5]
    uids = [str(pydicom.dcmread(path).SOPInstanceUID) for path in gone]
    for path in gone:
        path.unlink()
    with caplog.at_level(logging.WARNING, "dme"):
        export(tmp_path / "in", tmp_path / "out", metadata={"keys": keys})
    expected = [["cd/DICOMDIR", path.relative_to(cd).as_posix(), uid] for path, uid in zip(gone, uids, strict=True)]
    assert sorted(table(tmp_path / "out")) == expected
    assert "2 files that a DICOMDIR lists" in caplog.text


def test_a_file_that_comes_back_leaves_the_table(cd: Path, tmp_path: Path) -> None:
    late = next(path for path in cd.rglob("IM*") if path.is_file())
    shutil.move(late, tmp_path / "late")
    export(tmp_path / "in", tmp_path / "out", **ROWS)
    assert len(table(tmp_path / "out")) == 1
    shutil.move(tmp_path / "late", late)
    export(tmp_path / "in", tmp_path / "out", **ROWS)
    assert table(tmp_path / "out") == []


def test_names_as_cds_are_read(tmp_path: Path) -> None:
    """In lower case, with versions and trailing dots, from the root of the input; a damaged file is not missing."""
    folder = tmp_path / "in"
    save(quick_dataset(), folder / "dicom" / "im1.;1")
    (folder / "dicom" / "im2").write_bytes(b"\0" * 128 + b"DICM")
    write_index(
        folder / "DICOMDIR",
        {"DirectoryRecordType": "PATIENT"},
        {"ReferencedFileID": ["DICOM", "IM1"], "ReferencedSOPInstanceUIDInFile": "1.2.3"},
        {"ReferencedFileID": ["DICOM", "IM2"], "ReferencedSOPInstanceUIDInFile": "1.2.4"},
        {"ReferencedFileID": "IM3", "ReferencedSOPInstanceUIDInFile": "1.2.5"},
        {"ReferencedFileID": "IM4", "RecordInUseFlag": 0},
    )
    export(folder, tmp_path / "out", **ROWS)
    assert table(tmp_path / "out") == [["DICOMDIR", "IM3", "1.2.5"]]


def test_only_what_lies_below_the_index_counts(tmp_path: Path) -> None:
    """A folder whose name begins like the DICOMDIR's is another folder."""
    save(quick_dataset(), tmp_path / "in" / "cd-2" / "IM1")
    save(quick_dataset(), tmp_path / "in" / "IM1")
    write_index(tmp_path / "in" / "cd" / "DICOMDIR", {"ReferencedFileID": "IM1"})
    export(tmp_path / "in", tmp_path / "out", **ROWS)
    assert table(tmp_path / "out") == [["cd/DICOMDIR", "IM1", ""]]


@pytest.mark.parametrize(("one", "other"), [("A/B.;1", "a/b"), ("A.DCM;12", "a.dcm"), ("A", "a.")])
def test_spellings_of_one_path(one: str, other: str) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(("one", "other"), [("a/b", "ab"), ("a.dcm", "a"), ("a;b", "a")])
def test_other_paths(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)
