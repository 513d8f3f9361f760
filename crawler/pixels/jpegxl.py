"""The header of a JPEG XL codestream: size, bits of a sample, and whether its colours were transformed.

ISO/IEC 18181-1 (size and image metadata) and 18181-2 (boxes). Nothing is decoded: `codecs.py` does that.
"""

from __future__ import annotations

from typing import NamedTuple

_SIGNATURE = b"\xff\x0a"
_BOXES = b"\0\0\0\x0cJXL \r\n\x87\n"  # a codestream in a container begins so
_HEAD = 64  # bytes of the codestream that are looked at: the fields up to the last one take some 20


class Header(NamedTuple):
    """What a codestream says of its picture.

    Attributes
    ----------
    rows, columns
        As the picture is shown.
    precision
        Bits of a sample; samples have no sign.
    transformed
        Colours are XYB, which is not reversible: the samples were rounded.
    """

    rows: int
    columns: int
    precision: int
    transformed: bool


def read_header(source: bytes) -> Header | None:
    """Return the header of a codestream; None for what is none, for floats, previews, animations and other channels."""
    start = _codestream(source)
    if start is None or source[start : start + 2] != _SIGNATURE:
        return None
    try:
        return _read(_Bits(source[start + 2 : start + 2 + _HEAD]))
    except IndexError:
        return None


class _Bits:
    """Reads bits, the least significant first; IndexError at the end."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "little"), 8 * len(data)

    def u(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise IndexError
        found = self._value & (1 << count) - 1
        self._value >>= count
        return found

    def choice(self, *distributions: tuple[int, int]) -> int:
        """A number by one of four distributions, each a least value and further bits."""
        least, bits = distributions[self.u(2)]
        return least + self.u(bits)


def _codestream(source: bytes) -> int | None:
    """Where the codestream begins: at once, or in the first box that holds it or a part of it."""
    if not source.startswith(_BOXES):
        return 0
    at = 0
    while at + 8 <= len(source):
        size, kind, head = int.from_bytes(source[at : at + 4]), source[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(source[at + 8 : at + 16]), 16
        if kind in (b"jxlc", b"jxlp"):
            return at + head + 4 * (kind == b"jxlp")  # a part is preceded by its number
        if size < head:  # 0: up to the end
            return None
        at += size
    return None


def _size(bits: _Bits) -> tuple[int, int]:
    """Rows and columns (SizeHeader)."""
    lengths = ((1, 9), (1, 13), (1, 18), (1, 30))
    small = bits.u(1)
    rows = 8 * (1 + bits.u(5)) if small else bits.choice(*lengths)
    ratio = bits.u(3)
    if ratio:
        across, down = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
        return rows, rows * across // down
    return rows, 8 * (1 + bits.u(5)) if small else bits.choice(*lengths)


def _read(bits: _Bits) -> Header | None:
    rows, columns = _size(bits)
    if bits.u(1):  # all as by default: 8 bits, XYB
        return Header(rows, columns, 8, True)
    if bits.u(1):  # extra fields
        orientation = 1 + bits.u(3)
        if orientation > 4:  # turned by a quarter
            rows, columns = columns, rows
        if bits.u(1):  # a size to be shown in
            _size(bits)
        if bits.u(1) or bits.u(1):  # a preview, an animation
            return None
    if bits.u(1):  # floats
        return None
    precision = bits.choice((8, 0), (10, 0), (12, 0), (1, 6))
    bits.u(1)  # whether 16 bits are enough for the decoder's buffers
    if bits.choice((0, 0), (1, 0), (2, 4), (1, 12)):  # extra channels
        return None
    return Header(rows, columns, precision, bool(bits.u(1)))
