"""Answers of a find as plain values, and whether they match what was asked.

Reads identifiers of C-FIND and the JSON model of DICOMweb (PS3.18 annex F) alike. Servers leave out conditions that
they do not support, so `fits` compares again (PS3.4 C.2.2.2). It asks nobody.
"""

from __future__ import annotations

import fnmatch
import re
import struct
from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

from crawler.dicom import uids
from crawler.dicom.charsets import DEFAULT_ENCODING, codecs_of, decode, names_of
from crawler.dicom.dictionary import BINARY_VRS, dictionary_vr, is_private, key_of, tag_for
from crawler.dicom.elements import quiet_pydicom
from crawler.dicom.record import clean
from crawler.pacs.model import Match

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_CHARACTER_SET = 0x00080005
_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
_LONG = {"UC", "UR", "UT", "SV", "UV"}  # lengths of 32 bits (PS3.5 7.1.2)
_UNMATCHED = {*BINARY_VRS, "SQ", "AT"}
_SINGLE = {"LT", "ST", "UT", "UR"}  # a backslash is text in them (PS3.5 6.2)


def from_identifier(body: bytes, syntax: str) -> Match:
    """Return the attributes of a C-FIND response; sequences, binary and private ones are left out.

    Parameters
    ----------
    syntax
        UID of Implicit or Explicit VR Little Endian.

    Raises
    ------
    ValueError
        It is no dataset.
    """
    from pydicom.filereader import read_dataset

    try:
        with quiet_pydicom():
            dataset = read_dataset(BytesIO(body), syntax == uids.ImplicitVRLittleEndian, True)
    except (OSError, EOFError, KeyError, NotImplementedError, struct.error) as error:
        raise ValueError("no dataset") from error
    stored = _stored(dataset, _CHARACTER_SET)
    encodings = codecs_of(stored) if isinstance(stored, bytes) and any(names_of(stored)) else (DEFAULT_ENCODING,)
    found: Match = {}
    for tag in dataset.keys():  # noqa: SIM118  iterating a Dataset decodes its elements
        number = int(tag)
        vr = dictionary_vr(number)
        if is_private(number) or vr in _UNMATCHED or not number & 0xFFFF:
            continue
        value = _stored(dataset, number)
        if isinstance(value, bytes):
            found[key_of(number)] = _texts(value, vr, encodings)
        elif value is not None:  # pydicom has decoded it already
            found[key_of(number)] = [str(one) for one in value] if isinstance(value, list) else str(value)
    return found


def _stored(dataset: Dataset, tag: int) -> Any:
    """An element's value, as bytes where nobody has decoded it yet."""
    element = dataset.get_item(tag)
    return None if element is None else b"" if element.value is None else element.value


def _texts(value: bytes, vr: str, encodings: Any) -> str | list[str]:
    """Values as text."""
    layout = _NUMBERS.get(vr.split()[0])
    if layout:
        size = struct.calcsize(layout)
        texts = [str(number) for (number,) in struct.iter_unpack("<" + layout, value[: len(value) // size * size])]
    else:
        text = clean(decode(value, encodings)).strip()
        texts = [text] if vr in _SINGLE else [part.strip("\0 ") for part in text.split("\\")]
    return texts if len(texts) > 1 else "".join(texts)


def from_json(answer: Mapping[str, Any]) -> Match:
    """Return the attributes of one object of a QIDO-RS response."""
    found: Match = {}
    for digits, element in answer.items():
        try:
            tag = int(digits, 16)
        except ValueError:
            continue
        if is_private(tag) or not isinstance(element, Mapping) or dictionary_vr(tag) in _UNMATCHED:
            continue
        values = element.get("Value")
        texts = [_json_text(value) for value in values] if isinstance(values, list) else []
        found[key_of(tag)] = texts if len(texts) > 1 else "".join(texts)
    return found


def _json_text(value: Any) -> str:
    """A value; of a person's name its component groups, as in PS3.5 6.2.1.1."""
    if isinstance(value, Mapping):
        groups = [str(value.get(name) or "") for name in ("Alphabetic", "Ideographic", "Phonetic")]
        return "=".join(groups).rstrip("=")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value)


def to_identifier(level: str, keys: Mapping[str, str], syntax: str) -> bytes:
    """Return the identifier of a C-FIND-RQ: values as they are, in UTF-8 where ASCII will not do."""
    texts = {"QueryRetrieveLevel": level.upper(), **keys}
    if not all(value.isascii() for value in keys.values()):
        texts["SpecificCharacterSet"] = "ISO_IR 192"
    out = b""
    for tag, text in sorted((tag_for(keyword) or 0, text) for keyword, text in texts.items()):
        vr = dictionary_vr(tag)
        if layout := _NUMBERS.get(vr):
            value = b"".join(
                struct.pack("<" + layout, float(one) if vr[0] == "F" else int(one)) for one in text.split()
            )
        else:
            value = text.encode()
            value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        if syntax == uids.ImplicitVRLittleEndian:
            out += head + struct.pack("<I", len(value)) + value
        elif vr in _LONG:
            out += head + vr.encode() + struct.pack("<HI", 0, len(value)) + value
        else:
            out += head + vr.encode() + struct.pack("<H", len(value)) + value
    return out


def fits(keyword: str, asked: str, found: str | list[str]) -> bool:
    """Whether an attribute that was returned matches what was asked of it.

    Names of people are not compared: servers may match them as they see fit (PS3.4 C.2.2.2.1.1). An attribute without a
    value matches only what matches all.
    """
    vr = dictionary_vr(tag_for(keyword) or 0)
    if not asked.strip("* ") or vr == "PN":
        return True
    values = found if isinstance(found, list) else [found]
    if vr in {"DA", "TM"}:
        return any(_in_range(vr, asked, value) for value in values if value)
    patterns = asked.split("\\")
    if vr in {"IS", "DS", *_NUMBERS}:
        return any(_number(value) == _number(pattern) for value in values for pattern in patterns)
    return any(_pattern(pattern).fullmatch(value.casefold()) for value in values for pattern in patterns)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text.strip()


@lru_cache(1024)
def _pattern(asked: str) -> re.Pattern[str]:
    """PS3.4 C.2.2.2.4: only "*" and "?" are wild cards."""
    return re.compile(fnmatch.translate(asked.strip().casefold().replace("[", "[[]")))


def _in_range(vr: str, asked: str, value: str) -> bool:
    """Whether a date or time lies in a range, ends included; a time's missing digits stand for all."""
    value = re.sub(r"[.:]", "", value) if vr == "DA" else value.replace(":", "")
    first, hyphen, last = asked.partition("-")
    if not hyphen:
        last = first
    if "*" in asked:
        return True
    width = 8 if vr == "DA" else 6
    low, high = first.ljust(width, "0"), (last or "9" * width).ljust(width, "9")
    return low[:width] <= value[:width].ljust(width, "0") and value[:width].ljust(width, "0") <= high[:width]
