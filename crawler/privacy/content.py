"""Content items of structured reports (PS3.3 C.17.3): which stay, by Table E.3.4-1, and what becomes of their text.

Elements of an item fall under the rules of all elements; here is what depends on the concept that the item is about.
"""

from __future__ import annotations

from enum import Enum

from crawler.config.privacy import PrivacySection
from crawler.privacy.rules import Act, Rule
from crawler.privacy.standard import content_row

REPLACED_VALUES = ("DateTime", "Date", "Time", "PersonName")
"""Elements of a value that is replaced; one of another kind goes with its item."""


class Fate(Enum):
    """What becomes of a content item."""

    DROP = "drop"
    REPLACE = "replace"
    CLEAN = "clean"


def fate_of(scheme: str, code: str, value_type: str, section: PrivacySection) -> Fate:
    """What becomes of an item, by its concept.

    Parameters
    ----------
    scheme, code
        Of the concept name; empty where the item has none.
    value_type
        (0040,A040), as "TEXT".
    section
        With the values of its profile.
    """
    row = content_row(scheme, code, value_type)
    if row is None:
        return Fate.DROP if value_type == "PNAME" or (value_type == "TEXT" and section.text == "drop") else Fate.CLEAN
    retained: set[str] = {*(section.retain or ())}
    if section.dates == "keep":
        retained.add("full_dates")
    if section.dates in ("weeks", "days"):
        retained.add("modified_dates")
    if section.text != "drop":
        retained.add("descriptors")
    if retained & row.options.keys() and value_type != "PNAME":
        return Fate.CLEAN
    if "D" not in row.basic.split("/"):
        return Fate.DROP
    if value_type in ("UIDREF", "IMAGE", "COMPOSITE", "WAVEFORM", "CONTAINER"):
        return Fate.CLEAN  # a keyed UID stands for each other one
    return Fate.REPLACE if value_type in ("TEXT", "DATETIME", "DATE", "TIME", "PNAME") else Fate.DROP


def text_rule(fate: Fate) -> Rule:
    """The rule of (0040,A160) *Text Value* in an item."""
    return Rule(Act.REPLACE if fate is Fate.REPLACE else Act.TEXT, "UT", "E.3.4-1")


def value_rule(vr: str) -> Rule:
    """The rule of a value that is replaced."""
    return Rule(Act.REPLACE, vr, "E.3.4-1")
