"""Encapsulated documents (PS3.3 C.24.2) as files of their own: PDF, CDA, STL, OBJ, MTL.

The bytes are copied in blocks, as they are; what they say is not looked at. The file's extension comes from the SOP
class or the MIME type, out of a fixed table, and never from text in the header.
"""

from __future__ import annotations

import struct

from crawler.dicom.bulk import DataSet, open_bulk
from crawler.dicom.elements import Element
from crawler.errors import PixelError
from crawler.model import Instance, Product
from crawler.sinks.base import Target, discard, writing

_DOCUMENT = 0x00420011
_MIME_TYPE = 0x00420012
_LENGTH = 0x00420015

_PREFIX = "1.2.840.10008.5.1.4.1.1.104."
# Storage SOP classes, PS3.4 B.5.
_BY_CLASS = {
    _PREFIX + "1": ".pdf",
    _PREFIX + "2": ".xml",  # CDA, an XML document
    _PREFIX + "3": ".stl",
    _PREFIX + "4": ".obj",
    _PREFIX + "5": ".mtl",
}
# For a SOP class that is younger than this table: MIME types of PS3.3 A.45, and what else is common.
_BY_MIME_TYPE = {
    "application/pdf": ".pdf",
    "text/xml": ".xml",
    "application/xml": ".xml",
    "model/stl": ".stl",
    "application/sla": ".stl",
    "model/obj": ".obj",
    "model/mtl": ".mtl",
    "text/plain": ".text",  # not .txt, which is the header's report
}
_UNKNOWN = ".bin"
_STL_HEADER, _STL_TRIANGLE = 84, 50  # bytes: 80 of any text and a count, then a triangle each


def is_document(sop_class: str) -> bool:
    """Whether objects of a SOP class hold an encapsulated document."""
    return sop_class.startswith(_PREFIX)


def write_document(instance: Instance, target: Target) -> list[Product]:
    """Write the document of an instance beside the other media.

    Returns
    -------
    list of Product
        The one file, of kind "document".

    Raises
    ------
    PixelError
        There is no document, or the file ends inside it. Nothing is in place then.
    SinkError
        The target cannot be written.
    OutputError
        The disk is full.
    """
    with open_bulk(instance) as data:
        element, mime_type, declared = _find(data)
        extension = _BY_CLASS.get(instance.sop_class) or _BY_MIME_TYPE.get(mime_type, _UNKNOWN)
        size = _size(data, element, declared, extension)
        scratch = target.scratch(extension)
        try:
            with writing():
                file = open(scratch, "xb")  # noqa: SIM115 - closed by the next line
            with file:
                for block in data.blocks(element.offset, size):
                    with writing():
                        file.write(block)
                with writing():
                    file.flush()
        except BaseException:
            discard(scratch)
            raise
    return [target.publish(scratch, extension, "document")]


def _find(data: DataSet) -> tuple[Element, str, int | None]:
    """The document's element, its MIME type in lower case, and its length without padding if that is given."""
    document: Element | None = None
    mime_type, declared = "", None
    for element in data.elements(last=_LENGTH):
        if element.tag == _DOCUMENT:
            document = element
        elif element.tag == _MIME_TYPE and isinstance(element.value, bytes):
            mime_type = element.value.decode("latin-1").partition(";")[0].strip("\0 ").lower()
        elif element.tag == _LENGTH and isinstance(element.value, bytes) and len(element.value) == 4:
            (declared,) = struct.unpack("<L" if element.coding.little else ">L", element.value)
    if document is None or not document.length:
        raise PixelError("missing value", "no EncapsulatedDocument")
    return document, mime_type, declared


def _size(data: DataSet, element: Element, declared: int | None, extension: str) -> int:
    """Bytes of the document without the pad byte that makes a value's length even (PS3.5 7.1.1).

    (0042,0015) *Encapsulated Document Length* tells, when what it leaves out is no more than that byte. Many files
    lack it; a last NUL then is padding where the format cannot end in one.
    """
    length = element.length or 0
    if declared in (length, length - 1):
        return declared
    if extension == _UNKNOWN:
        return length
    if extension == ".stl" and length >= _STL_HEADER:
        head = b"".join(data.blocks(element.offset, _STL_HEADER))
        binary = _STL_HEADER + _STL_TRIANGLE * int.from_bytes(head[-4:], "little")
        if binary in (length, length - 1):
            return binary
    last = b"".join(data.blocks(element.offset + length - 1, 1))
    return length - (last == b"\0")
