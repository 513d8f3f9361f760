"""The policy on a data set of pydicom: every element by its rule, at every depth, into a new data set.

The rules and what they do to a value are those of rows (`policy.py`, `values.py`); here values keep the form that files
have. Pixel data are not looked at: `dicom_files.py` writes them.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from crawler.dicom.dictionary import is_private, is_private_creator, key_for, key_of
from crawler.privacy.content import REPLACED_VALUES, Fate, text_rule, value_rule
from crawler.privacy.policy import CODE_VALUE, Policy
from crawler.privacy.rules import BINARY, Act, Rule
from crawler.privacy.values import DROPPED, Patient, cleaned

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

# What pydicom raises for a value that is not of its VR.
UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, NotImplementedError, OverflowError, struct.error)
# Binary values that are numbers of a table; of others, what they hold is not known.
_TABLES = frozenset({0x00281201, 0x00281202, 0x00281203, 0x00281221, 0x00281222, 0x00281223, 0x00283006})
_ARRAYS = frozenset({"OF", "OD", "OL", "OV"})
_LENGTHS = {"SH": 16, "LO": 64, "ST": 1024, "LT": 10240, "CS": 16}  # characters, PS3.5 6.2
_CHARACTER_SET = 0x00080005


def cleaned_dataset(dataset: Dataset, policy: Policy, patient: Patient) -> Dataset:
    """A new data set without what identifies, creators of emptied blocks, group lengths and pixel data.

    Parameters
    ----------
    patient
        As `Policy.patient_of` has it for the file.
    """
    from pydicom.dataset import Dataset  # slow to load, and rows need none of it

    found = Dataset()
    scheme = str(dataset.get("CodingSchemeDesignator", "") or "")
    for tag in list(dataset.keys()):
        number = int(tag)
        group = number >> 16
        if group in (0x0002, 0x7FE0, 0xFFFC) or number == _CHARACTER_SET or number & 0xFFFF == 0:
            continue
        creator = _creator_of(dataset, number)
        if is_private(number) and (is_private_creator(number) or not creator):
            continue
        rule = policy.rule(key_of(number, creator, policy.keys))
        if rule.act is Act.REMOVE:
            continue
        try:
            element = dataset[tag]
        except UNREADABLE:
            continue  # it does not parse by its VR
        new = _element(element, rule, policy, patient, scheme)
        if new is not None:
            found[tag] = new
            if creator:
                block = (number >> 8) & 0xFF
                found.add_new(group << 16 | block, "LO", creator)
    return found


def _creator_of(dataset: Dataset, tag: int) -> str:
    """The creator of a private element's block; empty for a public element, and where there is none."""
    block = (tag >> 8) & 0xFF
    if not is_private(tag) or is_private_creator(tag) or block < 0x10:
        return ""
    try:
        value = dataset[tag & 0xFFFF0000 | block].value
    except UNREADABLE:
        return ""
    return value.strip() if isinstance(value, str) else ""


def _element(element: DataElement, rule: Rule, policy: Policy, patient: Patient, scheme: str) -> DataElement | None:
    """The element as its rule leaves it; None where nothing stays."""
    from pydicom.dataelem import DataElement  # as above
    from pydicom.sequence import Sequence

    tag, vr = element.tag, str(element.VR)
    if vr == "SQ" or rule.vr == "SQ":
        if vr != "SQ" or rule.vr not in ("SQ", "UN"):
            return None
        if rule.act is not Act.ITEMS:
            return DataElement(tag, "SQ", Sequence([]))
        items = [_item(item, policy, patient) for item in element.value]
        kept = [item for item in items if len(item)]
        return DataElement(tag, "SQ", Sequence(kept)) if kept or not items else None
    if vr in BINARY or isinstance(element.value, bytes):
        is_table = int(tag) in _TABLES or vr in _ARRAYS
        return DataElement(tag, vr, element.value) if is_table and rule.act is Act.KEEP else None
    plain = _plain(element.value)
    if rule is CODE_VALUE:
        new = policy.code(plain, {key_for("CodingSchemeDesignator", policy.keys): scheme})
    else:
        new = cleaned(plain, rule, patient)
    if new is DROPPED:
        return None
    if new == plain:
        return DataElement(tag, vr, element.value)
    if isinstance(new, list):
        if any(one is None and not isinstance(old, str) for one, old in zip(new, plain, strict=True)):
            return None  # a number of several is gone: the others would be of other places
        new = [_cut(one or "", vr) for one in new]
    return DataElement(tag, vr, _cut(new, vr))


def _item(item: Dataset, policy: Policy, patient: Patient) -> Dataset:
    """An item; empty where nothing of it stays. As `Policy` has it of rows."""
    from pydicom.dataset import Dataset  # as above

    def value(keyword: str) -> Any:
        try:
            told = item.get(keyword)
        except UNREADABLE:
            return None
        if keyword == "ValueType":
            return told
        keys = ("CodingSchemeDesignator", "CodeValue")
        return told and [{key_for(key, policy.keys): str(one.get(key, "")) for key in keys} for one in told]

    fate = policy.fate(value)
    if fate is Fate.DROP:
        return Dataset()
    found = cleaned_dataset(item, policy, patient)
    if fate is None:
        return found
    for keyword in ("TextValue", *REPLACED_VALUES) if fate is Fate.REPLACE else ("TextValue",):
        if keyword in item:
            vr = str(item[keyword].VR)
            new = cleaned(_plain(item[keyword].value), text_rule(fate) if vr == "UT" else value_rule(vr), patient)
            if new is DROPPED:
                return Dataset()
            found.add_new(item[keyword].tag, vr, new)
    return found


def _cut(value: Any, vr: str) -> Any:
    """A text not longer than its VR allows: marks may be longer than what they stand for."""
    return value[: _LENGTHS[vr]].strip() if isinstance(value, str) and vr in _LENGTHS else value


def _plain(value: Any) -> Any:
    """A value as rows have it."""
    kind = type(value).__name__
    if kind in ("MultiValue", "list", "tuple", "ConstrainedList"):
        return [_plain(one) for one in value]
    if value is None or value == "":
        return None
    if kind == "BaseTag":
        return f"({int(value) >> 16:04X},{int(value) & 0xFFFF:04X})"
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float) or kind == "DSdecimal":
        return float(value)
    return str(value)
