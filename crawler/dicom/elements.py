"""Walks the data elements of a stream in file order, sequences included, up to the pixel data.

Every element keeps its bytes as stored; nothing is converted here (`record.py`) and nothing is guessed about whether
the stream is DICOM (`sniff.py`).

pydicom's generator parses the elements. It is halted in front of what it does not survive, and set going again
behind it: a sequence of undefined length (it recurses without bound), a value longer than the stream (it allocates
the declared length, and returns the shorter value in silence), and (0008,0005) (it raises for a NUL inside).
"""

from __future__ import annotations

import io
import logging
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from crawler.dicom.dictionary import BINARY_VRS, VRS, dictionary_vr, tag_text
from crawler.errors import HeaderError

if TYPE_CHECKING:
    from pydicom.dataelem import RawDataElement

PIXEL_TAGS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
SPECIFIC_CHARACTER_SET = 0x00080005
TRAILING_PADDING = 0xFFFCFFFC
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF

# Nesting that a record keeps. The deepest in the test data that is not an attack is 8 levels (a structured report);
# 64 leaves the interpreter's limit of 1,000 frames far away, at some 5 frames a level.
MAX_DEPTH = 64
# Binary values above this size are passed over, not read: a record keeps their length only.
_LARGE = 4096
LONG_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})  # PS3.5 7.1.2


class Coding(NamedTuple):
    """How elements are encoded: implicit VR or explicit, little endian or big (PS3.5 section 7 and annex A)."""

    implicit: bool
    little: bool


IMPLICIT_LITTLE = Coding(True, True)
EXPLICIT_LITTLE = Coding(False, True)
EXPLICIT_BIG = Coding(False, False)


class Element(NamedTuple):
    """One data element as stored.

    Attributes
    ----------
    vr
        As written; empty in implicit VR.
    length
        Bytes of the value; None for undefined length.
    offset
        Position of the value in the stream that was walked.
    coding
        Of the value's items, when it turns out to be a sequence, and of its numbers.
    value
        Bytes; the items of a sequence of undefined length; None when it was not read (pixels, other long binary
        values, encapsulated fragments, what `error` says).
    error
        Why the value is not there.
    """

    tag: int
    vr: str
    length: int | None
    offset: int
    coding: Coding
    value: bytes | list[list[Element]] | None
    error: str = ""


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom's remarks on damaged files to itself: they name no file, and may quote values."""
    import pydicom.config  # noqa: F401 - sets the level when it is loaded, which must not happen inside

    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


class _StopCallback:
    """The generator's stop callback: says where to halt, and remembers what was there."""

    def __init__(self, stream: BinaryIO, end: int, stop: Callable[[int], bool]) -> None:
        self.stream, self.end, self.stop = stream, end, stop
        self.halted = self.stopped = False
        self.tag = self.length = self.start = self.offset = 0
        self.next = stream.tell()
        self.vr = ""

    def __call__(self, tag: int, vr: str | None, length: int) -> bool:
        """Return whether to halt in front of this value; the stream stands at its first byte."""
        self.tag, self.vr, self.length = int(tag), str(vr or ""), length
        self.offset = self.stream.tell()
        self.start = self.offset - (12 if self.vr in LONG_VRS else 8)
        self.stopped = self.start >= self.end or self.stop(self.tag)
        self.halted = (
            self.stopped
            or length == UNDEFINED
            or self.offset + length > self.end
            or tag == SPECIFIC_CHARACTER_SET
            or tag >> 16 == 0xFFFE
            or (tag == 0 and length == 0)
        )
        if not self.halted:
            self.next = self.offset + length
        return self.halted


def _never(tag: int) -> bool:
    return False


def is_header_end(tag: int) -> bool:
    """Whether a top-level tag ends the header: pixel data, or padding behind the data set (PS3.10 7.2)."""
    return tag in PIXEL_TAGS or tag == TRAILING_PADDING


