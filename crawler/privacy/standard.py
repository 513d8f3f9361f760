"""PS3.15 Annex E as data: Table E.1-1 with its actions, content items of E.3.4-1, safe private elements of E.3.10-1.

`standard.json` is generated (tests/support/make_privacy_standard.py), and a test holds it to two extractions of others.
What a profile makes of it is decided in `rules.py`.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from crawler.dicom.dictionary import mask_of


class Row(NamedTuple):
    """One row of Table E.1-1.

    Attributes
    ----------
    vr
        Value representation (PS3.6).
    basic
        Action of the basic profile: X, Z, D, U, K, or several with a slash.
    options
        Action by option: "device" -> "K", "descriptors" -> "C" ...
    """

    vr: str
    basic: str
    options: dict[str, str]


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((files("crawler.privacy") / "standard.json").read_text("utf-8"))
    return document


def edition() -> str:
    """Edition of the standard, such as 2026d."""
    return str(_document()["edition"])


@cache
def rows() -> dict[str, Row]:
    """Table E.1-1 by tag in 8 hexadecimal digits; with an x for each that varies, and "PRIVATE"."""
    found = {}
    for tag, (vr, text) in _document()["attributes"].items():
        basic, *options = text.split()
        found[tag] = Row(vr, basic, dict(option.split(":") for option in options))
    return found


def row_of(tag: int) -> Row | None:
    """The row of a public tag, repeating groups included; None where the table has none."""
    row = rows().get(f"{tag:08X}")
    if row is None and 0x5000 <= tag >> 16 <= 0x50FF:
        return rows()["50xxxxxx"]
    if row is None and (mask := mask_of(tag)):
        return rows().get(mask)
    return row


@cache
def content_row(scheme: str, code: str, value_type: str) -> Row | None:
    """The row of Table E.3.4-1 of a concept name, of another value type where it has none of this. Its VR is empty.

    None where the table does not name the concept.
    """
    rows = _document()["content_items"].get(scheme, {})
    text = rows.get(f"{code} {value_type}") or next((rows[key] for key in rows if key.split()[0] == code), None)
    if text is None:
        return None
    basic, *options = text.split()
    return Row("", basic, dict(option.split(":") for option in options))


def content_count() -> int:
    """Rows of Table E.3.4-1."""
    return sum(map(len, _document()["content_items"].values()))


@cache
def safe_private() -> dict[str, frozenset[tuple[int, int]]]:
    """Table E.3.10-1: creator -> (group, last two digits) of its elements."""
    found: dict[str, frozenset[tuple[int, int]]] = {}
    for creator, groups in _document()["safe_private"].items():
        pairs = []
        for group, text in groups.items():
            for part in text.split():
                first, _, last = part.partition("-")
                pairs += [(int(group, 16), number) for number in range(int(first, 16), int(last or first, 16) + 1)]
        found[creator] = frozenset(pairs)
    return found


def is_safe_private(tag: int, creator: str) -> bool:
    """Whether Table E.3.10-1 lists a private element, by creator, group and the last two digits."""
    return (tag >> 16, tag & 0xFF) in safe_private().get(creator, ())


def safe_count() -> tuple[int, int]:
    """Elements and creators of Table E.3.10-1."""
    return sum(map(len, safe_private().values())), len(safe_private())


@cache
def vocabulary() -> frozenset[str]:
    """Words that the standard itself uses, in lower case (tests/support/make_privacy_vocabulary.py)."""
    return frozenset((files("crawler.privacy") / "vocabulary.txt").read_text("ascii").split())
