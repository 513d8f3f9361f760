"""A record asked by keyword, whatever the style of its keys, and typed: what does not fit counts as absent."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from crawler.dicom.dictionary import KeyStyle, key_for, key_of, tag_text
from crawler.dicom.record import Record

T = TypeVar("T")

Private = tuple[int, str]
"""A private element: its tag with block 0, as 0x0019000C for (0019,xx0C), and its private creator."""
Name = str | Private
"""A public element by its keyword, or a private one."""

_CREATOR = re.compile(r"\(([0-9A-F]{3}[13579BDF]),00([1-9A-F][0-9A-F])\)")  # PS3.5 7.8.1


class Attributes:
    """The elements of a record, or of an item in one.

    Parameters
    ----------
    record
        As made by `record.make_record`. Of an element that occurs twice the first one counts.
    style
        Style of the record's keys.
    """

    __slots__ = ("_creators", "_keys", "_record", "_style")

    def __init__(self, record: Record, style: KeyStyle) -> None:
        self._record = record
        self._style = style
        self._keys = _keys_of(style)
        self._creators: dict[tuple[int, str], int] | None = None

    def __contains__(self, name: Name) -> bool:
        """Whether the element is there, even empty."""
        return self._key(name) in self._record

    def value(self, name: Name) -> Any:
        """Return the JSON value; None when empty or absent."""
        return self._record.get(self._keys.get(name) or self._key(name))

    def has_value(self, name: Name) -> bool:
        """Whether the element is there and not empty."""
        return self.value(name) not in (None, [])

    def text(self, name: Name) -> str:
        """Return a single text; otherwise empty."""
        value = self.value(name)
        return value if isinstance(value, str) else ""

    def number(self, name: Name) -> float | None:
        """Return a single finite number."""
        return _number(self.value(name))

    def integer(self, name: Name) -> int | None:
        """Return a single whole number."""
        number = self.value(name)
        return number if isinstance(number, int) else None

    def each(self, name: Name) -> list[float | None]:
        """Return all values, None for each that is not a finite number."""
        value = self.value(name)
        if value is None:
            return []
        return [_number(item) for item in value] if isinstance(value, list) else [_number(value)]

    def vector(self, name: Name, size: int) -> tuple[float, ...] | None:
        """Return exactly `size` finite numbers."""
        value = self.value(name)
        if not isinstance(value, list) or len(value) != size:
            return None
        numbers = [number for number in map(_number, value) if number is not None]
        return tuple(numbers) if len(numbers) == size else None

    def memoized(self, work: Callable[[Attributes], T]) -> T:
        """Return what a function of fields gives for these; `memo.py` may know it from a header that is like this.

        It must ask by this class's methods only, and not by `first_items`.
        """
        return work(self)

    def items(self, name: Name) -> Sequence[Attributes]:
        """Return the items of a sequence; none when it is absent or unreadable."""
        value = self.value(name)
        if not isinstance(value, list):
            return ()
        return [Attributes(item, self._style) for item in value if isinstance(item, dict)]

    def first_items(self) -> Iterator[Attributes]:
        """Return the first item of every sequence that has one."""
        for value in self._record.values():
            if isinstance(value, list) and value and isinstance(value[0], dict):
                yield Attributes(value[0], self._style)

    def item(self, name: Name) -> Attributes | None:
        """Return the first item of a sequence."""
        value = self.value(name)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return Attributes(value[0], self._style)
        return None

    def _key(self, name: Name) -> str:
        """Key of an element; in the style "tag" that of a private one depends on the block that its creator holds."""
        if isinstance(name, str):
            return self._keys.setdefault(name, key_for(name, self._style))
        tag, creator = name
        if self._style != "tag":  # keys do not show the block
            return self._keys.setdefault(name, key_of(tag | 0x1000, creator, self._style))
        if self._creators is None:
            self._creators = {}
            for key, value in self._record.items():
                if isinstance(value, str) and (found := _CREATOR.fullmatch(key)):
                    self._creators.setdefault((int(found[1], 16), value), int(found[2], 16))
        block = self._creators.get((tag >> 16, creator))
        return "" if block is None else tag_text(tag | block << 8)


@lru_cache
def _keys_of(style: KeyStyle) -> dict[Name, str]:
    """Keys of the names asked for, which are as many as the code holds; a dict, because every header asks a hundred."""
    return {}


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None
