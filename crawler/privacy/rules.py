"""Which rule an element falls under: Table E.1-1, then its VR, then the user's own `actions`.

The table leaves more than 400 elements of free text to whoever de-identifies (PS3.15 E.1.1, note 1). For these a rule
follows from the VR, at every depth, so that no element of the dictionary is without one. Rules are of elements; what
they do to a value is decided in `values.py`.

A conflict of the standard is decided here: eleven elements are to be kept under Retain Device Identity and changed
under Modified Dates. They are removed with shifted dates: others know the date of a calibration, and it would tell how
far the dates of a patient were shifted. So are versions of context groups, which are public.
"""

from __future__ import annotations

from enum import Enum
from functools import cache, lru_cache
from typing import NamedTuple

from crawler.config.privacy import PrivacySection
from crawler.dicom.dictionary import dictionary_vr, is_private, is_private_creator, tag_for
from crawler.privacy.private_tags import PrivateTags, standard_tags
from crawler.privacy.standard import Row, row_of


class Act(Enum):
    """What becomes of an element."""

    KEEP = "keep"  # what parses by its VR; text without what the file knows of persons
    REMOVE = "remove"
    EMPTY = "empty"
    REPLACE = "replace"  # a value of the VR that says nothing
    UID = "uid"
    SHIFT = "shift"
    TEXT = "text"  # free text without what identifies
    WORDS = "words"  # text of the standard's words alone, else none
    SUBJECT = "subject"
    AGE = "age"
    ITEMS = "items"  # a sequence: its items, by the same rules

    __hash__ = object.__hash__  # each is one object; that of Enum is slow, and memos look rules up by it


class Rule(NamedTuple):
    """A rule and where it is from: "E.1-1", "vr", "private" or "actions"."""

    act: Act
    vr: str
    source: str


