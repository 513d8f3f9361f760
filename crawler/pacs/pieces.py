"""A query for studies as two or more narrower ones that together match the same: by date, then time, then identifier.

Servers cut an answer off at some count, often without a word. Which counts are suspicious, and how far a query can be
split, is all that is here; `find.py` asks.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from datetime import date, timedelta

# Limits of servers that their users reported: 100 and 1000 (Google), 200 (DICOM-RST), 500 (many), 10,000 and 50,000
# (archives' defaults), and powers of two.
_KNOWN = frozenset([101, 256, 512, 1001, 1024, 2048, 4096, 8192, 16384, 32768, 65535, 65536])
_ROUND = 100
_EARLIEST = date(1900, 1, 1)
_LAST_SECOND = 86_399
_SIGNS = string.digits + string.ascii_uppercase + string.ascii_lowercase + "-_. "


def suspicious(count: int) -> bool:
    """Whether an answer of that many matches may have been cut off: a multiple of a hundred, or a known limit."""
    return count in _KNOWN or (count >= _ROUND and count % _ROUND == 0)


def halves(keys: Mapping[str, str], ignored: frozenset[str], today: date) -> tuple[str, list[dict[str, str]]]:
    """Return narrower queries.

    Parameters
    ----------
    ignored
        Keywords that the server leaves out of account.
    today
        In an open range, half of what there is lies before it or behind.

    Returns
    -------
    str, list of dict
        The keyword that they differ in, and the queries; "" and [] when the query cannot be split.
    """
    for keyword, split in (("StudyDate", _dates), ("StudyTime", _times), ("PatientID", _identifiers)):
        if keyword in ignored:
            continue
        values = split(keys, today)
        if values:
            return keyword, [{**keys, keyword: value} for value in values]
    return "", []


def _dates(keys: Mapping[str, str], today: date) -> list[str]:
    """Two ranges of dates; open ends stay open."""
    asked = keys.get("StudyDate", "").strip("* ")
    first, hyphen, last = asked.partition("-")
    if asked and not hyphen:
        return []
    try:
        low = date.fromisoformat(first) if first else None
        high = date.fromisoformat(last) if last else None
    except ValueError:
        return []
    start = low or min(_EARLIEST, (high or today) - timedelta(days=365))
    end = high or max(today, start + timedelta(days=365))
    if start >= end:
        return []
    middle = start + (end - start) // 2
    if low is None and high is None:
        middle = today - timedelta(days=3650)  # most archives began later than 1900
    after = middle + timedelta(days=1)
    right = f"{after:%Y%m%d}" if high == after else f"{after:%Y%m%d}-{last}"
    left = f"{middle:%Y%m%d}" if low == middle else f"{first}-{middle:%Y%m%d}"
    return [left, right]


def _times(keys: Mapping[str, str], _: date) -> list[str]:
    """Two ranges of times in a day; the last second's fractions are in."""
    asked = keys.get("StudyTime", "").strip("* ")
    first, hyphen, last = asked.partition("-")
    if asked and not hyphen:
        return []
    start = _seconds(first or "000000")
    end = _seconds(last or "235959")
    if start is None or end is None or start >= end:
        return []
    middle = (start + end) // 2
    return [
        f"{_clock(start)}-{_clock(middle)}.999999",
        f"{_clock(middle + 1)}-{_clock(end)}.999999",
    ]


def _seconds(text: str) -> int | None:
    digits = text.partition(".")[0].ljust(6, "0")
    if len(digits) != 6 or not digits.isdigit():
        return None
    return min(int(digits[:2]) * 3600 + int(digits[2:4]) * 60 + int(digits[4:]), _LAST_SECOND)


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}{seconds // 60 % 60:02}{seconds % 60:02}"


def _identifiers(keys: Mapping[str, str], _: date) -> list[str]:
    """One query a next sign of PatientID, and one for the identifier that ends here."""
    asked = keys.get("PatientID", "").strip() or "*"
    prefix = asked.removesuffix("*")
    if prefix == asked or "*" in prefix or "?" in prefix or "\\" in prefix or len(prefix) >= 64:
        return []
    # A blank in front is no part of a value (PS3.5 6.2), so " *" would match all.
    signs = _SIGNS if prefix else _SIGNS.strip()
    return [*([prefix] if prefix else []), *(f"{prefix}{sign}*" for sign in signs)]
