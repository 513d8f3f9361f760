"""`dme privacy audit`: it finds what an output repeats of its originals, and tells no value in public."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.factories import ct_series

from crawler.cli.main import main
from crawler.privacy.audit import anonymity
from crawler.privacy.search import Needles, encoded


@pytest.fixture
def job(tmp_path: Path) -> Path:
    ct_series(tmp_path / "in" / "Quasten", 3, PatientName="Quastenflosser^Ludmilla", PatientID="MRN4711081")
    document: dict[str, Any] = {
        "num_workers": 0,
        "dicom": {"dir": str(tmp_path / "in")},
        "output": {"dir": str(tmp_path / "out")},
        "metadata": {"tables": ["csv", "xlsx"]},
        "image": {},
        "volume": {"formats": ["hdf5", "nifti"]},
        "privacy": {"private": str(tmp_path / "private")},
    }
    path = tmp_path / "job.yml"
    path.write_text(yaml.safe_dump(document))
    assert main([str(path), "-q"]) == 0
    return path


def test_an_output_without_leaks_passes(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["privacy", "audit", str(job)]) == 0
    told = capsys.readouterr().out
    text = (job.parent / "out" / "privacy_audit.json").read_text()
    report = json.loads(text)
    assert report["texts_found"] == 0
    assert report["standard"] == "PS3.15 2026d"
    assert {"gzip", "hdf5", "zip", "name", "file"} <= report["places_searched"].keys()
    assert report["method_codes"] == ["113100", "113108", "113107", "113105", "113111"]
    assert len(report["sha256"]) > 8
    for value in ("Quasten", "Ludmilla", "4711081"):
        assert value not in text + told


@pytest.mark.parametrize("planted", ["Quastenflosser", "MRN4711081", "LUDMILLA"])
def test_a_text_that_was_left_is_found_and_named_in_private(job: Path, planted: str) -> None:
    (job.parent / "out" / "media" / "note.txt").write_text(f"seen by {planted}.")
    assert main(["privacy", "audit", str(job)]) == 3
    public = (job.parent / "out" / "privacy_audit.json").read_text()
    assert json.loads(public)["texts_found"] >= 1
    assert planted not in public
    assert "note.txt" in (job.parent / "private" / "privacy_audit_private.json").read_text()


def test_a_strange_report_is_not_written_over(job: Path) -> None:
    place = job.parent / "out" / "privacy_audit.json"
    place.write_text("mine")
    assert main(["privacy", "audit", str(job)]) == 1
    assert place.read_text() == "mine"


@pytest.mark.parametrize("text", ["Quastenflosser", "Müller-Lüdenscheidt", "A<B & 'C'"])
def test_every_encoding_of_a_text_is_found(text: str) -> None:
    needles = Needles(["something else", text])
    for form in encoded(text):
        assert needles.found_in(b"xyz" + form + b"abc") == {1}
    assert needles.found_in(b"Quastenflos ser Muller") == set()


def test_a_text_across_two_blocks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.privacy.search._BLOCK", 64)
    needles = Needles(["Quastenflosser"])
    assert all(needles.found_in(b"-" * before + b"Quastenflosser" + b"-" * 90) == {0} for before in range(40, 80))


def test_anonymity_counts_subjects_and_not_files() -> None:
    row = {"PatientSex": "F", "PatientAge": "043Y", "Modality": "CT"}
    rows = [{"PatientID": f"P{number // 3}", **row} for number in range(18)]
    rows.append({"PatientID": "P9", **row, "PatientAge": "090Y"})
    found = anonymity(rows, 5)
    assert found["subjects"] == 7
    assert found["smallest_group"] == "<5"
    assert found["subjects_in_groups_below_k"] == "<5"
