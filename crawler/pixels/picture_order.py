"""The order in which the pictures of an H.264 or HEVC stream are shown, which is not the one in which they are coded.

A stream without a container has no times; each picture says its place by a picture order count (ITU-T H.264 8.2.1,
H.265 8.3.1). It is read from the headers of slices and parameter sets. No picture is decoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

# Bytes of a NAL unit that are looked at: a slice header up to its order count takes some 30, an H.264 parameter set
# with all scaling lists some 900 (7.3.2.1.1.1).
_HEAD = 1024
# Pictures that a decoder may hold back (H.264 A.3.1 and H.265 A.4.2: 16 frames at most).
_HELD = 16


class UnknownOrderError(ValueError):
    """The stream does not tell the order of its pictures in a way that is read here."""


class UnknownFieldsError(UnknownOrderError):
    """... and has fields, each of which a program that cuts it into pictures takes for one."""


class Picture(NamedTuple):
    """A coded picture: where it begins and ends in the stream, with the parameter sets in front of it, and its place.

    `place` counts from 0 in the order in which pictures are shown. Two fields are one picture.
    """

    start: int
    end: int
    place: int


def pictures(stream: memoryview, codec: str) -> list[Picture]:
    """Return the pictures of a stream in the order in which they are coded.

    Parameters
    ----------
    stream
        Annex B byte stream (H.264 annex B, H.265 annex B): start codes and NAL units.
    codec
        "h264" or "hevc".

    Raises
    ------
    UnknownOrderError
        There is no picture, a header is damaged or missing, or pictures have an order count of type 1.
    UnknownFieldsError
        So have fields, or one of them is without its other one.
    """
    coding: _Avc | _Hevc = _Avc() if codec == "h264" else _Hevc()
    starts: list[int] = []
    keys: list[tuple[int, int]] = []
    begun = 0
    leading = -1  # where what precedes the next picture begins
    for at, head in _units(stream):
        try:
            kind = coding.take(head)
        except (IndexError, KeyError) as error:
            raise UnknownOrderError("a header of the stream is damaged or missing") from error
        if kind == "picture":
            starts.append(begun if not starts else leading if leading >= 0 else at)
            keys.append(coding.key)
            leading = -1
        elif kind == "leading" and leading < 0:
            leading = at
        elif kind == "slice":
            leading = -1
        elif kind == "field":  # the second one of its picture
            keys[-1] = min(keys[-1], coding.key)
            leading = -1
    if coding.field is not None:
        raise UnknownFieldsError("a field is without its other one")
    if not keys or len(set(keys)) != len(keys):
        raise UnknownOrderError("the stream has no pictures" if not keys else "two pictures claim one place")
    order = sorted(range(len(keys)), key=keys.__getitem__)
    places = [0] * len(keys)
    for place, number in enumerate(order):
        places[number] = place
    if max(number - place for number, place in enumerate(places)) > _HELD:
        raise UnknownOrderError("pictures lie further from their places than a decoder can hold them back")
    ends = [*starts[1:], len(stream)]
    return [Picture(*one) for one in zip(starts, ends, places, strict=True)]


def _units(view: memoryview) -> Iterator[tuple[int, bytes]]:
    """Position of the start code and first bytes of every NAL unit, emulation prevention removed (H.264 7.4.1)."""
    for code in re.finditer(b"\0\0\1", view):
        start = code.end()
        head = bytes(view[start : start + _HEAD])
        stop = head.find(b"\0\0\1")
        head = head if stop < 0 else head[:stop]
        zero = code.start() > 0 and view[code.start() - 1] == 0  # a start code of four bytes
        yield code.start() - zero, head.replace(b"\0\0\3", b"\0\0")


class _Bits:
    """Reads bits, most significant first; IndexError at the end."""

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def u(self, count: int) -> int:
        """An unsigned number of so many bits."""
        self._left -= count
        if self._left < 0:
            raise IndexError
        return self._value >> self._left & (1 << count) - 1

    def ue(self) -> int:
        """An unsigned Exp-Golomb number (H.264 9.1)."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 32:
                raise IndexError
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """A signed one (9.1.1)."""
        number = self.ue()
        return (number + 1) // 2 if number & 1 else -(number // 2)

    def skip(self, names: Sequence[str]) -> None:
        """Pass over Exp-Golomb numbers, named for the reader only."""
        for _ in names:
            self.ue()