def walk(
    stream: BinaryIO, coding: Coding, end: int, depth: int = 0, stop: Callable[[int], bool] = _never
) -> Iterator[Element]:
    """Yield the data elements from the stream's position on.

    Parameters
    ----------
    stream
        Seekable. Afterwards it stands behind the last element, or in front of the one that `stop` refused.
    coding
        As declared; explicit and implicit VR are told apart by the bytes, since writers get it wrong.
    end
        Position that no element may cross.
    depth
        Sequences around this data set. At depth 0 the walk also ends at zeros, which pad files.
    stop
        Called with each tag; True ends the walk there. With `is_header_end` the pixel element is
        yielded all the same, without its value.

    Raises
    ------
    HeaderError
        "truncated header" or "damaged header", after every element before the fault was yielded.
    """
    coding = _actual_coding(stream, coding, nested=depth > 0)
    while True:
        stopper = _StopCallback(stream, end, stop)
        try:
            for raw in _generator(stream, coding, stopper, _LARGE):
                inner = Coding(True, coding.little) if raw.VR is None else coding
                element = Element(int(raw.tag), str(raw.VR or ""), raw.length, raw.value_tell, inner, raw.value)
                yield element if raw.value is not None or not raw.length else _with_value(stream, element)
        except struct.error:  # the stream ends inside an element's own 12 bytes
            raise HeaderError("truncated header", f"ends inside an element at offset {stopper.next}") from None
        if not stopper.halted:  # end of the stream, or an item's delimiter, where the generator ends by itself
            if depth == 0:
                _require_end(stream, stopper.next)
            return
        if stopper.stopped and stop is is_header_end and stopper.tag in PIXEL_TAGS:
            length = None if stopper.length == UNDEFINED else stopper.length
            yield Element(stopper.tag, stopper.vr, length, stopper.offset, coding, None)
        if stopper.stopped or (stopper.tag >> 16 == 0xFFFE and depth):  # or a sequence ends before its last item does
            stream.seek(stopper.start)
            return
        if stopper.tag == 0 and stopper.length == 0 and depth == 0:
            return
        if stopper.tag >> 16 == 0xFFFE or (stopper.tag == 0 and stopper.length == 0):
            raise HeaderError(
                "damaged header", f"{tag_text(stopper.tag)} at offset {stopper.start} in place of an element"
            )
        yield from _halted(stream, stopper, coding, depth)


def _generator(stream: BinaryIO, coding: Coding, stopper: _StopCallback, defer: int) -> Iterator[RawDataElement]:
    """Pydicom's generator, narrowed to what it yields when it never meets a value of undefined length."""
    from pydicom.filereader import data_element_generator  # slow to load, and most headers need no walk

    elements = data_element_generator(stream, coding.implicit, coding.little, stop_when=stopper, defer_size=defer)
    return cast("Iterator[RawDataElement]", elements)


def _require_end(stream: BinaryIO, expected: int) -> None:
    """Raise unless a data set ended where its stream does."""
    if stream.tell() - expected >= 8:
        raise HeaderError("damaged header", f"an item delimiter at offset {expected}, outside of any item")
    stream.seek(expected)
    if any(stream.read(8)):  # zeros are padding
        raise HeaderError("truncated header", f"ends inside an element at offset {expected}")


def _halted(stream: BinaryIO, stopper: _StopCallback, coding: Coding, depth: int) -> Iterator[Element]:
    """Read the element that the stopper halted at, and leave the stream behind it."""
    if not stopper.vr:
        coding = Coding(True, coding.little)
    head = Element(stopper.tag, stopper.vr, stopper.length, stopper.offset, coding, None)
    stream.seek(stopper.offset)
    if stopper.length != UNDEFINED:
        left = stopper.end - stopper.offset
        if stopper.length > left:
            yield head._replace(error="truncated header")
            where = f"{tag_text(stopper.tag)} at offset {stopper.start}"
            raise HeaderError("truncated header", f"{where} declares {stopper.length:,} bytes, {left:,} are left")
        yield head._replace(value=stream.read(stopper.length))
        return
    head = head._replace(length=None)
    if not _is_sequence(stream, head):
        _skip_fragments(stream, head, stopper.end)
        yield head
    elif depth >= MAX_DEPTH:
        _skip_sequence(stream, coding, stopper.end)
        yield head._replace(vr="SQ", error="nested too deep")
    else:
        try:
            items = read_items(stream, coding, stopper.end, depth + 1)
        except HeaderError as error:
            yield head._replace(vr="SQ", error=error.reason)
            raise
        yield head._replace(vr="SQ", value=items)


def read_items(stream: BinaryIO, coding: Coding, end: int, depth: int) -> list[list[Element]]:
    """Read the items of a sequence (PS3.5 7.5) up to its delimiter or `end`.

    Parameters
    ----------
    stream
        Stands at the first item; afterwards behind the sequence.
    depth
        Of the items: 1 for a sequence in the data set itself.

    Raises
    ------
    HeaderError
        An item is cut short, or something else stands where one has to begin.
    """
    items: list[list[Element]] = []
    while stream.tell() < end:
        tag, length = _item_head(stream, coding)
        if tag == SEQUENCE_END:
            break
        start = stream.tell()
        if tag != ITEM:
            raise HeaderError("damaged header", f"{tag_text(tag)} at offset {start - 8} in place of an item")
        if length == UNDEFINED:
            items.append(list(walk(stream, coding, end, depth)))
            continue
        if start + length > end:
            raise HeaderError("truncated header", f"the item at offset {start - 8} is cut short")
        items.append(list(walk(stream, coding, start + length, depth)))
        stream.seek(start + length)
    return items


