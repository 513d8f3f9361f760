"""The tables of a finished output as typed DataFrames: `read_metadata` and `read_series`.

A text stays one ("000123" is no number), a whole number stays one where other rows have none. Types are those of the
Parquet files (`parquet.py`), whichever tables were written.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import orjson

from crawler.errors import SourceError, StopError
from crawler.paths import readable

if TYPE_CHECKING:
    import pandas as pd

# Types of the columns of series.csv; beside these, all that begin with n_ are whole, and with quality_ are numbers.
_WHOLE = frozenset(
    ("Rows", "Columns", "SeriesNumber", "rows", "columns", "folders_with_series", "quality_files", "quality_low_files")
) | {"missing_positions", "duplicate_positions"}
_NUMBERS = frozenset(["SliceThickness", "obliquity_degrees", "spacing", "largest_gap", "tilt_degrees"])
_TRUTHS = frozenset(
    ("single_orientation", "unique_positions", "uniform_spacing", "consistent_size", "regular_volume", "quality_low")
)
_TEXTS = frozenset(["quality_reasons"])


def read_metadata(output: str | os.PathLike[str], columns: Iterable[str] | None = None) -> pd.DataFrame:
    """The rows of an output, one a DICOM file, in the order of paths.

    Parameters
    ----------
    output
        The folder of an output (`output.dir`), or its JSON Lines file.
    columns
        Keys to read; all without. A row that lacks one has a missing value there.

    Returns
    -------
    pandas.DataFrame
        Texts are of type string, whole numbers Int64, fractions Float64, truth values boolean; several values, and
        sequences, are lists and dictionaries in columns of objects.

    Raises
    ------
    SourceError
        There is no such output.
    StopError
        pandas is not installed.
    """
    path = _found(os.fsdecode(output), ".jsonl", "metadata.jsonl")
    wanted = None if columns is None else list(columns)
    found: dict[str, list[Any]] = {} if wanted is None else {name: [] for name in wanted}
    count = 0
    for count, row in enumerate(_rows(path), 1):
        for name, value in row.items():
            if wanted is None and name not in found:
                found[name] = [None] * (count - 1)
            if name in found:
                found[name].append(value)
        for values in found.values():
            if len(values) < count:
                values.append(None)
    return _frame(found, count)


def read_series(output: str | os.PathLike[str]) -> pd.DataFrame:
    """The series of an output, one a row, by *scan_id*.

    Parameters
    ----------
    output
        The folder of an output (`output.dir`), its series.csv, or its JSON Lines file.

    Returns
    -------
    pandas.DataFrame
        As series.csv; counts are Int64, measures Float64, truth values boolean, everything else is of type string.

    Raises
    ------
    SourceError
        There is no such output.
    StopError
        pandas is not installed.
    """
    given = os.fsdecode(output)
    if given.endswith(".jsonl"):  # the table lies beside it, under its name where there is no output.dir
        own = f"{given.removesuffix('.jsonl')}.series.csv"
        given = own if os.path.isfile(own) else os.path.dirname(given)
    path = _found(given, ".csv", "series.csv")
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        names = next(reader, [])
        rows = [[cell or None for cell in row] for row in reader]
    columns = {name: [_typed(name, row[place]) for row in rows] for place, name in enumerate(names)}
    return _frame(columns, len(rows))


def _found(output: str, ending: str, name: str) -> str:
    path = output if output.endswith(ending) else os.path.join(output, name)
    if not os.path.isfile(path):
        raise SourceError(f"{readable(path)} does not exist: give the folder of an output, or the file itself")
    return path


def _rows(path: str) -> Iterator[dict[str, Any]]:
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError:
                raise SourceError(f"{readable(path)}:{number}: no JSON: was it changed by another program?") from None


def _typed(name: str, cell: str | None) -> Any:
    if cell is None or name in _TEXTS:
        return cell
    if name in _TRUTHS:
        return cell == "True"
    if name in _WHOLE or name.startswith("n_"):
        return int(cell)
    if name in _NUMBERS or name.startswith("quality_"):
        return float(cell)
    return cell


def _frame(columns: dict[str, list[Any]], count: int) -> pd.DataFrame:
    try:
        import pandas as pd  # slow to load, and no run needs it
    except ImportError:
        raise StopError("this needs pandas: install with `python -m pip install pandas`") from None
    return pd.DataFrame({name: _series(pd, values) for name, values in columns.items()}, index=range(count))


def _series(pd: Any, values: list[Any]) -> Any:
    kinds = {type(value) for value in values if value is not None}
    if not kinds or kinds == {str}:
        return pd.array(values, dtype="string")
    if kinds == {bool}:
        return pd.array(values, dtype="boolean")
    if kinds == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return pd.array(values, dtype="Int64")
    if kinds <= {int, float} and all(value is None or abs(value) <= 2**53 for value in values if type(value) is int):
        return pd.array([None if value is None else float(value) for value in values], dtype="Float64")
    return pd.Series(values, dtype=object).array
