"""Passes over what is not kept, and finds where it ends: fragments, sequences nested too deep, very long values.

What the bytes mean is not asked.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from crawler.dicom.dictionary import BINARY_VRS, dictionary_vr, tag_text
from crawler.dicom.element_heads import DataSetBytes, Head, goes_on, read_head
from crawler.dicom.elements import ITEM, ITEM_END, SEQUENCE_END, UNDEFINED, Coding, Notes
from crawler.errors import HeaderError

_BLOCK = 1 << 20


def item_head(where: DataSetBytes) -> tuple[int, int]:
    """Tag and length of an item or a delimiter: eight bytes in every transfer syntax (PS3.5 7.5).

    Raises
    ------
    HeaderError
        "truncated header".
    """
    head = where.stream.read(8)
    if len(head) < 8:
        raise HeaderError("truncated header", "ends inside a sequence")
    return where.tag_and_length(head)


def skip_fragments(where: DataSetBytes, tag: int) -> None:
    """Pass over the encapsulated fragments (PS3.5 A.4) of an element.

    Raises
    ------
    HeaderError
        They break off.
    """
    while True:
        found, length = item_head(where)
        if found == SEQUENCE_END:
            return
        position = where.stream.tell()
        if found != ITEM or position + length > where.end:
            raise HeaderError("damaged header", f"fragments of {tag_text(tag)} break off")
        where.stream.seek(position + length)


def skip_sequence(where: DataSetBytes) -> None:
    """Pass over the rest of a sequence or an item of undefined length with all that it holds, without recursion.

    Raises
    ------
    HeaderError
        It is cut short, or damaged.
    """
    stream, notes = where.stream, Notes()  # what stands in elements that are not kept is not worth a note
    opened = 1  # sequences and items of undefined length that wait for their delimiter
    while opened:
        position = stream.tell()
        raw = stream.read(8)
        if len(raw) < 8 or position + 8 > where.end:
            raise HeaderError("truncated header", "ends inside a sequence")
        tag, length = where.tag_and_length(raw)
        if tag in (ITEM_END, SEQUENCE_END):
            opened -= 1
            continue
        if tag == ITEM:  # of an item of defined length the elements follow, and no delimiter
            opened += length == UNDEFINED
            continue
        try:
            head = read_head(where, raw, position, -1, notes)
        except struct.error:
            raise HeaderError("truncated header", f"ends inside an element at {where.offset(position)}") from None
        if head.length == UNDEFINED:
            opened += 1
            continue
        if head.offset + head.length > where.end:
            raise HeaderError("truncated header", f"ends inside {tag_text(tag)}")
        stream.seek(head.offset + head.length)


def sequence_end(where: DataSetBytes, head: Head, notes: Notes) -> int:
    """Position behind a sequence of defined length; the stream stands at its first item, before and afterwards.

    An element stands in no sequence, so that one behind an item ends it; and the last item is not cut where nothing
    that may be an element follows the declared end, and something does behind the item.
    """
    stream, declared = where.stream, head.offset + head.length
    position, found = head.offset, ITEM
    while found == ITEM and position < declared and position + 8 <= where.end:
        stream.seek(position)
        found, length = item_head(where)
        if found == ITEM:
            position += where.end if length == UNDEFINED else 8 + length
    delimiter = found in (ITEM_END, SEQUENCE_END)
    doubtful = (position < declared and not delimiter) or not goes_on(where, declared, head.tag)
    if doubtful and head.offset < position <= where.end and goes_on(where, position, head.tag):
        notes.add(f"{tag_text(head.tag)}: its items end {abs(position - declared)} bytes off its declared length")
        declared = position
    stream.seek(head.offset)
    return declared


def byte_order(where: DataSetBytes, coding: Coding) -> Coding:
    """Byte order of the items that the stream stands at: those of UN are little endian in every data set."""
    position = where.stream.tell()
    head = where.stream.read(4)
    where.stream.seek(position)
    if head[:2] == b"\xfe\xff":
        return Coding(coding.implicit, True)
    return Coding(coding.implicit, False) if head[:2] == b"\xff\xfe" else coding


def digest_of(stream: BinaryIO, head: Head) -> str:
    """XXH3-128 of a whole value, read in blocks; the stream then stands behind it."""
    import xxhash  # only where a value is longer than any that was met

    stream.seek(head.offset)
    digest, left = xxhash.xxh3_128(), head.length
    while left:
        block = stream.read(min(left, _BLOCK))
        if not block:
            raise HeaderError("truncated header", f"ends inside {tag_text(head.tag)}")
        digest.update(block)
        left -= len(block)
    return digest.hexdigest()


def is_sequence(head: Head) -> bool:
    """Whether a value of undefined length holds data sets; otherwise it holds fragments (PS3.5 A.4)."""
    if head.vr in {"SQ", "UN"}:  # UN of undefined length is a sequence, PS3.5 6.2.2
        return True
    vr = head.vr or dictionary_vr(head.tag)
    return vr == "SQ" or vr not in BINARY_VRS - {"UN"} | {"OB or OW"}
