"""How long headers are, learnt from those that were read: what to fetch of the next file.

A store charges for bytes and for requests. A block that is too short costs a second request, one that is too long costs
bytes: the files of a series have headers of nearly the same length.
"""

from __future__ import annotations

from collections import deque

FIRST = 2048  # of the first file; most headers of CT and MR have 3 to 12 KiB in the test data
LEAST = 512  # of a further block
GROWTH = 0.15  # of what was read: so a header costs at most that much more than it has
_KEPT = 8
_ALIKE = 1.1  # longest of the last headers, as a share of the last one, up to which it is asked for
_MARGIN = 64  # values differ by a few characters; behind it the first item of compressed pixels is seen, too


class HeaderSizes:
    """The lengths of the last headers of a store."""

    def __init__(self) -> None:
        self._last: deque[int] = deque(maxlen=_KEPT)

    def add(self, length: int) -> None:
        """Note how long a header was."""
        self._last.append(length)

    @property
    def known(self) -> bool:
        """Whether a header was read."""
        return bool(self._last)

    def first(self) -> int:
        """Bytes to fetch of a file that is not known."""
        last = list(self._last)
        if not last:
            return FIRST
        longest = max(last)
        return (longest if longest <= _ALIKE * last[-1] else last[-1]) + _MARGIN

    @staticmethod
    def more(have: int) -> int:
        """Bytes to fetch behind those that did not suffice."""
        return max(LEAST, int(GROWTH * have))
