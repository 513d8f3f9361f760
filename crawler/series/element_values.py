"""Elements by their names, and their values as plain ones. No header is looked at."""

from __future__ import annotations

from typing import Any

from crawler.dicom.dictionary import key_of, tag_for
from crawler.series.errors import UnknownTag


def plain_value(value: Any) -> Any:
    """A pydicom value as records have it: plain numbers, texts and lists of them."""
    if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
        return [plain_value(one) for one in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if type(value).__name__ in ("PersonName", "UID", "DA", "TM", "DT", "DSdecimal"):
        return str(value)
    return value


def keyword_of(element: Any) -> str:
    """Keyword of an element that is given by keyword, name of a tag, number, or pair of numbers.

    Raises
    ------
    UnknownTag
        There is none.
    """
    if isinstance(element, str):
        if tag_for(element) is None:
            raise UnknownTag(f"{element!r} is no keyword of an element")
        return element
    number = (int(element[0]) << 16) + int(element[1]) if isinstance(element, tuple) else int(element)
    keyword = key_of(number)
    if tag_for(keyword) is None:
        raise UnknownTag(f"({number >> 16:04X},{number & 0xFFFF:04X}) is no element with a keyword")
    return keyword
