"""Data elements as JSON values: the flat record that becomes a row.

Works from stored bytes, never raises for a bad value and never drops one: what does not fit its VR stays as text.
Binary values are described, not copied. Which elements a file has is `elements.py`'s business; what they mean for
grouping and geometry is `describe.py`'s.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from crawler.dicom.charsets import DEFAULT_ENCODING, Tell, codecs_of, decode
from crawler.dicom.dictionary import (
    BINARY_VRS,
    TEXT_VRS,
    VRS,
    KeyStyle,
    creator_tag,
    dictionary_vr,
    is_private,
    is_private_creator,
    key_of,
    tag_text,
)
from crawler.dicom.elements import SPECIFIC_CHARACTER_SET, Element, Notes
from crawler.dicom.number_text import is_misplaced, meant_numbers
from crawler.dicom.walk import MAX_DEPTH, items_of
from crawler.errors import HeaderError

Record = dict[str, Any]

PIXEL_REPRESENTATION = 0x00280103
# LUT descriptors: the first value is a count and never negative, even where the table's values are signed
# (PS3.3 C.7.6.3.1.5, C.11.1.1.1).
LUT_DESCRIPTORS = frozenset({0x00281101, 0x00281102, 0x00281103, 0x00283002})

NUMBERS = {
    "US": ("H", 2), "SS": ("h", 2), "UL": ("L", 4), "SL": ("l", 4), "UV": ("Q", 8), "SV": ("q", 8),
    "FL": ("f", 4), "FD": ("d", 8),
}  # fmt: skip
# PS3.5 6.2: text whose backslash is not a separator, and text whose leading spaces are padding too.
SINGLE_VALUED = frozenset({"LT", "ST", "UT", "UR"})
PADDED_BEFORE = frozenset({"AE", "CS", "DS", "IS", "LO", "SH"})
CHARACTER_SET_VRS = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})  # PS3.5 6.1.2.2

# PS3.5 Table 6.2-1; a whole number written with a point (`12.0`) is common in IS, and pydicom reads it.
_INTEGER = re.compile(r"[+-]?[0-9]+(\.0*)?")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_LONGEST_NUMBER = 400  # characters; CPython refuses to parse integers of more than 4,300 digits
_JSON_INTEGERS = range(-(2**63), 2**64)  # what orjson writes


@dataclass(slots=True)
class Context:
    """What the meaning of an element depends on in its own data set, and in those around it."""

    style: KeyStyle
    depth: int = 0
    encodings: Sequence[str] = (DEFAULT_ENCODING,)
    signed: bool = False
    creators: dict[int, str] = field(default_factory=dict)
    notes: Notes = field(default_factory=Notes)

    def inside(self, elements: Iterable[Element]) -> Context:
        """Context of a data set inside this one: inherits character set and sign (PS3.5 7.5.3)."""
        context = Context(self.style, self.depth + 1, self.encodings, self.signed, notes=self.notes)
        context.learn(elements)
        return context

    def learn(self, elements: Iterable[Element]) -> None:
        """Take in character set, sign and private creators, wherever in the data set they stand; the first counts."""
        learned: set[int] = set()
        for element in elements:
            tag, value = element.tag, element.value
            if not isinstance(value, bytes) or tag in learned:
                continue
            if tag == SPECIFIC_CHARACTER_SET:
                self.encodings = codecs_of(value, self.tell(tag))
            elif tag == PIXEL_REPRESENTATION:
                self.signed = any(value)
            elif tag & 0x10000 and is_private_creator(tag):
                self.creators[tag] = clean(decode(value, self.encodings)).strip()
            else:
                continue
            learned.add(tag)

    def tell(self, tag: int) -> Tell:
        """Return what notes something about an element."""
        return lambda what: self.notes.add(f"{tag_text(tag)}: {what}")

    def creator(self, tag: int) -> str:
        """Private creator of an element; empty when there is none."""
        return self.creators.get(creator_tag(tag), "") if is_private(tag) else ""


def make_record(*parts: Sequence[Element], keys: KeyStyle = "keyword", notes: Notes | None = None) -> Record:
    """Return elements as a JSON object, in the order given.

    Parameters
    ----------
    parts
        The file meta information and the data set, which do not share their character set.
    keys
        Style of the keys, see `dictionary.key_of`.
    notes
        Takes what is not as the standard has it, and was understood all the same.

    Returns
    -------
    dict
        `orjson.dumps` takes it. A key that comes again gets the suffix ``#2``, ``#3``: nothing is overwritten. A
        sequence is a list of such objects, a binary value ``{"vr": "OW", "length": 512}``, an empty value None. Of a
        very long value the object also holds a digest and, of text, the beginning.
    """
    record: Record = {}
    counts: dict[str, int] = {}
    for part in parts:
        context = Context(keys, notes=notes or Notes())
        context.learn(part)
        _fill(record, counts, part, context)
    return record


def _fill(record: Record, counts: dict[str, int], elements: Iterable[Element], context: Context) -> None:
    style = context.style
    for element in elements:
        tag = element.tag
        creator = context.creator(tag) if tag & 0x10000 else ""
        key = key_of(tag, creator, style)
        if key in record:
            key = next_key(record, counts, key)
        record[key] = json_of(element, vr_of(element, creator, context.signed), context)


def next_key(record: Record, counts: dict[str, int], plain: str) -> str:
    """Return the key of an element whose own is taken; `counts` holds how often each came, and is kept up."""
    key = plain
    while key in record:  # a private creator may itself end in "#2"
        counts[plain] = counts.get(plain, 1) + 1
        key = f"{plain}#{counts[plain]}"
    return key


def vr_of(element: Element, creator: str, signed: bool) -> str:
    """VR by which a value is read: the file's own; the dictionary's in implicit VR, for UN and for unknown letters."""
    vr = element.vr
    if vr not in VRS or vr == "UN":
        found = dictionary_vr(element.tag, creator)
        vr = vr if found == "UN" and vr else found
    if " or " not in vr:
        return vr
    if vr == "US or SS":  # PS3.5 A.1: as Pixel Representation says
        return "SS" if signed else "US"
    if vr == "US or OW" and element.length == 2:  # LUT Data with a single entry, PS3.3 C.11.1.1.1
        return "US"
    return "OW"


def json_of(element: Element, vr: str, context: Context) -> Any:
    """One value as JSON; `vr` may be any two letters that stood in the file."""
    if vr == "SQ":
        return _sequence(element, context)
    value = element.value
    if element.length == 0:
        return None
    if vr in BINARY_VRS or vr not in VRS or not isinstance(value, bytes):
        return _summary(element, vr)
    if element.digest:
        return _beginning(element, vr, context)
    if vr in NUMBERS:
        found = numbers_of(element.tag, value, vr, element.coding.little)
    elif vr == "AT":
        return tags_of(value, element.coding.little)
    else:
        found = text_of(value, vr, context.encodings, context.tell(element.tag))
        if vr in ("DS", "IS") and has_text(found):
            return meant_numbers(element.tag, vr, found, context.tell(element.tag))
    if is_misplaced(element.tag, vr):
        return meant_numbers(element.tag, vr, found, context.tell(element.tag))
    return found


def has_text(value: Any) -> bool:
    """Whether a converted value of IS or DS holds anything that is no number."""
    return isinstance(value, str) or (isinstance(value, list) and any(isinstance(one, str) for one in value))


def _beginning(element: Element, vr: str, context: Context) -> Record:
    """Stands for a very long value: its length and digest, and of text the beginning."""
    context.tell(element.tag)(f"{element.length or 0:,} bytes, of which the row holds the beginning or none")
    found = {"vr": vr, "length": element.length, "xxh3_128": element.digest}
    if vr in TEXT_VRS and isinstance(element.value, bytes):
        # Cut at ASCII, so that no character of several bytes is halved.
        whole = re.sub(rb"[\x80-\xff\x1b][^\x00-\x7f]*\Z", b"", element.value)
        found["begins"] = decode(whole, context.encodings, vr == "PN", context.tell(element.tag))
    return found


def _summary(element: Element, vr: str) -> Record:
    """Stands for a value that a record does not hold."""
    known = {"vr": vr if vr.isascii() and vr.isalpha() else "UN", "length": element.length}
    return known | {"error": element.error} if element.error else known


def _sequence(element: Element, context: Context) -> Any:
    """A sequence as a list of records, or what is wrong with it."""
    items: list[list[Element]] = []
    if element.error and not element.value:
        return _summary(element, "SQ")
    if element.length and context.depth >= MAX_DEPTH:
        return _summary(element._replace(error="nested too deep"), "SQ")
    try:
        items = items_of(element, context.depth + 1, context.notes, items)
    except HeaderError as error:
        context.tell(element.tag)(f"the sequence cannot be read, {error.reason}")
        if not items:
            return _summary(element._replace(error=error.reason), "SQ")
    records = []
    for item in items:
        record: Record = {}
        _fill(record, {}, item, context.inside(item))
        records.append(record)
    return records


def numbers_of(tag: int, value: bytes, vr: str, little: bool) -> Any:
    """Binary numbers; text where their size does not divide the value's."""
    letter, size = NUMBERS[vr]
    count, rest = divmod(len(value), size)
    if rest:
        return value.decode("latin-1")
    numbers: list[Any] = list(struct.unpack(f"{'<' if little else '>'}{count}{letter}", value))
    if letter in "fd":
        numbers = [number if math.isfinite(number) else _name_of(number) for number in numbers]
    elif tag in LUT_DESCRIPTORS and numbers[0] < 0:
        numbers[0] += 0x10000
    return numbers[0] if count == 1 else numbers


