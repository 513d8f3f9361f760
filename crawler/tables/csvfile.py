"""A table as CSV (RFC 4180, UTF-8): verbatim, so that a program reads what the header holds.

A text that begins with "=" stays one: a table that is changed for one spreadsheet's sake is wrong for every program.
The Excel workbook (`workbook.py`) is the file that defuses formulas.
"""

from __future__ import annotations

import csv

from crawler.tables.table import Table, text_of

NEEDS: tuple[str, ...] = ()


def write_csv(table: Table, target: str) -> int:
    """Write a header line and a line a row; return the number of rows."""
    columns = table.columns()
    count = 0
    with open(target, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for count, row in enumerate(table.rows(), 1):  # noqa: B007 - the last number is the count
            writer.writerow([text_of(row.get(column)) for column in columns])
    return count
