"""The head of a data element: tag, VR and length (PS3.5 7.1), also where the VR is none or the length field is wrong.

A head that does not follow the standard is read in the way after which the data set goes on sensibly. Values are not
read here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from crawler.dicom.dictionary import VRS, is_known, is_private, tag_text
from crawler.dicom.elements import ITEM_END, LONG_VRS, SEQUENCE_END, UNDEFINED, Coding, Notes
from crawler.errors import HeaderError

SHORTEST = 8
"""Bytes of the shortest head."""
_LONGEST = 12
_LONG = frozenset(vr.encode() for vr in LONG_VRS)
_SHORT = frozenset(vr.encode() for vr in VRS - LONG_VRS)
_ITEM_GROUP = 0xFFFE
_MOST_ZEROS = 1 << 26  # bytes that are looked through; files are padded to blocks of some KiB
# (FFFE,E000) and (FFFE,E0DD), in both byte orders.
_ITEMS = (b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0", b"\xff\xfe\xe0\x00", b"\xff\xfe\xe0\xdd")


class Head(NamedTuple):
    """What stands in front of a value.

    Attributes
    ----------
    vr
        As written; empty in implicit VR.
    length
        As written: 0xFFFFFFFF for undefined length.
    offset
        Position of the value.
    implicit
        The head has no VR.
    """

    tag: int
    vr: str
    length: int
    offset: int
    implicit: bool


class DataSetBytes(NamedTuple):
    """Where elements are looked for.

    Attributes
    ----------
    stream
        Seekable.
    coding
        Of the elements.
    end
        Position that no element may cross.
    base
        Position of the stream's first byte in the file: other than 0 for the value of a sequence.
    whole
        The end is that of the file: what is not complete there was cut off. Otherwise it is that of a sequence or item
        that is complete, and its parts contradict it.
    """

    stream: BinaryIO
    coding: Coding
    end: int
    base: int = 0
    whole: bool = False

    def offset(self, position: int) -> str:
        """A position as messages name it."""
        return f"offset {self.base + position}"

    def tag_and_length(self, raw: bytes) -> tuple[int, int]:
        """Tag and length of eight bytes without VR: of an item, a delimiter, an element in implicit VR."""
        group, element, length = struct.unpack_from("<HHL" if self.coding.little else ">HHL", raw)
        return group << 16 | element, length


def read_head(where: DataSetBytes, raw: bytes, position: int, last: int, notes: Notes) -> Head:
    """Read a head.

    Parameters
    ----------
    raw
        The first eight bytes of it, at `position`; the stream stands behind them.
    last
        Tag of the element before, -1 for none: the next one has a higher tag.

    Returns
    -------
    Head
        Its value may cross the end. The stream stands at the value.

    Raises
    ------
    HeaderError
        "damaged header": no way to read it makes sense.
    """
    stream, coding = where.stream, where.coding
    tag, length = where.tag_and_length(raw)
    letters = raw[4:6]
    if coding.implicit:
        head = Head(tag, "", length, position + 8, True)
        if letters not in _LONG | _SHORT:
            return head
        found = _likeliest(where, position, last, notes) or head  # an explicit element among implicit ones
        stream.seek(found.offset)
        return found
    order = "<" if coding.little else ">"
    if letters in _SHORT:
        return Head(tag, letters.decode("ascii"), struct.unpack_from(order + "H", raw, 6)[0], position + 8, False)
    if letters in _LONG and raw[6:8] == b"\0\0":
        raw = stream.read(4)
        if len(raw) < 4:
            raise HeaderError("truncated header", f"ends inside an element at {where.offset(position)}")
        return Head(tag, letters.decode("ascii"), struct.unpack(order + "L", raw)[0], position + 12, False)
    likeliest = _likeliest(where, position, last, notes)
    if likeliest is None:
        raise HeaderError(
            "damaged header", f"{tag_text(tag)} at {where.offset(position)} has no VR, and no length that fits"
        )
    stream.seek(likeliest.offset)
    return likeliest


def _likeliest(where: DataSetBytes, position: int, last: int, notes: Notes) -> Head | None:
    """The reading of a doubtful head behind which another element follows, or the end; None when there is none.

    In explicit VR, capital letters may be a VR of the future, whose length has 32 bits (PS3.5 6.2), and were met with
    16 bits. For anything else implicit VR is tried first, which some writers mix in.
    """
    stream, coding, end = where[:3]
    stream.seek(position)
    raw = stream.read(_LONGEST)
    tag, length = where.tag_and_length(raw)
    letters = raw[4:6]
    order = "<" if coding.little else ">"
    vr = letters.decode("latin-1")
    capitals = all(0x40 < letter < 0x5B for letter in letters)
    implicit = Head(tag, "", length, position + 8, True)
    short = Head(tag, vr, struct.unpack_from(order + "H", raw, 6)[0], position + 8, False)
    explicit = [short]
    if len(raw) == _LONGEST and letters not in _SHORT:
        long = Head(tag, vr, struct.unpack_from(order + "L", raw, 8)[0], position + 12, False)
        explicit = [long, short] if capitals else [short, long]
    trials = [*explicit, implicit] if capitals and not coding.implicit else [implicit, *explicit]
    fitting = [head for head in trials if head.length == UNDEFINED or head.offset + head.length <= end]
    found = next((head for head in fitting if _is_followed(where, head, max(tag, last), letters)), None)
    if found is None and not coding.implicit:
        # pydicom's choice: capital letters are a VR with a length of 16 bits, everything else is implicit VR.
        found = next((head for head in fitting if head is (short if capitals else implicit)), None)
    if found is None or found is implicit:
        return found
    if coding.implicit:
        notes.add(f"{tag_text(tag)} at {where.offset(position)}: explicit VR among implicit VR")
    else:
        bits = 16 if found is short else 32
        notes.add(f"{tag_text(tag)} at {where.offset(position)}: damaged VR, read with a length of {bits} bits")
    return found


def _is_followed(where: DataSetBytes, head: Head, last: int, letters: bytes) -> bool:
    """Whether an item, an element or the end follows a head and its value."""
    if head.length != UNDEFINED:
        return goes_on(where, head.offset + head.length, last, letters)
    where.stream.seek(head.offset)
    return where.stream.read(4) in _ITEMS


def goes_on(where: DataSetBytes, position: int, last: int, damaged: bytes = b"") -> bool:
    """Whether a data set may go on at a position: with an element of a higher tag than `last`, a delimiter, its end.

    A stricter test than the standard's, since it is asked where bytes are doubtful. In explicit VR the VR is one of the
    standard's, or `damaged` as that of the element before; in implicit VR the tag is known or private. The value lies
    in front of the end.
    """
    stream, coding, end = where[:3]
    if position >= end:
        return position == end
    stream.seek(position)
    raw = stream.read(min(_LONGEST, end - position))
    if len(raw) < SHORTEST:
        return not any(raw)
    tag, length = where.tag_and_length(raw)
    if tag in (ITEM_END, SEQUENCE_END):
        return length == 0
    if tag <= last or tag >> 16 in (0, _ITEM_GROUP):
        return False
    letters = raw[4:6]
    order = "<" if coding.little else ">"
    if letters in _SHORT or letters == damaged:
        fits = position + 8 + int(struct.unpack_from(order + "H", raw, 6)[0]) <= end
        if fits or letters in _SHORT:
            return fits
    if letters in _LONG and len(raw) == _LONGEST:
        (length,) = struct.unpack_from(order + "L", raw, 8)
        return bool(length == UNDEFINED or position + 12 + length <= end)
    if not is_known(tag) and not is_private(tag) and tag & 0xFFFF:
        return False
    return length == UNDEFINED or position + 8 + length <= end


def behind_zeros(where: DataSetBytes, position: int, last: int) -> int | None:
    """Return where a data set goes on behind zeros that stand in place of an element.

    Returns
    -------
    int or None
        The end, when nothing but zeros follows; None when something follows that is no element.
    """
    nonzero = where.end
    for start, block in _blocks(where, position):
        rest = block.lstrip(b"\0")
        if rest:
            nonzero = start + len(block) - len(rest)
            break
        if start - position > _MOST_ZEROS:
            return None
    else:
        return where.end
    # The first bytes of a tag may be zeros themselves, above all in big endian.
    starts = range(max(nonzero - 3, position), nonzero + 1)
    return next((start for start in reversed(starts) if goes_on(where, start, last)), None)


def _blocks(where: DataSetBytes, position: int) -> Iterator[tuple[int, bytes]]:
    """Bytes up to the end in blocks, with their positions."""
    while position < where.end:
        where.stream.seek(position)
        block = where.stream.read(min(1 << 16, where.end - position))
        if not block:
            return
        yield position, block
        position += len(block)
