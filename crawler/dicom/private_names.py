"""Rows whose private elements are called as pydicom calls them (`metadata.keys: name`), and back.

A record names a private element by group, element and creator, which tells elements apart. pydicom's names do not
("[B_value]" of two vendors, "Private tag data" of all that it does not know). A row that uses them therefore says
under `PRIVATE` which element each name stands for, and readers of rows ask `restored`. Nothing else is renamed here.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from crawler.dicom.flat import element_name
from crawler.dicom.record import Record

PRIVATE = "private_elements"
"""Key of a row: name of a private element -> its tag and creator, ``(0019,xx0C) SIEMENS MR HEADER``."""

# "(0019,xx0C) SIEMENS MR HEADER" or "(0019,1001)" (`dictionary.key_of`), and the number of one that comes again.
_KEY = re.compile(r"\(([0-9A-F]{3}[13579BDF]),(?:xx([0-9A-F]{2})\) (.+?)|([0-9A-F]{4})\))(?:#\d+)?")


def named(record: Record) -> Record:
    """A record with pydicom's names of private elements, in sequences, too; unchanged where there is none.

    Returns
    -------
    dict
        Elements that share a name have the suffix ``#2``, ``#3``. `PRIVATE` is its last key.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()

    def name_of(key: str) -> str:
        if key not in names and (plain := _name(key)):
            name, number = plain, 1
            while name in taken:
                number += 1
                name = f"{plain}#{number}"
            taken.add(name)
            names[key] = name
        return names.get(key, key)

    renamed = _renamed(record, name_of)
    return {**renamed, PRIVATE: {name: key for key, name in names.items()}} if names else renamed


def restored(row: Record) -> Record:
    """A row as it was before `named`."""
    keys = row.get(PRIVATE)
    if not isinstance(keys, dict):
        return row
    return _renamed({key: value for key, value in row.items() if key != PRIVATE}, lambda name: keys.get(name, name))


def _name(key: str) -> str:
    """What pydicom calls a private element by the key of a record; empty for a key of anything else."""
    match = _KEY.fullmatch(key)
    if match is None:
        return ""
    group, element, creator, whole = match.groups()
    if creator is not None:
        return element_name(int(f"{group}10{element}", 16), creator)
    # As pydicom: below 0x0100 it takes all for creators, also a group length; the others have no creator.
    return "Private Creator" if int(whole, 16) < 0x100 else "Private tag data"


def _renamed(record: Record, name_of: Callable[[str], str]) -> Record:
    return {name_of(key): _renamed_value(value, name_of) for key, value in record.items()}


def _renamed_value(value: Any, name_of: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return _renamed(value, name_of)
    if isinstance(value, list):
        return [_renamed_value(item, name_of) for item in value]
    return value
