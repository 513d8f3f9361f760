"""What is to be done with an element, worked out once for each tag and VR: its key, and how its bytes become JSON.

A shortcut of `record.py` for little endian: every conversion gives what `record.json_of` gives, and leaves what is not
common to that module. `reader.py` walks by these conversions; nothing here knows of files or of nesting.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any

from crawler.dicom.charsets import DEFAULT_ENCODING, is_utf8_instead, names_of, standard_codecs, untold
from crawler.dicom.dictionary import BINARY_VRS, VRS, KeyStyle, dictionary_vr, is_private, is_private_creator, key_of
from crawler.dicom.elements import ITEM_END, LONG_VRS, PIXEL_TAGS, SPECIFIC_CHARACTER_SET, TRAILING_PADDING
from crawler.dicom.number_text import is_misplaced, may_be_number
from crawler.dicom.record import (
    CHARACTER_SET_VRS,
    LUT_DESCRIPTORS,
    NUMBERS,
    PADDED_BEFORE,
    PIXEL_REPRESENTATION,
    SINGLE_VALUED,
    numbers_of,
    tags_of,
    text_of,
)
from crawler.dicom.walk import LONGEST_VALUE

IMAGE_TYPE = 0x00080008
Convert = Callable[[bytes, Sequence[str]], Any]

# More distinct heads than real files hold (as `dictionary._CACHED`); fuzzed ones must not fill the memory.
_MOST, _MOST_CREATORS = 16_384, 256
# Every number that is written with these bytes alone, in no more than so many of them, is finite as a double, and
# whole ones of no more than 18 digits fit into 64 bits.
_OF_DECIMALS, _LONGEST_DECIMAL = b"0123456789.+-\\ ", 300
_OF_INTEGERS, _LONGEST_INTEGER = b"0123456789+-\\ ", 18
_MOST_VALUES = 1 << 16  # of the same element; the rest then is no number, and the full reader has it


class UnusualHeader(Exception):
    """Something that only the full reader may judge. Never leaves `fast/`."""


class Kind(Enum):
    """What is special about an element."""

    PLAIN = 0  # bytes -> value by the function of its conversion
    BINARY = 1  # VR and length stand for it
    SEQUENCE = 2
    PRIVATE = 3  # its conversion depends on the creator
    CREATOR = 4
    CHARACTER_SET = 5
    SIGN = 6  # Pixel Representation
    IMAGE_TYPE = 7
    AMBIGUOUS = 8  # its VR depends on the sign or the length
    PIXELS = 9
    ITEM_END = 10
    PADDING = 11


Conversion = tuple[int, bool, Kind, str, str, Convert]
"""What to do with every element of one tag and VR, as a bare tuple, which unpacks fastest:

