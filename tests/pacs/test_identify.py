"""The scanner of UIDs against pydicom on real files of every transfer syntax, and names that come from outside."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from crawler.pacs import identify as module
from crawler.pacs.identify import Identity, checksum, identify, place


def by_pydicom(path: Path) -> Identity:
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
    return Identity(*(str(dataset.get(name) or "") for name in names))


def test_it_agrees_with_pydicom(dicom_files: list[Path]) -> None:
    looked_at = 0
    for path in dicom_files:
        with open(path, "rb") as file:
            if file.read(132)[128:] != b"DICM":
                continue
        try:
            expected = by_pydicom(path)
        except Exception:
            continue  # damaged on purpose: the next test
        assert identify(path) == expected, path.name
        looked_at += 1
    assert looked_at > 100


def test_the_scanner_itself_reads_most(dicom_files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(module, "_by_pydicom", lambda path: asked.append(path) or {})
    whole = [path for path in dicom_files if path.read_bytes()[128:132] == b"DICM"]
    for path in whole:
        identify(path)
    assert len(asked) < len(whole) / 5


def test_damaged_files_raise_nothing(dicom_files: list[Path], tmp_path: Path) -> None:
    for number, path in enumerate(dicom_files[:60]):
        for size in (0, 100, 140, 300, 400):
            cut = tmp_path / f"{number}-{size}"
            cut.write_bytes(path.read_bytes()[:size])
            assert len(identify(cut)) == 4


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
@pytest.mark.parametrize("undefined", [True, False])
def test_sequences_before_the_uids_are_passed_over(tmp_path: Path, syntax: str, undefined: bool) -> None:
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3.4"
    inner, item = pydicom.Dataset(), pydicom.Dataset()
    inner.StudyInstanceUID, inner.SOPInstanceUID = "9.9.9", "9.9"  # of others, inside: not this file's
    item.ReferencedSeriesSequence = [inner, inner]
    dataset.ReferencedStudySequence = [item, pydicom.Dataset()]
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2", "1.2.3"
    for sequence in (dataset["ReferencedStudySequence"], item["ReferencedSeriesSequence"]):
        sequence.is_undefined_length = undefined
        for one in sequence.value:
            one.is_undefined_length_sequence_item = undefined
    path = tmp_path / "a.dcm"
    dataset.save_as(path, enforce_file_format=True)
    assert identify(path) == Identity("1.2", "1.2.3", "1.2.3.4", "1.2.840.10008.5.1.4.1.1.7")


def test_what_is_no_uid_is_hashed() -> None:
    assert place("1.2", "1.2.3", "1.2.3.4") == "1.2/1.2.3/1.2.3.4.dcm"
    for outside in ("../../etc/passwd", "1..2", "", ".", "a/b", "1." * 40, "1.2\n", "Doe^John", "x\udcff"):
        for path in (place(outside, "1", "1"), place("1", outside, "1"), place("1", "1", outside)):
            parts = path.split("/")
            assert len(parts) == 3
            assert "Doe" not in path
            assert all(
                part.removesuffix(".dcm").strip("x0123456789abcdef.") == "" and ".." not in part for part in parts
            )
    assert place("a", "1", "1") != place("b", "1", "1")


def test_checksum_is_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert checksum(path) == "78af5f94892f3950"  # XXH3-64 of "abc"
