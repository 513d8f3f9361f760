"""What the ledger can be asked about a run: counts, failures, scans, volumes. It changes nothing."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from crawler.errors import LedgerError

_IS_SERIES = "EXISTS (SELECT 1 FROM files WHERE files.scan = scans.id AND files.reason <> 'index')"


def iter_rows(cursor: sqlite3.Cursor) -> Iterator[Any]:
    """The rows of a cursor. A generator that delegates to the cursor itself closes it at its end.

    When that comes after the database is closed, as when a run stops in the middle of a table, it is an error that
    nobody can catch, and Python prints it.
    """
    for row in cursor:  # noqa: UP028 - see above
        yield row


class Accounts:
    """The questions; `Ledger` is one that also writes."""

    def execute(self, sql: str, values: Iterable[Any] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        raise AssertionError("a ledger says how")

    def parsed(self, text: Any) -> Any:
        """A JSON value of a table.

        Raises
        ------
        LedgerError
            It is none: the ledger was changed by hand, or is damaged.
        """
        try:
            return json.loads(text)
        except (TypeError, ValueError):
            raise LedgerError("the ledger is damaged (a value is no JSON); rerun with --rebuild") from None

    def accounts(self) -> list[tuple[str, str, str, int, int]]:
        """(outcome, stage, reason, files, bytes), the largest first."""
        sql = (
            "SELECT outcome, stage, reason, count(*) AS n, sum(size) FROM files"
            " GROUP BY outcome, stage, reason ORDER BY outcome, n DESC, stage, reason"
        )
        return self.execute(sql).fetchall()

    def failures(self) -> Iterator[tuple[str, str, str, str, str]]:
        """(folder, file, stage, reason, detail) of failed files, by path."""
        sql = (
            "SELECT path, name, stage, reason, detail FROM files JOIN folders ON folder = folders.id"
            " WHERE outcome = 'failed' ORDER BY path, name"
        )
        yield from iter_rows(self.execute(sql))

    def scans(self) -> Iterator[tuple[str, dict[str, Any], int]]:
        """(scan_id, verdict, folders that hold instances of its series), by scan_id; a DICOMDIR is no series."""
        sql = (
            "SELECT scan_id, verdict, (SELECT count(*) FROM scans AS other WHERE other.series = scans.series)"
            f" FROM scans WHERE {_IS_SERIES} ORDER BY scan_id"
        )
        for scan_id, verdict, folders in self.execute(sql):
            yield scan_id, self.parsed(verdict), folders

    def series_count(self) -> int:
        """Series in folders (scans); a DICOMDIR is none."""
        return int(self.execute(f"SELECT count(*) FROM scans WHERE {_IS_SERIES}").fetchone()[0])

    def volume_count(self) -> int:
        """Arrays that were written, in however many formats."""
        sql = "SELECT count(*) FROM (SELECT DISTINCT scan, layout FROM products WHERE kind = 'volume')"
        return int(self.execute(sql).fetchone()[0])

    def verdict(self, scan_id: str) -> dict[str, Any]:
        """The verdict of one scan; empty when there is none."""
        row = self.execute("SELECT verdict FROM scans WHERE scan_id = ?", (scan_id,)).fetchone()
        return {} if row is None else dict(self.parsed(row[0]))

    def scattered(self) -> int:
        """Series that lie in several folders."""
        sql = "SELECT count(*) FROM (SELECT 1 FROM scans GROUP BY series HAVING count(*) > 1)"
        return int(self.execute(sql).fetchone()[0])

    def volumes(self) -> Iterator[tuple[str, str, bytes]]:
        """(scan_id, layout, path) of every volume, by scan and layout."""
        sql = (
            "SELECT scan_id, layout, path FROM products JOIN scans ON scan = scans.id WHERE kind = 'volume'"
            " ORDER BY scan_id, layout, path"
        )
        yield from iter_rows(self.execute(sql))

    def previews(self) -> Iterator[tuple[str, bytes]]:
        """(scan_id, path) of every preview, by scan and layout."""
        sql = (
            "SELECT scan_id, path FROM products JOIN scans ON scan = scans.id WHERE kind = 'preview'"
            " ORDER BY scan_id, length(layout), layout, path"
        )
        yield from iter_rows(self.execute(sql))

    def media(self) -> Iterator[tuple[str, int, bytes]]:
        """(scan_id, files, the first one's path) of every scan that has any in the folder of media, by scan."""
        sql = (
            "SELECT scan_id, count(*), min(path) FROM products JOIN scans ON scan = scans.id"
            " WHERE kind IN ('image', 'video', 'document', 'waveform', 'text') GROUP BY scan_id ORDER BY scan_id"
        )
        yield from iter_rows(self.execute(sql))

    def losses(self) -> Iterator[tuple[str, str, int]]:
        """(scan_id, outcome, files) of the files of scans that were not exported, by scan and outcome."""
        sql = (
            "SELECT scan_id, outcome, count(*) FROM files JOIN scans ON scan = scans.id WHERE outcome <> 'exported'"
            " GROUP BY scan_id, outcome ORDER BY scan_id, outcome"
        )
        yield from iter_rows(self.execute(sql))

    def exported_in(self, folder: str) -> int:
        """Files of one folder that were exported."""
        sql = (
            "SELECT count(*) FROM files WHERE outcome = 'exported' AND folder = (SELECT id FROM folders WHERE path = ?)"
        )
        return int(self.execute(sql, (folder,)).fetchone()[0])

    def count(self, table: str) -> int:
        """Rows of a table."""
        if table not in ("files", "folders", "scans", "products", "trash", "todo", "seen"):
            raise ValueError(table)
        return int(self.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def totals(self) -> tuple[int, int]:
        """Files and bytes queued in this run."""
        files, size = self.execute("SELECT coalesce(sum(count), 0), coalesce(sum(size), 0) FROM todo").fetchone()
        return int(files), int(size)

    def products_of(self, scan_id: str, kinds: Sequence[str]) -> list[tuple[str, bytes, int, str]]:
        """(layout, path, size, checksum) of a scan's products of some kinds, by layout and path."""
        sql = (
            "SELECT layout, path, products.size, checksum FROM products JOIN scans ON scan = scans.id"
            f" WHERE scan_id = ? AND kind IN ({', '.join('?' * len(kinds))}) ORDER BY layout, path"
        )
        return self.execute(sql, (scan_id, *kinds)).fetchall()

    def product(self, kinds: Sequence[str], path: bytes) -> tuple[int, str] | None:
        """Size and checksum of a product of one of some kinds."""
        sql = f"SELECT size, checksum FROM products WHERE kind IN ({', '.join('?' * len(kinds))}) AND path = ?"
        found: tuple[int, str] | None = self.execute(sql, (*kinds, path)).fetchone()
        return found
