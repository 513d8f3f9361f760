"""Bytes -> `Instance`: one file opened once, its header read, no pixel.

Most headers are intact, and `dicom/fast/reader.py` reads them. For the others this module finds the data set and its
transfer syntax, `dicom/elements.py` walks its elements and `dicom/record.py` converts them. What becomes of a damaged
header is decided here. `describe.py` says what the elements mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from crawler.dicom.attributes import Attributes, Name
from crawler.dicom.csa import NO_CSA, Csa, read_csa
from crawler.dicom.dictionary import VRS, KeyStyle, is_known, is_private, is_private_creator, key_for, tag_text
from crawler.dicom.elements import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    PIXEL_TAGS,
    Coding,
    Element,
    Notes,
)
from crawler.dicom.fast.reader import read_fast
from crawler.dicom.files import inflate, not_meta, open_file, size_of
from crawler.dicom.record import make_record
from crawler.dicom.sniff import dataset_start, guess_coding
from crawler.dicom.trailing import end_of_pixels, read_trailing
from crawler.dicom.uids import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from crawler.dicom.walk import is_header_end, walk
from crawler.errors import HeaderError
from crawler.instance.custom import with_custom
from crawler.instance.describe import Source, describe
from crawler.model import File, Instance, Outcome
from crawler.stores.stream import RemoteStream

_TRANSFER_SYNTAX = 0x00020010
# A damaged header has a row when one of these is there: what the object is, or that it is an image.
_REQUIRED = (("SOPClassUID", str), ("Rows", int))
_ASSUMED = {
    IMPLICIT_LITTLE: ImplicitVRLittleEndian,
    EXPLICIT_LITTLE: ExplicitVRLittleEndian,
    EXPLICIT_BIG: ExplicitVRBigEndian,
}


@dataclass(slots=True)
class _Header:
    """What was read of a file, up to `fault`."""

    meta: list[Element] = field(default_factory=list)
    data: list[Element] = field(default_factory=list)
    transfer_syntax: str = ""
    coding: Coding = EXPLICIT_LITTLE
    csa: Csa = NO_CSA
    pixel: Element | None = None
    fault: HeaderError | None = None
    notes: Notes = field(default_factory=Notes)


def read_instance(file: File, keys: KeyStyle = "keyword", custom: Name = "") -> Instance:
    """Read a file's header.

    Parameters
    ----------
    keys
        Style of the record's keys: "keyword", "name" or "tag".
    custom
        The element that `Plane.custom` shall hold: its keyword, or tag and creator of a private one.

    Returns
    -------
    Instance
        Also for a header that is cut short or damaged behind the elements that tell what the object is: the record
        then ends where the file does.

    Raises
    ------
    NotDicom
        The content is not DICOM.
    HeaderError
        It is, and cannot be used.
    """
    with _os_errors_named(), open_file(file) as stream:
        instance = fast_instance(file, stream, keys) or full_instance(file, stream, keys)
        if isinstance(stream, RemoteStream):
            pixels = instance.pixels
            stream.header_ended(pixels.offset if pixels is not None and pixels.keyword else file.size)
    if not custom:
        return instance
    return instance._replace(planes=with_custom(instance.planes, Attributes(instance.record, keys), custom))


def fast_instance(file: File, stream: BinaryIO, keys: KeyStyle) -> Instance | None:
    """Read a header that is as it ought to be, from anywhere in the stream; None for every other one."""
    header = read_fast(stream, size_of(stream), keys)
    if header is None:
        return None
    csa = read_csa(stream, header.csa_elements)
    return describe(Source(file, header.record, keys, header.transfer_syntax, csa, header.memo), pixel=header.pixel)


def full_instance(file: File, stream: BinaryIO, keys: KeyStyle) -> Instance:
    """Read any header: the reference for `fast_instance`. Raises as `read_instance`."""
    header = _read(stream)
    record = make_record(header.meta, header.data, keys=keys, notes=header.notes)
    if header.fault is not None and not any(
        isinstance(record.get(key_for(word, keys)), kind) for word, kind in _REQUIRED
    ):
        raise header.fault
    instance = describe(
        Source(file, record, keys, header.transfer_syntax, header.csa),
        pixel=header.pixel,
        big_endian=not header.coding.little,
        cut=header.fault is not None,
    )
    fault = None if header.fault is None else Outcome("failed", "header", header.fault.reason, header.fault.detail)
    return instance._replace(header_fault=fault, header_notes=header.notes.lines() + instance.header_notes)


@contextmanager
def _os_errors_named() -> Iterator[None]:
    """Turn a file that cannot be read into the error of that one file."""
    try:
        yield
    except OSError as error:
        raise HeaderError("cannot be read", error.strerror or type(error).__name__) from error


def _read(stream: BinaryIO) -> _Header:
    """Read a file's elements up to the pixel data."""
    size = size_of(stream)
    start = dataset_start(stream, size)
    header = _Header()
    try:
        for element in walk(stream, EXPLICIT_LITTLE, size, stop=not_meta, notes=header.notes):
            header.meta.append(element)
        header.transfer_syntax, header.coding = _transfer_syntax(stream, header.meta)
        if header.transfer_syntax == DeflatedExplicitVRLittleEndian:
            inflated, whole = inflate(stream)
            with inflated:
                _read_dataset(inflated, header)
            if not whole and header.pixel is None:
                raise HeaderError("truncated header", "the deflated data set breaks off")
        else:
            _read_dataset(stream, header)
    except HeaderError as fault:
        header.fault = fault
    _require_dicom(header, start)
    return header


