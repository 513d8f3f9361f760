"""What is done: one SQLite file beside the JSONL, the only truth about a run's progress.

It holds folders (digest of the listing), files (size, mtime, outcome), scans (digest, verdict, their rows' place in the
JSONL) and products (path, checksum). It reads no DICOM and writes no output; the JSONL itself is `rows.py`.

Everything that one commit holds is true together. Paths of products are stored relative to their output root, as bytes.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from crawler.errors import LedgerError, OutputError
from crawler.model import Outcome, portable

VERSION = 1
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE folders (id INTEGER PRIMARY KEY, path TEXT UNIQUE, digest TEXT NOT NULL, found TEXT);
CREATE TABLE files (folder INTEGER, name TEXT, size INTEGER, mtime INTEGER, outcome TEXT, stage TEXT, reason TEXT,
    detail TEXT, scan INTEGER, PRIMARY KEY (folder, name)) WITHOUT ROWID;
CREATE INDEX files_of_scan ON files (scan);
CREATE TABLE scans (id INTEGER PRIMARY KEY, folder INTEGER, scan_id TEXT UNIQUE, digest TEXT, verdict TEXT,
    start INTEGER, stop INTEGER, new_start INTEGER);
CREATE INDEX scans_of_folder ON scans (folder);
CREATE TABLE products (kind TEXT, path BLOB, scan INTEGER, layout TEXT, size INTEGER, checksum TEXT,
    PRIMARY KEY (kind, path)) WITHOUT ROWID;
CREATE INDEX products_of_scan ON products (scan);
CREATE TABLE trash (kind TEXT, path BLOB, PRIMARY KEY (kind, path)) WITHOUT ROWID;
"""
_SCRATCH = """
CREATE TEMP TABLE todo (number INTEGER PRIMARY KEY, root INTEGER, path BLOB, count INTEGER, size INTEGER);
CREATE TEMP TABLE seen (id INTEGER PRIMARY KEY);
"""

FileRow = tuple[str, int, int, Outcome]
"""Name (as in `File.key`, last component), size, mtime in ns, outcome."""
ProductRow = tuple[str, bytes, str, int, str]
"""Kind, path relative to the kind's output root, layout, size, checksum."""


@dataclass(frozen=True, slots=True)
class ScanRow:
    """One scan as the ledger keeps it; `span` is the place of its rows in the JSONL."""

    scan_id: str
    digest: str
    verdict: dict[str, Any]
    span: tuple[int, int]
    files: tuple[FileRow, ...]
    products: tuple[ProductRow, ...]