@dataclass(slots=True)
class _OrderCount:
    """The count's upper part, which only its lower bits are coded of (H.264 8.2.1.1, H.265 8.3.1)."""

    high: int = 0
    low: int = 0

    def of(self, low: int, bits: int) -> tuple[int, int]:
        """Upper and whole count of a picture with these lower bits."""
        span = 1 << bits
        high = self.high
        if low < self.low and self.low - low >= span // 2:
            high += span
        elif low > self.low and low - self.low > span // 2:
            high -= span
        return high, high + low


class _AvcSet(NamedTuple):
    """What a sequence parameter set says that slice headers need (H.264 7.3.2.1.1)."""

    planes: bool
    number_bits: int
    order_type: int
    order_bits: int
    frames_only: bool


# Profiles whose parameter sets tell chroma and scaling lists (7.3.2.1.1).
_HIGH = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})


@dataclass(slots=True)
class _Avc:
    """Follows an H.264 stream."""

    sets: dict[int, _AvcSet] = field(default_factory=dict)
    of_picture: dict[int, int] = field(default_factory=dict)
    count: _OrderCount = field(default_factory=_OrderCount)
    sequence: int = -1
    coded: int = 0
    last: tuple[int, ...] = ()
    key: tuple[int, int] = (0, 0)
    field: tuple[int, int] | None = None  # frame number and parity of a first field, until the second comes

    def take(self, head: bytes) -> str:
        """Read the beginning of a NAL unit.

        Returns "picture", "slice" (of the same one), "field" (its second), "leading" or "other".
        """
        kind, reference = head[0] & 0x1F, head[0] >> 5 & 3
        bits = _Bits(head[1:])
        if kind == 7:
            self._sequence_set(bits)
        elif kind == 8:
            number = bits.ue()
            self.of_picture[number] = bits.ue()
        elif kind in (1, 2, 5):
            return self._slice(bits, kind, reference)
        # What may only stand in front of the next picture (7.4.1.2.3).
        return "leading" if kind in (6, 7, 8, 9, 14, 15, 16, 17, 18) else "other"

    def _sequence_set(self, bits: _Bits) -> None:
        profile = bits.u(8)
        bits.u(16)
        number, chroma, planes = bits.ue(), 1, False
        if profile in _HIGH:
            chroma = bits.ue()
            planes = chroma == 3 and bool(bits.u(1))
            bits.skip(("bit_depth_luma", "bit_depth_chroma"))
            bits.u(1)
            if bits.u(1):
                for place in range(8 if chroma != 3 else 12):
                    if bits.u(1):
                        _pass_scaling_list(bits, 16 if place < 6 else 64)
        number_bits, order_type = bits.ue() + 4, bits.ue()
        order_bits = bits.ue() + 4 if order_type == 0 else 0
        if order_type == 1:
            bits.u(1)
            bits.skip(("offset_for_non_ref_pic", "offset_for_top_to_bottom_field"))
            for _ in range(bits.ue()):
                bits.se()
        bits.ue()
        bits.u(1)
        bits.skip(("width", "height"))
        self.sets[number] = _AvcSet(planes, number_bits, order_type, order_bits, bool(bits.u(1)))

    def _slice(self, bits: _Bits, kind: int, reference: int) -> str:
        bits.skip(("first_mb_in_slice", "slice_type"))
        of_picture = bits.ue()
        active = self.sets[self.of_picture[of_picture]]
        if active.planes:
            bits.u(2)
        number = bits.u(active.number_bits)
        parity = -1
        if not active.frames_only and bits.u(1):
            parity = bits.u(1)
        idr = bits.ue() if kind == 5 else -1
        low = bits.u(active.order_bits) if active.order_type == 0 else 0
        # The first slice of another picture, or field, differs in one of these (7.4.1.2.4).
        said = (of_picture, number, parity, int(reference > 0), idr, low)
        if said == self.last:
            return "slice"
        self.last = said
        second = parity >= 0 and idr < 0 and self.field == (number, 1 - parity)
        if self.field is not None and not second:
            raise UnknownFieldsError("a field is without its other one")
        self.field = (number, parity) if parity >= 0 and not second else None
        if active.order_type == 1:
            raise (UnknownFieldsError if parity >= 0 else UnknownOrderError)("the order count is of type 1")
        if idr >= 0:
            self.sequence += 1
            self.count = _OrderCount()
        self.coded += not second
        found = "field" if second else "picture"
        if active.order_type == 2:  # shown as coded
            self.key = (self.sequence, self.coded)
            return found
        high, whole = self.count.of(low, active.order_bits)
        if reference:
            self.count = _OrderCount(high, low)
        self.key = (self.sequence, whole)
        return found


