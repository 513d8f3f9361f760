"""Tables as views: made from ledger and JSONL alone, equal on repeat, put in place whole."""

from __future__ import annotations

import contextlib
import csv
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openpyxl
import pandas
import pyarrow.parquet as pq
import pytest
from pydicom import Dataset
from support.factories import ct_series, make_uid, quick_dataset, save
from support.runs import ROOT, config, export, rows
from support.samples import copy_sample

from crawler.config.loader import Config
from crawler.errors import ConfigError, StopError
from crawler.ledger.database import Ledger
from crawler.ledger.store import ledger_of
from crawler.ledger.summary import summarise
from crawler.tables import registry

TAGS = str(ROOT / "dicom_tags")
ALL = {"tables": ["csv", "parquet", "xlsx"], "templates": TAGS, "mr_clean": True}
TABLES = {".csv", ".parquet", ".xlsx"}
WHOLE = ("metadata.csv", "metadata.parquet", "metadata.xlsx")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    copy_sample(folder, broken=True)
    return folder


@pytest.fixture(scope="module")
def finished(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished")
    export(sample, out, metadata=ALL)
    return out


def tables(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir()) if path.suffix in TABLES}


def table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_what_is_made(finished: Path) -> None:
    made = tables(finished)
    modalities = {row.get("Modality") for row in rows(finished).values()}
    for suffix in ("csv", "parquet"):
        for name in ("ct", "dx", "mg", "mr", "us", "xa"):
            assert name.upper() in modalities
            assert f"metadata_{name}.{suffix}" in made
        assert f"metadata.{suffix}" in made
        assert f"mr_cleaned.{suffix}" in made
        assert f"metadata_nm.{suffix}" not in made, "there is no such file"
    assert "metadata.xlsx" in made
    assert not list(finished.rglob(".dme-tmp"))


