"""Numbers that are not written as their VR wants: with a decimal comma, with a fraction in IS, as text of another VR.

They are used where they mean one number only, which is told. Numbers that are written as they should be are
`record.py`'s.
"""

from __future__ import annotations

import re
from typing import Any

from crawler.dicom.charsets import Tell
from crawler.dicom.dictionary import NUMBER_VRS, TEXT_VRS, dictionary_vr, is_private, public_entry

_INTEGERS = (NUMBER_VRS - {"FD", "FL"}) | {"IS", "US or SS"}
_NUMERIC = NUMBER_VRS | {"DS", "IS", "US or SS"}
_FRACTIONAL = frozenset({"DS", "FD", "FL"})

_POINT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
_COMMA = re.compile(r"[+-]?([0-9]+,[0-9]*|,[0-9]+)([eE][+-]?[0-9]{1,3})?")
# "1,234" may count thousands, "0,234" and "1,23" cannot.
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")
_LONGEST = 64  # characters; 16 are allowed (PS3.5 6.2)
_EXACT = 2**53  # beyond it a double does not hold every whole number


def is_misplaced(tag: int, vr: str) -> bool:
    """Whether a public element that holds numbers has a VR of text, or one of fractions for whole numbers."""
    if is_private(tag) or (vr not in TEXT_VRS and vr not in _FRACTIONAL):
        return False
    wanted = dictionary_vr(tag)
    if vr in ("DS", "IS") or vr in _FRACTIONAL:
        return vr != wanted and wanted in _INTEGERS and vr in _FRACTIONAL
    return wanted in _NUMERIC


def may_be_number(value: Any) -> bool:
    """Whether a converted value, or one in a list, is text that `meant_numbers` may turn into a number."""
    texts = value if isinstance(value, list) else [value]
    return any(isinstance(text, str) and _number(text, comma=True) is not None for text in texts)


def meant_numbers(tag: int, vr: str, value: Any, tell: Tell) -> Any:
    """Return the numbers that a converted value means, or the value itself.

    Parameters
    ----------
    value
        Numbers, text that is none of its VR's, or a list of both.
    tell
        Called where numbers are returned in place of text.
    """
    wanted = dictionary_vr(tag) if not is_private(tag) else "UN"
    if wanted not in _NUMERIC:
        wanted = vr if vr in ("DS", "IS") else ""
    if not wanted:
        return value
    parts = value.split("\\") if isinstance(value, str) else value if isinstance(value, list) else [value]
    if not all(part is None or isinstance(part, (str, int, float)) for part in parts):
        return value
    texts = [part.strip(" \0") for part in parts if isinstance(part, str)]
    comma = any(_COMMA.fullmatch(text) for text in texts if len(text) <= _LONGEST)
    if comma and not _is_decimal_comma(tag, texts, len(parts)):
        return value
    numbers = [_number(part, comma) if isinstance(part, str) else part for part in parts]
    if any(number is None and part not in (None, "") for number, part in zip(numbers, parts, strict=True)):
        return value
    if any(isinstance(number, float) and abs(number) > _EXACT for number in numbers):
        return value  # the text has more digits
    if wanted in _INTEGERS:
        numbers = [_whole(number) for number in numbers]
        if wanted != "IS" and any(isinstance(number, float) for number in numbers):
            return value  # IS with a fraction means what it says; binary VRs cannot hold it
    if numbers == parts and list(map(type, numbers)) == list(map(type, parts)):
        return value
    if comma:
        tell("decimal comma")
    elif vr != wanted and vr not in _FRACTIONAL:
        tell(f"numbers in {vr} in place of {wanted}")
    else:
        tell(f"numbers that are not written as {wanted}")
    return numbers if isinstance(value, list) or len(numbers) > 1 else numbers[0]


def _is_decimal_comma(tag: int, texts: list[str], count: int) -> bool:
    """Whether a comma can only be a decimal one: it does not separate values, nor thousands."""
    entry = None if is_private(tag) else public_entry(tag)
    multiplicity = entry[1] if entry else "1"
    if multiplicity.isdigit() and int(multiplicity) != count:
        return False
    return any("," in text and not _THOUSANDS.fullmatch(text) for text in texts)


def _number(text: str, comma: bool) -> float | None:
    """A finite number; None for no number."""
    text = text.strip(" \0")
    if len(text) > _LONGEST:
        return None
    if comma and _COMMA.fullmatch(text):
        text = text.replace(",", ".")
    if not _POINT.fullmatch(text):
        return None
    number = float(text)
    return number if abs(number) < float("inf") else None


def _whole(number: Any) -> Any:
    """A whole number as int, any other as it is."""
    if isinstance(number, float) and number.is_integer():
        return int(number)
    return number
