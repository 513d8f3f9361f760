"""A list of ratings, as the viewer of `dme web` writes it: which series `select.list` keeps.

Rows name a series by *scan_id* and (0020,000E) *Series Instance UID*, or by one of the two. The file is read when a run
starts, and by each shard; it knows nothing of the input.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crawler.errors import ConfigError
from crawler.paths import portable

if TYPE_CHECKING:
    from crawler.config.loader import Config

RATINGS = ("keep", "drop", "unsure")
UNRATED = "unrated"
SCAN, SERIES, RATING = "scan_id", "SeriesInstanceUID", "rating"


@dataclass(frozen=True, slots=True)
class Row:
    """A rated series: line of the file, what names it (one of the two may be empty), and its rating."""

    line: int
    scan_id: str
    series: str
    rating: str


class Ratings:
    """The rows of a list, and which ratings are exported.

    Parameters
    ----------
    exported
        Ratings of `RATINGS` and `UNRATED`.
    uid
        What stands for a Series Instance UID in this output, where it is de-identified: the list may hold either.
    """

    def __init__(self, rows: Iterable[Row], exported: Iterable[str], uid: Callable[[str], str] = str) -> None:
        self.rows, self.exported = tuple(rows), frozenset(exported)
        self._scans: dict[tuple[str, str], Row] = {}
        self._series: dict[str, list[Row]] = {}
        for row in self.rows:
            for series in dict.fromkeys((row.series, uid(row.series) if row.series else "")):
                if row.scan_id:
                    self._scans[row.scan_id, series] = row
                if series:
                    self._series.setdefault(series, []).append(row)

    def row_of(self, scan_id: str, series: str) -> Row | None:
        """The row of a scan: its own, else that of its series, when all rows of that agree; None when it is unrated."""
        own = self._scans.get((scan_id, series)) or self._scans.get((scan_id, ""))
        if own is not None:
            return own
        rows = self._series.get(series, []) if series else []
        return rows[0] if len({row.rating in self.exported for row in rows}) == 1 else None

    def takes(self, scan_id: str, series: str) -> bool:
        """Whether a scan is exported."""
        row = self.row_of(scan_id, series)
        return (UNRATED if row is None else row.rating) in self.exported

    def digest(self) -> str:
        """Changes when the list leaves out other series."""
        told = sorted((row.scan_id, row.series, row.rating in self.exported) for row in self.rows)
        text = json.dumps([UNRATED in self.exported, told])
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def remarks(self, scans: Iterable[tuple[str, str]]) -> Iterator[str]:
        """What a person should hear when the list is held against all scans (scan_id, series) of an output.

        Rows are told by line: neither names of folders nor UIDs stand in it.
        """
        met: set[int] = set()
        unrated = 0
        for scan_id, series in scans:
            row = self.row_of(scan_id, series)
            unrated += row is None
            if row is not None:
                same = self._series.get(series, []) if series and row.scan_id != scan_id else []
                met.update(one.line for one in (row, *same))
        stale = [row.line for row in self.rows if row.line not in met]
        if stale:
            lines = ", ".join(map(str, stale[:5])) + (", ..." if len(stale) > 5 else "")
            yield f"{len(stale)} of {len(self.rows)} rated series are not in the input (lines {lines})"
        if unrated:
            fate = "exported" if UNRATED in self.exported else "left out"
            yield f"{unrated} series have no rating in the list: {fate}"


def ratings_path(config: Config) -> str | None:
    """Absolute native path of the list, an input; None when there is none."""
    if config.select is None or config.select.list is None:
        return None
    return config.named(config.select.list)


def ratings_of(config: Config, uid: Callable[[str], str] = str) -> Ratings | None:
    """The list of a configuration; None when it names none.

    Raises
    ------
    ConfigError
        It cannot be read, or says what cannot be.
    """
    path = ratings_path(config)
    if path is None or config.select is None:
        return None
    return Ratings(read_rows(path), config.select.rated, uid)


def ratings_digest(config: Config) -> str | None:
    """As `Ratings.digest`, of a configuration; None when it names no list."""
    ratings = ratings_of(config)
    return None if ratings is None else ratings.digest()


def read_rows(path: str) -> list[Row]:
    """Read a list: CSV in UTF-8, the columns in any order, others ignored. A row without rating says nothing.

    Raises
    ------
    ConfigError
        It cannot be read as such a list, or rates one series in two ways; the line is named, no content.
    """
    name = f"select.list: {portable(path)}"
    try:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{name}: not UTF-8 text; save it as CSV UTF-8") from None
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows: dict[tuple[str, str], Row] = {}
    try:
        titles = reader.fieldnames or ()
        if RATING not in titles or not {SCAN, SERIES} & {*titles}:
            raise ConfigError(f"{name}: expected the columns {SCAN}, {SERIES} (or one of them) and {RATING}")
        for cells in reader:
            row = _row(cells, reader.line_num, name)
            if row is None:
                continue
            first = rows.setdefault((row.scan_id, row.series), row)
            if first.rating != row.rating:
                raise ConfigError(f"{name}:{row.line}: another rating than in line {first.line}, of the same series")
    except csv.Error:
        raise ConfigError(f"{name}:{reader.line_num}: no CSV") from None
    return list(rows.values())


def _row(cells: dict[str, str], line: int, name: str) -> Row | None:
    """A row of the file; None for one that rates nothing."""
    scan_id, series, rating = ((cells.get(title) or "").strip() for title in (SCAN, SERIES, RATING))
    rating = rating.lower()
    if not rating:
        return None
    if rating not in RATINGS:
        raise ConfigError(f"{name}:{line}: expected a rating of {', '.join(RATINGS)}")
    if not (scan_id or series):
        raise ConfigError(f"{name}:{line}: names no series")
    return Row(line, scan_id, series, rating)
