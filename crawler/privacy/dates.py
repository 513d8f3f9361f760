"""Dates, times and ages as DICOM writes them (PS3.5 6.2): checked, shifted, capped. It knows no element."""

from __future__ import annotations

import datetime
import re
from functools import lru_cache

_DATE = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")  # with points as ACR-NEMA had them
_TIME = re.compile(r"(?:[01]\d|2[0-3])(?::?[0-5]\d(?::?(?:[0-5]\d|60)(?:\.\d{1,6})?)?)?")
_DATETIME = re.compile(r"(\d{4})(\d{2})?(\d{2})?(\d{2}(?:\d{2}(?:\d{2}(?:\.\d{1,6})?)?)?)?([+-]\d{4})?")
_AGE = re.compile(r"(\d{3})([DWMY])")
_DAYS = {"D": 1.0, "W": 7.0, "M": 30.4375, "Y": 365.25}


def day_of(text: str) -> datetime.date | None:
    """The day that a DA names; None where it is no date."""
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    try:
        return datetime.date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None


@lru_cache(65_536)
def shifted_date(text: str, days: int) -> str | None:
    """A DA so many days earlier; None where it is no date, or would lie before the year 1."""
    day = day_of(text)
    try:
        return None if day is None else f"{day - datetime.timedelta(days):%Y%m%d}".rjust(8, "0")
    except OverflowError:
        return None


@lru_cache(65_536)
def shifted_datetime(text: str, days: int) -> str | None:
    """A DT so many days earlier, without its offset from UTC, which tells a place; None where it is none.

    A year, or a month, alone becomes the year, or the month, of its first day shifted: the interval between two such
    values is as exact as they are.
    """
    match = _DATETIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, time, _ = match.groups()
    if time and not is_time(time):
        return None
    shifted = shifted_date(f"{year}{month or '01'}{day or '01'}", days)
    if shifted is None:
        return None
    return shifted[: 4 + 2 * bool(month) + 2 * bool(day)] + (time or "")


def is_time(text: str) -> bool:
    """Whether a text is a TM."""
    return _TIME.fullmatch(text) is not None


def is_datetime(text: str) -> bool:
    """Whether a text is a DT."""
    return shifted_datetime(text, 0) is not None


def capped_age(text: str, most: int) -> str | None:
    """An AS; one above `most` years is told as one more than that, in years. None where it is no age."""
    match = _AGE.fullmatch(text)
    if match is None:
        return None
    return f"{most + 1:03d}Y" if int(match[1]) * _DAYS[match[2]] >= (most + 1) * _DAYS["Y"] else text


def age_at(birth: str, study: str) -> str | None:
    """Age in whole years as an AS, from two DA; None where they tell none."""
    born, then = day_of(birth), day_of(study)
    if born is None or then is None or then < born:
        return None
    years = then.year - born.year - ((then.month, then.day) < (born.month, born.day))
    return f"{years:03d}Y" if years < 1000 else None
