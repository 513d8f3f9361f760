"""A file opened again, at a value that its header's reader passed over: a document, the samples of a waveform.

Finds where values lie and reads them; what they mean is for `waveforms.py` and for the sinks. Pixel data have a way
of their own (`pixels.py`).
"""

from __future__ import annotations

import struct
from collections.abc import Container, Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

from crawler.dicom.dictionary import tag_text
from crawler.dicom.elements import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    SPECIFIC_CHARACTER_SET,
    Coding,
    Element,
)
from crawler.dicom.files import not_meta, open_dataset, size_of
from crawler.dicom.sniff import dataset_start
from crawler.dicom.uids import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian
from crawler.dicom.walk import is_header_end, read_items, walk
from crawler.errors import HeaderError, PixelError
from crawler.model import Instance

_CODINGS = {ImplicitVRLittleEndian: IMPLICIT_LITTLE, ExplicitVRBigEndian: EXPLICIT_BIG}
_UNDEFINED = 0xFFFFFFFF
_BLOCK = 1 << 20  # bytes copied at a time


class DataSet(NamedTuple):
    """An open data set.

    Attributes
    ----------
    stream
        Seekable; stands at the first element when the data set is opened.
    end
        Its size in bytes: what offsets may not pass.
    coding
        As the transfer syntax declares it.
    """

    stream: BinaryIO
    end: int
    coding: Coding

    def value(self, element: Element) -> bytes:
        """The whole value of an element that `walk` or `items` found, wherever it is.

        Raises
        ------
        PixelError
            It has no definite length, or the file ends inside it.
        """
        return b"".join(self.blocks(element.offset, _definite(element)))

    def blocks(self, offset: int, length: int) -> Iterator[bytes]:
        """Bytes from an offset on, in blocks of bounded size.

        Raises
        ------
        PixelError
            The file ends before.
        """
        self.stream.seek(offset)
        left = length
        while left:
            block = self.stream.read(min(left, _BLOCK))
            if not block:
                raise PixelError("truncated value", f"holds {length - left:,} of {length:,} bytes")
            left -= len(block)
            yield block

    def elements(self, last: int) -> Iterator[Element]:
        """Elements up to and with the tag `last`; of a cut-off file those before the cut.

        Raises
        ------
        PixelError
            An element is cut short: the one that was yielded last carries the error.
        """
        try:
            yield from walk(self.stream, self.coding, self.end, stop=lambda tag: tag > last)
        except HeaderError as error:
            raise PixelError("truncated value", error.detail) from error

    def select(self, tags: Container[int], nested: Container[int]) -> list[Element]:
        """Elements with these tags in front of the pixel data, as the header's reader finds them.

        Of their items only the elements with the tags `nested` are sure to be there. Long binary values are not among
        them: `value` reads those.

        Raises
        ------
        PixelError
            The header ends early.
        """

        def wanted(tag: int, depth: int) -> bool:
            return tag in (nested if depth else tags)

        try:
            found = walk(self.stream, self.coding, self.end, is_header_end, wanted=wanted)
            return [element for element in found if element.tag in tags]
        except HeaderError as error:
            raise PixelError("truncated value", error.detail) from error

    def items(self, sequence: int) -> list[list[Element]]:
        """Items of a top-level sequence, each preceded by the data set's (0008,0005) *Specific Character Set*.

        The sequence is read where it lies, so that long values in it are passed over and not copied.

        Raises
        ------
        PixelError
            There is no such sequence, or it is cut short.
        """
        coding = self.coding
        shared: list[Element] = []
        try:
            for element in walk(self.stream, coding, self.end, stop=lambda tag: tag >= sequence):
                if element.vr != "UN":
                    coding = element.coding  # as the bytes are, whatever was declared
                if element.tag == SPECIFIC_CHARACTER_SET:
                    shared.append(element)
            tag, vr, length = _element_head(self.stream, coding)
            if tag != sequence:
                raise PixelError("missing value", f"no {tag_text(sequence)}")
            end = self.end if length == _UNDEFINED else self.stream.tell() + length
            if end > self.end:
                raise PixelError("truncated value", f"{tag_text(sequence)} is cut short")
            if vr == b"UN":  # written by who did not know it: its items are implicit VR, PS3.5 6.2.2
                coding = IMPLICIT_LITTLE
            items = read_items(self.stream, coding, end, length == _UNDEFINED)
        except HeaderError as error:
            raise PixelError("truncated value", error.detail) from error
        return [[*shared, *item] for item in items]


@contextmanager
def open_bulk(instance: Instance) -> Iterator[DataSet]:
    """Open an instance's data set.

    Raises
    ------
    PixelError
        The file cannot be opened or read any more.
    FileError
        It is not the DICOM file that it was.
    """
    deflated = instance.transfer_syntax == DeflatedExplicitVRLittleEndian
    try:
        with open_dataset(instance.file, deflated) as stream:
            size = size_of(stream)
            if not deflated:
                dataset_start(stream, size)
                for _ in walk(stream, EXPLICIT_LITTLE, size, stop=not_meta):
                    pass
            yield DataSet(stream, size, _CODINGS.get(instance.transfer_syntax, EXPLICIT_LITTLE))
    except OSError as error:
        raise PixelError("unreadable file", error.strerror or type(error).__name__) from error


def _definite(element: Element) -> int:
    """Length of a value; only pixel data may be fragments of undefined length (PS3.5 A.4)."""
    if element.length is None:
        raise PixelError("damaged value", f"{tag_text(element.tag)} has no definite length")
    return element.length


def _element_head(stream: BinaryIO, coding: Coding) -> tuple[int, bytes, int]:
    """Tag, VR (empty in implicit VR) and length of a sequence's element (PS3.5 7.1); all zero at the end."""
    order = "<" if coding.little else ">"
    layout = f"{order}HHL" if coding.implicit else f"{order}HH2s2xL"
    head = stream.read(struct.calcsize(layout))
    if len(head) < struct.calcsize(layout):
        return 0, b"", 0
    group, number, *rest = struct.unpack(layout, head)
    return group << 16 | number, b"" if coding.implicit else rest[0], rest[-1]
