"""What a header leaves for those that are like it: the next files of its series, which differ in a few values only.

A template holds the elements of the file that it was made from. Another file is compared with it in long stretches of
bytes; only elements that differ are converted, and what differed once is converted in every file from then on, between
stretches that do not change. A stretch costs one comparison of bytes, however many elements lie in it.

It answers only for files in which the same elements follow each other in the same order, and in which whatever decides
on the meaning of other elements (character set, sign, private creators, transfer syntax) is the same to the byte. So it
gives what `walker.py` would give; every other file is `Mismatch`, and is walked through.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from crawler.archives.streams import BLOCK
from crawler.dicom.csa import is_looked_at
from crawler.dicom.elements import UNDEFINED
from crawler.dicom.fast.conversions import Conversion, Kind
from crawler.dicom.fast.header import Header, LoggedElement, head_size
from crawler.dicom.fast.memo import Memo
from crawler.dicom.fast.scope import Scope
from crawler.dicom.fast.walker import LARGEST, META_AT, META_START, PREFIX_AT, Incomplete, Walker

_DECIDING = (Kind.CHARACTER_SET, Kind.SIGN, Kind.IMAGE_TYPE, Kind.CREATOR)
_META_GROUP = 0x0002
_TRANSFER_SYNTAX = 0x00020010
_HEAD = 12  # bytes, the longest: tag, VR, two reserved ones and a length of 32 bits (PS3.5 7.1.2)
_LONG = 256  # bytes of a binary value from which on it is passed over; of the shorter ones most do not change

_read_short, _read_long = struct.Struct("<H").unpack_from, struct.Struct("<L").unpack_from


class Mismatch(Exception):
    """The file is not one that the template fits. Never leaves `fast/`."""


class _Part(NamedTuple):
    """An element of the file that the template was made from.

    Attributes
    ----------
    plain
        Nothing but its value is asked for.
    head
        Tag, VR and reserved bytes; in implicit VR the tag.
    length_at, skip, read
        Where behind the element's begin its length stands, and its value, and what reads the length.
    raw
        All of its bytes, as far as they were read.
    fixed
        Must be the same in all files.
    for_csa
        Is handed to `Walker.keep`, with its position.
    variable
        Is never part of a stretch: what `csa.read_csa` asks for, and long binary values.
    """

    plain: bool
    head: bytes
    length_at: int
    skip: int
    read: Callable[[bytes, int], tuple[int]]
    key: str
    convert: Callable[[bytes, Sequence[str]], Any]
    encodings: Sequence[str]
    conversion: Conversion
    raw: bytes
    fixed: bool
    for_csa: bool
    variable: bool


class _Step(NamedTuple):
    """A stretch and the element behind it. Flat, so that the loop over steps asks no other object.

    Attributes
    ----------
    stretch
        Its bytes, and the head of the element.
    size
        Of the stretch without that head.
    need
        Bytes that have to be at hand before it is compared.
    plain ... encodings
        As in `part`.
    part
        The element; None behind the last one of the file meta information, and of the data set.
    first
        Number of the first element in the stretch.
    """

    stretch: bytes
    size: int
    need: int
    plain: bool
    length_at: int
    skip: int
    read: Callable[[bytes, int], tuple[int]]
    key: str
    convert: Callable[[bytes, Sequence[str]], Any]
    encodings: Sequence[str]
    part: _Part | None
    first: int


class HeaderTemplate:
    """What is left of a header that `walker` has read."""

    __slots__ = (
        "_csa_elements",
        "_ending",
        "_implicit",
        "_log",
        "_memo",
        "_parts",
        "_record",
        "_scope",
        "_steps",
        "_syntax",
        "_variable",
        "_varying",
    )  # fmt: skip

    def __init__(self, walker: Walker, header: Header) -> None:
        # The copy is made before anyone can change the record; the parts wait until a second file comes.
        self._record, self._syntax = header.record.copy(), header.transfer_syntax
        self._varying: set[str] = set()  # keys of parts that are variable
        if header.pixel is not None:
            for _ in range(walker.trailing):
                self._record.popitem()
            self._varying.add(self._record.popitem()[0])  # the end of another header adds its own
        self._memo = Memo(self._varying)
        # Elements on which others depend are the same in all files, so those for `csa.read_csa` serve again.
        self._csa_elements = [element for element in header.csa_elements if element.value is not None]
        self._scope, self._implicit, self._ending = walker.scope, walker.implicit, walker.ending
        self._log: list[LoggedElement] = walker.log
        self._parts: list[_Part] = []
        self._variable: set[int] = set()  # numbers of parts that differed in some file
        self._steps: list[_Step] = []

    def read(self, walker: Walker, block: bytes) -> Header:
        """Read another header.

        Parameters
        ----------
        walker
            Of that file, unused.
        block
            Begins the file.

        Raises
        ------
        Mismatch
            The file is not like the first one.
        UnusualHeader
            The full reader has to read it.
        """
        if not self._steps:
            self._cut()
        if not block.startswith(META_START, PREFIX_AT):
            raise Mismatch
        record = self._record.copy()
        scope = self._scope.copy_for(record)
        walker.csa_elements.extend(self._csa_elements)
        position, in_meta = META_AT, True
        for step in self._steps:
            stretch, size, need, plain, length_at, skip, read, key, convert, encodings, part, _ = step
            if position + need > len(block):
                block, position = walker.block_at(walker.base + position, need), 0
            if block.startswith(stretch, position):
                position += size
                if plain and position + _HEAD <= len(block):
                    start = position + skip
                    after = start + read(block, position + length_at)[0]
                    if after <= len(block):
                        record[key] = convert(block[start:after], encodings) if after > start else None
                        position = after
                        continue
            else:
                block, position = self._compare(walker, block, position, step, scope)
            if part is not None:
                block, position = self._element(walker, block, position, part, scope)
            elif in_meta:
                in_meta = False
                self._enter(walker, block, position, record)
        return self._end(walker, block, position, scope)

    def _enter(self, walker: Walker, block: bytes, position: int, record: dict[str, Any]) -> None:
        """Go over from file meta information, which must be as long as it says, to the data set."""
        declared = record[self._parts[0].key]  # (0002,0000), which `META_START` has with four bytes
        if walker.base + position != META_AT + _HEAD + declared:
            raise Mismatch
        if self._implicit:
            walker.set_implicit(block, position)

    def _end(self, walker: Walker, block: bytes, position: int, scope: Scope) -> Header:
        """End as the first header did: at pixel data, at padding, or with the file."""
        if self._ending is None:
            if walker.base + position != walker.size:
                raise Mismatch
        else:
            conversion, head = self._ending
            length_at, skip, read = _reading(conversion, self._implicit)
            if not block.startswith(head, position) or position + _HEAD > len(block):
                raise Mismatch
            walker.end(conversion, head, read(block, position + length_at)[0], position + skip, scope)
        return walker.header(scope.record, self._syntax, self._memo)

    def _compare(self, walker: Walker, block: bytes, position: int, step: _Step, scope: Scope) -> tuple[bytes, int]:
        """Compare a stretch that differs, part by part, and learn which parts do; return block and position behind."""
        number, left = step.first, step.size
        while left:
            part = self._parts[number]
            size = len(part.raw)
            if position + size + _HEAD > len(block):
                block, position = walker.block_at(walker.base + position, size + _HEAD), 0
            if block.startswith(part.raw, position):
                position += size
            else:
                block, position = self._element(walker, block, position, part, scope)
                self._variable.add(number)
                self._varying.add(part.key)
                self._steps = []  # to be cut anew
            number, left = number + 1, left - size
        return block, position

    def _element(self, walker: Walker, block: bytes, position: int, part: _Part, scope: Scope) -> tuple[bytes, int]:
        """Read one element as `Walker` does; return block and position behind it."""
        tag, _, kind, _, vr, convert = part.conversion
        if position + _HEAD > len(block):
            block, position = walker.block_at(walker.base + position, _HEAD), 0
            if len(block) < _HEAD:
                raise Mismatch
        if part.fixed or not block.startswith(part.head, position):
            raise Mismatch
        start = position + part.skip
        length = part.read(block, position + part.length_at)[0]
        after = start + length
        open_end = length == UNDEFINED
        passed = kind is Kind.BINARY and not open_end
        if passed and walker.base + after > walker.size:
            raise Mismatch
        if not passed and (open_end or after > len(block)):
            size = len(part.raw) + BLOCK if open_end else after - position
            if size > LARGEST:
                raise Mismatch
            if position + size > len(block):
                offset = walker.base + position
                block = walker.block_at(offset, min(size, len(part.raw) + _HEAD) if open_end else size, size)
                start, after, position = part.skip, part.skip + length, 0
            if not open_end and after > len(block):
                raise Mismatch
        value: Any
        if passed:
            value = {"vr": vr, "length": length} if length else None
        elif kind is Kind.PLAIN:
            value = convert(block[start:after], part.encodings) if length else None
        elif kind is Kind.AMBIGUOUS:
            value = walker.ambiguous(part.conversion, block[start:after], scope)
        elif kind is Kind.SEQUENCE or (kind is Kind.BINARY and walker.is_sequence(part.conversion)):
            try:
                value, after = walker.items(block, start, len(block) if open_end else after, open_end, scope, tag)
            except Incomplete:
                raise Mismatch from None
        else:
            raise Mismatch
        if part.for_csa:
            walker.keep_for_csa(tag, length, start, None)
        scope.record[part.key] = value
        return block, after

    def _cut(self) -> None:
        """Cut what was read into stretches and what lies between them."""
        if not self._parts:
            self._parts = [_part(logged, self._implicit, self._scope.reads_csa) for logged in self._log]
            self._log = []
            self._varying.update(part.key for part in self._parts if part.variable)
        self._steps = []
        data = next(number for number, part in enumerate(self._parts) if part.conversion[0] >> 16 != _META_GROUP)
        for begin, end in ((0, data), (data, len(self._parts))):
            first = begin
            for number in range(begin, end):
                if self._parts[number].variable or number in self._variable:
                    self._add(first, number, self._parts[number])
                    first = number + 1
            self._add(first, end, None)

    def _add(self, first: int, end: int, part: _Part | None) -> None:
        stretch = b"".join(one.raw for one in self._parts[first:end])
        size = len(stretch)
        ends = end == len(self._parts) and self._ending is None  # nothing follows in the file
        need = size + (0 if ends else _HEAD)
        of = part or self._parts[-1]
        head = b"" if part is None else part.head
        self._steps.append(
            _Step(
                stretch + head, size, need, part is not None and part.plain, of.length_at, of.skip, of.read, of.key,
                of.convert, of.encodings, part, first,
            )
        )  # fmt: skip


def _part(logged: LoggedElement, implicit: bool, of_csa: bool) -> _Part:
    block, position, after, conversion, key, encodings = logged
    tag, kind = conversion[0], conversion[2]
    implicit = implicit and tag >> 16 != _META_GROUP
    length_at, skip, read = _reading(conversion, implicit)
    fixed = kind in _DECIDING or tag == _TRANSFER_SYNTAX
    for_csa = of_csa and is_looked_at(tag) and not fixed
    return _Part(
        plain=kind is Kind.PLAIN and not for_csa and not fixed,
        head=block[position : position + head_size(conversion[1], implicit)],
        length_at=length_at,
        skip=skip,
        read=read,
        key=key,
        convert=conversion[5],
        encodings=encodings,
        conversion=conversion,
        raw=block[position:after],
        fixed=fixed,
        for_csa=for_csa,
        variable=for_csa or after > len(block) or (kind is Kind.BINARY and after - position > _LONG),
    )


def _reading(conversion: Conversion, implicit: bool) -> tuple[int, int, Callable[[bytes, int], tuple[int]]]:
    """Where an element's length stands, where its value begins, and what reads the length (PS3.5 7.1.2, 7.1.3)."""
    if implicit:
        return 4, 8, _read_long
    return (8, 12, _read_long) if conversion[1] else (6, 8, _read_short)