TEMPORAL = frozenset({"DA", "DT", "TM"})
NUMBERS = frozenset({"DS", "IS", "FL", "FD", "SL", "SS", "UL", "US", "SV", "UV", "US or SS"})
BINARY = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "UN", "OB or OW", "US or OW", "US or SS or OW"})
_TEXT = frozenset({"LO", "SH", "ST", "LT", "UT", "UC"})
# Elements of text that Table E.1-1 does not list and that say how an image was made, not of whom.
_TECHNICAL = frozenset(
    filter(
        None,
        map(
            tag_for,
            (
                *("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "ConvolutionKernel", "SequenceName"),
                *("PulseSequenceName", "ReceiveCoilName", "TransmitCoilName", "ReceiveCoilManufacturerName"),
                "FilterType",
                *("RescaleType", "ImplementationVersionName", "Radiopharmaceutical", "ContrastBolusIngredient"),
                *("StackID", "DimensionDescriptionLabel", "WindowCenterWidthExplanation", "LUTExplanation"),
                *("ModalityLUTType", "CodeMeaning", "CodingSchemeName", "QuantityDescriptor", "LUTLabel"),
            ),
        ),
    )
)  # fmt: skip
_SUBJECT = frozenset({0x00100010, 0x00100020})
_VOCABULARY_DATES = frozenset({0x00080106, 0x00080107})  # Context Group Version, Context Group Local Version
_REMOVED = frozenset({0x00280303, 0x00120062, 0x00120063, 0x00120064})  # what an earlier de-identification said


def rule_of(tag: int, creator: str, section: PrivacySection, listed: PrivateTags | None = None) -> Rule:
    """The rule of an element.

    Parameters
    ----------
    tag
        With its true block, or with block 0x10, of a private element.
    creator
        Private creator; empty for a public element.
    section
        With the values of its profile: `config.privacy.resolved`.
    listed
        Elements of makers that stay; None for those of the standard.
    """
    if is_private(tag):
        return _private(tag, creator, section, listed or _standard_tags())
    if tag & 0xFFFF == 0:
        return Rule(Act.REMOVE, "UL", "vr")  # group lengths are no longer true
    row = row_of(tag)
    vr = dictionary_vr(tag)
    if vr == "UN" and row is not None:
        vr = row.vr
    if tag in _SUBJECT:
        return Rule(Act.SUBJECT, vr, "E.1-1")
    if tag in _REMOVED:
        return Rule(Act.REMOVE, vr, "E.1-1")
    if row is not None:
        return Rule(_listed(tag, vr, row, section), vr, "E.1-1")
    return Rule(_unlisted(tag, vr, section), vr, "vr")


_standard_tags = cache(standard_tags)


def _private(tag: int, creator: str, section: PrivacySection, listed: PrivateTags) -> Rule:
    if section.private_tags == "remove":
        return Rule(Act.REMOVE, "UN", "private")
    if is_private_creator(tag):
        return Rule(Act.KEEP if listed.has_creator(creator) else Act.REMOVE, "LO", "private")
    if not listed.has(tag, creator):
        return Rule(Act.REMOVE, "UN", "private")
    vr = listed.vr(tag, creator)
    act = {"SQ": Act.ITEMS, "UI": Act.UID}.get(vr, Act.WORDS if vr in _TEXT else Act.KEEP)
    return Rule(Act.REMOVE if vr in TEMPORAL or vr in ("PN", "AE", "UR") else act, vr, "private")


def _listed(tag: int, vr: str, row: Row, section: PrivacySection) -> Act:
    """What the table says, with the options that are on."""
    options = row.options
    retained = section.retain or ()
    if vr == "SQ" and section.structured == "clean" and "structured" in options:
        return Act.ITEMS  # each by its concept: `content.py`
    if vr in TEMPORAL and {"full_dates", "modified_dates"} & options.keys():
        return _temporal(tag, vr, row, section)
    for name in ("patient", "device", "institution", "uids"):
        if name in retained and name in options:
            return _kept(vr, options[name], section)
    if "descriptors" in options and section.text != "drop":
        return Act.ITEMS if vr == "SQ" else Act.REMOVE if vr in ("PN", "AE") else Act.TEXT
    return _basic(vr, row.basic)


def _temporal(tag: int, vr: str, row: Row, section: PrivacySection) -> Act:
    if section.dates == "keep" or "full_dates" in (section.retain or ()):
        return Act.KEEP
    if section.dates == "remove":
        return _basic(vr, row.basic)
    if "device" in row.options or tag in _VOCABULARY_DATES:
        return Act.REMOVE
    return Act.KEEP if vr == "TM" else Act.SHIFT


def _kept(vr: str, action: str, section: PrivacySection) -> Act:
    """K or C of an option that is on."""
    if vr == "SQ":
        return Act.ITEMS
    if vr == "AS":
        return Act.AGE
    if vr in TEMPORAL:
        return Act.KEEP if section.dates == "keep" else Act.REMOVE
    if action == "C" or vr in _TEXT:
        return Act.REMOVE if section.text == "drop" and action == "C" else Act.TEXT
    return Act.KEEP


def _basic(vr: str, action: str) -> Act:
    """X, Z, D, U of the basic profile; of several the one that fits an element of every type (PS3.15 E.1)."""
    if vr == "UI" and action != "X":
        return Act.UID
    if vr == "SQ":  # contents of a sequence that has to stay are de-identified like others
        return Act.ITEMS if action == "X/Z/U*" else Act.REMOVE if action in ("X", "X/D") else Act.EMPTY
    codes = action.replace("*", "").split("/")
    return Act.REPLACE if "D" in codes else Act.EMPTY if "Z" in codes else Act.REMOVE


def _unlisted(tag: int, vr: str, section: PrivacySection) -> Act:
    """By VR: what may hold free text, a person, a date or a place is cleaned or removed."""
    if vr == "SQ":
        return Act.ITEMS
    if vr == "UI":
        return Act.UID
    if vr in TEMPORAL:
        if section.dates == "keep":
            return Act.KEEP
        if vr == "TM":
            return Act.REMOVE if section.dates == "remove" else Act.KEEP
        return Act.REMOVE if section.dates == "remove" else Act.SHIFT
    if vr == "AS":
        return Act.AGE
    if vr in ("LO", "SH"):
        return Act.TEXT if tag in _TECHNICAL else Act.WORDS
    if vr in _TEXT or vr in ("PN", "AE", "UR") or vr == "UN":
        return Act.TEXT if tag in _TECHNICAL else Act.REMOVE
    return Act.KEEP


@lru_cache(64)
def own_rules(actions: tuple[tuple[str, str], ...]) -> dict[int, Act]:
    """The section's `actions` by tag."""
    return {tag: _own(name, action) for name, action in actions if (tag := tag_for(name)) is not None}


def _own(keyword: str, action: str) -> Act:
    vr = dictionary_vr(tag_for(keyword) or 0)
    if action == "keep":
        return Act.ITEMS if vr == "SQ" else Act.KEEP
    if action == "clean":
        return {"SQ": Act.ITEMS, "UI": Act.UID, "AS": Act.AGE}.get(vr, Act.SHIFT if vr in ("DA", "DT") else Act.TEXT)
    return Act(action)
