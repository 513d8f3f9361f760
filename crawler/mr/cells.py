r"""One cell of a table -> plain values, whatever wrote the table.

A row of metadata.jsonl holds lists and numbers; its CSV holds ``a\b`` or JSON text, and the tables of seeds/000
``a|b`` or the text of a Python list. A cell that says nothing (None, NaN, empty text, empty list) is absent: empty is
not a value.
"""

from __future__ import annotations

import ast
import datetime
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

_ABSENT_TEXTS = ("nan", "None", "<NA>")  # as Python prints them; the code string NONE is a value
_SPLIT = re.compile(r"[\\|]")
_TIME = re.compile(r"(\d{2}):?(\d{2})?:?(\d{2})?(\.\d+)?")  # TM, and its form before DICOM 3.0 (PS3.5 6.2)
_DATE = re.compile(r"(\d{4})[.-]?(\d{2})[.-]?(\d{2})")


def items(cell: Any) -> list[Any]:
    """Values of a cell as a list; empty when the cell is absent."""
    if cell is None:
        return []
    if isinstance(cell, str):
        return _split(cell)
    if isinstance(cell, list | tuple):
        return [item for item in cell if not _absent(item)]
    tolist = getattr(cell, "tolist", None)  # numpy arrays and scalars
    if tolist is not None:
        return items(tolist())
    return [] if _absent(cell) else [cell]


def texts(cell: Any) -> tuple[str, ...]:
    """Values of a cell as stripped text in upper case, as code strings are (PS3.5 6.2)."""
    return tuple(text for item in items(cell) if (text := str(item).strip().upper()))


def text(cell: Any) -> str:
    """A cell as one stripped text, as written; a list is joined by a backslash."""
    if isinstance(cell, str):
        return cell.strip()
    return "\\".join(str(item) for item in items(cell)).strip()


def numbers(cell: Any) -> tuple[float, ...]:
    """Finite numbers of a cell; what is no number is left out."""
    if isinstance(cell, float) and math.isfinite(cell):
        return (cell,)
    return tuple(number for item in items(cell) if (number := _number(item)) is not None)


def vector(cell: Any, size: int) -> tuple[float, ...] | None:
    """Exactly `size` numbers, or None."""
    found = numbers(cell)
    return found if len(found) == size == len(items(cell)) else None


def mappings(cell: Any) -> Iterator[Mapping[str, Any]]:
    """Items of a sequence: a list of mappings, or its JSON text."""
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        try:
            cell = orjson.loads(cell)
        except orjson.JSONDecodeError:
            return
    if isinstance(cell, list | tuple):
        yield from (item for item in cell if isinstance(item, Mapping))


def moment(date: Any, time: Any) -> float | None:
    """Seconds on one clock of a date (DA, may be absent) and a time (TM); None without a valid time."""
    found = _TIME.match(text(time))
    if found is None:
        return None
    hours, minutes, seconds = (int(part or 0) for part in found.groups()[:3])
    if hours > 23 or minutes > 59 or seconds > 60:  # 60 is a leap second, PS3.5 6.2
        return None
    day = _DATE.fullmatch(text(date))
    try:
        days = datetime.date(*map(int, day.groups())).toordinal() if day else 0
    except ValueError:
        days = 0
    return days * 86_400 + hours * 3600 + minutes * 60 + seconds + float(found[4] or 0)


def _split(cell: str) -> list[Any]:
    stripped = cell.strip()
    if not stripped or stripped in _ABSENT_TEXTS:
        return []
    if stripped.startswith("[") and stripped.endswith("]"):
        try:
            return items(ast.literal_eval(stripped))
        except (ValueError, SyntaxError):
            stripped = stripped[1:-1]
    return [part for part in (part.strip() for part in _SPLIT.split(stripped)) if part]


def _absent(value: Any) -> bool:
    if value is None or (isinstance(value, str) and not value.strip()):
        return True
    return bool(value != value) if isinstance(value, float) else type(value).__name__ in ("NAType", "NaTType")


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
