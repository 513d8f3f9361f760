"""Series without their patient: what is emptied, what becomes of dates, and that nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from support.mr import mr_series

from crawler import Cohort, Patient, Series, Study
from crawler.series.axis import VariableAxis
from crawler.series.errors import UnknownTag

SECRETS = (b"NESTED", b"SECRET", b"HOSPITAL", b"DOCTOR", b"QUICK", b"Quick")


def change(dataset: Dataset) -> None:
    item = Dataset()
    item.PatientID = "NESTED"
    dataset.OtherPatientIDsSequence = [item]
    dataset.add_new(0x00290010, "LO", "PRIVATE")
    dataset.add_new(0x00291001, "LO", "SECRET")
    dataset.InstitutionName, dataset.ReferringPhysicianName = "HOSPITAL", "DOCTOR"
    dataset.StudyDate, dataset.SeriesDate, dataset.AcquisitionDate = "20200101", "20200102", "20200102"
    dataset.StudyTime, dataset.SeriesTime = "091500", "093000"
    dataset.AcquisitionDateTime = "20200102100000.5+0100"
    dataset.PatientBirthDate = "19500203"


@pytest.fixture
def two(tmp_path: Path) -> list[Series]:
    mr_series(tmp_path / "one", times=1, slices=2, change=change)
    mr_series(tmp_path / "two", times=3, slices=2, change=change)
    return [Series(tmp_path / name) for name in ("one", "two")]


@pytest.mark.parametrize("dates", ["remove", "shift", "keep"])
def test_files_name_nobody(two: list[Series], tmp_path: Path, dates: str) -> None:
    table: dict[str, str] = {}
    before = [dcmread(path) for path in sorted((tmp_path / "one").iterdir())]
    for name, a in zip("ab", two, strict=True):
        b = a.anonymize(table, dates=dates, PatientID="P1")
        assert a.patientName
        assert a.getDicomAttribute("StudyDate") == "20200101"
        assert np.array_equal(a, b)
        assert np.array_equal(a.affine, b.affine)
        (b + 1).write(tmp_path / "out" / name)
        b.write(tmp_path / "kept" / name, keep_uid=True)
    parts = Study(tmp_path / "out")
    assert len(parts) == 2  # of one study still
    assert parts.patientID == "P1"
    files = [*(tmp_path / "out").rglob("*.dcm"), *(tmp_path / "kept").rglob("*.dcm")]
    assert len(files) == 16
    days = set()
    for path in files:
        content = path.read_bytes()
        for word in SECRETS:
            assert word not in content
        for uid in (one for one in table if one[0].isdigit()):
            assert uid.encode() not in content
        dataset = dcmread(path)
        days.add(dataset.StudyDate)
        assert dataset.PatientBirthDate == ""
        told = {"remove": "REMOVED", "shift": "MODIFIED", "keep": None}[dates]
        assert dataset.get("LongitudinalTemporalInformationModified") == told
        if dates == "remove":
            assert b"20200101" not in content
            assert b"20200102" not in content
            assert b"091500" not in content
            assert dataset.StudyTime == ""
            assert "SeriesDate" not in dataset
            assert dataset.AcquisitionTime < "000006"
        elif dates == "shift":
            assert b"20200101" not in content
            assert b"20200102" not in content
            assert int(dataset.AcquisitionDateTime[:8]) == int(dataset.AcquisitionDate)
            assert dataset.AcquisitionDateTime[8:] == "100000.5+0100"
            assert dataset.AcquisitionTime[:4] == "1000"
        else:
            assert dataset.AcquisitionDateTime == before[0].AcquisitionDateTime
    assert len(days) == 1
    assert days == {"" if dates == "remove" else "20200101"} or dates == "shift"


def test_shifted_dates_keep_their_distances(two: list[Series]) -> None:
    import datetime

    table: dict[str, str] = {}
    moved = [one.anonymize(table, dates="shift") for one in two]
    (days,) = [int(value) for name, value in table.items() if name.startswith("days of")]
    assert -3650 <= days < 0
    for one in moved:
        for keyword, was in (("StudyDate", "20200101"), ("SeriesDate", "20200102")):
            now = datetime.date.fromisoformat(one.getDicomAttribute(keyword))
            assert (now - datetime.date.fromisoformat(was)).days == days
    assert moved[1].timeline.tolist() == two[1].timeline.tolist()


def test_times_are_counted_from_the_first(two: list[Series]) -> None:
    b = two[1].anonymize()
    assert b.timeline.tolist() == two[1].timeline.tolist()
    assert b.axes.time.values[0] == 0
    assert b.tags[1][0] == (pytest.approx(0.1),)


def test_times_that_were_set_are_counted_from_the_first(two: list[Series], tmp_path: Path) -> None:
    """Those of an axis that was set without a keyword were written as the times of day that they are."""
    a = two[1].copy()
    a.tags = {number: [(time,) for time in a.axes.time.values + 0.3 * number] for number in range(2)}
    b = a.anonymize()
    assert [time for (time,) in b.tags[1]] == pytest.approx([0.3, 2.8, 5.3])
    assert a.anonymize(dates="keep").tags[1].tolist() == a.tags[1].tolist()
    for start, first in ((36007.5, 7.5), (0.0, 0.0), (100.0, 0.0)):  # later, from 0, and from somewhere else
        c = two[1].copy()
        c.axes = c.axes._replace(time=VariableAxis("time", [start, start + 1, start + 2]))
        folder = tmp_path / str(start)
        c.anonymize().write(folder)
        times = [str(dcmread(path).AcquisitionTime) for path in sorted(folder.iterdir())][::2]
        assert times == [f"{seconds:013.6f}" for seconds in (first, first + 1, first + 2)]
        np.mean(c.anonymize(), axis=0).write(tmp_path / f"mean {start}")
        for path in (tmp_path / f"mean {start}").iterdir():
            assert str(dcmread(path).AcquisitionTime).startswith("000000")


@pytest.mark.filterwarnings("ignore:Invalid value")
def test_half_a_date_goes(tmp_path: Path) -> None:
    def odd(dataset: Dataset) -> None:
        change(dataset)
        dataset.SeriesDate = "2020"

    mr_series(tmp_path / "in", times=1, slices=2, change=odd)
    assert Series(tmp_path / "in").anonymize(dates="shift").getDicomAttribute("SeriesDate") in ("", None)


def test_rules_have_names_of_either_kind(two: list[Series]) -> None:
    b = two[0].anonymize(patientName="ABCD", StudyDate="20000101")
    assert (b.patientName, b.getDicomAttribute("StudyDate"), b.patientID) == ("ABCD", "20000101", "")
    with pytest.raises(UnknownTag):
        two[0].anonymize(nonsense=1)
    with pytest.raises(ValueError, match="dates is one of"):
        two[0].anonymize(dates="some")


def test_collections(two: list[Series], tmp_path: Path) -> None:
    mr_series(tmp_path / "three", times=1, slices=2, PatientID="OTHER", StudyInstanceUID="2.25.7", change=change)
    cohort = Cohort([tmp_path / name for name in ("one", "two", "three")])
    nobody = cohort.anonymize()
    assert [(len(one), one.patientID) for one in nobody.values()] == [(1, "patient0001"), (1, "patient0002")]
    nobody.write(str(tmp_path / "out"))
    assert [len(one[0]) for one in Cohort(tmp_path / "out").values()] == [2, 1]
    study = Study({"a": two[0], "b": two[1]})
    assert study.anonymize(patientName="ABCD").patientName == "ABCD"
    assert len(Patient(list(study.values())).anonymize()) == 1
    study.studyInstanceUID = "2.25.8"
    assert {one.studyInstanceUID for one in two} == {"2.25.8"}
    assert cohort.data == [tmp_path / name for name in ("one", "two", "three")]


def test_arrays_of_numbers(tmp_path: Path) -> None:
    a: Any = Series(np.zeros((2, 3, 4)))
    b: Any = Series(np.ones((2, 3, 4)))
    b.studyInstanceUID = a.studyInstanceUID
    study = Study({"1": a, "2": b}).anonymize()
    study.write(str(tmp_path), formats="dicom", keep_uid=True)
    assert [one.shape for one in Study(tmp_path).values()] == [(2, 3, 4), (2, 3, 4)]
