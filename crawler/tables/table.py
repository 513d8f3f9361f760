"""A table whose rows can be read again and again, and the tables that the JSONL holds; memory for one row.

Writers ask a table for its rows as often as they need: once to learn its columns or types, once to write. A table opens
the JSONL for each pass and keeps nothing of it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Literal, NamedTuple

import orjson

from crawler import quality
from crawler.config.templates import COMPUTED, Template
from crawler.dicom.dictionary import KeyStyle, key_for
from crawler.dicom.flat import cells_of, tag_of
from crawler.dicom.private_names import restored
from crawler.export.cells import text_of

__all__ = ["FILE_COLUMNS", "Row", "RowReader", "Table", "quality_columns", "text_of"]

Row = Mapping[str, Any]

# What a row says of its file, beside the elements of its header.
FILE_COLUMNS = (
    "dicom_file",
    "outcome",
    "stage",
    "reason",
    "scan_id",
    "media_type",
    "media_file",
    "volume_file",
    "media_files",
    "volume_files",
    "decoder",
    "media_notes",
    "header_notes",
    "assumed_transfer_syntax",
)


@cache
def quality_columns() -> tuple[str, ...]:
    """And what it says of its quality, when that is measured."""
    return tuple(quality.Tally(0).cells("frames"))


_BEFORE_TEMPLATE = FILE_COLUMNS[:5]


class Table(NamedTuple):
    """A table.

    Attributes
    ----------
    rows
        Yields every row, from the first, each time it is called: column -> JSON value. What a row lacks is empty.
    order
        From the columns that were found to the columns of the table.
    """

    rows: Callable[[], Iterator[Row]]
    order: Callable[[Iterable[str]], list[str]]

    def columns(self) -> list[str]:
        """The columns, by a pass over all rows."""
        found: set[str] = set()
        for row in self.rows():
            found.update(row)
        return self.order(found)


class RowReader(NamedTuple):
    """The JSONL as tables.

    Attributes
    ----------
    path
        The JSONL.
    keys
        Style of its keys.
    compat
        Whether they are rows of another program, without what ours say of a file.
    """

    path: str
    keys: KeyStyle
    compat: bool = False

    def whole(self, columns: Literal["nested", "flat"] = "nested") -> Table:
        """Every row; a column for each key of the rows, or, flat, for each element (`dicom/flat.py`).

        Columns: ours first, then elements by tag, then private ones that are named without their block.
        """
        if columns == "nested":
            return Table(self.rows, self._by_tag)
        return Table(self._flat, _by_tag_text)

    def of_template(self, template: Template) -> Table:
        """The rows of a template's modalities; its columns, whether a row fills them or not."""
        left = {*template.unknown, *COMPUTED}
        keys = {keyword: key_for(keyword, self.keys) for keyword in template.keywords if keyword not in left}
        columns = [*_BEFORE_TEMPLATE, *template.keywords]

        def rows() -> Iterator[Row]:
            made = Computed(self, template)
            for row in self.of_modalities(template.modalities):
                yield (
                    {name: row.get(name) for name in _BEFORE_TEMPLATE}
                    | made.of(row)
                    | {keyword: row.get(key) for keyword, key in keys.items()}
                )

        return Table(rows, lambda _: columns)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every row as it is."""
        with open(self.path, "rb") as lines:
            for line in lines:
                yield orjson.loads(line)

    def rows_at(self, spans: Iterable[tuple[int, int]]) -> Iterator[dict[str, Any]]:
        """The rows between places of the file, each from where a row begins to where one ends."""
        with open(self.path, "rb") as file:
            for start, stop in spans:
                file.seek(start)
                while file.tell() < stop:
                    yield orjson.loads(file.readline())

    def _flat(self) -> Iterator[Row]:
        for row in self.rows():
            quality = {name: row[name] for name in quality_columns() if name in row}
            yield {name: row.get(name) for name in FILE_COLUMNS} | quality | cells_of(restored(row), self.keys)

    def of_modalities(self, modalities: frozenset[str]) -> Iterator[dict[str, Any]]:
        """Rows of some modalities; only lines that hold such a value are parsed."""
        key = key_for("Modality", self.keys)
        marks = [orjson.dumps({key: code})[1:-1] for code in modalities]  # as orjson writes it
        with open(self.path, "rb") as lines:
            for line in lines:
                if any(mark in line for mark in marks):
                    row = orjson.loads(line)
                    if row.get(key) in modalities:  # not only in a sequence
                        yield restored(row)

    def _by_tag(self, found: Iterable[str]) -> list[str]:
        def place(column: str) -> tuple[int, int, str]:
            tag = None if ",xx" in column else tag_of(column, self.keys)
            return (1, 0, column) if tag is None else (0, tag, column)

        columns = _ordered(found, place)
        return [name for name in columns if name in {*found}] if self.compat else columns


def _by_tag_text(found: Iterable[str]) -> list[str]:
    """Flat columns by the tag at their end, those of sequences behind the others."""

    def place(column: str) -> tuple[bool, bool, str, str]:
        name, _, tag = column.rpartition(" (")
        return ",xx" in column, "_" in name, tag, column

    return _ordered(found, place)


def _ordered(found: Iterable[str], place: Callable[[str], Any]) -> list[str]:
    """Our columns, those of quality where a row has them, and the others in their places."""
    others = set(found).difference(FILE_COLUMNS)
    quality = [name for name in quality_columns() if name in others]
    return [*FILE_COLUMNS, *quality, *sorted(others.difference(quality), key=place)]


class Computed:
    """The columns of a template that are no elements: by a pass over its rows where UIDs of others are asked for."""

    def __init__(self, reader: RowReader, template: Template) -> None:
        self._names = [name for name in template.keywords if name in COMPUTED]
        self._uid = key_for("SOPInstanceUID", reader.keys)
        self._b = key_for("DiffusionBValue", reader.keys)
        self._file = os.path.basename(reader.path)
        self._first: dict[str, Any] = {}
        self._middle: dict[str, Any] = {}
        if {"FirstSOPInstanceUID", "MiddleSOPInstanceUID"} & {*self._names}:
            counts: Counter[str] = Counter(row["scan_id"] for row in reader.of_modalities(template.modalities))
            seen: Counter[str] = Counter()
            for row in reader.of_modalities(template.modalities):
                scan = row["scan_id"]
                self._first.setdefault(scan, row.get(self._uid))
                if seen[scan] == counts[scan] // 2:
                    self._middle[scan] = row.get(self._uid)
                seen[scan] += 1

    def of(self, row: Row) -> dict[str, Any]:
        """Their cells in a row."""
        if not self._names:
            return {}
        made = {
            "FirstSOPInstanceUID": self._first.get(row["scan_id"]),
            "MiddleSOPInstanceUID": self._middle.get(row["scan_id"]),
            "dcm": row["dicom_file"],
            "metafilename": self._file,
            "b_value": row.get(self._b),
        }
        return {name: made[name] for name in self._names}
