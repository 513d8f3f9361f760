"""Query keys and their values: which elements a PACS can be asked for, at which level, and what their values may be.

A misspelt key is no error to a PACS: it leaves the condition out, and DICOMweb then answers with the whole archive
(PS3.18 8.3.4.1). So keys and values are checked here, before anything is sent. It sends nothing.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Literal

from crawler.dicom.dictionary import BINARY_VRS, dictionary_vr, tag_for
from crawler.dicom.dictionary_tables import keywords

KeyLevel = Literal["study", "series", "image"]

# What stands above or beside the levels: not for users to set.
RESERVED = {
    "QueryRetrieveLevel": "the levels are asked one after another; see pacs.level",
    "SpecificCharacterSet": "it is set by what the values need",
    "RetrieveAETitle": "a server says it, and is not asked for it",
}
# Keys of the series and image levels of the Study Root model (PS3.4 C.6.2.1.3 to C.6.2.1.5), and common ones beyond;
# any other key is one of the study level, which holds the patient's.
_SERIES = frozenset(
    [
        "Modality",
        "SeriesNumber",
        "SeriesInstanceUID",
        "SeriesDescription",
        "SeriesDate",
        "SeriesTime",
        "BodyPartExamined",
        "ProtocolName",
        "Laterality",
        "PerformedProcedureStepStartDate",
        "PerformedProcedureStepStartTime",
        "PerformedStationAETitle",
        "StationName",
        "Manufacturer",
        "ManufacturerModelName",
        "InstitutionalDepartmentName",
        "NumberOfSeriesRelatedInstances",
        "PatientPosition",
        "PerformingPhysicianName",
        "OperatorsName",
    ]
)
_IMAGE = frozenset(
    [
        "SOPInstanceUID",
        "SOPClassUID",
        "InstanceNumber",
        "ContentDate",
        "ContentTime",
        "AcquisitionDate",
        "AcquisitionTime",
        "AcquisitionNumber",
        "NumberOfFrames",
        "Rows",
        "Columns",
        "BitsAllocated",
        "ImageType",
        "AvailableTransferSyntaxUID",
    ]
)
# Greatest length of one value, characters (PS3.5 table 6.2-1); a person's name has three groups of 64 and two "=".
_LENGTHS = {"AE": 16, "AS": 4, "CS": 16, "DS": 16, "IS": 12, "LO": 64, "LT": 10240, "PN": 194, "SH": 16, "ST": 1024}
_UID = re.compile(r"[0-9]+(\.[0-9]+)*", re.ASCII)
_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)", re.ASCII)
_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII)
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?", re.ASCII)
_ROUNDED = re.compile(r"\d[.,]\d+E\+\d+", re.ASCII | re.IGNORECASE)
_UID_LENGTH = 64  # PS3.5 9.1


def is_uid(text: str) -> bool:
    """Whether a text is a UID as PS3.5 9.1 has it: digits and single dots, at most 64 characters.

    Leading zeros of a component, which the standard forbids, are common and let through.
    """
    return len(text) <= _UID_LENGTH and _UID.fullmatch(text) is not None


def level_of(keyword: str) -> KeyLevel:
    """The level of the Study Root model at which a key is asked."""
    return "image" if keyword in _IMAGE else "series" if keyword in _SERIES else "study"


def wrong_key(keyword: str) -> str:
    """Say what is wrong with a query key, with the nearest keyword; empty when it can be asked for."""
    tag = tag_for(keyword)
    if tag is None:
        near = nearest(keyword)
        return f"no DICOM keyword{f'; nearest: {near}' if near else ''}"
    if keyword in RESERVED:
        return f"cannot be asked for: {RESERVED[keyword]}"
    vr = dictionary_vr(tag)
    if vr == "SQ" or vr in BINARY_VRS or " or " in vr:
        return f"cannot be matched: its values are no text (VR {vr})"
    return ""


def keyword_of(written: str) -> str | None:
    """The keyword that a column title means: "accession number", "Accession_Number" and "AccessionNumber" are one.

    Only case, blanks, underscores, hyphens and apostrophes are forgiven; a misspelt title is None.
    """
    return _loosely().get(_squeeze(written))


def nearest(written: str) -> str:
    """The keyword that is most like a text; empty when none is."""
    import difflib

    near = difflib.get_close_matches(_squeeze(written), _loosely(), n=1, cutoff=0.6)
    return _loosely()[near[0]] if near else ""


def text_of(keyword: str, written: object) -> str:
    """A value as it is sent: several values joined by a backslash, an ISO date as DICOM has it."""
    values = written if isinstance(written, list | tuple) else [written]
    texts = [str(value).strip() for value in values]
    if _vr(keyword) == "DA":
        texts = [_ISO.sub(r"\1\2\3", text) for text in texts]
    return "\\".join(texts)


def wrong_value(keyword: str, text: str) -> str:
    """Say what is wrong with the value of a key; empty when it can be sent. The message never holds the value."""
    if not text.isprintable():
        return "holds a control character"
    vr = _vr(keyword)
    if "\\" in text and vr not in ("UI", "CS"):
        return "holds a backslash, which separates values"
    for value in text.split("\\"):
        wrong = _wrong_one(vr, value)
        if wrong:
            return wrong
    return ""


def is_number(keyword: str) -> bool:
    """Whether values of a key may be written as numbers: IS, DS, and dates, none of which begins with a zero."""
    return _vr(keyword) in ("IS", "DS", "DA")


def is_universal(text: str) -> bool:
    """Whether a value matches everything: empty, or nothing but asterisks (PS3.4 C.2.2.2.3, C.2.2.2.4)."""
    return not text.replace("\\", "").strip("* ")


def wrong_request(keys: Mapping[str, str]) -> str:
    """Say why a request with these keys must not be sent; empty when it may."""
    for keyword, text in keys.items():
        wrong = wrong_key(keyword) or wrong_value(keyword, text)
        if wrong:
            return f"{keyword}: {wrong}"
    if all(is_universal(text) for text in keys.values()):
        return "nothing is asked for: it would match the whole archive"
    return ""


def of_level(keys: Mapping[str, str], levels: Iterable[KeyLevel]) -> dict[str, str]:
    """The keys that belong to some levels."""
    wanted = set(levels)
    return {keyword: text for keyword, text in keys.items() if level_of(keyword) in wanted}


def _wrong_one(vr: str, value: str) -> str:
    if vr == "UI":
        return "" if not value or is_uid(value) else "is no UID: digits and dots, 64 characters at most"
    if vr in ("DA", "TM"):
        parts = value.split("-")
        if len(parts) > 2 or (len(parts) == 2 and not any(parts)):
            return "is no range: two ends with a hyphen between"
        good = _is_date if vr == "DA" else _TIME.fullmatch
        if any(part and part != "*" and not good(part) for part in parts):
            return "is no date: YYYYMMDD" if vr == "DA" else "is no time: HHMMSS"
        first, last = parts[0], parts[-1]
        return "is a range that ends before it begins" if first and last and first > last else ""
    if _ROUNDED.fullmatch(value):
        return "was rounded by a spreadsheet: have the column written as text"
    longest = _LENGTHS.get(vr)
    return f"has more than {longest} characters" if longest and len(value) > longest else ""


def _is_date(text: str) -> bool:
    match = _DATE.fullmatch(text)
    if match is None:
        return False
    year, month, day = map(int, match.groups())
    return 1 <= month <= 12 and 1 <= day <= monthrange(max(1, year), month)[1]


def _vr(keyword: str) -> str:
    tag = tag_for(keyword)
    return "" if tag is None else dictionary_vr(tag)


@cache
def _loosely() -> dict[str, str]:
    return {_squeeze(keyword): keyword for keyword in keywords() if keyword}


def _squeeze(text: str) -> str:
    return re.sub(r"[\s_'\u2019-]", "", text).casefold()
