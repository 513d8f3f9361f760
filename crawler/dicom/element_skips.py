"""Passes over what has no declared length, without reading it: encapsulated fragments, and sequences nested too deep.

Each leaves the stream behind the delimiter. What the bytes mean is not asked.
"""

from __future__ import annotations

import struct

from crawler.dicom.dictionary import tag_text
from crawler.dicom.element_heads import DataSetBytes, read_head
from crawler.dicom.elements import ITEM, ITEM_END, SEQUENCE_END, UNDEFINED, Notes
from crawler.errors import HeaderError


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