def _read_dataset(stream: BinaryIO, header: _Header) -> None:
    """Add the data set's elements to the header; what was added stays when the walk fails."""
    position = stream.tell()
    size = size_of(stream)
    stream.seek(position)
    head = stream.read(8)
    stream.seek(position)
    if head[:2] == b"\0\0" and any(head):  # a message's command set, always implicit little endian (PS3.7 6.3.1)
        header.data.extend(walk(stream, IMPLICIT_LITTLE, size, lambda tag: tag >> 16 != 0, header.notes))
    for element in walk(stream, header.coding, size, is_header_end, header.notes):
        header.data.append(element)
        if element.coding.implicit != header.coding.implicit and element.tag == header.data[0].tag:
            vr = "implicit" if element.coding.implicit else "explicit"
            header.notes.add(f"{vr} VR from offset {position} on, which is not what the transfer syntax says")
    header.csa = read_csa(stream, header.data)
    last = header.data[-1] if header.data else None
    if last is not None and last.tag in PIXEL_TAGS and not last.error:
        header.pixel = last
        behind = end_of_pixels(stream, last.offset, last.length, size)
        if behind is not None:
            header.data += read_trailing(stream, last.coding, behind, size, header.notes)


def _transfer_syntax(stream: BinaryIO, meta: list[Element]) -> tuple[str, Coding]:
    """Transfer syntax and coding of the data set: as declared, or as its first element looks."""
    declared = ""
    for element in meta:
        if element.tag == _TRANSFER_SYNTAX and isinstance(element.value, bytes):
            declared = element.value.decode("latin-1").strip("\0 ")
            break
    if not declared:
        position = stream.tell()
        coding = guess_coding(stream.read(6))
        stream.seek(position)
        return _ASSUMED[coding], coding
    codings = {uid: coding for coding, uid in _ASSUMED.items()}
    return declared, codings.get(declared, EXPLICIT_LITTLE)  # PS3.5 A.4: all others are explicit little endian


def _require_dicom(header: _Header, start: int) -> None:
    """Raise for a header in which nothing is DICOM but the prefix, so that no row of junk is made of it."""
    if any(_is_plausible(element) for element in header.data):
        return
    if header.fault is not None and not header.data:
        raise header.fault
    if not header.data:
        what = "no data set follows the file meta information" if header.meta else "nothing but zeros"
        raise HeaderError("truncated header" if header.meta else "damaged header", f"{what}, offset {start}")
    first = header.data[0]
    raise HeaderError(
        "damaged header", f"no known element, the first is {tag_text(first.tag)} at offset {first.offset}"
    )


def _is_plausible(element: Element) -> bool:
    """Whether an element is one that the standard, or a maker, may have meant."""
    if is_private(element.tag):
        return is_private_creator(element.tag) or element.vr in VRS
    return is_known(element.tag)
