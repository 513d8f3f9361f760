"""What the meaning of an element depends on, in its own data set and in those around it, while a header is walked."""

from __future__ import annotations

from collections.abc import Sequence

from crawler.dicom.charsets import DEFAULT_ENCODING
from crawler.dicom.fast.conversions import Conversions
from crawler.dicom.record import PIXEL_REPRESENTATION, Record


class Scope:
    """A data set, or an item, and what the meaning of its elements depends on."""

    __slots__ = (
        "counts",
        "creators",
        "delimited",
        "depth",
        "encodings",
        "last",
        "reads_csa",
        "record",
        "sign_known",
        "signed",
    )

    def __init__(self, record: Record, counts: dict[str, int]) -> None:
        self.record, self.counts = record, counts
        self.creators: dict[int, Conversions] = {}  # of the elements in the block of each, by tag
        self.encodings: Sequence[str] = (DEFAULT_ENCODING,)
        self.signed = False
        self.sign_known = True  # the sign that the data sets around give is known: their elements are past it
        self.delimited = False  # ends in a delimiter, not at a length
        self.reads_csa = False  # `csa.read_csa` reads more of this image than its Image Type
        self.depth = 0
        self.last = -1  # tag

    def copy_for(self, record: Record) -> Scope:
        """Scope of the same data set in a file with the same creators, character set and sign."""
        scope = Scope(record, {})
        scope.creators, scope.encodings, scope.signed, scope.reads_csa = (
            self.creators,
            self.encodings,
            self.signed,
            self.reads_csa,
        )
        return scope

    def inside(self, tag: int, delimited: bool) -> Scope:
        """Scope of an item in the sequence with this tag: inherits character set and sign (PS3.5 7.5.3)."""
        scope = Scope({}, {})
        scope.encodings, scope.signed, scope.depth = self.encodings, self.signed, self.depth + 1
        scope.sign_known = self.sign_known and tag > PIXEL_REPRESENTATION
        scope.delimited = delimited
        return scope
