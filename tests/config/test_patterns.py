"""Names by pattern: what is refused, and that whatever a header holds becomes a path that every file system takes."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crawler.config.loader import load_config
from crawler.config.patterns import LONGEST, parse, safe
from crawler.errors import ConfigError

WHOLE = "{PatientID}/{StudyDate}/{SeriesNumber:03d}_{SeriesDescription}"


OUT = {"output": {"dir": "out"}}


@pytest.mark.parametrize(
    ("pattern", "row", "path"),
    [
        (
            WHOLE,
            {"PatientID": "A1", "StudyDate": "20240131", "SeriesNumber": 7, "SeriesDescription": "T1 ax"},
            "A1/20240131/007_T1_ax",
        ),
        (WHOLE, {}, "unknown/unknown/unknown_unknown"),
        ("{SeriesNumber:03d}", {"SeriesNumber": 12345}, "12345"),
        ("{SeriesNumber:03d}", {"SeriesNumber": "7"}, "007"),
        ("{SeriesNumber:03d}", {"SeriesNumber": 7.0}, "007"),
        ("{SeriesNumber:03d}", {"SeriesNumber": "seven"}, "seven"),
        ("{EchoTime}", {"EchoTime": 4.5}, "4.5"),
        ("{ImageType}", {"ImageType": ["ORIGINAL", "PRIMARY", None, "M"]}, "ORIGINAL-PRIMARY-M"),
        ("{SeriesInstanceUID:.8}", {"SeriesInstanceUID": "1.2.840.10008"}, "1.2.840"),
        ("{PatientName}", {"PatientName": "Yamada^Tarou=山田^太郎"}, "Yamada_Tarou=山田_太郎"),
        ("{PatientID}", {"PatientID": "../../etc/passwd"}, "_.._.._etc_passwd"),
        ("{PatientID}", {"PatientID": 'a/b\\c:d*e?f"g<h>i|j\0k\n'}, "a_b_c_d_e_f_g_h_i_j_k"),
        ("{PatientID}", {"PatientID": "NUL"}, "_NUL"),
        ("{PatientID}/x", {"PatientID": "com1.txt"}, "_com1.txt/x"),
        ("{PatientID}", {"PatientID": ".hidden"}, "_.hidden"),
        ("{PatientID}", {"PatientID": "-rf"}, "_-rf"),
        ("{PatientID}", {"PatientID": "trailing. ."}, "trailing"),
        ("{PatientID}", {"PatientID": "e\u0301"}, "é"),
        ("MR {SeriesNumber}", {"SeriesNumber": 1}, "MR_1"),
    ],
)
def test_a_row_gives_a_path(pattern: str, row: dict[str, Any], path: str) -> None:
    assert parse(pattern).expand(row) == path


def test_keys_may_be_names_or_tags() -> None:
    pattern = parse("{PatientID}_{SeriesNumber:03d}")
    assert pattern.expand({"Patient ID": "A", "Series Number": 1}, "name") == "A_001"
    assert pattern.expand({"(0010,0020)": "A", "(0020,0011)": 1}, "tag") == "A_001"


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("{PatientId}", "nearest: PatientID"),
        ("{SeriesNumber:3f}", "to pad a number"),
        ("{SeriesNumber:}", "to pad a number"),
        ("/{PatientID}", "relative"),
        ("C:/{PatientID}", "relative"),
        ("{PatientID}\\{StudyDate}", "relative"),
        ("../{PatientID}", "without empty parts"),
        ("{PatientID}//a", "without empty parts"),
        ("{PatientID}/", "without empty parts"),
        ("volumes", "one element at least"),
        ("{PatientID", "one element at least"),
        ("{PatientID}_{", "closing brace"),
        ("{PatientID}*", "letters, digits"),
        ("{PixelData}", "text or a number"),
        ("{ReferencedImageSequence}", "text or a number"),
        ("{0}", "no DICOM keyword"),
        ("{PatientID.__class__}", "no DICOM keyword"),
    ],
)
def test_what_is_no_pattern_is_refused_with_its_key(pattern: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        load_config({"dicom": {"dir": "in"}, "metadata": {}, "volume": {"name": pattern}})
    assert "volume.name" in str(refused.value)


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"volume": {"name": "{PatientID}"}}, "needs the section metadata"),
        ({"media": {"name": "{PatientID}"}}, "needs the section metadata"),
        ({"metadata": {}, "volume": {"name": "{PatientID}", "formats": ["mhd"]}}, "choose metaimage"),
        ({**OUT, "metadata": {}, "volume": {"name": "{PatientID}", "dir": "named"}}, "choose another"),
        ({**OUT, "metadata": {}, "media": {"name": "{PatientID}", "dir": "named/a"}}, "choose another"),
        ({"metadata": {"file": "a.jsonl"}, "volume": {"name": "{PatientID}", "dir": "a.named"}}, "choose another"),
    ],
)
def test_what_cannot_be_named_is_refused(sections: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_config({"dicom": {"dir": "in"}, **sections})


def test_what_is_personal_is_known() -> None:
    pattern = parse("{PatientName}/{AccessionNumber}_{SeriesNumber}_{Modality}_{ProtocolName}_{EchoTime}")
    assert pattern.personal == ["PatientName", "AccessionNumber", "ProtocolName"]


@given(st.text(max_size=400))
@example("CON")
@example("con.tar.gz")
@example("\u0301")
@example("a" * 199 + "é")
@example("ﬃ" * 100)
@example("\ud800")
def test_any_text_becomes_a_part_that_every_file_system_takes(text: str) -> None:
    part = safe(text)
    assert 0 < len(part.encode()) <= LONGEST + 1
    assert part == unicodedata.normalize("NFC", part)
    assert not set(part) & set('/\\:*?"<>|\0 ')
    assert all(unicodedata.category(char)[0] != "C" for char in part)
    assert part[-1] not in ". "
    assert part[0] not in ".-"
    assert part.split(".")[0].lower() not in {"con", "prn", "aux", "nul", "com1", "lpt9"}
    assert safe(part) == part, "a safe name stays"


@given(
    st.dictionaries(
        st.sampled_from(["PatientID", "StudyDate", "SeriesNumber", "SeriesDescription"]),
        st.none() | st.text(max_size=300) | st.integers() | st.floats() | st.lists(st.text(max_size=9) | st.none()),
    )
)
def test_any_row_gives_a_path_of_as_many_parts(row: dict[str, Any]) -> None:
    parts = parse(WHOLE).expand(row).split("/")
    assert len(parts) == 3
    assert all(part == safe(part) for part in parts)