the tag; whether its length is a field of 32 bits behind two reserved bytes (PS3.5 7.1.2); what is special about it; its
key; the VR by which its value is read, which may be another one than the file's; the conversion of its bytes, with the
codecs of the character set.
"""


class Conversions(dict[bytes, Conversion]):
    """Conversions by the first bytes of an element: tag and VR, six bytes; in implicit VR the tag, four bytes.

    Parameters
    ----------
    creator
        Of the block that private elements lie in; None for conversions of all elements, which leave private ones to it.
    """

    def __init__(self, style: KeyStyle, creator: str | None = None) -> None:
        super().__init__()
        self._style, self._creator = style, creator
        self._by_creator: dict[str, Conversions] = {}

    def __missing__(self, head: bytes) -> Conversion:
        """Make a conversion.

        Raises
        ------
        UnusualHeader
            The bytes are not those of an ordinary element.
        """
        if len(self) >= _MOST:
            self.clear()
        if self._creator is None:
            conversion = _conversion(head, self._style)
        else:
            conversion = _of_value(*_tag_and_vr(head), self._creator, self._style, None)
        self[head] = conversion
        return conversion

    def of_creator(self, creator: str) -> Conversions:
        """Return the conversions for the elements in a block of a private creator; empty for none."""
        found = self._by_creator.get(creator)
        if found is None:
            if len(self._by_creator) >= _MOST_CREATORS:
                self._by_creator.clear()
            found = self._by_creator[creator] = Conversions(self._style, creator)
        return found


@lru_cache
def conversions_of(style: KeyStyle) -> Conversions:
    """Return the conversions of this process for a style of keys."""
    return Conversions(style)


@lru_cache(_MOST)
def known_encodings(value: bytes) -> Sequence[str]:
    """Return the Python codecs of a (0008,0005) *Specific Character Set* as PS3.3 C.12.1.1.2 has it.

    Raises
    ------
    UnusualHeader
        A name is none of the standard's, or does not stand alone as it must.
    """
    codecs = standard_codecs(names_of(value))
    if codecs is None:
        raise UnusualHeader
    return codecs


def _conversion(head: bytes, style: KeyStyle) -> Conversion:
    tag, vr = _tag_and_vr(head)
    if tag == ITEM_END and not vr.strip("\0"):  # has a length of 32 bits in place of the VR, PS3.5 7.5
        return tag, False, Kind.ITEM_END, "", "", _never
    if tag >> 16 in (0x0000, 0xFFFE) or (vr and vr not in VRS):
        raise UnusualHeader
    if tag == TRAILING_PADDING:
        return tag, vr in LONG_VRS, Kind.PADDING, "", "", _never
    kind = Kind.PRIVATE if is_private(tag) else None
    if tag in PIXEL_TAGS:
        kind = Kind.PIXELS
    elif is_private_creator(tag):
        kind = Kind.CREATOR
        if vr not in ("", "LO"):
            raise UnusualHeader
    elif tag in _OF_TAGS:
        kind = _OF_TAGS[tag]
    return _of_value(tag, vr, "", style, kind)


_OF_TAGS = {
    SPECIFIC_CHARACTER_SET: Kind.CHARACTER_SET,
    PIXEL_REPRESENTATION: Kind.SIGN,
    IMAGE_TYPE: Kind.IMAGE_TYPE,
}


def _tag_and_vr(head: bytes) -> tuple[int, str]:
    group, element = struct.unpack_from("<HH", head)
    return group << 16 | element, head[4:].decode("latin-1")


def _of_value(tag: int, vr: str, creator: str, style: KeyStyle, kind: Kind | None) -> Conversion:
    """Conversion by the VR that counts, which is that of `record.vr_of`."""
    if is_misplaced(tag, vr):
        raise UnusualHeader
    found = vr
    if not vr or vr == "UN":
        found = dictionary_vr(tag, creator)
        if vr and found == "SQ":  # items in implicit VR, mostly: PS3.5 6.2.2
            raise UnusualHeader
    if found in ("US or SS", "US or OW"):
        by_value = Kind.AMBIGUOUS
    elif " or " in found or found in BINARY_VRS:
        found = "OW" if " or " in found else found
        by_value = Kind.BINARY
    else:
        by_value = Kind.SEQUENCE if found == "SQ" else Kind.PLAIN
    if (kind is Kind.CREATOR or tag in _OF_TAGS) and by_value is not Kind.PLAIN:
        raise UnusualHeader
    convert = _converter(tag, found) if by_value is Kind.PLAIN else _never
    return tag, vr in LONG_VRS, by_value if kind is None else kind, key_of(tag, creator, style), found, convert


def _never(value: bytes, encodings: Sequence[str]) -> Any:
    """Stands where there is nothing to convert."""
    raise UnusualHeader


def _converter(tag: int, vr: str) -> Convert:
    if vr == "DS":
        return _decimals
    if vr == "IS":
        return _integers
    if vr == "AT":
        return _tags
    return _number(tag, vr) if vr in NUMBERS else _text(vr)


def _tags(value: bytes, encodings: Sequence[str]) -> Any:
    if len(value) > LONGEST_VALUE:
        raise UnusualHeader
    return tags_of(value, little=True)


def _number(tag: int, vr: str) -> Convert:
    """Conversion of binary numbers; that of a single one is short."""
    letter, size = NUMBERS[vr]
    unpack = struct.Struct("<" + letter).unpack

    def several(value: bytes, encodings: Sequence[str]) -> Any:
        if len(value) > LONGEST_VALUE:
            raise UnusualHeader
        return numbers_of(tag, value, vr, little=True)

    def whole(value: bytes, encodings: Sequence[str]) -> Any:
        return unpack(value)[0] if len(value) == size else several(value, encodings)

    def real(value: bytes, encodings: Sequence[str]) -> Any:
        if len(value) == size:
            number = unpack(value)[0]
            if number - number == 0:  # finite
                return number
        return several(value, encodings)

    if tag in LUT_DESCRIPTORS:
        return several
    return real if letter in "fd" else whole


def _text(vr: str) -> Convert:
    """Conversion of text: as `record.text_of`, with what the VR decides decided."""
    encoded, single = vr in CHARACTER_SET_VRS, vr in SINGLE_VALUED
    padded_before, is_name = vr in PADDED_BEFORE, vr == "PN"

    def one(text: str) -> str | None:
        text = text.rstrip("\0 ")
        if padded_before:
            text = text.lstrip(" ")
        elif is_name:
            text = text.rstrip("=")
        return text or None

    def convert(value: bytes, encodings: Sequence[str]) -> Any:
        plain = not encoded or (value.isascii() and b"\x1b" not in value)
        text = value.decode("latin-1") if plain else _decoded(value, encodings)
        if len(text) > LONGEST_VALUE // 4:  # characters; in bytes it may be too long
            raise UnusualHeader
        if "\\" not in text or single:
            text = text.rstrip("\0 ")  # as `one`, but for the call
            if padded_before:
                text = text.lstrip(" ")
            elif is_name:
                text = text.rstrip("=")
            return text or None
        return [one(part) for part in text.rstrip("\0 ").split("\\")]

    return convert


def _decoded(value: bytes, encodings: Sequence[str]) -> str:
    """Text beyond ASCII, where one codec without escape sequences tells what it says, as `record.decode` does."""
    if b"\x1b" in value or len(encodings) > 1 or encodings[0] == DEFAULT_ENCODING:
        raise UnusualHeader
    try:
        text = value.decode(encodings[0])
    except UnicodeDecodeError:
        raise UnusualHeader from None
    if is_utf8_instead(value, text, encodings[0]):
        raise UnusualHeader
    return text


def _decimals(value: bytes, encodings: Sequence[str]) -> Any:
    """DS; text of anything but plain digits is left to `record.text_of`."""
    if not value.translate(None, _OF_DECIMALS):
        try:
            if b"\\" not in value:
                if len(value) <= _LONGEST_DECIMAL:
                    return float(value)
            else:
                parts = value.split(b"\\", _MOST_VALUES)
                if len(value) <= _LONGEST_DECIMAL or max(map(len, parts)) <= _LONGEST_DECIMAL:
                    return [float(part) for part in parts]
        except ValueError:  # empty, or signs and points where none belong
            pass
    return _numbers(value, "DS", encodings)


def _numbers(value: bytes, vr: str, encodings: Sequence[str]) -> Any:
    if len(value) > LONGEST_VALUE // 4:
        raise UnusualHeader
    found = text_of(value, vr, encodings, untold)
    if may_be_number(found):  # the full reader says which one
        raise UnusualHeader
    return found


def _integers(value: bytes, encodings: Sequence[str]) -> Any:
    """IS, in the same way."""
    if not value.translate(None, _OF_INTEGERS):
        try:
            if b"\\" not in value:
                if len(value) <= _LONGEST_INTEGER:
                    return int(value)
            else:
                parts = value.split(b"\\", _MOST_VALUES)
                if max(map(len, parts)) <= _LONGEST_INTEGER:
                    return [int(part) for part in parts]
        except ValueError:
            pass
    return _numbers(value, "IS", encodings)
