"""Rows as the DICOM Media Exporter wrote them (`metadata.compat: seed003`): names and texts of pydicom.

That program wrote `str(element.value)` of every element under `element.name`, without sequences and values of OB and
OW; of elements that share a name the last one stayed. Its line came after the medium was written, so that a file
without a picture or a video has none. It read whole files; here pixel data, and other values of OB and OW, stay unread.
"""

from __future__ import annotations

import json
from typing import Any, BinaryIO

from crawler.dicom.dictionary import creator_tag, dictionary_vr, is_private
from crawler.dicom.flat import element_name
from crawler.dicom.record import Record
from crawler.pixels.decoder_errors import decoder_errors

LEFT_OUT = ("SQ", "OB", "OW")
MEDIA = ("image", "video")  # what had a line
_DEFERRED = 1 << 16  # bytes: longer values are read when they are asked for, which those that are left out never are


def texts_of(stream: BinaryIO, record: Record) -> dict[str, str]:
    """Name -> text of a file's elements.

    Parameters
    ----------
    stream
        The file, from its beginning.
    record
        What was read of it, named by name: its texts stand where pydicom cannot read the file at all.
    """
    from pydicom import dcmread  # slow to load; only this kind of rows needs it

    try:
        dataset = dcmread(stream, defer_size=_DEFERRED, force=True)
    except decoder_errors():
        return {name: str(value) for name, value in record.items() if not isinstance(value, dict | list)}
    found: dict[str, str] = {}
    for tag in sorted(dataset.keys()):
        raw: Any = dataset.get_item(tag, keep_deferred=True)
        if _vr(raw, tag) in LEFT_OUT:
            continue
        if raw.value is None and raw.is_raw and raw.length:
            stream.seek(raw.value_tell)
            raw = raw._replace(value=stream.read(raw.length))
            dataset[tag] = raw
        try:
            element = dataset[tag]
            if element.VR not in LEFT_OUT:
                found[element.name] = str(element.value)
        except decoder_errors():  # a value that does not fit its VR: the program failed there, here it stays a text
            creator = dataset.get(creator_tag(tag)) if is_private(tag) else None
            found[element_name(tag, str(creator.value) if creator else "")] = str(raw.value)
    return found


def _vr(raw: Any, tag: int) -> str:
    """VR of an element before it is converted; that of pixel data is one of two, and both are left out."""
    vr = raw.VR or dictionary_vr(tag)
    return "OW" if vr == "OB or OW" else str(vr)


def line_of(texts: bytes, **further: Any) -> bytes:
    """A line: these texts, which are a JSON object, with what is known of the file; keys sorted, ASCII alone."""
    row = {**json.loads(texts), **further}
    return json.dumps(row, sort_keys=True).encode() + b"\n"
