"""A record asked by keyword, whatever the style of its keys, and typed: what does not fit counts as absent."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from crawler.dataset.dictionary import KeyStyle, key_for
from crawler.record import Record


class Fields:
    """The elements of a record, or of an item in one.

    Parameters
    ----------
    record
        As made by `record.make_record`. Of an element that occurs twice the first one counts.
    style
        Style of the record's keys.
    """

    __slots__ = ("_record", "_style")

    def __init__(self, record: Record, style: KeyStyle) -> None:
        self._record = record
        self._style = style

    def __contains__(self, keyword: str) -> bool:
        """Whether the element is there, even empty."""
        return key_for(keyword, self._style) in self._record

    def value(self, keyword: str) -> Any:
        """Return the JSON value; None when empty or absent."""
        return self._record.get(key_for(keyword, self._style))

    def has_value(self, keyword: str) -> bool:
        """Whether the element is there and not empty."""
        return self.value(keyword) not in (None, [])

    def text(self, keyword: str) -> str:
        """Return a single text; otherwise empty."""
        value = self.value(keyword)
        return value if isinstance(value, str) else ""

    def number(self, keyword: str) -> float | None:
        """Return a single finite number."""
        return _number(self.value(keyword))

    def integer(self, keyword: str) -> int | None:
        """Return a single whole number."""
        number = self.value(keyword)
        return number if isinstance(number, int) else None

    def each(self, keyword: str) -> list[float | None]:
        """Return all values, None for each that is not a finite number."""
        value = self.value(keyword)
        if value is None:
            return []
        return [_number(item) for item in value] if isinstance(value, list) else [_number(value)]

    def vector(self, keyword: str, size: int) -> tuple[float, ...] | None:
        """Return exactly `size` finite numbers."""
        value = self.value(keyword)
        if not isinstance(value, list) or len(value) != size:
            return None
        numbers = [number for number in map(_number, value) if number is not None]
        return tuple(numbers) if len(numbers) == size else None

    def items(self, keyword: str) -> Sequence[Fields]:
        """Return the items of a sequence; none when it is absent or unreadable."""
        value = self.value(keyword)
        if not isinstance(value, list):
            return ()
        return [Fields(item, self._style) for item in value if isinstance(item, dict)]

    def first_items(self) -> Iterator[Fields]:
        """Return the first item of every sequence that has one."""
        for value in self._record.values():
            if isinstance(value, list) and value and isinstance(value[0], dict):
                yield Fields(value[0], self._style)

    def item(self, keyword: str) -> Fields | None:
        """Return the first item of a sequence."""
        value = self.value(keyword)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return Fields(value[0], self._style)
        return None


def _number(value: Any) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None