class Ledger:
    """An open ledger, locked against a second run. Changes gather until `commit`.

    Parameters
    ----------
    path
        The SQLite file; made when absent.

    Raises
    ------
    LedgerError
        It is damaged, of another version, or in use by another run.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._db = sqlite3.connect(path, timeout=1.0, isolation_level=None)
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = DELETE")  # a rollback journal also serves on network disks
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("BEGIN EXCLUSIVE")
            self._open()
        except sqlite3.Error as error:
            self._db.close()
            raise self.translate(error) from None

    def _open(self) -> None:
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not tables:
            for statement in _SCHEMA.split(";\n"):
                self._db.execute(statement)
            self.put("version", VERSION)
        elif self.get("version") != VERSION:
            raise LedgerError(f"{portable(self.path)} was written by another version of dme; rerun with --rebuild")
        for statement in _SCRATCH.strip().split(";\n"):
            self._db.execute(statement)
        self.commit()

    def translate(self, error: sqlite3.Error) -> LedgerError | OutputError:
        """What an error of SQLite means to the user."""
        text, name = str(error), portable(self.path)
        if "locked" in text or "busy" in text:
            return LedgerError(f"{name} is in use: another run works on this output; wait for it, or stop it")
        if "full" in text:
            return OutputError("the disk is full; all that was committed is kept: free space and run again")
        if "unable to open" in text or "readonly" in text:
            return OutputError(f"{name} cannot be written: check the folder and its permissions")
        return LedgerError(
            f"{name} is damaged ({text}); rerun with --rebuild: it is set aside with its JSONL, and all is made anew"
        )

    def commit(self) -> None:
        """Make all changes since the last commit permanent."""
        try:
            self._db.execute("COMMIT")
            self._db.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            raise self.translate(error) from None

    def close(self) -> None:
        """Forget uncommitted changes and let go of the lock."""
        self._db.close()

    def _run(self, sql: str, values: Iterable[Any] = ()) -> sqlite3.Cursor:
        try:
            return self._db.execute(sql, tuple(values))
        except sqlite3.Error as error:
            raise self.translate(error) from None

    # -- single values -------------------------------------------------------------------------------------------

    def get(self, key: str, default: Any = None) -> Any:
        """A JSON value by name."""
        row = self._run("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if row is None else json.loads(row[0])

    def put(self, key: str, value: Any) -> None:
        """Keep a JSON value by name."""
        self._run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    def touch(self) -> None:
        """Note that something changed: views made before are stale."""
        self.put("revision", self.get("revision", 0) + 1)

    # -- folders -------------------------------------------------------------------------------------------------

    def visit(self, path: str) -> str:
        """Note that a folder exists; return its digest, empty when it is unknown or unfinished."""
        row = self._run("SELECT id, digest FROM folders WHERE path = ?", (path,)).fetchone()
        if row is None:
            return ""
        self._run("INSERT OR IGNORE INTO seen VALUES (?)", (row[0],))
        return str(row[1])

    def open_folder(self, path: str, found: Iterable[str]) -> frozenset[str]:
        """Take a folder in work: what we write there from now on is ours, but not what was `found` there.

        Returns what was found when the folder was first taken in work, if that work was never finished.
        """
        row = self._run("SELECT found FROM folders WHERE path = ?", (path,)).fetchone()
        if row is not None and row[0] is not None:
            return frozenset(json.loads(row[0]))
        names = sorted(found)
        self._run(
            "INSERT INTO folders (path, digest, found) VALUES (?, '', ?)"
            " ON CONFLICT (path) DO UPDATE SET digest = '', found = excluded.found",
            (path, json.dumps(names)),
        )
        self._run("INSERT OR IGNORE INTO seen SELECT id FROM folders WHERE path = ?", (path,))
        return frozenset(names)

    def known_scans(self, path: str) -> dict[str, str]:
        """Digests of a folder's finished scans, by scan_id."""
        sql = "SELECT scan_id, scans.digest FROM scans JOIN folders ON folder = folders.id WHERE path = ?"
        return dict(self._run(sql, (path,)).fetchall())

    def products_in(self, path: str) -> set[tuple[str, bytes]]:
        """(kind, path) of a folder's products, and of all that waits for deletion."""
        sql = (
            "SELECT kind, products.path FROM products JOIN scans ON scan = scans.id JOIN folders ON folder = folders.id"
            " WHERE folders.path = ? UNION SELECT kind, path FROM trash"
        )
        return set(self._run(sql, (path,)).fetchall())

    def finish_folder(self, path: str, digest: str, loose: Iterable[FileRow], scans: Iterable[str]) -> None:
        """A folder is done: `loose` are its files outside scans, `scans` all scan_ids it holds now."""
        folder = self._folder(path)
        kept = set(scans)
        for number, scan_id in self._run("SELECT id, scan_id FROM scans WHERE folder = ?", (folder,)).fetchall():
            if scan_id not in kept:
                self._drop_scan(number)
        self._run("DELETE FROM files WHERE folder = ? AND scan IS NULL", (folder,))
        self._add_files(folder, None, loose)
        self._run("UPDATE folders SET digest = ?, found = NULL WHERE id = ?", (digest, folder))

    def forget_vanished(self) -> int:
        """Drop every folder that was not visited; return how many."""
        unseen = [row[0] for row in self._run("SELECT id FROM folders WHERE id NOT IN (SELECT id FROM seen)")]
        for folder in unseen:
            for (number,) in self._run("SELECT id FROM scans WHERE folder = ?", (folder,)).fetchall():
                self._drop_scan(number)
            self._run("DELETE FROM files WHERE folder = ?", (folder,))
            self._run("DELETE FROM folders WHERE id = ?", (folder,))
        return len(unseen)

    def forget_digests(self, failed_only: bool = False) -> None:
        """Have folders looked at again on this run: all, or those with failed files."""
        some = "IN (SELECT {} FROM files WHERE outcome = 'failed')" if failed_only else "IS NOT NULL"
        self._run(f"UPDATE scans SET digest = '' WHERE id {some.format('scan')}")
        self._run(f"UPDATE folders SET digest = '' WHERE id {some.format('folder')}")

    def _folder(self, path: str) -> int:
        return int(self._run("SELECT id FROM folders WHERE path = ?", (path,)).fetchone()[0])

    # -- scans ---------------------------------------------------------------------------------------------------

    def put_scan(self, folder: str, scan: ScanRow) -> None:
        """Replace a scan: its files, products and rows; products that it no longer has go to the trash."""
        number = self._folder(folder)
        old = self._run("SELECT id FROM scans WHERE scan_id = ?", (scan.scan_id,)).fetchone()
        if old is not None:
            self._drop_scan(old[0])
        cursor = self._run(
            "INSERT INTO scans (folder, scan_id, digest, verdict, start, stop) VALUES (?, ?, ?, ?, ?, ?)",
            (number, scan.scan_id, scan.digest, json.dumps(scan.verdict), *scan.span),
        )
        self._add_files(number, cursor.lastrowid, scan.files)
        for kind, path, layout, size, checksum in scan.products:
            values = (kind, path, cursor.lastrowid, layout, size, checksum)
            self._run("INSERT OR REPLACE INTO products VALUES (?, ?, ?, ?, ?, ?)", values)
            self._run("DELETE FROM trash WHERE kind = ? AND path = ?", (kind, path))

    def _drop_scan(self, number: int) -> None:
        self._run("INSERT OR IGNORE INTO trash SELECT kind, path FROM products WHERE scan = ?", (number,))
        self._run("DELETE FROM products WHERE scan = ?", (number,))
        self._run(
            "DELETE FROM files WHERE scan = ? AND folder = (SELECT folder FROM scans WHERE id = ?)", (number,) * 2
        )
        self._run("DELETE FROM scans WHERE id = ?", (number,))

    def _add_files(self, folder: int, scan: int | None, files: Iterable[FileRow]) -> None:
        rows = [(folder, n, s, m, o.outcome, o.stage, o.reason, o.detail, scan) for n, s, m, o in files]
        try:
            self._db.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        except sqlite3.Error as error:
            raise self.translate(error) from None

    def trash(self) -> list[tuple[str, bytes]]:
        """(kind, path) of products that nothing names any more."""
        sql = "SELECT kind, path FROM trash EXCEPT SELECT kind, path FROM products"
        return self._run(sql).fetchall()

    def all_products(self) -> list[tuple[str, bytes]]:
        """(kind, path) of everything that is ours."""
        return self._run("SELECT kind, path FROM products UNION SELECT kind, path FROM trash").fetchall()

    def empty_trash(self) -> None:
        """Forget the trash: its files are deleted."""
        self._run("DELETE FROM trash")

    # -- rows of the JSONL ---------------------------------------------------------------------------------------

    def spans(self) -> list[tuple[int, int]]:
        """(start, stop) of every live range of the JSONL, in order."""
        return self._run("SELECT start, stop FROM scans WHERE stop > start ORDER BY start").fetchall()

    def lose_rows(self, length: int) -> int:
        """The JSONL holds only `length` bytes: have the scans beyond it made again; return how many."""
        sql = "UPDATE folders SET digest = '' WHERE id IN (SELECT folder FROM scans WHERE stop > ? AND stop > start)"
        self._run(sql, (length,))
        lost = self._run("UPDATE scans SET digest = '', start = 0, stop = 0 WHERE stop > ?", (length,))
        return lost.rowcount

    def plan_spans(self) -> None:
        """Note where each range will lie once dead rows are gone."""
        place = 0
        rows = self._run("SELECT id, stop - start FROM scans WHERE stop > start ORDER BY start").fetchall()
        for number, size in rows:
            self._run("UPDATE scans SET new_start = ? WHERE id = ?", (place, number))
            place += size

    def move_spans(self) -> None:
        """The compacted JSONL is in place."""
        self._run("UPDATE scans SET stop = new_start + stop - start, start = new_start WHERE stop > start")

    # -- work of this run ----------------------------------------------------------------------------------------

    def add_todo(self, rows: Iterable[tuple[int, bytes, int, int]]) -> None:
        """Queue folders: number of the root, path, files, bytes."""
        self._db.executemany("INSERT INTO todo (root, path, count, size) VALUES (?, ?, ?, ?)", rows)

    def todo(self) -> Iterator[tuple[int, bytes]]:
        """Queued folders in order; memory for a thousand at a time."""
        last = 0
        while batch := self._run("SELECT * FROM todo WHERE number > ? ORDER BY number LIMIT 1000", (last,)).fetchall():
            for _, root, path, _, _ in batch:
                yield root, path
            last = batch[-1][0]

    # -- accounts ------------------------------------------------------------------------------------------------

    def accounts(self) -> list[tuple[str, str, str, int, int]]:
        """(outcome, stage, reason, files, bytes), the largest first."""
        sql = (
            "SELECT outcome, stage, reason, count(*) AS n, sum(size) FROM files"
            " GROUP BY outcome, stage, reason ORDER BY outcome, n DESC, stage, reason"
        )
        return self._run(sql).fetchall()

    def failures(self) -> Iterator[tuple[str, str, str, str, str]]:
        """(folder, file, stage, reason, detail) of failed files, by path."""
        sql = (
            "SELECT path, name, stage, reason, detail FROM files JOIN folders ON folder = folders.id"
            " WHERE outcome = 'failed' ORDER BY path, name"
        )
        yield from self._run(sql)

    def scans(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(scan_id, verdict), by scan_id."""
        for scan_id, verdict in self._run("SELECT scan_id, verdict FROM scans ORDER BY scan_id"):
            yield scan_id, json.loads(verdict)

    def volumes(self) -> Iterator[tuple[str, str, bytes]]:
        """(scan_id, layout, path) of every volume, by scan and layout."""
        sql = (
            "SELECT scan_id, layout, path FROM products JOIN scans ON scan = scans.id WHERE kind = 'volume'"
            " ORDER BY scan_id, layout, path"
        )
        yield from self._run(sql)

    def count(self, table: str) -> int:
        """Rows of a table."""
        if table not in ("files", "folders", "scans", "products", "trash", "todo", "seen"):
            raise ValueError(table)
        return int(self._run(f"SELECT count(*) FROM {table}").fetchone()[0])

    def totals(self) -> tuple[int, int]:
        """Files and bytes queued in this run."""
        files, size = self._run("SELECT coalesce(sum(count), 0), coalesce(sum(size), 0) FROM todo").fetchone()
        return int(files), int(size)


def ledger_path(rows_path: str) -> str:
    """Where the ledger of a JSONL lies: beside it."""
    return rows_path + ".ledger"
