"""Cohort files as people make them: every row is a request or says why not, and no row hides another."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawler.errors import ConfigError
from crawler.pacs.cohort import Cohort, read_cohort


def cohort(tmp_path: Path, text: str | bytes, **common: str) -> Cohort:
    path = tmp_path / "cohort.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_cohort(path, common)


def refusal(tmp_path: Path, text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        cohort(tmp_path, text)
    return str(caught.value)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_spreadsheets_differ(tmp_path: Path, delimiter: str, ending: str, encoding: str) -> None:
    rows = [["Accession Number", "study_date", "#Müller's remark"], ["A1", "2024-01-31", "x"], ["A2", "", "y"]]
    text = ending.join(delimiter.join(row) for row in rows) + ending
    read = cohort(tmp_path, text.encode(encoding))
    assert [ask.line for ask in read.asks] == [2, 3]
    assert [ask.keys for ask in read.asks] == [
        {"AccessionNumber": "A1", "StudyDate": "20240131"},
        {"AccessionNumber": "A2"},
    ]
    assert read.columns == tuple(rows[0])
    assert [list(ask.cells) for ask in read.asks] == rows[1:]
    assert not any(ask.wrong for ask in read.asks)


def test_bad_rows_are_named_and_stop_no_other(tmp_path: Path) -> None:
    rows = {
        "A1,20240101,1.2.3": "",
        "A2,31.01.2024,": "StudyDate: is no date",
        "A2,20240230,": "StudyDate: is no date",
        "A3,,1.2.x": "StudyInstanceUID: is no UID",
        ",,": "holds no value",
        "A4,20240101": "has 2 cells for 3 columns",
        "A5,20240101,1.2,more": "has 4 cells for 3 columns",
        '"A6,20240101,1.2': "a quote is not closed",
        "1.2E+11,,": "AccessionNumber: was rounded by a spreadsheet",
        "ABCDEFGHIJKLMNOPQ,,": "AccessionNumber: has more than 16 characters",
        "A\\B,,": "AccessionNumber: holds a backslash",
        "A\x00B,,": "AccessionNumber: holds a control character",
        "*,,": "nothing is asked for: it would match the whole archive",
        '"A7",20240101-20240201,"1.2.4"': "",
        "A1,2024-01-01,1.2.3": "",
    }
    read = cohort(tmp_path, "\n".join(["AccessionNumber,StudyDate,StudyInstanceUID", *rows]))
    assert len(read.asks) == len(rows)
    for ask, (row, expected) in zip(read.asks, rows.items(), strict=True):
        assert ask.wrong.startswith(expected) if expected else ask.wrong == "", row
    assert read.asks[-1].remark == "the same request as line 2"


def test_blank_lines_are_no_rows_and_keep_their_numbers(tmp_path: Path) -> None:
    read = cohort(tmp_path, "\nPatientID\n\nP1\n  \nP2\n\n")
    assert [(ask.line, ask.keys) for ask in read.asks] == [(4, {"PatientID": "P1"}), (6, {"PatientID": "P2"})]


def test_common_keys_are_those_of_every_row(tmp_path: Path) -> None:
    read = cohort(tmp_path, "PatientID,Modality\nP1,\nP2,MR\n", Modality="CT", StudyDate="2024")
    assert [ask.keys for ask in read.asks] == [
        {"PatientID": "P1", "Modality": "CT", "StudyDate": "2024"},
        {"PatientID": "P2", "Modality": "MR", "StudyDate": "2024"},
    ]


def test_its_own_results_may_go_in_again(tmp_path: Path) -> None:
    text = "PatientID,#who,line,found,expected,received,exported,reason\nP1,me,2,1,5,4,4,missing\n"
    read = cohort(tmp_path, text)
    assert read.columns == ("PatientID", "#who")
    assert read.asks[0].keys == {"PatientID": "P1"}
    assert read.asks[0].cells == ("P1", "me")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("Accesion Number,StudyDate\nA1,20240101", "'Accesion Number' is no DICOM keyword; nearest: AccessionNumber"),
        ("Remark,PatientID\nx,P1", "Begin the title with # for a column of your own"),
        ("#remark\nx", "no column is a DICOM keyword"),
        ("PatientID,patient id\nx,y", "PatientID is the title of several columns"),
        ("PixelData\nx", "PixelData cannot be matched"),
        ('"PatientID\nx', "a quote is not closed"),
        ("PatientID\nMüller".encode("latin-1"), "2: not UTF-8 text; save it as CSV UTF-8"),
    ],
)
def test_file_that_cannot_be_used(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert message in refusal(tmp_path, text)


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_cohort(tmp_path / "none.csv")