def _pass_scaling_list(bits: _Bits, size: int) -> None:
    """Pass over a list (H.264 7.3.2.1.1.1), whose length depends on its values."""
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) & 0xFF
        last = following or last


@dataclass(slots=True)
class _Hevc:
    """Follows an HEVC stream."""

    sets: dict[int, tuple[bool, int]] = field(default_factory=dict)  # separate planes, bits of the order count
    of_picture: dict[int, tuple[int, bool, int]] = field(default_factory=dict)  # set, output flag, extra bits
    count: _OrderCount = field(default_factory=_OrderCount)
    sequence: int = -1
    ended: bool = True
    key: tuple[int, int] = (0, 0)
    field: None = None  # every field is a picture of its own, and the stream says so in a way that is not looked at

    def take(self, head: bytes) -> str:
        """Read the beginning of a NAL unit; returns "picture", "slice" (of the same one), "leading" or "other"."""
        kind, layer, temporal = head[0] >> 1 & 0x3F, (head[0] & 1) << 5 | head[1] >> 3, (head[1] & 7) - 1
        if layer:
            return "other"
        bits = _Bits(head[2:])
        if kind == 33:
            self._sequence_set(bits)
        elif kind == 34:
            number = bits.ue()
            sequence = bits.ue()
            bits.u(1)
            self.of_picture[number] = (sequence, bool(bits.u(1)), bits.u(3))
        elif kind in (36, 37):  # end of sequence, of stream
            self.ended = True
        elif kind < 32:
            return self._slice(bits, kind, temporal) if kind < 10 or 16 <= kind <= 21 else "other"
        # What may only stand in front of the next picture (H.265 7.4.2.4.4).
        return "leading" if kind in (32, 33, 34, 35, 39) or 41 <= kind <= 44 or 48 <= kind <= 55 else "other"

    def _sequence_set(self, bits: _Bits) -> None:
        bits.u(4)
        layers = bits.u(3)
        bits.u(1)
        bits.u(96)  # general profile, tier and level (7.3.3)
        present = [(bits.u(1), bits.u(1)) for _ in range(layers)]
        if layers:
            bits.u(2 * (8 - layers))
        for profile, level in present:
            bits.u(88 * profile + 8 * level)
        number = bits.ue()
        planes = bits.ue() == 3 and bool(bits.u(1))
        bits.skip(("width", "height"))
        if bits.u(1):
            bits.skip(("left", "right", "top", "bottom"))
        bits.skip(("bit_depth_luma", "bit_depth_chroma"))
        self.sets[number] = (planes, bits.ue() + 4)

    def _slice(self, bits: _Bits, kind: int, temporal: int) -> str:
        if not bits.u(1):  # not the first slice segment of its picture
            return "slice"
        if kind >= 16:
            bits.u(1)
        number, has_output_flag, extra = self.of_picture[bits.ue()]
        planes, order_bits = self.sets[number]
        bits.u(extra)
        bits.ue()
        bits.u(has_output_flag + 2 * planes)
        low = bits.u(order_bits) if kind not in (19, 20) else 0
        # IDR and BLA pictures begin a sequence, and CRA ones where one has ended (8.1.3).
        if 16 <= kind <= 20 or (kind == 21 and self.ended):
            self.sequence += 1
            self.count = _OrderCount(0, low)
        self.ended = False
        high, whole = self.count.of(low, order_bits)
        # Leading pictures, and those that no other of their layer refers to, are no anchors (8.3.1).
        if temporal == 0 and kind not in (6, 7, 8, 9) and not (kind < 16 and kind % 2 == 0):
            self.count = _OrderCount(high, low)
        self.key = (self.sequence, whole)
        return "picture"
