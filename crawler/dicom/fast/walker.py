"""Header bytes to record in one pass over all elements, for well-formed files (`reader.py` chooses).

Explicit and implicit VR, little endian, with file meta information and ascending tags. It reads the file in blocks,
passes over long binary values, and makes no object for an element. Whatever is unusual, legal or not, it does not
judge: it raises `UnusualHeader`.
"""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

from crawler.archives.streams import BLOCK, read_block
from crawler.dicom.csa import MAX_BYTES, is_looked_at
from crawler.dicom.dictionary import BINARY_VRS, KeyStyle, is_known, is_private, key_for
from crawler.dicom.elements import EXPLICIT_LITTLE, IMPLICIT_LITTLE, UNDEFINED, Element
from crawler.dicom.fast.conversions import Conversion, Kind, UnusualHeader, conversions_of, known_encodings
from crawler.dicom.fast.header import Header, LoggedElement, head_size
from crawler.dicom.fast.memo import Memo
from crawler.dicom.fast.scope import Scope
from crawler.dicom.record import PIXEL_REPRESENTATION, Record, next_key, numbers_of
from crawler.dicom.trailing import SHORTEST, end_of_pixels
from crawler.dicom.uids import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian
from crawler.dicom.walk import LONGEST_VALUE

_PLAIN, _BINARY, _SEQUENCE, _PRIVATE = Kind.PLAIN, Kind.BINARY, Kind.SEQUENCE, Kind.PRIVATE

# The bytes that tell the conversion of an element, and a length; in explicit VR a longer one may follow (PS3.5 7.1.2,
# 7.1.3).
EXPLICIT_HEAD = struct.Struct("<6sH").unpack_from
IMPLICIT_HEAD = struct.Struct("<4sL").unpack_from
read_length = struct.Struct("<L").unpack_from

PREFIX_AT, META_AT = 128, 132  # PS3.10 7.1
META_START = b"DICM\x02\0\0\0UL\x04\0"  # up to the value of the group length, which comes first
_ITEM, _SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_DATA_SET = 0x00080000  # groups below it may stand before the character set that they use (DICOMDIR)
_DEEPEST = 16  # levels; the deepest in the test data that is not an attack has 8
LARGEST = 1 << 26  # bytes of one element, above which a second attempt is not worth its memory
_CSA_IMAGES = (b"MOSAIC", b"DIFFUSION")  # values of Image Type with which `csa.read_csa` looks further
_GROWTH = 16  # of the block when an element does not end in it: an enhanced header has 0.1 to 10 MB, in one sequence


class Incomplete(Exception):
    """An item does not end in the bytes that were read."""


