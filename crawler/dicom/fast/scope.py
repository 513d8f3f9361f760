"""What the meaning of an element depends on, in its own data set and in those around it, while a header is walked."""

from __future__ import annotations

from collections.abc import Sequence

from crawler.dicom.charsets import DEFAULT_ENCODING
from crawler.dicom.fast.conversions import Conversions
from crawler.dicom.record import PIXEL_REPRESENTATION, Record


class Level:
    """A data set, or an item, and what the meaning of its elements depends on."""

    __slots__ = ("counts", "creators", "delimited", "depth", "encodings", "kept", "last", "record", "settled", "signed")

    def __init__(self, record: Record, counts: dict[str, int]) -> None:
        self.record, self.counts = record, counts
        self.creators: dict[int, Conversions] = {}  # of the elements in the block of each, by tag
        self.encodings: Sequence[str] = (DEFAULT_ENCODING,)
        self.signed = False
        self.settled = True  # the sign that the levels around give is known: their elements are past it
        self.delimited = False  # ends in a delimiter, not at a length
        self.kept = False  # elements are those of an image that `csa.read_csa` reads more of
        self.depth = 0
        self.last = -1  # tag

    def alike(self, record: Record) -> Level:
        """Level of the same data set in a file with the same creators, character set and sign."""
        level = Level(record, {})
        level.creators, level.encodings, level.signed, level.kept = (
            self.creators,
            self.encodings,
            self.signed,
            self.kept,
        )
        return level

    def inside(self, tag: int, delimited: bool) -> Level:
        """Level of an item in the sequence with this tag: inherits character set and sign (PS3.5 7.5.3)."""
        level = Level({}, {})
        level.encodings, level.signed, level.depth = self.encodings, self.signed, self.depth + 1
        level.settled = self.settled and tag > PIXEL_REPRESENTATION
        level.delimited = delimited
        return level
