r"""Rows as cells of the table metadata.csv, made by workers: the parent has nothing but to put them in order.

A cell is as `tables/csvfile.py` writes it. Which columns the whole table has is known at its end only, so that a
record names those of its rows: ``\x1d`` and their names as JSON, then a record a row with its cells between ``\x1f``;
every record ends in ``\x1e``. A series that has such characters in a value has no cells, and is read from its rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from operator import eq
from typing import Any, NamedTuple

import orjson

from crawler.config.loader import Config

CELL, ROW, COLUMNS = "\x1f", "\x1e", "\x1d"
BATCH = 1 << 20  # characters that wait before they are written
_QUOTED = re.compile('[,"\r\n]')


class Cells(NamedTuple):
    """Cells of a scan's rows: as bytes, or the path of a file; and columns that this worker had not named before."""

    data: bytes | str
    columns: tuple[str, ...]


class CellWriter:
    """Makes the cells of scans, one after the other; one for each worker."""

    def __init__(self) -> None:
        self._named: set[str] = set()

    def __call__(self, rows: bytes | str) -> Cells | None:
        """The cells of finished rows, given as bytes or as the path of a file, beside which theirs is then written."""
        found: dict[str, None] = {}
        if isinstance(rows, bytes):
            parts = list(_records(rows.splitlines(), found))
            if None in parts:
                return None
            data: bytes | str = "".join(part for part in parts if part).encode()
        else:
            data = f"{rows}.cells"
            with open(rows, "rb") as lines, open(data, "w", encoding="utf-8", newline="") as target:
                for part in _records(lines, found):
                    if part is None:
                        return None
                    target.write(part)
        new = tuple(name for name in found if name not in self._named)
        self._named.update(new)
        return Cells(data, new)


def _records(lines: Iterable[bytes], found: dict[str, None]) -> Iterator[str | None]:
    """Records of rows; None, the last one, when a value cannot be a cell."""
    columns: list[str] = []
    last: list[Any] = []
    kinds: list[type] = []
    nested: list[int] = []
    cells: list[str] = []
    exact = False
    for line in lines:
        row = orjson.loads(line)
        names, values = list(row), list(row.values())
        # Most values are as in the row before. 1 equals 1.0, and 0.0 equals -0.0: then all are written anew.
        before, exact = exact, b"-0.0" not in line
        if names != columns:
            columns = names
            found.update(dict.fromkeys(names))
            yield f"{COLUMNS}{orjson.dumps(names).decode()}{ROW}"
            kinds = []
        now = list(map(type, values))
        if now == kinds and exact and before:
            for place in [place for place, same in enumerate(map(eq, values, last)) if not same]:
                cells[place] = cell_of(values[place])
            for place in nested:
                cells[place] = cell_of(values[place])
        else:
            kinds = now
            nested = [place for place, kind in enumerate(now) if kind is list or kind is dict]
            cells = list(map(cell_of, values))
        last = values
        text = CELL.join(cells)
        if text.count(CELL) != len(cells) - 1 or ROW in text or COLUMNS in text:
            yield None
            return
        yield text + ROW


def are_wanted(config: Config) -> bool:
    """Whether a configuration asks for the table that they are for."""
    section = config.metadata
    return section is not None and "csv" in section.tables and section.columns == "nested"


def cell_of(value: Any) -> str:
    """A JSON value as the text of one cell, quoted where a comma, a quote or a line break asks for it (RFC 4180)."""
    if value is None:
        return ""
    kind = value.__class__
    if kind is int or kind is float:
        return str(value)
    text = value if kind is str else str(text_of(value))
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text


def text_of(value: Any) -> Any:
    """A JSON value as the content of one cell.

    Numbers, texts and None are as they are. Several values are joined by a backslash, as DICOM does; sequences and
    other nested values are JSON.
    """
    if isinstance(value, list):
        if any(isinstance(item, dict | list) for item in value):
            return orjson.dumps(value).decode()
        return "\\".join("" if item is None else str(item) for item in value)
    if isinstance(value, dict):
        return orjson.dumps(value).decode()
    return value
