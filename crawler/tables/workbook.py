"""Grids as the sheets of an Excel workbook, written row by row; memory for one row a sheet.

Every sheet has its header frozen and filters on. Texts are cells of type text, so that none is taken for a formula,
and those that would become one when edited carry Excel's quote mark, which is no part of the value. What Excel's
limits do not take goes on in further sheets or is cut, and the sheet `Notes` says so. XlsxWriter writes 10,000 rows
of 150 columns in 6.1 s, openpyxl's write-only mode in 8.0 s, in the same memory. Equal grids give equal bytes.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from crawler.tables.table import Row, Table, text_of

NEEDS = ("xlsxwriter",)

# "Excel specifications and limits", Microsoft: rows and columns of a sheet, characters of a cell and of a sheet's name.
ROWS, COLUMNS, CHARACTERS, NAME = 1_048_576, 16_384, 32_767, 31
_DIGITS = 15  # significant digits that Excel keeps of a number: longer ones are written as text
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # OWASP, "CSV Injection": what a spreadsheet may run
_CUT = " ... [cut, see the JSONL]"
_WIDTHS = (8, 50)  # narrowest and widest column, in characters
_LOOKED_AT = 500  # rows that columns are made wide enough for
_CREATED = datetime.datetime(1980, 1, 1)  # a workbook has to name a date; this one never changes


@dataclass(slots=True)
class _Sheet:
    """One sheet of a table: some of its columns, some of its rows."""

    sheet: Any
    columns: list[str]
    widths: list[int] = field(default_factory=list)
    rows: int = 0


class Workbook:
    """A workbook to be filled, sheet after sheet; a context manager.

    Parameters
    ----------
    target
        The file, which is there when the context ends well.
    scratch
        Folder for unfinished sheets, which exists.
    rows, columns
        Limits of a sheet, header included.
    """

    def __init__(self, target: str, scratch: str, rows: int = ROWS, columns: int = COLUMNS) -> None:
        import xlsxwriter  # an extra

        # Limits of a zip file without its 64-bit form: 4 GB a sheet.
        options = {"constant_memory": True, "tmpdir": scratch, "use_zip64": True}
        self._book = xlsxwriter.Workbook(target, options)
        self._book.set_properties({"created": _CREATED})
        self._bold = self._book.add_format({"bold": True, "bottom": 1})
        self._quoted = self._book.add_format({"quote_prefix": True})
        self._limits = rows, columns
        self._cut: dict[tuple[str, str], int] = {}
        self.notes: list[str] = []

    def __enter__(self) -> Workbook:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None:
            self._add_notes()
            self._write_out()
        else:
            self._book.fileclosed = 1  # nothing is written, and the destructor does not complain

    def _write_out(self) -> None:
        from xlsxwriter.exceptions import FileCreateError

        try:
            self._book.close()
        except FileCreateError as error:  # its wrapping of what the system says: a full disk, a lost folder
            self._book.fileclosed = 1
            for sheet in self._book.worksheets():
                sheet.row_data_fh.close()
            if isinstance(error.args[0], OSError):
                raise error.args[0] from None
            raise

    def add(self, name: str, table: Table, key: str = "") -> int:
        """Add a table as a sheet, or as several where it is too long or too wide for one; return its number of rows.

        Parameters
        ----------
        key
            The column that tells which row it is, and that every sheet of a wide table has; else the first.
        """
        columns = table.columns()
        key = key if key in columns else columns[0]
        most_rows, most_columns = self._limits
        parts = _parts(columns, most_columns, key)
        sheets = self._open(name, 1, parts)
        names = [name]
        count = 0
        for count, row in enumerate(table.rows(), 1):  # noqa: B007 - the last number is the count
            if sheets[0].rows == most_rows - 1:
                self._close(sheets)
                names.append(_name(name, len(names) + 1, 1))
                sheets = self._open(name, len(names), parts)
            for sheet in sheets:
                self._write(name, sheet, row)
        self._close(sheets)
        if len(names) > 1:
            self.notes.append(f"{name}: {count:,} rows are more than a sheet holds; they go on in {_and(names[1:])}")
        if len(parts) > 1:
            more = [_name(name, 1, part) for part in range(2, len(parts) + 1)]
            self.notes.append(
                f"{name}: {len(columns):,} columns are more than a sheet holds; they go on in {_and(more)}, "
                f"each with {key}"
            )
        return count

    def _open(self, name: str, number: int, parts: list[list[str]]) -> list[_Sheet]:
        sheets = []
        for part, columns in enumerate(parts, 1):
            sheet = self._book.add_worksheet(_name(name, number, part))
            sheet.freeze_panes(1, 1)
            sheet.set_landscape()
            sheet.repeat_rows(0)  # on paper, too, every page has the header
            for place, column in enumerate(columns):
                sheet.write_string(0, place, column, self._bold)
            sheets.append(_Sheet(sheet, columns, [len(column) + 3 for column in columns]))  # 3: the filter's button
        return sheets

    def _write(self, name: str, sheet: _Sheet, row: Row) -> None:
        sheet.rows += 1
        for place, column in enumerate(sheet.columns):
            value = text_of(row.get(column))
            if value is None or value == "":
                continue
            if isinstance(value, bool):
                sheet.sheet.write_boolean(sheet.rows, place, value)
            elif isinstance(value, int | float) and not _is_long(value):
                sheet.sheet.write_number(sheet.rows, place, value)
            else:
                text = str(value)
                if len(text) > CHARACTERS // 2:  # Excel counts UTF-16: some characters are two
                    text = self._fitting(name, column, text)
                sheet.sheet.write_string(sheet.rows, place, text, self._quoted if text.startswith(_FORMULA) else None)
            if sheet.rows <= _LOOKED_AT:
                sheet.widths[place] = max(sheet.widths[place], len(str(value)) + 1)

    def _fitting(self, name: str, column: str, text: str) -> str:
        """A text, cut to what a cell holds."""
        units = text.encode("utf-16-le", "surrogatepass")
        if len(units) <= 2 * CHARACTERS:
            return text
        self._cut[name, column] = self._cut.get((name, column), 0) + 1
        return units[: 2 * (CHARACTERS - len(_CUT))].decode("utf-16-le", "ignore") + _CUT

    def _close(self, sheets: list[_Sheet]) -> None:
        low, high = _WIDTHS
        for one in sheets:
            one.sheet.autofilter(0, 0, one.rows, len(one.columns) - 1)
            for place, width in enumerate(one.widths):
                one.sheet.set_column(place, place, min(max(width, low), high))

    def _add_notes(self) -> None:
        for (name, column), count in self._cut.items():
            self.notes.append(f"{name}: {column}: {count:,} texts are longer than a cell holds and are cut")
        if not self.notes:
            return
        sheet = self._book.add_worksheet("Notes")
        sheet.set_column(0, 0, 120)
        for place, note in enumerate(self.notes):
            sheet.write_string(place, 0, note)


def _parts(columns: list[str], most: int, key: str) -> list[list[str]]:
    """Columns by sheet; the one that names the row is in all."""
    parts, rest = [columns[:most]], columns[most:]
    parts += [[key, *rest[start : start + most - 1]] for start in range(0, len(rest), most - 1)]
    return parts


def _name(name: str, number: int, part: int) -> str:
    """A sheet's name: "CT", "CT_2" with further rows, "CT_c2" with further columns."""
    tail = (f"_{number}" if number > 1 else "") + (f"_c{part}" if part > 1 else "")
    return name[: NAME - len(tail)] + tail


def _is_long(value: int | float) -> bool:
    return isinstance(value, int) and abs(value) >= 10**_DIGITS


def _and(names: list[str]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]
