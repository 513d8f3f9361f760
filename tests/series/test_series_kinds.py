"""Segmentations, parametric maps and enhanced objects: read by highdicom and by ourselves, and valid."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from support.mr import mr_series

from crawler import Series
from crawler.series.errors import LossRefused, NoGeometry, WriteNotImplemented

highdicom = pytest.importorskip("highdicom", reason="pip install highdicom")

STUDY = {"StudyDate": "20200101", "StudyTime": "100000", "StudyID": "1", "AccessionNumber": "", "PatientSex": "",
         "PatientBirthDate": "", "ReferringPhysicianName": "", "Manufacturer": "dme", "SeriesDate": "20200101",
         "SeriesTime": "100000", "ContentDate": "20200101", "ContentTime": "100000"}  # fmt: skip


@pytest.fixture
def volume(tmp_path: Path) -> Any:
    mr_series(tmp_path / "in", times=1, slices=4, orientation="oblique", **STUDY)
    return Series(tmp_path / "in")


def read(folder: Path) -> Any:
    (path,) = folder.glob("*.dcm")
    return pydicom.dcmread(path)


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_segmentations(volume: Any, tmp_path: Path, kind: str) -> None:
    mask = np.zeros_like(volume, dtype=np.uint8)
    mask[1, 1:3, 2:4], mask[2, 4, 1] = 2, 7
    mask.write(tmp_path / "seg", kind="seg", SegmentationType=kind, SegmentLabels={2: "liver"})
    dataset = read(tmp_path / "seg")
    assert [segment.SegmentLabel for segment in dataset.SegmentSequence][-2:] == ["liver", "Segment 7"]
    assert dataset.StudyInstanceUID == volume.studyInstanceUID
    referenced = {
        item.ReferencedSOPInstanceUID for item in dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    assert referenced == set(volume.SOPInstanceUIDs.values())
    parts = Series.read_all(tmp_path / "seg")
    assert all(part.geometry is not None for part in parts)


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_parametric_maps_lose_nothing(volume: Any, tmp_path: Path, kind: str) -> None:
    values = (volume * 0.37).astype(kind)
    report = values.write(tmp_path / "map", kind="parametric", sernum=9)
    assert report.rounding == 0
    again = Series(tmp_path / "map")
    assert np.array_equal(again, values)
    assert again.affine == pytest.approx(values.affine)
    assert again.seriesNumber == 9
    values[0, 0, 0] = np.nan
    with pytest.raises(LossRefused):
        values.write(tmp_path / "nan", kind="parametric")


def test_enhanced(volume: Any, tmp_path: Path) -> None:
    volume.write(tmp_path / "enhanced", kind="enhanced")
    again = Series(tmp_path / "enhanced")
    assert np.array_equal(again, volume)
    assert again.affine == pytest.approx(volume.affine)


def test_what_they_cannot_hold(volume: Any, tmp_path: Path) -> None:
    with pytest.raises(WriteNotImplemented, match="whole numbers"):
        (volume * 0.5).write(tmp_path / "x", kind="seg")
    with pytest.raises(WriteNotImplemented, match="unknown kind"):
        volume.write(tmp_path / "x", kind="other")
    with pytest.raises(WriteNotImplemented, match="one step"):
        np.stack([volume, volume]).write(tmp_path / "x", kind="parametric")
    with pytest.raises(NoGeometry):
        Series(np.ones((2, 3, 4), np.uint8)).write(tmp_path / "x", kind="seg")
    assert not (tmp_path / "x").exists()


@pytest.mark.system
@pytest.mark.parametrize("kind", ["seg", "parametric"])
def test_dciodvfy(volume: Any, tmp_path: Path, kind: str) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (apt-get install dicom3tools)")
    array = (volume > 300).astype(np.uint8) if kind == "seg" else volume * 0.5
    array.write(tmp_path / "out", kind=kind)
    (path,) = (tmp_path / "out").glob("*.dcm")
    done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == []
