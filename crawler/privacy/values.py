"""What a rule does to a value of a record: kept as it is, changed, or dropped.

A value that does not parse by its VR is dropped, whatever the rule: records keep what breaks the standard as it was
written, and there anything may stand. Binary values are told by VR and length alone; a digest of one could be compared
with that of the original. The walk over a record is `policy.py`'s.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from crawler.dicom.dictionary import TEXT_VRS, VRS
from crawler.privacy.dates import capped_age, is_datetime, is_time, shifted_date, shifted_datetime
from crawler.privacy.keys import Key
from crawler.privacy.rules import BINARY, NUMBERS, Act, Rule
from crawler.privacy.text import Known, is_free_of_numbers, is_vocabulary

DROPPED = object()
"""Stands for an element that is not in the cleaned record."""
REPLACED = "REMOVED"
_REMEMBERED = 10_000  # texts of one patient

_CODE_STRING = re.compile(r"[A-Z0-9 _]{1,16}")
_CHARACTER_SET = re.compile(r"ISO[_ ](2022[_ ])?IR[_ ]\d{1,3}|GB18030|GBK")
_UID = re.compile(r"[0-9]+(\.[0-9]+)+")
_TAG = re.compile(r"\([0-9A-F]{4},[0-9A-F]{4}\)")
_NO_NUMBERS = frozenset({"NaN", "Infinity", "-Infinity"})  # as `dicom/record.py` writes them
_REPLACEMENTS: dict[str, Any] = {"DA": "19000101", "DT": "19000101", "TM": "000000", "AS": "000Y", "UR": "about:blank"}


@dataclass(frozen=True)
class Patient:
    """What the values of one file are changed by.

    Attributes
    ----------
    subject
        Pseudonym.
    days
        How far dates lie back.
    texts
        What `known` was made of.
    memo
        What became of texts, by rule.
    """

    key: Key
    subject: str
    days: int
    known: Known
    age: int = 89
    text: str = "known"
    keep_uids: bool = False
    texts: frozenset[str] = frozenset()
    memo: dict[tuple[Rule, Any], Any] = field(default_factory=dict, compare=False)


def cleaned(value: Any, rule: Rule, patient: Patient) -> Any:
    """A value, or list of values, as the rule leaves it; DROPPED for none. Sequences are not for this function."""
    act = rule.act
    if act is Act.REMOVE:
        return DROPPED
    if value is None or act is Act.EMPTY:
        return None
    if act is Act.SUBJECT:
        return patient.subject
    if act is Act.REPLACE:
        return replacement(rule.vr, patient)
    if isinstance(value, list):
        found = [_single(one, rule, patient) for one in value]
        if all(one is None or one is DROPPED for one in found):
            return DROPPED
        return [None if one is DROPPED else one for one in found]
    return _single(value, rule, patient)


def replacement(vr: str, patient: Patient) -> Any:
    """A value of a VR that says nothing; it is the same in all files."""
    if vr in NUMBERS:
        return 0
    if vr == "UI":
        return patient.key.uid("0")
    if vr in BINARY or vr in ("SQ", "AT"):
        return None
    return _REPLACEMENTS.get(vr, REPLACED)


def _single(value: Any, rule: Rule, patient: Patient) -> Any:
    if isinstance(value, dict):
        return _described(value, rule)
    if value is None:
        return None
    if isinstance(value, str):
        if rule.act is Act.UID:  # nearly each is another
            return _text(value, rule, patient)
        place = rule, value
        found = patient.memo.get(place)
        if found is None:
            if len(patient.memo) > _REMEMBERED:
                patient.memo.clear()
            found = patient.memo[place] = _text(value, rule, patient)
        return found
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return DROPPED
    return value if rule.vr in NUMBERS or (rule.vr in BINARY and rule.vr != "UN") else DROPPED


def _described(value: dict[str, Any], rule: Rule) -> Any:
    """What stands for a value that is binary or too long: its VR and length; of a text nothing."""
    vr, length = value.get("vr"), value.get("length")
    if vr not in VRS or vr in TEXT_VRS or rule.vr in TEXT_VRS:
        return DROPPED
    return {"vr": vr, "length": length if isinstance(length, int) else None}


def _text(value: str, rule: Rule, patient: Patient) -> Any:
    act = rule.act
    if act is Act.UID:
        return (value if patient.keep_uids else patient.key.uid(value)) if _UID.fullmatch(value) else DROPPED
    if act is Act.SHIFT:
        shift = shifted_date if rule.vr == "DA" else shifted_datetime
        return shift(value, patient.days) or DROPPED
    if act is Act.AGE:
        return capped_age(value, patient.age) or DROPPED
    if act is Act.WORDS or (act is Act.TEXT and patient.text == "vocabulary"):
        return value if is_vocabulary(value) and not patient.known.is_in(value) else DROPPED
    if act is Act.TEXT:
        return (
            value
            if patient.text == "keep"
            else DROPPED
            if patient.text == "drop"
            else patient.known.clean(value) or DROPPED
        )
    return _KEPT.get(rule.vr, _other)(value, patient)


def _kept_code(value: str, patient: Patient) -> Any:
    if not _CODE_STRING.fullmatch(value) or not is_free_of_numbers(value):
        return DROPPED
    return value if is_vocabulary(value) or not patient.known.is_in(value) else DROPPED


def _other(value: str, patient: Patient) -> Any:
    """A text where the VR wants a number, or something binary."""
    return value if value in _NO_NUMBERS else DROPPED


def _if(is_good: Callable[[str], Any]) -> Callable[[str, Patient], Any]:
    return lambda value, patient: value if is_good(value) else DROPPED


def _free(value: str, patient: Patient) -> Any:
    """Text that a rule of the user's keeps as it is."""
    return value


CHARACTER_SET = "CS of (0008,0005)"
"""Stands for the VR of *Specific Character Set*: only its defined terms stay (PS3.3 C.12.1.1.2)."""

_KEPT: dict[str, Callable[[str, Patient], Any]] = {
    CHARACTER_SET: _if(_CHARACTER_SET.fullmatch),
    "CS": _kept_code,
    "DA": _if(lambda value: shifted_date(value, 0)),
    "DT": _if(is_datetime),
    "TM": _if(is_time),
    "AS": _if(lambda value: capped_age(value, 998)),
    "UI": _if(_UID.fullmatch),
    "AT": _if(_TAG.fullmatch),
    **dict.fromkeys(("LO", "SH", "ST", "LT", "UT", "UC", "PN", "AE", "UR"), _free),
}
