"""The quick reader: header bytes to record in one pass, for files as they ought to be.

Explicit and implicit VR, little endian, with file meta information and ascending tags: nearly every file there is. It
reads the file in blocks, passes over long binary values, and makes no object for an element. Whatever is not as it
ought to be, legal or not, it does not judge: it leaves the file to the careful way, `elements.walk` and
`record.make_record`. Where it does answer it gives the same record; `tests/test_fast_header.py` holds it to that.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, BinaryIO, NamedTuple

from crawler.archives.streams import BLOCK
from crawler.dataset.charsets import DEFAULT_ENCODING
from crawler.dataset.csa import MAX_BYTES
from crawler.dataset.dictionary import BINARY_VRS, KeyStyle, is_private, key_for
from crawler.dataset.elements import EXPLICIT_LITTLE, IMPLICIT_LITTLE, UNDEFINED, Element
from crawler.dataset.plans import Doubt, Kind, Plan, Plans, known_encodings, plans_of
from crawler.record import PIXEL_REPRESENTATION, Record, next_key, numbers_of
from crawler.uids import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

_PLAIN, _BINARY, _SEQUENCE, _PRIVATE = Kind.PLAIN, Kind.BINARY, Kind.SEQUENCE, Kind.PRIVATE

# Of an element, what tells its plan, and a length; in explicit VR a longer one may follow (PS3.5 7.1.2, 7.1.3).
_EXPLICIT_HEAD = struct.Struct("<6sH").unpack_from
_IMPLICIT_HEAD = struct.Struct("<4sL").unpack_from
_read_length = struct.Struct("<L").unpack_from

_PREFIX_AT, _META_AT = 128, 132  # PS3.10 7.1
_META_START = b"DICM\x02\0\0\0UL\x04\0"  # up to the value of the group length, which comes first
_ITEM, _SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
_DATA_SET = 0x00080000  # groups below it may stand before the character set that they use (DICOMDIR)
_DEEPEST = 16  # levels; the deepest in the test data that is not an attack has 8
_LARGEST = 1 << 26  # bytes of one element, above which a second attempt is not worth its memory
_CSA_IMAGES = (b"MOSAIC", b"DIFFUSION")  # values of Image Type with which `csa.read_csa` looks further,
_KEPT_GROUPS = (0x0019, 0x0029)  # and where
_GROWTH = 16  # of the block when an element does not end in it: an enhanced header has 0.1 to 10 MB, in one sequence


class Header(NamedTuple):
    """What a header holds.

    Attributes
    ----------
    kept
        The elements that `csa.read_csa` looks at, by far not all, with their values or with where they are.
    pixel
        The pixel element, when the header ends in one.
    """

    record: Record
    transfer_syntax: str
    kept: list[Element]
    pixel: Element | None


def read_quickly(stream: BinaryIO, size: int, keys: KeyStyle = "keyword") -> Header | None:
    """Read a header.

    Parameters
    ----------
    stream
        Seekable, at its start; left anywhere.
    size
        Bytes in the stream.
    keys
        Style of the record's keys.

    Returns
    -------
    Header or None
        None for a file that the careful way has to read.
    """
    try:
        return _Reader(stream, size, keys).read()
    except (Doubt, OSError):  # a compressed file may be damaged behind its header: blocks reach further than elements
        return None


class _Short(Exception):
    """An item does not end in the bytes that were read."""


class _Level:
    """A data set, or an item, and what the meaning of its elements depends on."""

    __slots__ = ("counts", "creators", "delimited", "depth", "encodings", "kept", "last", "record", "settled", "signed")

    def __init__(self, record: Record, counts: dict[str, int]) -> None:
        self.record, self.counts = record, counts
        self.creators: dict[int, Plans] = {}  # of the elements in the block of each, by tag
        self.encodings: Sequence[str] = (DEFAULT_ENCODING,)
        self.signed = False
        self.settled = True  # the sign that the levels around give is known: their elements are past it
        self.delimited = False  # ends in a delimiter, not at a length
        self.kept = False  # elements are those of an image that `csa.read_csa` reads more of
        self.depth = 0
        self.last = -1  # tag

    def inside(self, tag: int, delimited: bool) -> _Level:
        """Level of an item in the sequence with this tag: inherits character set and sign (PS3.5 7.5.3)."""
        level = _Level({}, {})
        level.encodings, level.signed, level.depth = self.encodings, self.signed, self.depth + 1
        level.settled = self.settled and tag > PIXEL_REPRESENTATION
        level.delimited = delimited
        return level


class _Reader:
    """One header."""

    __slots__ = ("_base", "_ended", "_implicit", "_kept", "_keys", "_pixel", "_plans", "_read_head", "_size", "_stream")

    def __init__(self, stream: BinaryIO, size: int, keys: KeyStyle) -> None:
        self._stream, self._size, self._keys = stream, size, keys
        self._plans = plans_of(keys)
        self._implicit, self._read_head = False, _EXPLICIT_HEAD
        self._base = 0  # position in the stream of the block's first byte
        self._ended = False  # at pixel data, or at padding behind the data set
        self._kept: list[Element] = []
        self._pixel: Element | None = None

    def read(self) -> Header:
        """Read file meta information and data set; raises `Doubt` where the careful way has to."""
        block = self._stream.read(BLOCK)
        meta = _Level({}, {})
        record = meta.record
        start = self._meta(block, meta)
        declared = record.get(key_for("TransferSyntaxUID", self._keys))
        syntax = declared.strip("\0 ") if isinstance(declared, str) else ""
        if syntax in ("", DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian):
            raise Doubt
        if syntax == ImplicitVRLittleEndian:
            self._implicit, self._read_head = True, _IMPLICIT_HEAD
            if all(0x40 < letter < 0x5B for letter in block[start + 4 : start + 6]):  # explicit all the same
                raise Doubt
        self._data(block, start, _Level(record, meta.counts))
        if key_for("SOPClassUID", self._keys) not in record:
            raise Doubt
        return Header(record, syntax, self._kept, self._pixel)

    def _meta(self, block: bytes, level: _Level) -> int:
        """Read the file meta information, when its length is the declared one; return the position behind it."""
        length_at = _PREFIX_AT + len(_META_START)
        if block[_PREFIX_AT:length_at] != _META_START:
            raise Doubt
        end = length_at + 4 + int.from_bytes(block[length_at : length_at + 4], "little")
        if end + 8 > len(block) or block[end : end + 2] == b"\x02\0":
            raise Doubt
        if self._elements(block, _META_AT, end, level) != end or level.last >> 16 != 0x0002:
            raise Doubt
        return end

    def _data(self, block: bytes, position: int, level: _Level) -> None:
        """Read the data set up to the pixel data, in as many blocks as it takes."""
        more = BLOCK
        while True:
            reached = self._elements(block, position, len(block), level)
            offset = self._base + reached
            if self._ended or offset == self._size:
                return
            if reached > position:
                more = BLOCK
            elif self._base + len(block) >= self._size or more > _LARGEST:
                raise Doubt
            else:
                more *= _GROWTH
            self._stream.seek(offset)
            block, position, self._base = self._stream.read(more), 0, offset

    def _elements(self, block: bytes, position: int, end: int, level: _Level) -> int:
        """Add the elements between two positions to the level's record.

        Returns
        -------
        int
            Position behind the last one. At the top, that of the first element that `block` does not hold whole; it may
            lie behind the block.

        Raises
        ------
        Doubt
            The careful way has to read the file.
        _Short
            An item does not end in the block.
        """
        plans, record, last, read_head = self._plans, level.record, level.last, self._read_head
        final = end - 8  # no element is shorter than its tag and length
        value: Any
        while position <= final:
            head, length = read_head(block, position)
            tag, wide, kind, key, vr, convert = plan = plans[head]
            start = position + 8
            if wide:
                start = position + 12
                if start > end:
                    break
                length = _read_length(block, position + 8)[0]
            if tag <= last:
                raise Doubt
            if kind is _PRIVATE:
                block_plans = level.creators.get(tag & 0xFFFF0000 | tag >> 8 & 0xFF)  # dictionary.creator_tag, inlined
                if block_plans is None:
                    block_plans = plans.of_creator("")
                _, _, kind, key, vr, convert = plan = block_plans[head]
                if level.kept and tag >> 16 in _KEPT_GROUPS:
                    self._keep(tag, length, start, None)
            after = start + length
            if kind is _PLAIN:
                if after > end:
                    break
                value = convert(block[start:after], level.encodings) if length else None
            elif kind is _BINARY and length != UNDEFINED:
                if after > end and (level.depth or self._base + after > self._size):
                    break
                value = {"vr": vr, "length": length} if length else None
            elif kind is _SEQUENCE or kind is _BINARY:
                if kind is _BINARY and not self._is_sequence(plan):
                    raise Doubt
                if length == UNDEFINED:
                    after = end
                elif after > end:
                    break
                try:
                    value, after = self._items(block, start, after, length == UNDEFINED, level, tag)
                except _Short:
                    if length != UNDEFINED:
                        raise Doubt from None
                    break
            elif kind is Kind.ITEM_END:
                if not level.delimited or length:
                    raise Doubt
                return start
            elif kind is Kind.PIXELS or kind is Kind.PADDING:
                if not level.depth:
                    self._end(plan, head, length, start, level)
                    break
                if kind is Kind.PADDING or vr not in BINARY_VRS or length == UNDEFINED:
                    raise Doubt
                if after > end:
                    break
                value = {"vr": vr, "length": length} if length else None  # of an icon
            elif after > end:
                break
            elif kind is Kind.AMBIGUOUS:
                value = self._ambiguous(plan, block[start:after], level)
            else:
                if kind is Kind.CHARACTER_SET and -1 < last < _DATA_SET:
                    raise Doubt
                value = self._special(plan, block[start:after], level, start)
            if key in record:
                key = next_key(record, level.counts, key)
            record[key] = value
            position, last = after, tag
        level.last = last
        if level.depth and (position < end or level.delimited):
            raise _Short
        return position

    def _is_sequence(self, plan: Plan) -> bool:
        """Whether undefined length makes a sequence of a value that would be binary: of unknown VR, in implicit VR."""
        return self._implicit and (plan[4] == "UN" or is_private(plan[0]))

    def _items(
        self, block: bytes, position: int, end: int, delimited: bool, level: _Level, tag: int
    ) -> tuple[list[Record], int]:
        """Read the items of a sequence (PS3.5 7.5); return them, and the position behind the sequence."""
        if level.depth >= _DEEPEST:
            raise Doubt
        records: list[Record] = []
        while delimited or position < end:
            start = position + 8
            if start > end:
                raise _Short
            mark, length = block[position : position + 4], int.from_bytes(block[position + 4 : start], "little")
            if mark == _SEQUENCE_END and delimited and not length:
                return records, start
            if mark != _ITEM:
                raise Doubt
            open_end = length == UNDEFINED
            after = end if open_end else start + length
            if after > end:
                raise _Short
            item = level.inside(tag, open_end)
            position = self._elements(block, start, after, item)
            records.append(item.record)
        return records, position

    def _special(self, plan: Plan, value: bytes, level: _Level, start: int) -> Any:
        """Value of an element on which the meaning of others depends."""
        tag, _, kind, _, _, convert = plan
        if kind is Kind.CHARACTER_SET:
            level.encodings = known_encodings(value)
        elif kind is Kind.SIGN:
            level.signed = any(value)
        elif kind is Kind.IMAGE_TYPE and not level.depth:
            level.kept = any(word in value for word in _CSA_IMAGES)
            self._keep(tag, len(value), start, value)
        found = convert(value, level.encodings) if value else None
        if kind is Kind.CREATOR:
            if isinstance(found, list):
                raise Doubt
            level.creators[tag] = self._plans.of_creator((found or "").strip())
            if level.kept and tag >> 16 in _KEPT_GROUPS:
                self._keep(tag, len(value), start, value)
        return found

    def _ambiguous(self, plan: Plan, value: bytes, level: _Level) -> Any:
        """Value of a VR that PS3.6 leaves open, as `record.vr_of` settles it (PS3.5 A.1)."""
        tag, _, _, _, vr, _ = plan
        if vr == "US or SS":
            if not level.settled or tag < PIXEL_REPRESENTATION:
                raise Doubt
            vr = "SS" if level.signed else "US"
        elif len(value) == 2:
            vr = "US"
        else:
            return {"vr": "OW", "length": len(value)} if value else None
        return numbers_of(tag, value, vr, little=True) if value else None

    def _keep(self, tag: int, length: int, start: int, value: bytes | None) -> None:
        if length > MAX_BYTES:
            raise Doubt
        coding = IMPLICIT_LITTLE if self._implicit else EXPLICIT_LITTLE
        self._kept.append(Element(tag, "", length, self._base + start, coding, value))

    def _end(self, plan: Plan, head: bytes, length: int, start: int, level: _Level) -> None:
        """End the header at pixel data, which are described, or at padding, which is not."""
        self._ended = True
        tag, _, kind, key, vr, _ = plan
        if kind is Kind.PADDING:
            return
        if vr not in BINARY_VRS or key in level.record:
            raise Doubt
        known = None if length == UNDEFINED else length
        coding = IMPLICIT_LITTLE if self._implicit else EXPLICIT_LITTLE
        self._pixel = Element(tag, head[4:].decode("latin-1"), known, self._base + start, coding, None)
        level.record[key] = {"vr": vr, "length": known} if length else None
