"""metadata.csv put together from the cells that workers made, and from rows where there are none.

The order is that of the rows, the columns are those of all rows. Memory for one series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any, BinaryIO

import orjson

from crawler.export.cells import CELL, COLUMNS, ROW, cell_of
from crawler.ledger.cells import CellSpool
from crawler.tables.table import RowReader

_CELL, _ROW, _COLUMNS = CELL.encode(), ROW.encode(), COLUMNS.encode()
_BLOCK = 1 << 20


def write_joined(lines: RowReader, cells: CellSpool, target: str) -> int:
    """Write the table; return the number of rows."""
    with cells.opened() as spool, open(lines.path, "rb") as rows, open(target, "wb") as file:
        found = set(cells.columns) if spool is not None and cells.is_whole else _columns_in(cells, spool)
        for line in _rows_without_cells(cells, spool, rows):
            found.update(orjson.loads(line))
        columns = lines.whole().order(found)
        file.write(",".join(map(cell_of, columns)).encode() + b"\r\n")
        return sum(_copied(part, columns, file) for part in _parts(cells, spool, rows))


def _parts(cells: CellSpool, spool: BinaryIO | None, rows: BinaryIO) -> Iterator[tuple[bool, Iterator[bytes]]]:
    """(are they cells, records or lines) of each scan."""
    for start, stop, first, last in cells.places():
        if spool is not None and first is not None and last is not None:
            yield True, _records(spool, first, last)
        else:
            yield False, _lines(rows, start, stop)


def _copied(part: tuple[bool, Iterator[bytes]], columns: list[str], file: BinaryIO) -> int:
    are_cells, records = part
    count = 0
    if not are_cells:
        for count, line in enumerate(records, 1):  # noqa: B007 - the last number is the count
            row = orjson.loads(line)
            file.write(",".join([cell_of(row.get(name)) for name in columns]).encode() + b"\r\n")
        return count
    choose: Callable[[Any], Any] = itemgetter(0, 0)
    for record in records:
        if record.startswith(_COLUMNS):
            place = {name: number for number, name in enumerate(orjson.loads(record[1:]))}
            nothing = len(place)  # where the empty cell is put
            choose = itemgetter(*(place.get(name, nothing) for name in columns))
            continue
        found = record.split(_CELL)
        found.append(b"")
        file.write(b",".join(choose(found)) + b"\r\n")
        count += 1
    return count


def _columns_in(cells: CellSpool, spool: BinaryIO | None) -> set[str]:
    """Columns of the cells that are of use still."""
    found: set[str] = set()
    for _, _, first, last in cells.places() if spool is not None else ():
        for record in _records(spool, first, last) if spool and first is not None and last is not None else ():
            if record.startswith(_COLUMNS):
                found.update(orjson.loads(record[1:]))
    return found


def _rows_without_cells(cells: CellSpool, spool: BinaryIO | None, rows: BinaryIO) -> Iterator[bytes]:
    for start, stop, first, _ in cells.places():
        if spool is None or first is None:
            yield from _lines(rows, start, stop)


def _records(spool: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    """Records between two places of a file, whatever they are as a whole."""
    spool.seek(start)
    left, rest = stop - start, b""
    while left:
        block = spool.read(min(left, _BLOCK))
        if not block:
            raise EOFError("the cells end early")
        left -= len(block)
        *records, rest = (rest + block).split(_ROW)
        yield from records


def _lines(rows: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    rows.seek(start)
    while rows.tell() < stop and (line := rows.readline()):
        yield line
