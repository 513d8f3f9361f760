"""What was worked out of one header, for those that are like it (`header_template.py`).

Most of what a header means follows from elements that are the same all through a series. A memo keeps what a function
of fields gave, with the elements that it asked for, and gives it again as long as they are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any, TypeVar

from crawler.dicom.attributes import Attributes, Name
from crawler.dicom.dictionary import KeyStyle
from crawler.dicom.record import Record

T = TypeVar("T")
Work = Callable[[Attributes], T]

_TRIES = 4
"""Headers in a row for which it was worked out in vain, after which a function is asked every time."""


class Memo:
    """What functions gave.

    Parameters
    ----------
    varying
        Keys of the elements in which headers differ; it may grow. All headers have the same keys.
    """

    def __init__(self, varying: Set[str]) -> None:
        self._varying = varying
        self._known: dict[Work[Any], _Memoized] = {}

    def result(self, work: Work[T], record: Record, style: KeyStyle) -> T:
        """Return what `work` gives for the fields of a record."""
        known = self._known.get(work)
        if known is None:
            known = self._known[work] = _Memoized()
        elif known.holds(record, self._varying):
            known.misses = 0
            return known.result  # type: ignore[no-any-return]
        if known.misses > _TRIES:
            return work(Attributes(record, style))
        known.misses += 1
        fields = _NotingAttributes(record, style)
        known.result = work(fields)
        known.asked, known.compared = fields.asked, -1
        return known.result  # type: ignore[no-any-return]


class _Memoized:
    """What one function gave last, and for what."""

    __slots__ = ("asked", "compared", "misses", "result", "watched")

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        self.compared = -1  # how many keys varied when `watched` was made
        self.watched: list[tuple[str, str]] = []
        self.misses = 0
        self.result: Any = None

    def holds(self, record: Record, varying: Set[str]) -> bool:
        """Whether all that was asked for is as it was. By `repr`, since 0.0 equals -0.0, and 1 equals 1.0."""
        if self.compared != len(varying):
            self.compared = len(varying)
            self.watched = [(key, repr(value)) for key, value in self.asked.items() if key in varying]
        return all(repr(record.get(key)) == value for key, value in self.watched)


class MemoAttributes(Attributes):
    """The elements of a header that has a memo."""

    __slots__ = ("_memo",)

    def __init__(self, record: Record, style: KeyStyle, memo: Memo) -> None:
        super().__init__(record, style)
        self._memo = memo

    def memoized(self, work: Work[T]) -> T:
        """As `Attributes.memoized`."""
        return self._memo.result(work, self._record, self._style)


class _NotingAttributes(Attributes):
    """Notes the keys that are asked for, and their values. Whether an element exists is the same in all headers."""

    __slots__ = ("asked",)

    def __init__(self, record: Record, style: KeyStyle) -> None:
        super().__init__(record, style)
        self.asked: dict[str, Any] = {}

    def value(self, name: Name) -> Any:
        """As `Attributes.value`."""
        key = self._key(name)
        value = self.asked[key] = self._record.get(key)
        return value
