"""A table as Apache Parquet: a type a column for the whole table, zstd, row groups; memory for one row group.

Types are found in a first pass. Of single values: bool, int64, double or string. An element that has several values in
any row is a list column, in which single ones are lists of one. Sequences and other nested values are JSON text, as
their items differ from file to file. Numbers among texts are text; whole numbers among fractions are doubles while a
double holds them. A column without any value is of strings.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from crawler.tables.table import Row, Table, text_of

NEEDS = ("pyarrow",)
GROUP = 65_536  # rows: some 100 MB of 150 columns, while a reader of one column finds few groups
_BATCH = 2_048  # rows that wait as Python objects
_EXACT = 2**53  # whole numbers up to here are doubles too

_BOOL, _INT, _LONG, _FLOAT, _TEXT, _LIST, _NESTED = (1 << bit for bit in range(7))
_KINDS: dict[type, int] = {bool: _BOOL, float: _FLOAT, str: _TEXT, dict: _NESTED, type(None): 0}


def write_parquet(table: Table, target: str) -> int:
    """Write the table; return the number of rows."""
    import pyarrow as pa  # an extra, and slow to load
    import pyarrow.parquet as pq

    kinds = kinds_of(table.rows())
    columns = table.order(kinds)
    scalars = {0: pa.string(), _BOOL: pa.bool_(), _INT: pa.int64(), _FLOAT: pa.float64(), _TEXT: pa.string()}
    shapes = {column: _shape(kinds.get(column, 0)) for column in columns}
    types = {name: pa.list_(scalars[base]) if many else scalars[base] for name, (base, many) in shapes.items()}
    schema = pa.schema([pa.field(name, kind) for name, kind in types.items()])
    count = 0
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        waiting: list[Any] = []
        for batch in _batches(table.rows()):
            arrays = [
                pa.array(_converted((row.get(name) for row in batch), *shapes[name]), types[name]) for name in columns
            ]
            waiting.append(pa.record_batch(arrays, schema=schema))
            count += len(batch)
            if len(waiting) * _BATCH >= GROUP:
                writer.write_table(pa.Table.from_batches(waiting, schema), row_group_size=GROUP)
                waiting = []
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting, schema), row_group_size=GROUP)
    return count


def kinds_of(rows: Iterable[Row]) -> dict[str, int]:
    """Which kinds of values each column holds, as bits."""
    found: dict[str, int] = {}
    for row in rows:
        for column, value in row.items():
            kind = _KINDS.get(type(value))
            found[column] = found.get(column, 0) | (_kind(value) if kind is None else kind)
    return found


def _kind(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        if -_EXACT <= value <= _EXACT:
            return _INT
        return _INT | _LONG if -(2**63) <= value < 2**63 else _TEXT
    if not isinstance(value, list):
        return _KINDS[type(value)]
    kinds = _LIST
    for item in value:
        kinds |= _NESTED if isinstance(item, dict | list) else _kind(item)
    return kinds


def _shape(kinds: int) -> tuple[int, bool]:
    """Type of a column's single values, and whether it is a list column."""
    if kinds & _NESTED:
        return _TEXT, False
    many = bool(kinds & _LIST)
    values = kinds & ~_LIST
    if values & _TEXT or (values & _BOOL and values != _BOOL) or (values & _FLOAT and values & _LONG):
        return _TEXT, many
    if values & _FLOAT:
        return _FLOAT, many
    return values & (_BOOL | _INT), many


def _converted(values: Iterable[Any], base: int, many: bool) -> list[Any]:
    """A batch of one column as pyarrow takes it."""
    if not many:
        return [_text(value) for value in values] if base == _TEXT else list(values)
    lists = (value if value is None or isinstance(value, list) else [value] for value in values)
    if base != _TEXT:
        return list(lists)
    return [None if items is None else [_text(item) for item in items] for items in lists]


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return str(text_of(value))


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(itertools.islice(rows, _BATCH)):
        yield batch
