"""Patterns that outputs are named by: `{PatientID}/{StudyDate}/{SeriesNumber:03d}_{SeriesDescription}`.

A pattern is checked before any work. What it gives for a row is a relative path that every file system takes, of parts
without separators, control characters or reserved names. That no two outputs have one name is the caller's task.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crawler.dicom.dictionary import BINARY_VRS, KeyStyle, dictionary_vr, key_for, tag_for, unknown_keyword

UNKNOWN = "unknown"
"""Stands for an element that is absent or empty."""
LONGEST = 200
"""Bytes of a part. File systems take 255 (ext4, APFS, NTFS in UTF-16 units); extensions and numbers come behind it."""
_FIELD = re.compile(r"\{([^{}]*)\}")
_SPEC = re.compile(r"0([1-9])d|\.([1-9][0-9]?)")
_KEPT = "._-+=@,"  # beside letters, marks and digits of any script
# Devices of Windows, with or without an extension ("Naming Files, Paths, and Namespaces", Win32 documentation).
_RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|clock\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE | re.DOTALL
)
# Elements that tell who a person is, or when and where they were seen (PS3.15 table E.1-1), and free text, in which
# people write names; beside those whose VR says so.
_PERSONAL = re.compile(
    r"Patient|Person|Physician|Operator|Birth|Accession|StudyID|Institution|Station|Description|Comment|ProtocolName|"
    r"Request|Procedure|Address"
)
_PERSONAL_VRS = frozenset(["PN", "DA", "DT", "TM", "UI", "AS", "LT", "ST", "UT"])


@dataclass(frozen=True, slots=True)
class Field:
    """One `{Keyword:spec}`: digits to pad a whole number to, or most characters; 0 for neither."""

    keyword: str
    digits: int = 0
    most: int = 0


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern as parts of a path, each of literal texts and fields. Made by `parse`."""

    parts: tuple[tuple[str | Field, ...], ...]

    @property
    def keywords(self) -> list[str]:
        """The elements that it reads, in order."""
        return list(dict.fromkeys(item.keyword for part in self.parts for item in part if isinstance(item, Field)))

    @property
    def personal(self) -> list[str]:
        """Those of them that may tell who a person is."""
        return [word for word in self.keywords if _PERSONAL.search(word) or _vr(word) in _PERSONAL_VRS]

    def expand(self, row: Mapping[str, Any], style: KeyStyle = "keyword") -> str:
        """Return the path for a row: forward slashes, at most `LONGEST` bytes a part, NFC."""
        return "/".join(safe("".join(_filled(item, row, style) for item in part)) for part in self.parts)


def parse(text: str) -> Pattern:
    """Read a pattern.

    Raises
    ------
    ValueError
        It is none; the text says what was expected.
    """
    if text.startswith("/") or "\\" in text or re.match(r"[A-Za-z]:", text):
        raise ValueError("a relative path with forward slashes")
    parts = text.split("/")
    if any(part.strip(" .") == "" for part in parts):
        raise ValueError("a path without empty parts, . and ..")
    if not _FIELD.search(text):
        raise ValueError("one element at least, such as {PatientID}")
    return Pattern(tuple(tuple(_items(part)) for part in parts))


def read_pattern(written: object) -> object:
    """A pattern as it is written, checked; anything but text unchanged, for the check of its type."""
    if isinstance(written, str) and written:
        parse(written)
    return written


def safe(text: str) -> str:
    """A text as a part of a path that every file system takes."""
    text = "".join(char if _is_kept(char) else "_" for char in unicodedata.normalize("NFC", text))
    text = re.sub("__+", "_", text).strip("_ ").rstrip(".")
    text = text.encode()[:LONGEST].decode(errors="ignore").rstrip("._") or UNKNOWN
    if text[0] in "-." or _RESERVED.fullmatch(text) or unicodedata.category(text[0])[0] == "M":
        text = f"_{text}"  # hidden, taken for a flag, a device, a mark without its letter
    return text


def _items(part: str) -> Iterator[str | Field]:
    at = 0
    for found in _FIELD.finditer(part):
        yield from _literal(part[at : found.start()])
        yield _field(found[1])
        at = found.end()
    yield from _literal(part[at:])


def _literal(text: str) -> Iterator[str]:
    if "{" in text or "}" in text:
        raise ValueError("a closing brace for each opening one, as in {PatientID}")
    for char in text:
        if not _is_kept(char) and char != " ":
            raise ValueError(f"letters, digits, spaces and any of {_KEPT} between elements, not {char!a}")
    if text:
        yield text


def _field(text: str) -> Field:
    keyword, colon, spec = text.partition(":")
    if unknown := unknown_keyword(keyword):
        raise ValueError(f"{{Keyword}} or {{Keyword:03d}}; {keyword!a} is {unknown}")
    vr = _vr(keyword)
    if vr == "SQ" or BINARY_VRS & {*vr.split(" or ")}:
        raise ValueError(f"elements that hold a text or a number, not {keyword} ({vr})")
    form = _SPEC.fullmatch(spec)
    if colon and form is None:
        raise ValueError(f"{{{keyword}:03d}} to pad a number, or {{{keyword}:.8}} for its first 8 characters")
    return Field(keyword, int(form[1] or 0), int(form[2] or 0)) if form else Field(keyword)


def _filled(item: str | Field, row: Mapping[str, Any], style: KeyStyle) -> str:
    return item if isinstance(item, str) else _text(item, row.get(key_for(item.keyword, style)))


def _text(field: Field, value: Any) -> str:
    """Content of an element as a piece of a name; of several values, all with hyphens between them."""
    values = value if isinstance(value, list) else [value]
    texts = [_one(field, item) for item in values if item is not None and not isinstance(item, dict | list)]
    text = "-".join(text for text in texts if text)
    # Cleaned by itself, so that what is empty in a name is told, and not the letters around it.
    return safe(text[: field.most] if field.most else text)


def _one(field: Field, value: Any) -> str:
    if field.digits and not isinstance(value, bool):
        try:
            number = float(value)
        except (TypeError, ValueError):
            return str(value)
        if number.is_integer() and abs(number) < 1e15:
            return f"{int(number):0{field.digits}d}"
    return str(value)


def _vr(keyword: str) -> str:
    return dictionary_vr(tag_for(keyword) or 0)


def _is_kept(char: str) -> bool:
    return char in _KEPT or (char.isalnum() if char.isascii() else unicodedata.category(char)[0] in "LMN")
