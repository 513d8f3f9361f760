"""DataFrames of an output: texts stay texts, whole numbers stay whole."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest
from pandas.api.types import is_object_dtype
from support.factories import quick_dataset, save
from support.runs import export

import crawler


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    for number in range(3):
        dataset = quick_dataset(
            PatientID="000123", StudyDate="20240101", AccessionNumber="1e5", SeriesDescription="NA",
            SeriesInstanceUID=f"1.2.{number}", EchoNumbers=number if number else None, KVP=120.0 if number else 80.5,
            ImageType=["ORIGINAL", "PRIMARY"], StationName="007" if number else None,
        )  # fmt: skip
        save(dataset, tmp_path / "in" / f"{number}.dcm")
    export(tmp_path / "in", tmp_path / "out", metadata={}, volume={})
    return tmp_path / "out"


def test_rows_keep_their_types(finished: Path) -> None:
    rows = crawler.read_metadata(finished)
    assert list(rows.dicom_file) == ["0.dcm", "1.dcm", "2.dcm"]
    assert list(rows.PatientID) == ["000123"] * 3
    assert list(rows.AccessionNumber) == ["1e5"] * 3
    assert list(rows.SeriesDescription) == ["NA"] * 3
    assert rows.StationName[1] == "007"
    assert rows.StationName.isna().tolist() == [True, False, False]
    assert str(rows.EchoNumbers.dtype) == "Int64"
    assert rows.EchoNumbers.isna().tolist() == [True, False, False]
    assert str(rows.KVP.dtype) == "Float64"
    assert list(rows.KVP) == [80.5, 120.0, 120.0]
    assert is_object_dtype(rows.ImageType)
    assert rows.ImageType[0] == ["ORIGINAL", "PRIMARY"]


def test_some_columns_only(finished: Path) -> None:
    rows = crawler.read_metadata(finished / "metadata.jsonl", columns=["PatientID", "Nothing"])
    assert list(rows.columns) == ["PatientID", "Nothing"]
    assert len(rows) == 3
    assert rows.Nothing.isna().all()


def test_series_keep_their_types(finished: Path) -> None:
    series = crawler.read_series(finished)
    assert list(series.PatientID) == ["000123"] * 3
    assert list(series.SeriesDescription) == ["NA"] * 3
    assert series.n_files.sum() == 3
    assert str(series.n_volumes.dtype) == "Int64"
    assert series.regular_volume.dtype == "boolean"
    assert series.PixelSpacing.dtype == "string"
    assert isinstance(series, pandas.DataFrame)


def test_every_column_of_the_parquet_file_has_its_type(finished: Path, tmp_path: Path) -> None:
    """The types that a CSV cannot tell agree with those of the file that can."""
    export(tmp_path / "in", finished, metadata={"tables": ["parquet"]}, volume={})
    parquet = pandas.read_parquet(finished / "series.parquet")
    kinds = {"i": "Int64", "f": "Float64", "b": "boolean"}
    for name, column in crawler.read_series(finished).items():
        values = parquet[name].dropna()
        kind = values.infer_objects().dtype.kind if len(values) else "O"
        if kind in kinds:
            assert str(column.dtype) == kinds[kind], name


@pytest.mark.parametrize("read", [crawler.read_metadata, crawler.read_series])
def test_no_output_is_told(tmp_path: Path, read: object) -> None:
    with pytest.raises(crawler.SourceError, match="give the folder of an output"):
        read(tmp_path)  # type: ignore[operator]


def test_a_run_takes_a_path_or_a_mapping(finished: Path, tmp_path: Path) -> None:
    settings = {"num_workers": 0, "dicom": {"dir": str(tmp_path / "in")}, "output": {"dir": str(tmp_path / "2")}}
    assert crawler.run(settings).exported == 3
    assert crawler.load_config(settings).output_dir == str(tmp_path / "2")
    (tmp_path / "c.yml").write_text(f"dicom: {{dir: {tmp_path / 'in'}}}\noutput: {{dir: {tmp_path / '3'}}}\n")
    assert crawler.run(str(tmp_path / "c.yml")).exported == 3
    assert crawler.run(tmp_path / "c.yml").handled == 0
    with pytest.raises(crawler.ConfigError):
        crawler.run({"dicom": {}})
