"""A record as flat cells: one an element, those inside sequences too, under the name and tag of the element.

Columns are called ``Element name (gggg,eeee)``, those inside a sequence ``Sequence name_Element name (gggg,eeee)``;
the items of a sequence share theirs. Pixel data, and the file meta information, which is no part of the data set, are
left out. It reads records and writes no table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from crawler.dicom.dictionary import (
    KeyStyle,
    creator_tag,
    is_private,
    is_private_creator,
    private_entry,
    public_entry,
    tag_for,
    tag_text,
)
from crawler.dicom.dictionary_tables import public, repeating
from crawler.dicom.elements import PIXEL_TAGS

DUPLICATE = "DUPLICATE TAGS IN DICOM:"
_TAG = re.compile(r"\(([0-9A-F]{4}),([0-9A-F]{4})\)")
_PRIVATE = re.compile(r"\(([0-9A-F]{4}),xx([0-9A-F]{2})\) (.+)")
_KEPT = 16_384  # distinct keys that one run meets, as in `dictionary.py`


def cells_of(record: Mapping[str, Any], style: KeyStyle) -> dict[str, Any]:
    """Return the elements of a row of the JSONL by column.

    Parameters
    ----------
    style
        Style of the record's keys. Keys that name no element (`dicom_file`) are left out.

    Returns
    -------
    dict
        Text, number or None. Values of an element that comes more than once stand in one text, behind `DUPLICATE`.
        Several values of one element are the text of a list.
    """
    found: dict[str, list[Any]] = {}
    for column, value in _elements(record, "", style):
        found.setdefault(column, []).append(value)
    return {
        column: _single(values[0]) if len(values) == 1 else DUPLICATE + "/".join(map(_text, values))
        for column, values in found.items()
    }


@lru_cache(_KEPT)
def tag_of(key: str, style: KeyStyle) -> int | None:
    """Return the tag of a record's key; None when it names no element.

    A private element that is named without its block is given the first one, (gggg,10ee).
    """
    key = key.split("#")[0]  # an element that occurs twice
    if match := _TAG.fullmatch(key):
        return int(match[1] + match[2], 16)
    if match := _PRIVATE.fullmatch(key):
        return int(f"{match[1]}10{match[2]}", 16)
    tag = tag_for(key) if style == "keyword" else _tags_by_name().get(key)
    return _repeating(key) if tag is None else tag


def element_name(tag: int, creator: str) -> str:
    """What pydicom calls an element (`DataElement.name`); ``Unknown`` for what no dictionary holds."""
    if is_private(tag):
        if is_private_creator(tag):
            return "Private Creator"
        found = private_entry(tag, creator)
        return f"[{found[2]}]" if found else "Private tag data"
    entry = public_entry(tag)
    if entry is None:
        return "Unknown" if tag & 0xFFFF else "Group Length"
    return entry[2] or "Unknown"


def _elements(record: Mapping[str, Any], above: str, style: KeyStyle) -> Iterator[tuple[str, Any]]:
    """(column, value) of every element of a data set, those of its sequences included."""
    for key, value in record.items():
        tag = tag_of(key, style)
        if tag is None or tag in PIXEL_TAGS or tag >> 16 == 2:
            continue
        private = _PRIVATE.fullmatch(key.split("#")[0])
        creator = private[3] if private else record.get(tag_text(creator_tag(tag))) if is_private(tag) else None
        name = element_name(tag, creator if isinstance(creator, str) else "")
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            for item in value:
                yield from _elements(item, f"{above}{name}_", style)
        elif value != []:  # a sequence without items has no values
            yield f"{above}{name} {private[0] if private else tag_text(tag)}", value


def _single(value: Any) -> Any:
    """A single number or text as it is, everything else as text."""
    return value if value is None or isinstance(value, str | int | float) else _text(value)


def _text(value: Any) -> str:
    """A JSON value as `str` prints what pydicom reads: nothing for no value, a list for several."""
    if value is None:
        return ""
    if isinstance(value, list):
        return str(["" if item is None else item for item in value])
    if isinstance(value, dict):  # binary, or a sequence that could not be read
        return ", ".join([value["vr"], f"{value['length']} bytes", *filter(None, [value.get("error")])])
    return str(value)


@lru_cache(1)
def _tags_by_name() -> dict[str, int]:
    return {entry[2]: tag for tag, entry in public().items() if entry[2]}


@lru_cache(1)
def _masks() -> dict[str, str]:
    """Names and keywords of repeating groups -> their first mask, "60xx0010"."""
    words = ((word, mask) for mask, entry in repeating().items() for word in (entry[2], entry[4]) if word)
    return dict(reversed(list(words)))


def _repeating(key: str) -> int | None:
    """Tag of an element of a repeating group (PS3.5 7.6), as `dictionary.key_of` names it: ``OverlayRows_6002``."""
    if mask := _masks().get(key):
        return int(mask.replace("x", "0"), 16)
    word, _, number = key.rpartition("_")
    mask = _masks().get(word)
    if mask is None or not re.fullmatch("[0-9A-F]{4}", number):
        return None
    return int(number + mask[4:] if "x" in mask[:4] else mask[:4] + number, 16)
