"""In a run: a header that ends early fails its file at stage header, and its row stays; notes are in the row."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from support.runs import export, failures, rows
from support.streams import ITEM_END, head


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A structured report and an image: whole, cut in front of their last bytes, and with a stray delimiter."""
    source = tmp_path / "in"
    source.mkdir()
    for name in ("reportsi.dcm", "CT_small.dcm"):
        content = Path(str(get_testdata_file(name))).read_bytes()
        stem = name.partition(".")[0]
        (source / f"{stem}-whole.dcm").write_bytes(content)
        (source / f"{stem}-cut.dcm").write_bytes(content[: len(content) * 2 // 3 if "report" in name else 1500])
        patient = content.index(b"\x10\0\x10\0PN")
        (source / f"{stem}-stray.dcm").write_bytes(content[:patient] + head(ITEM_END) + content[patient:])
    return source


def test_faults_fail_and_notes_stay(tree: Path, tmp_path: Path) -> None:
    summary = export(tree, tmp_path / "out")
    found = rows(tmp_path / "out")
    assert summary.failed == {"header: truncated header": 2}
    for stem in ("reportsi", "CT_small"):
        whole, cut, stray = (found[f"{stem}-{kind}.dcm"] for kind in ("whole", "cut", "stray"))
        assert whole["outcome"] in (
            "exported",
            "skipped",
        )  # as a duplicate of the one with stray bytes, or the other way
        assert "header_notes" not in whole
        assert (cut["outcome"], cut["stage"], cut["reason"]) == ("failed", "header", "truncated header")
        assert cut["PatientID"] == whole["PatientID"]
        assert {whole["outcome"], stray["outcome"]} == {"exported", "skipped"}
        assert len(stray["header_notes"]) == 1
        assert stray["PatientID"] == whole["PatientID"]
        assert failures(tmp_path / "out")[f"{stem}-cut.dcm"]["detail"]
    assert found["CT_small-stray.dcm"]["media_file"]
    assert not found["CT_small-cut.dcm"]["media_file"]


def test_workers_agree(tree: Path, tmp_path: Path) -> None:
    for workers in (0, 2):
        export(tree, tmp_path / str(workers), workers)
    assert rows(tmp_path / "0") == rows(tmp_path / "2")


def test_notes_name_no_patient(tree: Path, tmp_path: Path) -> None:
    export(tree, tmp_path / "out")
    name = str(pydicom.dcmread(tree / "CT_small-whole.dcm").PatientName)
    for row in rows(tmp_path / "out").values():
        assert name.split("^")[0] not in str(row.get("header_notes"))
