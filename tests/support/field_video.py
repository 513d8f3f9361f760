"""H.264 whose pictures are coded as two fields each, which no encoder at hand makes: of uncompressed blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

SIZE = 32
"""Rows and columns: two macroblocks each, of which a field has one above the other half."""


class Coded(NamedTuple):
    """A frame in the order of coding.

    Attributes
    ----------
    place
        In the order in which frames are shown.
    top, bottom
        Luma of the rows of either field.
    bottom_first
        The field of the odd rows is coded, and shown, first.
    reference
        Others may refer to it.
    """

    place: int
    top: int
    bottom: int
    bottom_first: bool = False
    reference: bool = True


class _Bits:
    """Writes bits, most significant first."""

    def __init__(self) -> None:
        self.text = ""

    def u(self, count: int, value: int) -> _Bits:
        self.text += f"{value:0{count}b}" if count else ""
        return self

    def ue(self, *values: int) -> _Bits:
        for value in values:
            self.text += f"{value + 1:0{2 * (value + 1).bit_length() - 1}b}"
        return self

    def unit(self, head: int) -> bytes:
        """A NAL unit of annex B, with its trailing bits and emulation prevention (7.3.1, B.1.1)."""
        text = self.text + "1"
        text += "0" * (-len(text) % 8)
        out, zeros = bytearray(), 0
        for byte in (head, *int(text, 2).to_bytes(len(text) // 8, "big")):
            if zeros == 2 and byte <= 3:
                out.append(3)
                zeros = 0
            out.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return b"\0\0\0\1" + bytes(out)


def stream(frames: Sequence[Coded], delimited: bool = True, interlaced: bool = True) -> bytes:
    """The byte stream of some frames; the first begins it, and the only one that nothing comes before.

    Parameters
    ----------
    delimited
        Each field begins with an access unit delimiter.
    interlaced
        Frames are coded as two fields, and else as one picture of the luma of the top field.
    """
    blocks = SIZE // 16
    # Main profile, level 3: frame numbers of 4 bits, order counts of 8, two reference frames, fields allowed.
    sequence = _Bits().u(8, 77).u(8, 0).u(8, 30).ue(0, 0, 0, 4, 2).u(1, 0).ue(blocks - 1, blocks // 2 - 1)
    sequence.u(1, 0).u(1, 0).u(1, 1).u(1, 0).u(1, 0)
    picture = _Bits().ue(0, 0).u(1, 0).u(1, 0).ue(0, 0, 0).u(1, 0).u(2, 0).ue(0, 0, 0).u(1, 1).u(1, 0).u(1, 0)
    found, number = sequence.unit(0x67) + picture.unit(0x68), 0
    for count, frame in enumerate(frames):
        parts = ((0, frame.top), (1, frame.bottom))[:: -1 if frame.bottom_first else 1]
        for second, (bottom, luma) in enumerate(parts if interlaced else parts[:1]):
            idr = count == 0 and not second
            low = 2 * frame.place + second
            field = bottom if interlaced else None
            found += _Bits().u(3, 7).unit(0x09) if delimited else b""
            found += _slice(field, luma, idr, number, low, frame.reference)
        number = (number + frame.reference) % 16
    return found


def _slice(bottom: int | None, luma: int, idr: bool, number: int, low: int, reference: bool) -> bytes:
    """A field (or with None a frame) of I_PCM macroblocks (7.3.3, 7.3.5)."""
    bits = _Bits().ue(0, 7, 0).u(4, number).u(1, int(bottom is not None))
    if bottom is not None:
        bits.u(1, bottom)
    if idr:
        bits.ue(0)
    bits.u(8, low % 256)
    if reference:
        bits.u(2 if idr else 1, 0)
    bits.ue(0, 1)  # as the parameter set quantises, no deblocking
    for _ in range((SIZE // 16) ** 2 // (1 if bottom is None else 2)):
        bits.ue(25)
        bits.text += "0" * (-len(bits.text) % 8)
        bits.text += f"{luma:08b}" * 256 + f"{128:08b}" * 128
    return bits.unit((0x60 if reference else 0) | (5 if idr else 1))
