"""Runs over documents and waveforms: rows, products, files of other owners, reruns, and the keys that switch them."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from support.encapsulated import PDF, document
from support.factories import quick_dataset, save
from support.runs import accounts_hold, content, export, failures, rows

from crawler.config.loader import Config
from crawler.errors import ConfigError

MEDIA = {"metadata": {}, "media": {}}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    document(folder / "a" / "report.dcm", PDF, PatientName="Doe^Jane")
    shutil.copy(get_testdata_file("waveform_ecg.dcm"), folder / "a" / "ecg.dcm")
    save(quick_dataset(PatientName="Doe^Jane", BurnedInAnnotation="YES"), folder / "a" / "image.dcm")
    return folder


def names(out: Path) -> list[str]:
    return sorted(path.relative_to(out).as_posix() for path in (out / "media").rglob("*") if path.is_file())


def test_documents_and_waveforms_lie_beside_the_images(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    summary = export(source, out, **MEDIA)
    accounts_hold(summary, 3)
    assert summary.exported == 3
    waveform = ["a/ecg.csv", "a/ecg.png", "a/ecg-group2.csv", "a/ecg-group2.png"]
    assert names(out) == sorted(f"media/{name}" for name in ["a/image.png", "a/report.pdf", *waveform])
    assert (out / "media/a/report.pdf").read_bytes() == PDF
    found = rows(out)
    of_report, of_ecg = found["a/report.dcm"], found["a/ecg.dcm"]
    assert (of_report["media_type"], of_report["media_file"]) == ("document", "a/report.pdf")
    assert (of_ecg["media_type"], of_ecg["media_files"]) == ("waveform", waveform)


def test_burned_in_annotation_is_a_column(source: Path, tmp_path: Path) -> None:
    export(source, tmp_path / "out", **MEDIA)
    with open(tmp_path / "out" / "metadata.csv", newline="", encoding="utf-8") as file:
        found = {row["dicom_file"]: row["BurnedInAnnotation"] for row in csv.DictReader(file)}
    assert found["a/image.dcm"] == "YES"


def test_workers_write_the_same(source: Path, tmp_path: Path) -> None:
    sections = {"metadata": {"text": True}, "media": {}}
    export(source, tmp_path / "none", **sections)
    export(source, tmp_path / "two", workers=2, **sections)
    assert content(tmp_path / "none") == content(tmp_path / "two")


@pytest.mark.parametrize("key", ["documents", "waveforms"])
def test_each_can_be_switched_off(source: Path, tmp_path: Path, key: str) -> None:
    export(source, tmp_path / "out", metadata={}, media={key: False})
    extensions = {Path(name).suffix for name in names(tmp_path / "out")}
    assert extensions == ({".png", ".csv"} if key == "documents" else {".png", ".pdf"})


def test_reports_of_all_files(source: Path, tmp_path: Path) -> None:
    export(source, tmp_path / "out", metadata={"text": True}, media={})
    texts = [name for name in names(tmp_path / "out") if name.endswith(".txt")]
    assert texts == ["media/a/ecg.txt", "media/a/image.txt", "media/a/report.txt"]
    assert "PatientName: Doe^Jane" in (tmp_path / "out/media/a/image.txt").read_text("utf-8")
    assert not any(".txt" in name for row in rows(tmp_path / "out").values() for name in row["media_files"])


def test_reports_alone(source: Path, tmp_path: Path) -> None:
    export(source, tmp_path / "out", metadata={"text": True, "keys": "name"})
    assert {Path(name).suffix for name in names(tmp_path / "out")} == {".txt"}
    assert len(names(tmp_path / "out")) == 3


def test_a_file_of_another_owner_stays(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in ("report.pdf", "ecg-group2.csv", "image.txt"):
        (out / "media" / "a").mkdir(parents=True, exist_ok=True)
        (out / "media" / "a" / name).write_text("mine")
    export(source, out, metadata={"text": True}, media={})
    found = rows(out)
    assert all(found[f"a/{name}.dcm"]["reason"] == "exists" for name in ("report", "ecg", "image"))
    assert found["a/report.dcm"]["media_file"] == "a/report.pdf"
    for name in ("report.pdf", "ecg-group2.csv", "image.txt"):
        assert (out / "media" / "a" / name).read_text() == "mine"
    assert "media/a/ecg.csv" not in names(out), "half of a waveform's files"


def test_a_file_that_goes_takes_its_outputs_with_it(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sections = {"metadata": {"text": True}, "media": {}}
    export(source, out, **sections)
    before = names(out)
    export(source, out, **sections)
    assert names(out) == before
    (source / "a" / "ecg.dcm").unlink()
    (source / "a" / "report.dcm").unlink()
    export(source, out, **sections, dicom={"max_lost": 1})
    assert names(out) == ["media/a/image.png", "media/a/image.txt"]
    export(source, out, rebuild=True, metadata={}, media={})
    assert names(out) == ["media/a/image.png"]


def test_one_that_is_damaged_fails_alone(source: Path, tmp_path: Path) -> None:
    path = source / "a" / "report.dcm"
    path.write_bytes(path.read_bytes()[:-100])
    summary = export(source, tmp_path / "out", **MEDIA)
    assert (summary.exported, sum(summary.failed.values())) == (2, 1)
    row = failures(tmp_path / "out")["a/report.dcm"]
    assert (row["stage"], row["reason"]) == ("header", "truncated header")


def test_keys_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"media\.documents"):
        Config.from_mapping({"dicom": {"dir": "in"}, "media": {"documents": "pdf"}})
