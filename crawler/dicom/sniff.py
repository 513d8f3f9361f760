"""Is this DICOM? Decided by content, never by name, in the first few hundred bytes.

A file with the prefix "DICM" is DICOM (PS3.10 7.1). One without preamble, or without file meta information, is
DICOM when its first elements validate; everything else is not. The rest of the header is not looked at here.
"""

from __future__ import annotations

import re
import struct
from typing import BinaryIO

from crawler.dicom.dictionary import VRS, dictionary_vr, is_known, is_private
from crawler.dicom.elements import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Coding, Element
from crawler.dicom.walk import walk
from crawler.errors import HeaderError, NotDicom

PREFIX = b"DICM"
_PREAMBLE = 128
# SOP Class and SOP Instance UID, of the data set and of the file meta information: one of them proves the case.
_IDENTIFYING = frozenset({0x00080016, 0x00080018, 0x00020002, 0x00020003})
_UID = re.compile(rb"[0-2](\.(0|[1-9][0-9]*))+\0?")  # PS3.5 9.1
# Known elements in ascending order, with the dictionary's VR, that prove it without a UID. By chance even one is
# unlikely: some 300 of the 65,536 tags of groups 0002 and 0008 are known, and each must have a length that fits.
_ENOUGH = 6
_FIRST_GROUPS = (b"\x02\0", b"\x08\0", b"\0\x02", b"\0\x08")  # of a data set, in both byte orders
_LONGEST = 65_534  # no element that may stand at the start of a data set is longer: the limit of a short VR


def dataset_start(stream: BinaryIO, size: int) -> int:
    """Return the offset of the first data element, which belongs to the file meta information where there is one.

    Parameters
    ----------
    stream
        Seekable; afterwards it stands at that offset.
    size
        Bytes in the stream.

    Raises
    ------
    NotDicom
        "empty file" or "not DICOM".
    """
    if not size:
        raise NotDicom("empty file")
    stream.seek(0)
    head = stream.read(_PREAMBLE + len(PREFIX))
    behind = _PREAMBLE + len(PREFIX)
    if head[_PREAMBLE:] == PREFIX and not _is_by_chance(stream, head, size):
        stream.seek(behind)
        return behind
    start = len(PREFIX) if head.startswith(PREFIX) else 0  # written without the preamble
    if not _validates(stream, start, size):
        raise NotDicom("not DICOM", "no DICM prefix, and the first bytes are no data elements")
    stream.seek(start)
    return start


def _is_by_chance(stream: BinaryIO, head: bytes, size: int) -> bool:
    """Whether the prefix is part of a value in a file without preamble.

    A preamble may hold anything (PS3.10 7.1), and mostly holds zeros. The prefix counts unless its file reads as a data
    set from the first byte, and what follows the prefix does not begin with file meta information.
    """
    if head[:2] not in _FIRST_GROUPS or stream.read(2) == b"\x02\0":
        return False
    return _validates(stream, 0, size)


def guess_coding(head: bytes) -> Coding:
    """Return the coding of a data set whose transfer syntax is not known, from its first six bytes.

    As pydicom does: explicit VR shows by its letters, and big endian, which is never implicit, by a group number that
    would be far too high for a first element.
    """
    if len(head) < 6 or head[4:6].decode("latin-1") not in VRS:
        return IMPLICIT_LITTLE
    (group,) = struct.unpack("<H", head[:2])
    return EXPLICIT_BIG if group >= 0x0400 else EXPLICIT_LITTLE


def _validates(stream: BinaryIO, start: int, size: int) -> bool:
    """Whether the bytes from `start` on read as the beginning of a data set."""
    stream.seek(start)
    head = stream.read(6)
    stream.seek(start)
    if len(head) < 6:
        return False
    coding = guess_coding(head)
    (group,) = struct.unpack("<H" if coding.little else ">H", head[:2])
    if group not in {0x0002, 0x0008}:
        return False
    known, previous = 0, -1
    try:
        for element in walk(stream, coding, size):
            if element.tag <= previous or not _plausible(element):
                return False
            if element.tag in _IDENTIFYING and _UID.fullmatch(_bytes(element)):
                return True
            known += is_known(element.tag)
            if known == _ENOUGH:
                return True
            previous = element.tag
    except HeaderError:
        return False
    return False


def _plausible(element: Element) -> bool:
    """Whether an element may stand at the beginning of a data set."""
    if element.length is None:
        return element.vr in {"", "SQ", "UN"}
    if element.length > _LONGEST or element.length % 2:
        return False
    if is_private(element.tag):
        return True
    if element.tag & 0xFFFF and not is_known(element.tag):
        return False
    return element.vr in {"", "UN", dictionary_vr(element.tag)}


def _bytes(element: Element) -> bytes:
    return element.value if isinstance(element.value, bytes) else b""
