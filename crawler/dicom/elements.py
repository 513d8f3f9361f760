"""Data elements as stored, and how they are encoded: the values that the walk over a header yields.

Constants and types of PS3.5 section 7. Nothing is read here (`walk.py`) and nothing is converted (`record.py`).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

PIXEL_TAGS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
SPECIFIC_CHARACTER_SET = 0x00080005
TRAILING_PADDING = 0xFFFCFFFC
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF

LONG_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})  # PS3.5 7.1.2

_MOST_NOTES = 20


class Coding(NamedTuple):
    """How elements are encoded: implicit VR or explicit, little endian or big (PS3.5 section 7 and annex A)."""

    implicit: bool
    little: bool


IMPLICIT_LITTLE = Coding(True, True)
EXPLICIT_LITTLE = Coding(False, True)
EXPLICIT_BIG = Coding(False, False)


class Element(NamedTuple):
    """One data element as stored.

    Attributes
    ----------
    vr
        As written; empty in implicit VR.
    length
        Bytes of the value; None for undefined length.
    offset
        Position of the value in the stream that was walked.
    coding
        Of the value's items, when it turns out to be a sequence, and of its numbers.
    value
        Bytes; the items of a sequence of undefined length; None when it was not read (pixels, other long binary
        values, encapsulated fragments, what `error` says).
    error
        Why the value is not there.
    digest
        XXH3-128 of the whole value, when `value` holds only the first bytes of a very long one; else empty.
    """

    tag: int
    vr: str
    length: int | None
    offset: int
    coding: Coding
    value: bytes | list[list[Element]] | None
    error: str = ""
    digest: str = ""


class Notes:
    """What a header has that the standard does not allow, and that could be read all the same.

    They name tags, offsets and lengths, never values. The number kept is bounded.
    """

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}  # in the order of their first occurrence
        self._more = 0

    def add(self, line: str) -> None:
        """Add a note, once."""
        if line in self._lines:
            return
        if len(self._lines) < _MOST_NOTES:
            self._lines[line] = None
        else:
            self._more += 1

    def lines(self) -> tuple[str, ...]:
        """The notes, in the order of the header."""
        more = (f"and {self._more:,} more",) if self._more else ()
        return (*self._lines, *more)


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom's remarks on damaged files to itself: they name no file, and may quote values."""
    import pydicom.config  # noqa: F401 - sets the level when it is loaded, which must not happen inside

    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