class Walker:
    """One header.

    Parameters
    ----------
    stream
        Seekable; left anywhere.
    size
        Bytes in the stream.
    keys
        Style of the record's keys.

    Attributes
    ----------
    base
        Position in the stream of the block's first byte.
    held
        Bytes of all further blocks, which the log keeps.
    implicit
        The data set is in implicit VR.
    csa_elements
        What `Header.csa_elements` will be.
    log
        What was met, in file order, without what lies in sequences: what `header_template.py` learns from.
    scope
        The data set's, as it is at its end.
    trailing
        Keys that elements behind the pixel data have in the record, its last ones.
    ending
        Conversion and head of the element that ended the header, which is not in the log; None when the file ended.
    """

    __slots__ = (
        "_conversions",
        "_ended",
        "_keys",
        "_pixel",
        "_read_head",
        "_stream",
        "base",
        "csa_elements",
        "ending",
        "held",
        "implicit",
        "log",
        "scope",
        "size",
        "trailing",
    )  # fmt: skip

    def __init__(self, stream: BinaryIO, size: int, keys: KeyStyle) -> None:
        self._stream, self._keys, self.size = stream, keys, size
        self._conversions = conversions_of(keys)
        self._read_head = EXPLICIT_HEAD
        self.implicit = False
        self.base = self.held = 0
        self._ended = False  # at pixel data, or at padding behind the data set
        self.csa_elements: list[Element] = []
        self._pixel: Element | None = None
        self.log: list[LoggedElement] = []
        self.scope = Scope({}, {})
        self.ending: tuple[Conversion, bytes] | None = None
        self.trailing = 0

    def walk(self, block: bytes) -> Header:
        """Read file meta information and data set; `block` begins the file. Raises `UnusualHeader`."""
        meta = Scope({}, {})
        record = meta.record
        start = self._meta(block, meta)
        declared = record.get(key_for("TransferSyntaxUID", self._keys))
        syntax = declared.strip("\0 ") if isinstance(declared, str) else ""
        if syntax in ("", DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian):
            raise UnusualHeader
        if syntax == ImplicitVRLittleEndian:
            self.set_implicit(block, start)
        self.scope = Scope(record, meta.counts)
        self._data(block, start, self.scope)
        if key_for("SOPClassUID", self._keys) not in record:
            raise UnusualHeader
        return self.header(record, syntax)

    def header(self, record: Record, syntax: str, memo: Memo | None = None) -> Header:
        """What was read, with the elements for `csa.read_csa`."""
        # What is kept in mind of a header holds for others with the same keys: not for elements behind the pixel data.
        return Header(record, syntax, self.csa_elements, self._pixel, None if self.trailing else memo)

    def set_implicit(self, block: bytes, start: int) -> None:
        """Read on in implicit VR; raises `UnusualHeader` when the data set, at `start`, looks explicit all the same."""
        self.implicit, self._read_head = True, IMPLICIT_HEAD
        if all(0x40 < letter < 0x5B for letter in block[start + 4 : start + 6]):
            raise UnusualHeader

    def block_at(self, offset: int, least: int, most: int = BLOCK) -> bytes:
        """Read a block of at least so many bytes, unless the file ends before, from a position in the file.

        `most` is what is read where that costs no more.
        """
        self.base = offset
        self._stream.seek(offset)
        block = read_block(self._stream, least, max(min(max(most, least), self.size - offset), 0))
        self.held += len(block)
        return block

    def _meta(self, block: bytes, scope: Scope) -> int:
        """Read the file meta information, when its length is the declared one; return the position behind it."""
        length_at = PREFIX_AT + len(META_START)
        if block[PREFIX_AT:length_at] != META_START:
            raise UnusualHeader
        end = length_at + 4 + int.from_bytes(block[length_at : length_at + 4], "little")
        if end + 8 > len(block) or block[end : end + 2] == b"\x02\0":
            raise UnusualHeader
        if self._elements(block, META_AT, end, scope) != end or scope.last >> 16 != 0x0002:
            raise UnusualHeader
        return end

    def _data(self, block: bytes, position: int, scope: Scope) -> None:
        """Read the data set up to the pixel data, in as many blocks as it takes."""
        more = BLOCK
        while True:
            reached = self._elements(block, position, len(block), scope)
            offset = self.base + reached
            if self._ended or offset == self.size:
                return
            if reached > position:
                more = BLOCK
            elif self.base + len(block) >= self.size or more >= LARGEST:
                raise UnusualHeader
            else:
                more = min(more * _GROWTH, LARGEST)
            # One byte more than was there: a store then gives as much as it likes to.
            least = max(1, min(self.base + len(block) - offset + 1, more))
            block, position = self.block_at(offset, least, more), 0

    def _elements(self, block: bytes, position: int, end: int, scope: Scope) -> int:
        """Add the elements between two positions to the scope's record.

        Returns
        -------
        int
            Position behind the last one. At the top, that of the first element that `block` does not hold whole; it may
            lie behind the block.

        Raises
        ------
        UnusualHeader
            The full reader has to read the file.
        Incomplete
            An item does not end in the block.
        """
        conversions, record, last, read_head = self._conversions, scope.record, scope.last, self._read_head
        log = None if scope.depth else self.log
        final = end - 8  # no element is shorter than its tag and length
        value: Any
        while position <= final:
            head, length = read_head(block, position)
            tag, wide, kind, key, vr, convert = conversion = conversions[head]
            start = position + 8
            if wide:
                start = position + 12
                if start > end:
                    break
                if length:  # reserved bytes, PS3.5 7.1.2
                    raise UnusualHeader
                length = read_length(block, position + 8)[0]
            if tag <= last:
                raise UnusualHeader
            if kind is _PRIVATE:
                block_conversions = scope.creators.get(
                    tag & 0xFFFF0000 | tag >> 8 & 0xFF
                )  # dictionary.creator_tag, inlined
                if block_conversions is None:
                    block_conversions = conversions.of_creator("")
                _, _, kind, key, vr, convert = conversion = block_conversions[head]
                if scope.reads_csa and is_looked_at(tag):
                    self.keep_for_csa(tag, length, start, None)
            after = start + length
            if kind is _PLAIN:
                if after > end:
                    break
                value = convert(block[start:after], scope.encodings) if length else None
            elif kind is _BINARY and length != UNDEFINED:
                if after > end and (scope.depth or self.base + after > self.size):
                    break
                value = {"vr": vr, "length": length} if length else None
            elif kind is _SEQUENCE or kind is _BINARY:
                if kind is _BINARY and not self.is_sequence(conversion):
                    raise UnusualHeader
                if length == UNDEFINED:
                    after = end
                elif after > end:
                    break
                try:
                    value, after = self.items(block, start, after, length == UNDEFINED, scope, tag)
                except Incomplete:
                    if length != UNDEFINED:
                        raise UnusualHeader from None
                    break
            elif kind is Kind.ITEM_END:
                if not scope.delimited or length:
                    raise UnusualHeader
                return start
            elif kind is Kind.PIXELS or kind is Kind.PADDING:
                if not scope.depth:
                    self.end(
                        conversion, block[position : position + head_size(wide, self.implicit)], length, start, scope
                    )
                    break
                if kind is Kind.PADDING or vr not in BINARY_VRS or length == UNDEFINED:
                    raise UnusualHeader
                if after > end:
                    break
                value = {"vr": vr, "length": length} if length else None  # of an icon
            elif after > end:
                break
            elif kind is Kind.AMBIGUOUS:
                value = self.ambiguous(conversion, block[start:after], scope)
            else:
                if kind is Kind.CHARACTER_SET and -1 < last < _DATA_SET:
                    raise UnusualHeader
                value = self._special(conversion, block[start:after], scope, start)
            if key in record:
                key = next_key(record, scope.counts, key)
            record[key] = value
            if log is not None:
                log.append((block, position, after, conversion, key, scope.encodings))
            position, last = after, tag
        scope.last = last
        if scope.depth and (position < end or scope.delimited):
            raise Incomplete
        return position

    def is_sequence(self, conversion: Conversion) -> bool:
        """Whether undefined length makes a sequence of a value that would be binary: of unknown VR, in implicit VR."""
        return self.implicit and (conversion[4] == "UN" or is_private(conversion[0]))

    def items(
        self, block: bytes, position: int, end: int, delimited: bool, scope: Scope, tag: int
    ) -> tuple[list[Record], int]:
        """Read the items of a sequence (PS3.5 7.5); return them, and the position behind the sequence."""
        if scope.depth >= _DEEPEST:
            raise UnusualHeader
        records: list[Record] = []
        while delimited or position < end:
            start = position + 8
            if start > end:
                raise Incomplete
            mark, length = block[position : position + 4], int.from_bytes(block[position + 4 : start], "little")
            if mark == _SEQUENCE_END and delimited and not length:
                return records, start
            if mark != _ITEM:
                raise UnusualHeader
            open_end = length == UNDEFINED
            after = end if open_end else start + length
            if after > end:
                raise Incomplete
            item = scope.inside(tag, open_end)
            position = self._elements(block, start, after, item)
            records.append(item.record)
        return records, position

    def _special(self, conversion: Conversion, value: bytes, scope: Scope, start: int) -> Any:
        """Value of an element on which the meaning of others depends."""
        tag, _, kind, _, _, convert = conversion
        if kind is Kind.CHARACTER_SET:
            scope.encodings = known_encodings(value)
        elif kind is Kind.SIGN:
            scope.signed = any(value)
        elif kind is Kind.IMAGE_TYPE and not scope.depth:
            scope.reads_csa = any(word in value for word in _CSA_IMAGES)
            self.keep_for_csa(tag, len(value), start, value)
        found = convert(value, scope.encodings) if value else None
        if kind is Kind.CREATOR:
            if isinstance(found, list):
                raise UnusualHeader
            scope.creators[tag] = self._conversions.of_creator((found or "").strip())
            if scope.reads_csa and is_looked_at(tag):
                self.keep_for_csa(tag, len(value), start, value)
        return found

    def ambiguous(self, conversion: Conversion, value: bytes, scope: Scope) -> Any:
        """Value of a VR that PS3.6 leaves open, as `record.vr_of` settles it (PS3.5 A.1)."""
        tag, _, _, _, vr, _ = conversion
        if vr == "US or SS":
            if not scope.sign_known or tag < PIXEL_REPRESENTATION:
                raise UnusualHeader
            vr = "SS" if scope.signed else "US"
            if len(value) > LONGEST_VALUE:
                raise UnusualHeader
        elif len(value) == 2:
            vr = "US"
        else:
            return {"vr": "OW", "length": len(value)} if value else None
        return numbers_of(tag, value, vr, little=True) if value else None

    def keep_for_csa(self, tag: int, length: int, start: int, value: bytes | None) -> None:
        """Keep an element that `csa.read_csa` looks at; without a value where it lies."""
        if length > MAX_BYTES:
            raise UnusualHeader
        coding = IMPLICIT_LITTLE if self.implicit else EXPLICIT_LITTLE
        self.csa_elements.append(Element(tag, "", length, self.base + start, coding, value))

    def end(self, conversion: Conversion, head: bytes, length: int, start: int, scope: Scope) -> None:
        """End the header at pixel data, which are described, or at padding, which is not; read on behind the pixels."""
        self._ended = True
        if self._pixel is not None:
            if conversion[2] is Kind.PADDING:
                return
            raise UnusualHeader
        self.ending = conversion, head
        tag, _, kind, key, vr, _ = conversion
        if kind is Kind.PADDING:
            return
        if vr not in BINARY_VRS or key in scope.record:
            raise UnusualHeader
        known = None if length == UNDEFINED else length
        coding = IMPLICIT_LITTLE if self.implicit else EXPLICIT_LITTLE
        self._pixel = Element(tag, head[4:6].decode("latin-1"), known, self.base + start, coding, None)
        scope.record[key] = {"vr": vr, "length": known} if length else None
        behind = end_of_pixels(self._stream, self._pixel.offset, known, self.size)
        if behind is not None and self.size - behind >= SHORTEST:
            self._read_trailing(behind, scope, tag)

    def _read_trailing(self, position: int, scope: Scope, last: int) -> None:
        """Read the elements behind the pixel data, which no template learns."""
        block = self.block_at(position, SHORTEST)
        if position + len(block) == self.size and not any(block):
            return  # padding
        first = int.from_bytes(block[:2], "little") << 16 | int.from_bytes(block[2:4], "little")
        if self.implicit and not is_known(first) and not is_private(first):
            raise UnusualHeader  # maybe no element
        log, self.log, count = self.log, [], len(scope.record)
        scope.last, self._ended = last, False
        self._data(block, 0, scope)
        self.log, self._ended = log, True
        self.trailing = len(scope.record) - count
