"""A cohort: a CSV file with one request a row, whose columns are DICOM keywords.

Every line of the file becomes a request, or says what is wrong with it; none is dropped, and none stops another. A line
is a row: identifiers hold no line breaks, and a quote that nobody closed must not swallow the rows below it.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from crawler.errors import ConfigError
from crawler.pacs.query import keyword_of, nearest, text_of, wrong_key, wrong_request
from crawler.pacs.wanted import Ask
from crawler.paths import portable

# Columns that `cohort.csv` adds; read back they say nothing, so that the file that came out may go in again.
RESULTS = ("line", "found", "expected", "received", "exported", "reason")
_DELIMITERS = ",;\t|"
_REMARK = "#"  # a column whose title begins so is the user's own
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True, slots=True)
class Cohort:
    """What a file asks for: its own columns as they were written, and a request a row with that row's cells."""

    columns: tuple[str, ...]
    asks: tuple[Ask, ...]


def read_cohort(path: Path, common: Mapping[str, str] | None = None) -> Cohort:
    """Read the file.

    Parameters
    ----------
    common
        Keys that every row has, unless it says otherwise.

    Raises
    ------
    ConfigError
        It cannot be read as text, has no columns, or one that is no keyword: a condition that is misspelt would be left
        out, and the row match more than it should.
    """
    name = portable(str(path))
    lines = _lines(path, name)
    header = next(((number, line) for number, line in lines if line.strip()), None)
    if header is None:
        raise ConfigError(f"pacs.list: {name} is empty: its first line names the columns, such as AccessionNumber")
    delimiter = max(_DELIMITERS, key=header[1].count)
    titles = _cells(header[1], delimiter)
    if titles is None:
        raise ConfigError(f"pacs.list: {name}:{header[0]}: a quote is not closed")
    keywords = [_keyword(title, f"pacs.list: {name}:{header[0]}") for title in titles]
    used = [keyword for keyword in keywords if keyword]
    if not used:
        raise ConfigError(f"pacs.list: {name}:{header[0]}: no column is a DICOM keyword, such as AccessionNumber")
    if doubled := next((keyword for keyword in used if used.count(keyword) > 1), None):
        raise ConfigError(f"pacs.list: {name}:{header[0]}: {doubled} is the title of several columns")
    own = [number for number, title in enumerate(titles) if not _is_result(title)]
    seen: dict[tuple[tuple[str, str], ...], int] = {}
    asks: list[Ask] = []
    for number, line in lines:
        if number <= header[0] or not line.strip():
            continue
        cells = _cells(line, delimiter)
        keys, wrong = _request(cells, keywords, dict(common or {}))
        remark = ""
        if not wrong:
            first = seen.setdefault(tuple(sorted(keys.items())), number)
            remark = "" if first == number else f"the same request as line {first}"
        kept = [cells[place] if cells and place < len(cells) else "" for place in own]
        asks.append(Ask(number, keys, wrong, remark, tuple(kept)))
    return Cohort(tuple(titles[place] for place in own), tuple(asks))


def _lines(path: Path, name: str) -> list[tuple[int, str]]:
    """Numbered lines, from 1."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"pacs.list: {name} cannot be read: {error.strerror}") from None
    encoding = next((name for mark, name in _BOMS.items() if raw.startswith(mark)), "utf-8")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"pacs.list: {name}:{line}: not UTF-8 text; save it as CSV UTF-8") from None
    return list(enumerate(re.split(r"\r\n|\n|\r", text), 1))  # not at the many others that str.splitlines knows


def _cells(line: str, delimiter: str) -> list[str] | None:
    """The cells of a line without blanks around them; None where a quote is not closed."""
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter, strict=True))]
    except csv.Error:
        return None


def _keyword(title: str, where: str) -> str:
    """The keyword of a column; empty for one that asks for nothing."""
    if title.startswith(_REMARK) or _is_result(title):
        return ""
    keyword = keyword_of(title)
    if keyword is None:
        near = nearest(title)
        hint = f"; nearest: {near}" if near else ""
        shown = title if title.isprintable() else ascii(title)
        raise ConfigError(
            f"{where}: the column {shown[:60]!r} is no DICOM keyword{hint}."
            " Begin the title with # for a column of your own"
        )
    if wrong := wrong_key(keyword):
        raise ConfigError(f"{where}: {keyword} {wrong}")
    return keyword


def _is_result(title: str) -> bool:
    return title.casefold() in RESULTS


def _request(cells: list[str] | None, keywords: list[str], common: dict[str, str]) -> tuple[dict[str, str], str]:
    """The keys of a row, and what is wrong with them."""
    if cells is None:
        return {}, "a quote is not closed"
    if len(cells) != len(keywords):
        return {}, f"has {len(cells):,} cells for {len(keywords):,} columns"
    own = {keyword: text_of(keyword, cell) for keyword, cell in zip(keywords, cells, strict=True) if keyword and cell}
    if not own:
        return {}, "holds no value"
    if wrong := wrong_request(own):
        return own, wrong
    return common | own, ""
