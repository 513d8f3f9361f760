"""Coded pictures with times as an MPEG program stream (ISO/IEC 13818-1), which carries both times of a picture.

ffmpeg gives the pictures of a bare H.264 or HEVC stream times that its filters work out, and these are wrong at the
ends of streams and groups; in a program stream it finds the right ones. When a picture is shown the caller says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import BinaryIO

CLOCK = 90_000  # ticks a second (2.4.3.7)
STREAM_TYPES = {"h264": 0x1B, "hevc": 0x24}  # table 2-34
_VIDEO = 0xE0  # stream_id of the first video stream (table 2-22)
_LARGEST = 0xFFFF - 13  # bytes of a packet whose header has both times


def write_program_stream(
    file: BinaryIO,
    codec: str,
    pictures: Iterable[tuple[memoryview, int, int]],
    advance: Callable[[], None] = lambda: None,
) -> None:
    """Write pictures in the order in which they are coded.

    Parameters
    ----------
    codec
        A key of `STREAM_TYPES`.
    pictures
        Bytes of each, and when it is shown and decoded, in ticks of `CLOCK`, modulo 2**33.
    advance
        Called after each picture.
    """
    file.write(_pack_header() + _stream_map(STREAM_TYPES[codec]))
    for data, shown, decoded in pictures:
        times = b"\x80\xc0\x0a" + _time(3, shown) + _time(1, decoded)
        for start in range(0, len(data), _LARGEST):
            part = data[start : start + _LARGEST]
            header = times if start == 0 else b"\x80\x00\x00"
            file.write(b"\0\0\1" + bytes([_VIDEO]) + (len(header) + len(part)).to_bytes(2, "big") + header)
            file.write(part)
        advance()
    file.write(b"\0\0\1\xb9")


def _pack_header() -> bytes:
    """A pack header (2.5.3.3) at time 0, with a rate that says nothing."""
    return b"\0\0\1\xba\x44\0\4\0\4\1" + b"\0\0\x03\xf8"


def _stream_map(kind: int) -> bytes:
    """A program stream map (2.5.4) of one video stream."""
    entry = bytes([kind, _VIDEO, 0, 0])
    body = b"\xe0\xff" + b"\0\0" + len(entry).to_bytes(2, "big") + entry
    head = b"\0\0\1\xbc" + (len(body) + 4).to_bytes(2, "big") + body
    return head + _crc(head).to_bytes(4, "big")


def _time(mark: int, ticks: int) -> bytes:
    """A time stamp of 33 bits in five bytes (2.4.3.7)."""
    ticks %= 1 << 33
    return bytes(
        [
            mark << 4 | ticks >> 29 & 0x0E | 1,
            ticks >> 22 & 0xFF,
            ticks >> 14 & 0xFE | 1,
            ticks >> 7 & 0xFF,
            ticks << 1 & 0xFE | 1,
        ]
    )


def _crc(data: bytes) -> int:
    """The cyclic redundancy check of program maps (annex A): CRC-32/MPEG-2."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value >> 31 else 0)) & 0xFFFFFFFF
    return value