def test_views_are_rebuilt_from_ledger_and_rows_alone_and_equal(finished: Path, sample: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    before = tables(out)
    for name in before:
        (out / name).unlink()
    settings = config(sample, out, metadata=ALL)
    with views_of(settings) as build:
        build()
    assert tables(out) == before


@contextlib.contextmanager
def views_of(settings: Config) -> Iterator[Callable[[], list[str]]]:
    """The views of an output without its input: only ledger and JSONL are there to be read."""
    ledger = Ledger(ledger_of(settings))
    summary = summarise(ledger, handled=0, listed=0, seconds=0.0, interrupted=False)
    yield lambda: registry.build(settings, ledger, summary)
    ledger.commit()
    ledger.close()


def test_nothing_is_made_twice_and_a_changed_view_alone_is_made_anew(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    tags = tmp_path / "tags"
    shutil.copytree(TAGS, tags)
    settings = config(tmp_path, out, metadata={**ALL, "templates": str(tags)})
    with views_of(settings) as build:
        assert [os.path.basename(path) for path in build()] == []
        (tags / "ct.json").write_text('["KVP", "Modality"]')
        assert {os.path.basename(path) for path in build()} == {"metadata_ct.csv", "metadata_ct.parquet", WHOLE[2]}
        assert build() == []
    [header, *_] = (out / "metadata_ct.csv").read_text().splitlines()
    assert header.endswith("scan_id,KVP,Modality")


@pytest.mark.skipif(sys.platform == "win32", reason="kills by a POSIX signal")
@pytest.mark.parametrize("name", ["metadata.csv", "metadata_ct.parquet", "metadata.xlsx", "mr_cleaned.csv"])
@pytest.mark.parametrize("moment", ["written", "writing"])
def test_a_kill_while_a_view_is_made_leaves_the_old_one(
    sample: Path, finished: Path, tmp_path: Path, name: str, moment: str
) -> None:
    out = tmp_path / "out"
    shutil.copytree(sample, tmp_path / "in")
    export(tmp_path / "in", out, metadata=ALL)
    before = tables(out)
    ct_series(tmp_path / "in" / "more", n=2)
    ct_series(tmp_path / "in" / "more_mr", n=2, Modality="MR")
    settings = tmp_path / "c.yml"
    settings.write_text(
        f"num_workers: 0\noutput: {{dir: {out}}}\ndicom: {{dir: {tmp_path / 'in'}}}\nmetadata: {json.dumps(ALL)}\n"
    )
    # Killed when the finished file is about to be renamed, or when it is about to be written.
    kill = "os.kill(os.getpid(), signal.SIGKILL)"
    traps = {
        "written": f"real = os.replace\ndef trap(a, b):\n    {kill} if b.endswith({name!r}) else real(a, b)\n"
        "os.replace = trap\n",
        "writing": "import builtins, contextlib\nfrom crawler.tables import base, registry\n"
        "real = registry.replacing\n@contextlib.contextmanager\ndef trap(path):\n    with real(path) as scratch:\n"
        f"        if path.endswith({name!r}):\n            open(scratch, 'wb').write(b'half')\n            {kill}\n"
        "        yield scratch\nregistry.replacing = trap\n",
    }
    code = f"import os, signal, sys\nimport crawler.cli.main\n{traps[moment]}"
    code += f"sys.exit(crawler.cli.main.main([{str(settings)!r}, '-q']))"
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    assert (out / name).read_bytes() == before[name]
    export(tmp_path / "in", out, metadata=ALL)
    assert (out / name).read_bytes() != before[name]
    assert not list(out.glob("*.building")) + list(out.rglob(".dme-tmp"))
    shutil.rmtree(tmp_path / "anew", ignore_errors=True)
    export(tmp_path / "in", tmp_path / "anew", metadata=ALL)
    assert sorted(table_lines(out)) == sorted(table_lines(tmp_path / "anew"))


def table_lines(out: Path) -> list[str]:
    return [line for path in out.glob("m*.csv") for line in path.read_text("utf-8").splitlines()]


# -- content ------------------------------------------------------------------------------------------------------


def test_formats_agree(finished: Path) -> None:
    read = {
        "csv": table(finished / "metadata.csv"),
        "parquet": pq.read_table(finished / "metadata.parquet").to_pylist(),
        "xlsx": pandas.read_excel(finished / "metadata.xlsx", "DICOM_Metadata", dtype=object).to_dict("records"),
    }
    lines = (json.loads(line) for line in (finished / "metadata.jsonl").read_text("utf-8").splitlines())
    for number, row in enumerate(lines):
        for name, found in read.items():
            assert list(found[number]) == list(found[0])
            for column in ("dicom_file", "outcome", "Modality", "SOPInstanceUID"):
                assert (found[number][column] or None) == row.get(column), name
        assert (read["csv"][number]["Rows"] or None) == (str(row["Rows"]) if "Rows" in row else None)
        assert read["parquet"][number]["Rows"] == row.get("Rows")
    assert len({len(found) for found in read.values()}) == 1


def test_sheets(finished: Path) -> None:
    book = openpyxl.load_workbook(finished / "metadata.xlsx")
    names = book.sheetnames
    assert names[:2] == ["DICOM_Metadata", "Series_Summary"]
    assert {"CT", "DX", "MG", "MR", "US", "XA", "MR_Cleaned", "Failures"} == set(names[2:])
    for sheet in book.worksheets:
        assert sheet.freeze_panes == "B2"
        assert sheet.auto_filter.ref
    summary = pandas.read_excel(finished / "metadata.xlsx", "Series_Summary")
    series = pandas.read_csv(finished / "series.csv")
    assert sorted(summary.scan_id) == sorted(series.scan_id)
    assert summary.FileCount.sum() == len(rows(finished))
    assert {"Modality", "SeriesDescription", "PatientID", "AccessionNumber", "StudyDate"} <= set(summary.columns)
    failures = pandas.read_excel(finished / "metadata.xlsx", "Failures")
    assert sorted(failures.file) == sorted(pandas.read_csv(finished / "unreadable_files.csv").file)
    assert len(failures) > 0


def test_sheets_begin_with_the_columns_of_the_earlier_program(sample: Path, tmp_path: Path) -> None:
    export(sample, tmp_path / "out", metadata={"tables": ["xlsx"]}, quality={})
    found = pandas.read_excel(tmp_path / "out" / "metadata.xlsx", "DICOM_Metadata", dtype=object)
    assert " ".join(found.columns[:17]) == (
        "SeriesFolder FileName SampleFileName FileIndex TotalFilesInSeries FilesReadForMetadata Low_quality"
        " Low_quality_reason PatientID AccessionNumber StudyDate Modality SeriesNumber SeriesDescription InstanceNumber"
        " Rows Columns"
    )
    ct = found[found.scan_id.astype(str).str.startswith("ct_head/")]
    assert set(ct.SeriesFolder) == {"ct_head"}
    assert list(ct.FileIndex) == list(range(1, len(ct) + 1))
    assert set(ct.TotalFilesInSeries) == set(ct.FilesReadForMetadata) == {len(ct)}
    assert set(ct.SampleFileName) == {ct.dicom_file.iloc[0].rpartition("/")[2]}
    assert set(ct.Low_quality) <= {0, 1}
    assert len(found) == len(rows(tmp_path / "out"))
    summary = pandas.read_excel(tmp_path / "out" / "metadata.xlsx", "Series_Summary", dtype=object)
    assert " ".join(summary.columns[:7]) == (
        "SeriesFolder FileCount Modality SeriesDescription PatientID AccessionNumber StudyDate"
    )


@pytest.mark.parametrize(
    ("metadata", "column"),
    [
        ({"keys": "tag"}, "(0010,0020)"),
        ({"columns": "flat"}, "Patient ID (0010,0020)"),
        ({"keys": "name"}, "Patient ID"),
    ],
)
def test_sheets_of_other_styles_have_them_under_their_names(
    tmp_path: Path, metadata: dict[str, Any], column: str
) -> None:
    save(quick_dataset(AccessionNumber="A7"), tmp_path / "in" / "a.dcm")
    export(tmp_path / "in", tmp_path / "out", metadata={"tables": ["xlsx"], **metadata})
    found = pandas.read_excel(tmp_path / "out" / "metadata.xlsx", "DICOM_Metadata", dtype=object)
    assert found.columns[8] == column
    assert found.FileName[0] == "A7/a.dcm"


def test_a_modality_has_its_rows_and_the_columns_of_its_template(finished: Path) -> None:
    keywords = json.loads((ROOT / "dicom_tags" / "ct.json").read_text())
    found = pandas.read_parquet(finished / "metadata_ct.parquet")
    assert list(found.columns) == ["dicom_file", "outcome", "stage", "reason", "scan_id", *keywords]
    assert sorted(found.dicom_file) == sorted(
        name for name, row in rows(finished).items() if row.get("Modality") == "CT"
    )
    assert set(found.Modality) == {"CT"}


def test_a_modality_in_a_sequence_is_not_that_of_the_file(tmp_path: Path) -> None:
    item = Dataset()
    item.Modality = "MR"
    save(quick_dataset(SourceImageSequence=[item], SeriesInstanceUID=make_uid("a")), tmp_path / "in" / "a.dcm")
    export(tmp_path / "in", tmp_path / "out", metadata={"templates": TAGS})
    assert (tmp_path / "out" / "metadata_ct.csv").exists()
    assert not (tmp_path / "out" / "metadata_mr.csv").exists()


def test_a_table_of_a_modality_goes_with_its_last_file(tmp_path: Path) -> None:
    ct_series(tmp_path / "in" / "ct", n=2)
    ct_series(tmp_path / "in" / "mr", n=2, Modality="MR")
    export(tmp_path / "in", tmp_path / "out", metadata={"templates": TAGS})
    assert (tmp_path / "out" / "metadata_mr.csv").exists()
    shutil.rmtree(tmp_path / "in" / "mr")
    export(tmp_path / "in", tmp_path / "out", metadata={"templates": TAGS})
    assert not (tmp_path / "out" / "metadata_mr.csv").exists()
    assert (tmp_path / "out" / "metadata_ct.csv").exists()


@pytest.mark.parametrize("keys", ["keyword", "name", "tag"])
def test_mr_series_are_the_same_in_every_style_of_keys(sample: Path, finished: Path, tmp_path: Path, keys: str) -> None:
    export(sample, tmp_path / "out", metadata={"mr_clean": True, "templates": TAGS, "keys": keys})
    for name in ("mr_cleaned.csv", "metadata_mr.csv"):
        assert table(tmp_path / "out" / name) == table(finished / name)
    found = table(tmp_path / "out" / "mr_cleaned.csv")
    echoes = {(row["scan_id"], row["EchoNumbers"]) for row in table(finished / "metadata_mr.csv")}
    assert {(row["scan_id"], row["EchoNumbers"]) for row in found} == echoes
    assert all(row["sequenceClass"] and row["sequenceClassRule"] for row in found)


@pytest.mark.parametrize("keys", ["keyword", "name", "tag"])
def test_flat_columns(tmp_path: Path, keys: str) -> None:
    codes = []
    for value in ("one", "two"):
        item = Dataset()
        item.CodeValue = value
        codes.append(item)
    dataset = quick_dataset(
        ProcedureCodeSequence=codes,
        ImageType=["ORIGINAL", "PRIMARY"],
        KVP=120,
        SeriesDescription="=1",
    )
    dataset.add_new(0x60020010, "US", 7)
    save(dataset, tmp_path / "in" / "a.dcm")
    metadata = {"columns": "flat", "keys": keys, "tables": ["csv", "parquet", "xlsx"]}
    export(tmp_path / "in", tmp_path / "out", metadata=metadata)
    [row] = table(tmp_path / "out" / "metadata.csv")
    assert row["Procedure Code Sequence_Code Value (0008,0100)"] == "DUPLICATE TAGS IN DICOM:one/two"
    assert row["Image Type (0008,0008)"] == "['ORIGINAL', 'PRIMARY']"
    assert row["Overlay Rows (6002,0010)"] == "7"
    assert row["dicom_file"] == "a.dcm"
    assert not [column for column in row if "Pixel Data" in column or "(0002," in column]
    [typed] = pq.read_table(tmp_path / "out" / "metadata.parquet").to_pylist()
    assert typed["KVP (0018,0060)"] == 120
    columns = list(row)
    assert columns.index("KVP (0018,0060)") < columns.index("Rows (0028,0010)")


def test_formulas_in_headers_stay_texts(tmp_path: Path) -> None:
    save(quick_dataset(SeriesDescription="=HYPERLINK(1)"), tmp_path / "in" / "a.dcm")
    export(tmp_path / "in", tmp_path / "out", metadata={"tables": ["csv", "xlsx"]})
    [row] = table(tmp_path / "out" / "metadata.csv")
    assert row["SeriesDescription"] == "=HYPERLINK(1)"
    book = openpyxl.load_workbook(tmp_path / "out" / "metadata.xlsx")
    for sheet in (book["DICOM_Metadata"], book["Series_Summary"]):
        assert all(cell.data_type != "f" for row in sheet.iter_rows() for cell in row)


def test_what_a_sheet_does_not_hold_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from crawler.tables import workbook

    monkeypatch.setattr(workbook, "CHARACTERS", 40)
    save(quick_dataset(SeriesDescription="x" * 41), tmp_path / "in" / "a.dcm")
    with caplog.at_level(logging.WARNING, "dme"):
        export(tmp_path / "in", tmp_path / "out", metadata={"tables": ["xlsx"]})
    assert "metadata.xlsx: DICOM_Metadata: SeriesDescription: 1 texts are longer than a cell holds" in caplog.text
    assert "Notes" in openpyxl.load_workbook(tmp_path / "out" / "metadata.xlsx").sheetnames


# -- before any work ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metadata", "package"),
    [({"tables": ["parquet"]}, "pyarrow"), ({"tables": ["xlsx"]}, "xlsxwriter"), ({"mr_clean": True}, "pandas")],
)
def test_a_missing_package_stops_the_run_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metadata: dict[str, Any], package: str
) -> None:
    real = registry.importlib.util.find_spec
    monkeypatch.setattr(registry.importlib.util, "find_spec", lambda name: None if name == package else real(name))
    ct_series(tmp_path / "in", n=1)
    with pytest.raises(StopError, match=rf"needs {package}: install with `.*requirements-tables\.txt`"):
        export(tmp_path / "in", tmp_path / "out", metadata=metadata)
    assert not (tmp_path / "out").exists()


def test_bad_rules_of_mr_stop_the_run_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "tags").mkdir()
    (tmp_path / "tags" / "ct.json").write_text('["KVP"]')
    (tmp_path / "tags" / "mr_clean.json").write_text("[]")
    ct_series(tmp_path / "in", n=1)
    with pytest.raises(ConfigError, match=r"mr_clean\.json"):
        export(tmp_path / "in", tmp_path / "out", metadata={"mr_clean": True, "templates": str(tmp_path / "tags")})
    assert not (tmp_path / "out").exists()