def items_of(element: Element, depth: int) -> list[list[Element]]:
    """Return the items of an element that is a sequence, in whichever way it was stored.

    Raises
    ------
    HeaderError
        As `read_items`.
    """
    if isinstance(element.value, list):
        return element.value
    value = element.value or b""
    return read_items(io.BytesIO(value), element.coding, len(value), depth)


def _actual_coding(stream: BinaryIO, coding: Coding, nested: bool) -> Coding:
    """Explicit or implicit VR, by the letters of the first element, as pydicom decides it.

    Two upper-case letters in the length of an implicit element would make it longer than 16,704 bytes, which no first
    element is. Sequences inside implicit VR are never explicit.
    """
    if nested and coding.implicit:
        return coding
    head = stream.read(6)
    stream.seek(-len(head), io.SEEK_CUR)
    if len(head) < 6:
        return coding
    letters = all(0x40 < byte < 0x5B for byte in head[4:])
    return Coding(not letters, coding.little)


def _with_value(stream: BinaryIO, element: Element) -> Element:
    """Read a long value that the generator passed over, unless a record keeps no more than its length."""
    vr = element.vr if element.vr in VRS and element.vr != "UN" else dictionary_vr(element.tag)
    if vr in BINARY_VRS - {"UN"} or vr == "OB or OW":
        return element
    position = stream.tell()
    stream.seek(element.offset)
    value = stream.read(element.length or 0)
    stream.seek(position)
    return element._replace(value=value)


def _item_head(stream: BinaryIO, coding: Coding) -> tuple[int, int]:
    """Tag and length of an item or a delimiter: eight bytes in every transfer syntax (PS3.5 7.5)."""
    head = stream.read(8)
    if len(head) < 8:
        raise HeaderError("truncated header", "ends inside a sequence")
    group, element, length = struct.unpack("<HHL" if coding.little else ">HHL", head)
    return group << 16 | element, length


def _is_sequence(stream: BinaryIO, head: Element) -> bool:
    """Whether a value of undefined length holds data sets; otherwise it holds fragments (PS3.5 A.4)."""
    if head.vr in {"SQ", "UN"}:  # UN of undefined length is a sequence, PS3.5 6.2.2
        return True
    vr = head.vr or dictionary_vr(head.tag)
    return vr == "SQ" or vr not in BINARY_VRS - {"UN"} | {"OB or OW"}


def _skip_fragments(stream: BinaryIO, head: Element, end: int) -> None:
    """Pass over encapsulated fragments up to their delimiter."""
    while True:
        tag, length = _item_head(stream, head.coding)
        if tag == SEQUENCE_END:
            return
        if tag != ITEM or stream.tell() + length > end:
            raise HeaderError("damaged header", f"fragments of {tag_text(head.tag)} break off")
        stream.seek(length, io.SEEK_CUR)


def _skip_sequence(stream: BinaryIO, coding: Coding, end: int) -> None:
    """Pass over a sequence of undefined length with all that it holds, however deep, without recursion."""
    opened = 1  # sequences and items of undefined length that wait for their delimiter
    while opened:
        stopper = _StopCallback(stream, end, _never)
        inner = _actual_coding(stream, coding, nested=True)
        try:
            for _ in _generator(stream, inner, stopper, 1):  # passes over every value longer than a byte
                pass
        except struct.error:
            raise HeaderError("truncated header", f"ends inside an element at offset {stopper.next}") from None
        if not stopper.halted:
            if stream.tell() - stopper.next < 8:
                raise HeaderError("truncated header", "ends inside a sequence")
            opened -= 1  # an item delimiter, where the generator ends by itself
            continue
        stream.seek(stopper.offset)
        if stopper.length == UNDEFINED:
            opened += 1
        elif stopper.tag == SEQUENCE_END:
            opened -= 1
        elif stopper.tag != ITEM:  # of an item of defined length the elements follow, and no delimiter
            if stopper.offset + stopper.length > end:
                raise HeaderError("truncated header", f"ends inside {tag_text(stopper.tag)}")
            stream.seek(stopper.length, io.SEEK_CUR)