def _name_of(number: float) -> str:
    """JSON has no such numbers; these are the names that JavaScript and pandas read."""
    if math.isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"


def tags_of(value: bytes, little: bool) -> Any:
    """Tags as text, by `dictionary.tag_text`."""
    count, rest = divmod(len(value), 4)
    if rest:
        return value.decode("latin-1")
    words = struct.unpack(f"{'<' if little else '>'}{count * 2}H", value)
    tags = [tag_text(words[i] << 16 | words[i + 1]) for i in range(0, len(words), 2)]
    return tags[0] if count == 1 else tags


def text_of(value: bytes, vr: str, encodings: Sequence[str], tell: Tell) -> Any:
    """Text without padding; several values as a list, IS and DS as numbers."""
    # Latin-1 is verbatim for what is not in the default repertoire.
    text = decode(value, encodings, vr == "PN", tell) if vr in CHARACTER_SET_VRS else value.decode("latin-1")
    if "\\" not in text or vr in SINGLE_VALUED:
        return _single(text, vr)
    return [_single(part, vr) for part in clean(text).split("\\")]


def _single(text: str, vr: str) -> Any:
    text = clean(text)
    if vr in PADDED_BEFORE:
        text = text.lstrip(" ")
    elif vr == "PN":
        text = text.rstrip("=")  # delimiters of absent component groups, PS3.5 6.2.1.1
    if not text:
        return None
    if vr == "IS":
        return _integer(text)
    if vr == "DS":
        return _decimal(text)
    return text


def clean(text: str) -> str:
    """Text without the padding behind it (PS3.5 6.2)."""
    return text.rstrip("\0 ")


def _integer(text: str) -> int | str:
    if len(text) > _LONGEST_NUMBER or not _INTEGER.fullmatch(text):
        return text
    number = int(text.partition(".")[0])
    return number if number in _JSON_INTEGERS else text


def _decimal(text: str) -> float | str:
    if len(text) > _LONGEST_NUMBER or not _DECIMAL.fullmatch(text):
        return text
    number = float(text)
    return number if math.isfinite(number) else text
