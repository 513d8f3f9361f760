"""metadata_ID.csv and unreadable_files_ID.csv of `run_crawler.py`: one row a scan, one column an element.

Columns are called ``Element name (gggg,eeee)``, those inside a sequence ``Sequence name_Element name (gggg,eeee)``;
the items of a sequence share theirs. A scan's row is that of its first file. Two passes, memory for one row.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

from pydicom.datadict import dictionary_description, private_dictionary_description

from crawler.dataset.dictionary import creator_tag, is_private, is_private_creator, tag_text
from crawler.dataset.elements import PIXEL_TAGS
from crawler.earlier.catalogue import Catalogue, Row

SCAN_ID, COUNT, REASON = "Scan ID", "No. DICOMs in scan", "Reason for failure"
DUPLICATE = "DUPLICATE TAGS IN DICOM:"


def write_metadata(catalogue: Catalogue, target: str) -> None:
    """Write one line a stored scan; columns in the order in which the scans bring them."""
    columns: dict[str, None] = {}
    for _, row in catalogue.stored():
        columns.update(dict.fromkeys(cells_of(row)))
    with open(target, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([SCAN_ID, COUNT, *columns])
        for entry, row in catalogue.stored():
            cells = cells_of(row)
            writer.writerow([entry.scan_id, entry.files, *(cells.get(column, "") for column in columns)])


def write_unreadable(catalogue: Catalogue, target: str) -> None:
    """Write one line a failed scan."""
    with open(target, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([REASON, SCAN_ID, COUNT])
        for entry in catalogue.failed():
            writer.writerow([entry.reason, entry.scan_id, entry.files])


def cells_of(row: Row) -> dict[str, str]:
    """A row of the JSONL, its keys in the style "tag", as text by column.

    Pixel data and the file meta information, which is no part of the data set, are left out. Values of an element that
    comes more than once stand in one cell, behind `DUPLICATE`.
    """
    found: dict[str, list[str]] = {}
    for column, value in _elements(row, ""):
        found.setdefault(column, []).append(_text(value))
    return {column: values[0] if len(values) == 1 else DUPLICATE + "/".join(values) for column, values in found.items()}


def _elements(record: Row, above: str) -> Iterator[tuple[str, Any]]:
    """(column, value) of every element of a data set, those of its sequences included."""
    for key, value in record.items():
        if not key.startswith("("):  # what we know of the file
            continue
        tag = int(key[1:5] + key[6:10], 16)  # "#2" may follow
        if tag in PIXEL_TAGS or tag >> 16 == 2:
            continue
        creator = record.get(tag_text(creator_tag(tag))) if is_private(tag) else None
        name = element_name(tag, creator if isinstance(creator, str) else "")
        if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            for item in value:
                yield from _elements(item, f"{above}{name}_")
        elif value != []:  # a sequence without items has no values
            yield f"{above}{name} {tag_text(tag)}", value


def element_name(tag: int, creator: str) -> str:
    """What pydicom calls an element (`DataElement.name`); ``Unknown`` for what no dictionary holds."""
    if is_private(tag):
        if is_private_creator(tag):
            return "Private Creator"
        try:
            return f"[{private_dictionary_description(tag, creator)}]"
        except KeyError:
            return "Private tag data"
    try:
        return dictionary_description(tag) or "Unknown"
    except KeyError:
        return "Unknown" if tag & 0xFFFF else "Group Length"


def _text(value: Any) -> str:
    """A JSON value as `str` prints what pydicom reads: nothing for no value, a list for several."""
    if value is None:
        return ""
    if isinstance(value, list):
        return str(["" if item is None else item for item in value])
    if isinstance(value, dict):  # binary, or a sequence that could not be read
        return ", ".join([value["vr"], f"{value['length']} bytes", *filter(None, [value.get("error")])])
    return str(value)
