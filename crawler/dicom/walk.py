"""Walks the data elements of a stream in file order, sequences included.

Every element keeps its bytes as stored; nothing is converted here (`record.py`) and nothing is guessed about whether
the stream is DICOM (`sniff.py`). What the standard does not allow, and does not hide where the next element begins, is
noted and passed over; everything else ends the walk. No more is read than the stream holds, and nesting is bounded.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import BinaryIO

from crawler.dicom.dictionary import BINARY_VRS, VRS, dictionary_vr, tag_text
from crawler.dicom.element_heads import SHORTEST, DataSetBytes, Head, behind_zeros, goes_on, read_head
from crawler.dicom.element_skips import byte_order, digest_of, is_sequence, sequence_end, skip_fragments, skip_sequence
from crawler.dicom.elements import (
    ITEM,
    ITEM_END,
    PIXEL_TAGS,
    SEQUENCE_END,
    TRAILING_PADDING,
    UNDEFINED,
    Coding,
    Element,
    Notes,
)
from crawler.errors import HeaderError

# Nesting that a record keeps. The deepest in the test data that is not an attack is 8 levels (a structured report);
# 64 leaves the interpreter's limit of 1,000 frames far away, at some 5 frames a level.
MAX_DEPTH = 64
LONGEST_VALUE = 1 << 20
"""Bytes of a text or of numbers that are read whole. Longer values were never met but in attacks: explicit VR has a
limit of 64 KiB for all VRs but six, and of those the longest in the test data is an XML document of 0.3 MB."""
LONGEST_START = 1 << 14
"""Bytes that are kept of a longer value."""
# Binary values above this size are passed over, not read: a record keeps their length only.
_LARGE = 4096
_LARGEST_UNKNOWN = 1 << 24  # bytes of a UN value that are read because it may turn out to be a sequence
_ZEROS = bytes(4)
# Bytes with which files end that were padded, or sent as text. No element begins with them: there are no groups 000A,
# 000D and 001A.
_PADDING = b"\0\r\n\x1a"


def _never(tag: int) -> bool:
    return False


def is_header_end(tag: int) -> bool:
    """Whether a top-level tag ends the header: pixel data, or padding behind the data set (PS3.10 7.2)."""
    return tag in PIXEL_TAGS or tag == TRAILING_PADDING


def walk(
    stream: BinaryIO,
    coding: Coding,
    end: int,
    stop: Callable[[int], bool] = _never,
    notes: Notes | None = None,
    wanted: Callable[[int, int], bool] | None = None,
) -> Iterator[Element]:
    """Yield the data elements from the stream's position on.

    Parameters
    ----------
    stream
        Seekable. Afterwards it stands behind the last element, or in front of the one that `stop` refused.
    coding
        As declared; explicit and implicit VR are told apart by the bytes, since writers get it wrong.
    end
        The stream's end, or the position that no element may cross. The walk also ends at zeros that pad the file.
    stop
        Called with each tag; True ends the walk there. With `is_header_end` the pixel element is yielded all the same,
        without its value.
    notes
        Takes what was passed over.
    wanted
        Called with each tag and the number of sequences around it; elements of defined length for which it is False are
        passed over.

    Raises
    ------
    HeaderError
        "truncated header" or "damaged header", after every element before the fault was yielded.
    """
    yield from _Walk(notes, wanted).elements(DataSetBytes(stream, coding, end, whole=True), 0, stop=stop)


def read_items(
    stream: BinaryIO, coding: Coding, end: int, delimited: bool, notes: Notes | None = None
) -> list[list[Element]]:
    """Read the items of a top-level sequence (PS3.5 7.5) up to its delimiter or `end`.

    Parameters
    ----------
    stream
        Stands at the first item; afterwards behind the sequence.
    delimited
        The sequence has undefined length, so that a delimiter ends it.

    Raises
    ------
    HeaderError
        An item is cut short, or something else stands where one has to begin.
    """
    return _Walk(notes).items(DataSetBytes(stream, coding, end, whole=delimited), 1, delimited, [])


def items_of(
    element: Element, depth: int, notes: Notes | None = None, found: list[list[Element]] | None = None
) -> list[list[Element]]:
    """Return the items of an element that is a sequence, in whichever way it was stored.

    Parameters
    ----------
    depth
        Of the items: 1 for a sequence in the data set itself.
    found
        Takes the items; after an error those in front of the fault.

    Raises
    ------
    HeaderError
        As `read_items`.
    """
    if isinstance(element.value, list):
        return element.value
    value = element.value or b""
    where = DataSetBytes(io.BytesIO(value), element.coding, len(value), element.offset)
    return _Walk(notes).items(where, depth, False, [] if found is None else found)


class _Walk:
    """One walk; parameters as of `walk`."""

    def __init__(self, notes: Notes | None, wanted: Callable[[int, int], bool] | None = None) -> None:
        self._notes, self._wanted = Notes() if notes is None else notes, wanted

    def elements(
        self, where: DataSetBytes, depth: int, delimited: bool = False, stop: Callable[[int], bool] = _never
    ) -> Iterator[Element]:
        """Yield the elements of a data set or an item; `delimited`: the item ends at a delimiter, not at the end."""
        stream, end = where.stream, where.end
        position = stream.tell()
        where = _actual_coding(where, position, nested=depth > 0)
        last, odd, wanted = -1, False, self._wanted
        while end - position >= SHORTEST:
            raw = stream.read(8)
            if len(raw) < SHORTEST:
                raise HeaderError("truncated header", f"ends inside an element at {where.offset(position)}")
            tag, _ = where.tag_and_length(raw)
            if tag >> 16 == 0xFFFE:
                behind = self._item_or_delimiter(where, raw, position, delimited)
                if behind < 0:
                    return
                position = behind
                continue
            if tag == 0 and (last >= 0 or not any(raw)):
                position = self._behind_zeros(where, position, last)
                stream.seek(position)
                continue
            if odd:
                odd = False
                if not goes_on(where, position, last) and goes_on(where, position + 1, last):
                    self._notes.add(f"a byte of padding at {where.offset(position)} that is not counted, passed over")
                    position += 1
                    stream.seek(position)
                    continue
                stream.seek(position + SHORTEST)
            if stop(tag):
                if stop is is_header_end and tag in PIXEL_TAGS:
                    head = read_head(where, raw, position, last, self._notes)
                    length = None if head.length == UNDEFINED else head.length
                    yield Element(tag, head.vr, length, where.base + head.offset, where.coding, None)
                stream.seek(position)
                return
            head = read_head(where, raw, position, last, self._notes)
            last = tag
            if head.length == UNDEFINED:
                yield from self._undefined(where, head, depth)
                position = stream.tell()
                continue
            if not head.vr and dictionary_vr(tag) == "SQ":
                head = head._replace(vr="SQ")
            if head.length <= min(_LARGE, end - head.offset) and head.vr != "SQ" and wanted is None:  # most elements
                value = stream.read(head.length)
                if len(value) < head.length:
                    raise HeaderError("truncated header", f"ends inside {tag_text(tag)}")
                inner = Coding(head.implicit, where.coding.little or head.vr == "UN")  # PS3.5 6.2.2
                yield Element(tag, head.vr, head.length, where.base + head.offset, inner, value)
            elif wanted is None or wanted(tag, depth) or head.length > end - head.offset:
                yield from self._defined(where, head, position, depth)
                if head.vr == "SQ":  # which may end elsewhere
                    position = stream.tell()
                    continue
            else:
                stream.seek(head.offset + head.length)
            position = head.offset + head.length
            odd = bool(head.length & 1)  # an even length may be meant
        self._ending(where, position, depth, delimited)

    def _item_or_delimiter(self, where: DataSetBytes, raw: bytes, position: int, delimited: bool) -> int:
        """Position behind an item or a delimiter that is in place of an element; -1 when the data set ends here."""
        tag, length = where.tag_and_length(raw)
        if delimited and tag in (ITEM, ITEM_END, SEQUENCE_END):
            if tag != ITEM_END:
                self._notes.add(f"an item in front of {where.offset(position)} has no delimiter")
                where.stream.seek(position)
            return -1
        if tag in (ITEM_END, SEQUENCE_END) and length == 0:
            self._notes.add(
                f"{tag_text(tag)} at {where.offset(position)}: a delimiter outside of any item, passed over"
            )
            return position + 8
        if tag == ITEM and length == UNDEFINED:
            skip_sequence(where)
        elif tag == ITEM and position + 8 + length <= where.end:
            where.stream.seek(position + 8 + length)
        else:
            raise HeaderError("damaged header", f"{tag_text(tag)} at {where.offset(position)} in place of an element")
        self._notes.add(f"{tag_text(tag)} at {where.offset(position)}: an item outside of any sequence, passed over")
        return where.stream.tell()

    def _behind_zeros(self, where: DataSetBytes, position: int, last: int) -> int:
        """Position behind zeros in place of an element: they pad the space between two, or the rest."""
        behind = behind_zeros(where, position, last)
        if behind is None:
            raise HeaderError("damaged header", f"zeros at {where.offset(position)} in place of an element")
        if behind < where.end:
            self._notes.add(f"{behind - position:,} zeros at {where.offset(position)} between elements, passed over")
        return behind

    def _ending(self, where: DataSetBytes, position: int, depth: int, delimited: bool) -> None:
        """End a data set where its bytes end."""
        cut = where.whole and (delimited or depth == 0)
        where.stream.seek(position)
        rest = where.stream.read(where.end - position)
        if rest.strip(_PADDING):
            if cut:
                raise HeaderError("truncated header", f"ends inside an element at {where.offset(position)}")
            self._notes.add(f"{len(rest)} bytes at {where.offset(position)} are no element")
        elif any(rest):
            self._notes.add(f"{len(rest)} bytes at {where.offset(position)} are no element")
        if delimited:
            if cut:
                raise HeaderError("truncated header", "ends inside a sequence")
            self._notes.add(f"an item in front of {where.offset(position)} has no delimiter")

    def _defined(self, where: DataSetBytes, head: Head, start: int, depth: int) -> Iterator[Element]:
        """Read an element of defined length; the stream stands at its value, and afterwards behind it."""
        stream = where.stream
        coding = Coding(head.implicit, where.coding.little or head.vr == "UN")  # PS3.5 6.2.2: UN is little endian
        element = Element(head.tag, head.vr, head.length, where.base + head.offset, coding, None)
        left = where.end - head.offset
        if head.length > left:
            yield element._replace(error="truncated header")
            what = f"{tag_text(head.tag)} at {where.offset(start)} declares {head.length:,} bytes, {left:,} are left"
            raise HeaderError("truncated header", what)
        if head.vr == "SQ" and depth < MAX_DEPTH:
            end = sequence_end(where, head, self._notes)
            items: list[list[Element]] = []
            try:
                self.items(where._replace(coding=coding, end=end, whole=False), depth + 1, False, items)
            except HeaderError as error:
                self._notes.add(f"{tag_text(head.tag)}: the sequence cannot be read, {error}")
                element = element._replace(error=error.reason)
            stream.seek(end)
            yield element._replace(value=items, length=end - head.offset)
            return
        if head.length > _LARGE:
            vr = head.vr if head.vr in VRS and head.vr != "UN" else dictionary_vr(head.tag)
            unread = vr in BINARY_VRS - {"UN"} or vr == "OB or OW" or (vr == "UN" and head.length > _LARGEST_UNKNOWN)
            if unread:
                stream.seek(head.offset + head.length)
                yield element
                return
            if head.length > LONGEST_VALUE and vr not in ("SQ", "UN"):
                yield element._replace(value=stream.read(LONGEST_START), digest=digest_of(stream, head))
                return
        value = stream.read(head.length)
        if len(value) < head.length:
            raise HeaderError("truncated header", f"ends inside {tag_text(head.tag)}")
        yield element._replace(value=value)

    def _undefined(self, where: DataSetBytes, head: Head, depth: int) -> Iterator[Element]:
        """Read an element of undefined length; the stream stands at its first item, and afterwards behind it."""
        coding = Coding(head.implicit, where.coding.little)
        element = Element(head.tag, head.vr, None, where.base + head.offset, coding, None)
        inner = where._replace(coding=byte_order(where, coding))
        if not is_sequence(head):
            skip_fragments(inner, head.tag)
            yield element
        elif depth >= MAX_DEPTH:
            skip_sequence(inner)
            yield element._replace(vr="SQ", error="nested too deep")
        else:
            items: list[list[Element]] = []
            try:
                self.items(where._replace(coding=coding), depth + 1, True, items)
            except HeaderError as error:
                yield element._replace(vr="SQ", value=items, error=error.reason)
                raise
            yield element._replace(vr="SQ", value=items)

    def items(
        self, where: DataSetBytes, depth: int, delimited: bool, items: list[list[Element]]
    ) -> list[list[Element]]:
        """Read items from the stream's position on into `items`; afterwards it stands behind them."""
        stream, end = where.stream, where.end
        position = stream.tell()
        where = where._replace(coding=byte_order(where, where.coding))
        while end - position >= SHORTEST:
            raw = stream.read(8)
            if len(raw) < SHORTEST:
                raise HeaderError("truncated header", "ends inside a sequence")
            tag, length = where.tag_and_length(raw)
            if tag == ITEM:
                items.append([])
                self._item(where, position + 8, length, depth, items[-1])
            elif tag == SEQUENCE_END and delimited:
                return items
            elif tag in (ITEM_END, SEQUENCE_END) and length == 0:
                self._notes.add(f"{tag_text(tag)} at {where.offset(position)}: a delimiter between items, passed over")
            elif not delimited and raw.startswith(_ZEROS) and behind_zeros(where, position, 0xFFFFFFFF) == end:
                self._notes.add(f"{end - position} zeros at {where.offset(position)} behind an item, passed over")
                stream.seek(end)
            elif delimited and goes_on(where, position, -1):
                self._notes.add(f"a sequence in front of {where.offset(position)} has no delimiter")
                stream.seek(position)
                return items
            else:
                raise HeaderError("damaged header", f"{tag_text(tag)} at {where.offset(position)} in place of an item")
            position = stream.tell()
        if delimited:
            if where.whole:
                raise HeaderError("truncated header", "ends inside a sequence")
            self._notes.add(f"a sequence in front of {where.offset(position)} has no delimiter")
        elif position < end:
            self._notes.add(f"{end - position} bytes at {where.offset(position)} are no item")
        stream.seek(end)
        return items

    def _item(self, where: DataSetBytes, start: int, length: int, depth: int, item: list[Element]) -> None:
        if length == UNDEFINED:
            for element in self.elements(where, depth, delimited=True):  # one by one: those in front of a fault stay
                item.append(element)
            return
        end = start + length
        if end > where.end:
            if where.whole:
                raise HeaderError("truncated header", f"the item at {where.offset(start - 8)} is cut short")
            self._notes.add(f"the item at {where.offset(start - 8)} is longer than its sequence")
            end = where.end
        for element in self.elements(where._replace(end=end, whole=False), depth):
            item.append(element)
        where.stream.seek(end)


def _actual_coding(where: DataSetBytes, position: int, nested: bool) -> DataSetBytes:
    """Explicit or implicit VR, by the letters of the first element, as pydicom decides it; the stream stays there.

    Two upper-case letters in the length of an implicit element would make it longer than 16,704 bytes, which no first
    element is. Sequences inside implicit VR are never explicit. Where a first element has no letters, it is in implicit
    VR when a data set may go on behind it; otherwise its VR is damaged.
    """
    stream, coding = where.stream, where.coding
    if nested and coding.implicit:
        return where
    raw = stream.read(8)
    if len(raw) == 8:
        letters = all(0x40 < byte < 0x5B for byte in raw[4:6])
        if letters == coding.implicit:
            tag, length = where.tag_and_length(raw)
            if letters or tag >> 16 == 0xFFFE or goes_on(where, position + 8 + length, tag):
                where = where._replace(coding=Coding(not letters, coding.little))
    stream.seek(position)
    return where
