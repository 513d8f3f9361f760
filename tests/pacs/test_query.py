"""Keys and values of a query: levels, forgiven spellings, what is refused."""

from __future__ import annotations

import pytest

from crawler.pacs.query import keyword_of, level_of, nearest, wrong_key, wrong_request, wrong_value


@pytest.mark.parametrize(
    "title", ["AccessionNumber", "accession number", "Accession_Number", "ACCESSION-NUMBER", " accessionnumber "]
)
def test_spellings_of_a_title_are_one(title: str) -> None:
    assert keyword_of(title) == "AccessionNumber"


def test_misspelt_title_is_none_but_has_a_nearest_one() -> None:
    assert keyword_of("Accesion Number") is None
    assert nearest("Accesion Number") == "AccessionNumber"
    assert nearest("zzzzqqqq") == ""


@pytest.mark.parametrize(
    ("keyword", "level"),
    [
        ("PatientID", "study"),
        ("ModalitiesInStudy", "study"),
        ("Modality", "series"),
        ("SeriesInstanceUID", "series"),
        ("SOPInstanceUID", "image"),
    ],
)
def test_each_key_has_its_level(keyword: str, level: str) -> None:
    assert level_of(keyword) == level
    assert wrong_key(keyword) == ""


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("StudyDate", "20240101-"),
        ("StudyDate", "-20240101"),
        ("StudyDate", "20240101-20241231"),
        ("StudyTime", "0800-1200"),
        ("StudyTime", "081530.123456"),
        ("PatientName", "Doe^J*"),
        ("StudyInstanceUID", "1.2.3\\1.2.4"),
        ("ModalitiesInStudy", "CT\\MR"),
        ("SeriesNumber", "7"),
    ],
)
def test_good_value(keyword: str, value: str) -> None:
    assert wrong_value(keyword, value) == ""


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("StudyDate", "20241301"),
        ("StudyDate", "2024"),
        ("StudyDate", "-"),
        ("StudyDate", "20240101-20240201-20240301"),
        ("StudyTime", "8:30"),
        ("StudyInstanceUID", "1..2"),
        ("StudyInstanceUID", "1." + "2" * 64),
        ("StudyInstanceUID", "1.2.*"),
        ("PatientName", "line\nbreak"),
        ("SeriesNumber", "1234567890123"),
    ],
)
def test_bad_value(keyword: str, value: str) -> None:
    wrong = wrong_value(keyword, value)
    assert wrong
    assert value not in wrong


def test_request_that_matches_everything_is_refused() -> None:
    assert wrong_request({"PatientID": "", "StudyDate": "*"})
    assert wrong_request({})
    assert wrong_request({"PatientID": "", "StudyDate": "20240101"}) == ""
