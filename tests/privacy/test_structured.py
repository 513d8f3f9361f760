"""Structured reports under `structured: clean`: what stays of them, in rows and in DICOM, and that names do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from pydicom import Dataset, dcmread
from support.factories import make_uid, quick_dataset, save
from support.runs import config, rows

from crawler.config.privacy import PrivacySection, resolved
from crawler.engine.privacy import policy_of
from crawler.engine.run import run
from crawler.model import File
from crawler.privacy.content import Fate, fate_of
from crawler.privacy.dicom_files import clean_file
from crawler.privacy.keys import make_key
from crawler.privacy.standard import content_count, content_row

STORAGE = "1.2.840.10008.5.1.4.1.1."


def code(value: str, scheme: str, meaning: str) -> Dataset:
    found = Dataset()
    found.CodeValue, found.CodingSchemeDesignator, found.CodeMeaning = value, scheme, meaning
    return found


def item(kind: str, concept: Dataset, **values: Any) -> Dataset:
    found = Dataset()
    found.RelationshipType, found.ValueType, found.ConceptNameCodeSequence = "CONTAINS", kind, [concept]
    for keyword, value in values.items():
        setattr(found, keyword, value)
    return found


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """Findings with a name in them, a measurement, an image, a date, an observer, an order, at two depths."""
    measured = Dataset()
    measured.NumericValue, measured.MeasurementUnitsCodeSequence = "12.5", [code("mm", "UCUM", "mm")]
    image = Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = f"{STORAGE}2", make_uid("image")
    items = [
        item("TEXT", code("121071", "DCM", "Finding"), TextValue="No nodule. Told Vogelsang on 3.4.2020"),
        item("TEXT", code("121022", "DCM", "Accession Number"), TextValue="ACC4711"),
        item("PNAME", code("121008", "DCM", "Person Observer Name"), PersonName="Vogelsang^Ada"),
        item("PNAME", code("99999", "99OURS", "Colleague"), PersonName="Amselberg^Ida"),
        item("NUM", code("410668003", "SCT", "Length"), MeasuredValueSequence=[measured]),
        item("DATETIME", code("111526", "DCM", "DateTime Started"), DateTime="20200403101112"),
        item("CODE", code("121049", "DCM", "Language"), ConceptCodeSequence=[code("en", "RFC5646", "English")]),
    ]
    findings = item("CONTAINER", code("121070", "DCM", "Findings"), ContentSequence=items)
    picture = item("IMAGE", code("113795", "DCM", "Acquired Image"), ReferencedSOPSequence=[image])
    dataset = quick_dataset(SOPClassUID=f"{STORAGE}88.11", Modality="SR", PatientName="Vogelsang^Ada", PatientID="ID7")
    dataset.ValueType, dataset.StudyDate = "CONTAINER", "20200403"
    dataset.ContentSequence = [findings, picture]
    return save(dataset, tmp_path / "in" / "sr.dcm")


def section(folder: Path, **changes: Any) -> dict[str, Any]:
    make_key(str(folder / "key"))
    return {"private": str(folder / "private"), "key": {"file": str(folder / "key")}, "structured": "clean", **changes}


def test_a_report_keeps_what_it_measured(report: Path, tmp_path: Path) -> None:
    run(config(report.parent, tmp_path / "out", metadata={}, privacy=section(tmp_path)))
    (row,) = rows(tmp_path / "out").values()
    text = orjson.dumps(row).decode()
    assert not any(name in text for name in ("Vogelsang", "Amselberg", "ACC4711", "20200403", "3.4.2020"))
    findings, picture = row["ContentSequence"]
    kept = {one["ConceptNameCodeSequence"][0]["CodeValue"]: one for one in findings["ContentSequence"]}
    assert kept.keys() == {"121071", "121008", "410668003", "111526", "121049"}
    assert kept["121071"]["TextValue"] == "No nodule. Told [removed] on [removed]"
    assert kept["121008"]["PersonName"] == "REMOVED"
    assert kept["410668003"]["MeasuredValueSequence"][0]["NumericValue"] == 12.5
    assert kept["111526"]["DateTime"] == row["StudyDate"] + "101112"
    assert picture["ReferencedSOPSequence"][0]["ReferencedSOPInstanceUID"].startswith("2.25.")


def test_the_file_written_back_says_what_the_row_says(report: Path, tmp_path: Path) -> None:
    given = config(report.parent, tmp_path / "out", metadata={}, privacy=section(tmp_path))
    run(given)
    (row,) = rows(tmp_path / "out").values()
    policy = policy_of(given)
    assert policy is not None
    made = clean_file(File(str(report.parent), report.name, 0, 0), policy, 10**6, {})
    assert "113104" in [one.CodeValue for one in made.DeidentificationMethodCodeSequence]

    def told(items: Any) -> list[Any]:
        return [
            (
                one["ValueType"],
                one["ConceptNameCodeSequence"][0].get("CodeValue"),
                str(one.get("TextValue", "")),
                str(one.get("PersonName", "")),
                str(one.get("DateTime", "")),
                told(one.get("ContentSequence", [])),
            )
            for one in items
        ]

    def plain(items: Any) -> list[dict[str, Any]]:
        return [
            {
                element.keyword: plain(element.value) if element.VR == "SQ" else str(element.value)
                for element in one
            }
            for one in items
        ]  # fmt: skip

    assert told(plain(made.ContentSequence)) == told(row["ContentSequence"])
    assert dcmread(report).ContentSequence[0].ContentSequence[0].TextValue.startswith("No nodule. Told Vogelsang")


def test_the_table_is_that_of_the_standard() -> None:
    """Rows and actions of PS3.15 2026d, a few of each kind looked up by hand."""
    assert content_count() == 214
    row = content_row("DCM", "121022", "TEXT")
    assert row is not None
    assert (row.basic, row.options) == ("X", {})
    research = resolved(PrivacySection(structured="clean"))
    basic = resolved(PrivacySection(profile="basic", structured="clean"))
    assert fate_of("DCM", "121022", "TEXT", research) is Fate.DROP  # Accession Number
    assert fate_of("DCM", "112050", "TEXT", research) is Fate.CLEAN  # Anatomic Identifier
    assert fate_of("DCM", "112050", "TEXT", basic) is Fate.DROP
    assert fate_of("DCM", "121125", "DATETIME", basic) is Fate.DROP  # DateTime of Recording of Log Entry
    assert fate_of("DCM", "121114", "PNAME", research) is Fate.REPLACE  # Performing Physician
    assert fate_of("DCM", "112229", "IMAGE", basic) is Fate.CLEAN  # Identifying Segment: its UID is keyed
