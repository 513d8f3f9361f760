"""Elements behind the pixel data: where they begin, and what they are (PS3.5 7.1: tags ascend, private ones go higher).

Pixel data are passed over, not read. What follows them and is no element is noted: the image in front of it is whole.
"""

from __future__ import annotations

import io
import os
from typing import BinaryIO

from crawler.dicom.element_heads import DataSetBytes, goes_on
from crawler.dicom.elements import TRAILING_PADDING, Coding, Element, Notes
from crawler.dicom.walk import walk
from crawler.errors import HeaderError

_ITEM, _SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0\0\0\0\0"  # little endian, PS3.5 A.4
_ITEM_END = b"\xfe\xff\x0d\xe0\0\0\0\0"
SHORTEST = 8
"""Bytes of the shortest element."""
# Fragments that are passed over one by one, each at the cost of a read somewhere else in the file. Of a cine with more
# of them the end of the file and the offset table are tried first.
_FEW = 16
_MOST = 1 << 20
_LONGEST_TABLE = 1 << 22  # bytes


def end_of_pixels(stream: BinaryIO, offset: int, length: int | None, size: int) -> int | None:
    """Return the position behind the value of a pixel element; None when the value breaks off.

    Parameters
    ----------
    stream
        Seekable; its position is lost.
    offset
        Of the value.
    length
        Of the value; None for encapsulated pixel data.
    size
        Bytes in the stream.
    """
    if length is not None:
        return offset + length if offset + length <= size else None
    position, count = offset, 0
    while position + SHORTEST <= size and count < _MOST:
        head = _read(stream, position, SHORTEST)
        if head == _SEQUENCE_END:
            return position + SHORTEST
        if head[:4] != _ITEM:
            return None
        count += 1
        position += SHORTEST + int.from_bytes(head[4:], "little")
        if count == _FEW:
            # A sequence behind the pixel data may end in the same delimiter, but mostly with one of an item before it.
            ends = size > 2 * SHORTEST and _read(stream, size - 2 * SHORTEST, 2 * SHORTEST)
            if ends and ends[SHORTEST:] == _SEQUENCE_END and ends[:SHORTEST] != _ITEM_END:
                return size
            position = max(position, _last_by_table(stream, offset, size))
    return None


def _last_by_table(stream: BinaryIO, offset: int, size: int) -> int:
    """Where the last frame begins by the Basic Offset Table; 0 when it does not say, or points at no item."""
    length = int.from_bytes(_read(stream, offset + 4, 4), "little")
    if not 4 <= length <= min(_LONGEST_TABLE, size - offset) or length % 4:
        return 0
    first = offset + SHORTEST + length
    last = first + int.from_bytes(_read(stream, first - 4, 4), "little")
    return last if last + SHORTEST <= size and _read(stream, last, 4) == _ITEM else 0


def _read(stream: BinaryIO, position: int, count: int) -> bytes:
    """Bytes at a position; of a file on disk past the buffer, which would be filled for a few bytes."""
    if isinstance(stream, io.BufferedReader) and isinstance(stream.raw, io.FileIO):
        return os.pread(stream.fileno(), count, position)
    stream.seek(position)
    return stream.read(count)


def read_trailing(stream: BinaryIO, coding: Coding, position: int, size: int, notes: Notes) -> list[Element]:
    """Read the elements from a position behind the pixel data on.

    Parameters
    ----------
    coding
        Of the data set.
    notes
        Takes where they break off, and that what follows is none.
    """
    found: list[Element] = []
    if size - position < SHORTEST:
        return found
    where = DataSetBytes(stream, coding, size)
    stream.seek(position)
    if where.tag_and_length(stream.read(SHORTEST))[0] == TRAILING_PADDING:
        return found
    if not goes_on(where, position, -1):
        if not _is_padding(stream, position, size):
            notes.add(f"{size - position:,} bytes behind the pixel data are no elements")
        return found
    stream.seek(position)
    try:
        for element in walk(stream, coding, size, stop=lambda tag: tag == TRAILING_PADDING, notes=notes):
            found.append(element)
    except HeaderError as error:
        notes.add(f"behind the pixel data: {error}")
    return found


def _is_padding(stream: BinaryIO, position: int, size: int) -> bool:
    """Whether the rest of a stream is zeros; of a long rest the first part decides."""
    stream.seek(position)
    return not any(stream.read(min(size - position, 1 << 16)))
