"""Elements as bytes (PS3.5 7.1), right or wrong."""

from __future__ import annotations

import struct

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}


def head(tag: int, length: int = 0) -> bytes:
    """Eight bytes: an implicit element's, an item's or a delimiter's."""
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, length)


def explicit(tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    length = len(value) if length is None else length
    start = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    return start + (struct.pack("<HL", 0, length) if vr in LONG else struct.pack("<H", length)) + value
