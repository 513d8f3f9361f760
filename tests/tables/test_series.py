"""series.csv, series.parquet and the sheet of the workbook: who a series is, and what was made of it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from pydicom.dataset import Dataset
from support.factories import ct_series, multiframe, quick_dataset, save
from support.pages import page
from support.runs import export
from support.samples import copy_sample

TABLES = ["csv", "parquet", "xlsx"]


def series(out: Path) -> list[dict[str, str]]:
    with open(out / "series.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("series")
    copy_sample(home / "in")
    sections: dict[str, Any] = {"image": {}, "video": {"extension": ".gif"}, "preview": {}, "quality": {}}
    formats = ["hdf5", "nifti", "npz", "metaimage", "mat"]
    export(home / "in", home / "out", metadata={"tables": TABLES}, volume={"formats": formats}, **sections)
    return home / "out"


def test_a_series_is_identified(finished: Path) -> None:
    (ct,) = [row for row in series(finished) if row["Modality"] == "CT"]
    assert ct["PatientID"] == "SAMPLE"
    assert ct["SeriesDescription"] == "Head 6 mm"
    assert ct["StudyDate"] == "20240229"
    assert ct["SeriesInstanceUID"] == ct["series_uid"]
    assert ct["StudyInstanceUID"].startswith("2.25.")
    assert (ct["Rows"], ct["Columns"], ct["PixelSpacing"]) == ("192", "192", r"1.083333333\1.083333333")
    assert (ct["shapes"], ct["axes"]) == ("24x192x192", "slice,row,column")
    assert ct["verdict"] == "regular volume"
    assert (ct["n_files"], ct["n_failed"], ct["n_skipped"], ct["n_media"]) == ("24", "0", "0", "24")
    assert ct["media_file"] == "ct_head/IM0001.png"
    assert ct["quality_files"] == "24"
    assert (finished / "previews" / ct["preview"]).is_file()


def test_five_formats_are_not_five_volumes(finished: Path) -> None:
    (ct,) = [row for row in series(finished) if row["Modality"] == "CT"]
    assert ct["n_volumes"] == "1"
    assert len(ct["volume_files"].split("\\")) == 5
    assert all((finished / "volumes" / name).is_file() for name in ct["volume_files"].split("\\"))


def test_measures_print_as_the_header_has_them(finished: Path) -> None:
    """Positions are decimal strings: their differences are 4.499999999705951 and the like."""
    (mr,) = [row for row in series(finished) if row["Modality"] == "MR"]
    assert mr["spacing"] == "4.5"
    for row in series(finished):
        for name in ("spacing", "obliquity_degrees", "largest_gap", "tilt_degrees"):
            assert len(row[name].partition(".")[2]) <= 6


def test_three_forms_say_the_same(finished: Path) -> None:
    rows = series(finished)
    parquet = pandas.read_parquet(finished / "series.parquet")
    sheet = pandas.read_excel(finished / "metadata.xlsx", "Series_Summary", dtype=str)
    assert list(parquet.columns) == list(rows[0])
    assert list(sheet.columns[2:8]) == [
        *["Modality", "SeriesDescription", "PatientID", "AccessionNumber", "StudyDate", "scan_id"]
    ]
    others = [name for name in rows[0] if name not in sheet.columns[:8]]
    assert list(sheet.columns[8:]) == others
    assert list(parquet.scan_id) == list(sheet.scan_id) == [row["scan_id"] for row in rows]
    assert list(parquet.PatientID) == [row["PatientID"] for row in rows]
    assert parquet.n_files.dtype == np.int64


def test_b_values_and_no_metadata(tmp_path: Path) -> None:
    """Series are identified where no rows are written, too."""
    number = 0
    for b in (0, 1000):
        for position in range(3):
            dataset = quick_dataset(
                np.full((8, 8), number, np.uint16), Modality="MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4",
                SeriesInstanceUID="1.2.3", DiffusionBValue=float(b), PatientID="000123",
                ImagePositionPatient=[0, 0, position * 2], ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
                PixelSpacing=[1, 1], InstanceNumber=number,
            )  # fmt: skip
            save(dataset, tmp_path / "in" / f"{number}.dcm")
            number += 1
    export(tmp_path / "in", tmp_path / "out", image={})
    (row,) = series(tmp_path / "out")
    assert row["b_values"] == r"0\1000"
    assert row["PatientID"] == "000123"
    assert row["n_volumes"] == "0"


def test_spacing_of_an_enhanced_object(tmp_path: Path) -> None:
    measures, shared = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [0.5, 0.25], 3
    shared.PixelMeasuresSequence = [measures]
    multiframe(
        tmp_path / "in" / "a.dcm", 2, 8, 8, SOPClassUID="1.2.840.10008.5.1.4.1.1.4.1", Modality="MR",
        SharedFunctionalGroupsSequence=[shared], PixelSpacing=None, SliceThickness=None,
    )  # fmt: skip
    export(tmp_path / "in", tmp_path / "out", metadata={})
    (row,) = series(tmp_path / "out")
    assert row["PixelSpacing"] == r"0.5\0.25"
    assert row["SliceThickness"] == "3.0"


def test_a_dicomdir_is_no_series(tmp_path: Path, dicom_files: list[Path]) -> None:
    (directory,) = [path for path in dicom_files if path.name == "DICOMDIR" and path.parent.name == "dicomdirtests"]
    ct_series(tmp_path / "in", 3)
    (tmp_path / "in" / "DICOMDIR").write_bytes(directory.read_bytes())
    summary = export(tmp_path / "in", tmp_path / "out", metadata={}, volume={"formats": ["hdf5", "npz"]})
    assert (summary.found, summary.scans, summary.volumes) == (4, 1, 1)
    assert len(series(tmp_path / "out")) == 1


def test_a_failed_series_is_identified(tmp_path: Path) -> None:
    ct_series(tmp_path / "in", 2, PatientID="007")
    for path in (tmp_path / "in").iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    export(tmp_path / "in", tmp_path / "out", volume={})
    (row,) = series(tmp_path / "out")
    assert (row["PatientID"], row["n_failed"], row["n_volumes"]) == ("007", "2", "0")


def test_the_reference_names_every_column(finished: Path) -> None:
    section = page("reference/columns.md")
    missing = [name for name in series(finished)[0] if f"*{name}*" not in section and not name.startswith("quality_")]
    assert not missing
