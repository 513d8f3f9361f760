"""What is done: one SQLite file beside the JSONL, the only truth about a run's progress.

It holds folders (digest of the listing), files (size, mtime, outcome), scans (digest, verdict, their rows' place in the
JSONL) and products (path, checksum). It reads no DICOM and writes no output; the JSONL itself is `rows.py`.

Everything that one commit holds is true together. Paths of products are stored relative to their output root, as bytes.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from crawler.errors import LedgerError, OutputError
from crawler.ledger.part_states import Parts, parts_text
from crawler.ledger.products import Products
from crawler.ledger.schema import MIGRATIONS, SCRATCH, TABLES, VERSION, statements
from crawler.ledger.visits import Visits
from crawler.model import Outcome
from crawler.paths import portable

FileRow = tuple[str, str, int, int, Outcome]
"""Folder, name (both as in `File.key`), size, mtime in ns, outcome."""
TodoRow = tuple[int, bytes, bytes, int, int]
"""Number of the root, folder, name of an archive in it (empty: the folder itself), files, bytes."""
ProductRow = tuple[str, bytes, str, int, str]
"""Kind, path relative to the kind's output root, layout, size, checksum."""


class ScanRow(NamedTuple):
    """One scan as the ledger keeps it: `series` is the hash of its UID, `span` the place of its rows in the JSONL.

    `parts` (`config/parts.py`) are what is made of it.
    """

    scan_id: str
    series: str
    digest: str
    verdict: dict[str, Any]
    span: tuple[int, int]
    files: tuple[FileRow, ...]
    products: tuple[ProductRow, ...]
    parts: frozenset[str] = frozenset()


class Ledger(Products, Visits, Parts):
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
        except BaseException:
            self._db.close()
            raise

    def _open(self) -> None:
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not tables:
            for statement in statements(TABLES):
                self._db.execute(statement)
            self.put("version", VERSION)
        version = self.get("version")
        while version in MIGRATIONS:
            for statement in statements(MIGRATIONS[version]):
                self._db.execute(statement)
            version += 1
            self.put("version", version)
        if version != VERSION:
            raise LedgerError(f"{portable(self.path)} was written by another version of dme; rerun with --rebuild")
        for statement in statements(SCRATCH):
            self._db.execute(statement)
        self.commit()

    def translate(self, error: sqlite3.Error) -> LedgerError | OutputError:
        """What an error of SQLite means to the user."""
        text, name = str(error), portable(self.path)
        if "locked" in text or "busy" in text:
            return LedgerError(f"{name} is in use: another run works on this output; wait for it, or stop it")
        if "full" in text:
            return OutputError("the disk is full; all that was committed is kept: free space and run again")
        if "disk I/O" in text:  # SQLITE_IOERR: the disk's fault of today, no reason to give the ledger up
            return OutputError(
                f"{name} cannot be read or written now ({text}); nothing was changed: check the disk and run again"
            )
        if "unable to open" in text or "readonly" in text:
            return OutputError(f"{name} cannot be written: check the folder and its permissions")
        return LedgerError(
            f"{name} is damaged ({text}); rerun with --rebuild: it is set aside with its JSONL, and all is made anew"
        )

    def snapshot(self, path: str) -> None:
        """Commit, and write all of it to another file."""
        self._db.execute("COMMIT")
        with contextlib.closing(sqlite3.connect(path)) as copy:
            self._db.backup(copy)  # which waits for ever while a transaction is open
        self._db.execute("BEGIN EXCLUSIVE")

    def commit(self) -> None:
        """Make all changes since the last commit permanent."""
        if not self._db.in_transaction:  # SQLite undoes it by itself when the disk is full
            raise OutputError("the disk is full; all that was committed is kept: free space and run again")
        try:
            self._db.execute("COMMIT")
            self._db.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            raise self.translate(error) from None

    def close(self) -> None:
        """Forget uncommitted changes and let go of the lock."""
        self._db.close()

    def execute(self, sql: str, values: Iterable[Any] = ()) -> sqlite3.Cursor:
        """Run one statement (for this module and `series_index.py`)."""
        try:
            return self._db.execute(sql, tuple(values))
        except sqlite3.Error as error:
            raise self.translate(error) from None

    def execute_many(self, sql: str, rows: Iterable[Iterable[Any]]) -> None:
        """Run one statement for each row. What breaks a rule of the tables raises as SQLite has it."""
        try:
            self._db.executemany(sql, (tuple(row) for row in rows))
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            raise self.translate(error) from None

    # -- single values -------------------------------------------------------------------------------------------

    def get(self, key: str, default: Any = None) -> Any:
        """A JSON value by name."""
        row = self.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if row is None else self.parsed(row[0])

    def put(self, key: str, value: Any) -> None:
        """Keep a JSON value by name; one that is there already costs no write."""
        sql = "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
        self.execute(f"{sql} WHERE value IS NOT excluded.value", (key, json.dumps(value)))

    def touch(self) -> None:
        """Note that something changes: views made before are stale, and the output is not finished."""
        self.put("revision", self.get("revision", 0) + 1)
        self.put("finished", False)

    # -- folders -------------------------------------------------------------------------------------------------

    def set_digest(self, path: str, digest: str) -> None:
        """An archive, or a folder of a tree, is done."""
        self.execute("UPDATE folders SET digest = ?, found = NULL WHERE path = ?", (digest, path))

    def add_folder(self, path: str) -> None:
        """Have a folder known, and change nothing of one that is."""
        self.execute("INSERT OR IGNORE INTO folders (path, digest) VALUES (?, '')", (path,))
        self.execute("INSERT OR IGNORE INTO seen SELECT id FROM folders WHERE path = ?", (path,))

    def set_root_digest(self, path: str, digest: str) -> None:
        """A root of a tree is done, when it was not before."""
        self.execute("UPDATE folders SET digest = ? WHERE path = ? AND digest = ''", (digest, path))

    def set_digest_later(self, path: str, digest: str) -> None:
        """A folder of a tree is done when the whole tree is."""
        self.execute("INSERT INTO later VALUES (?, ?)", (path, digest))

    def is_done_later(self, path: str) -> bool:
        """Whether a folder of a tree was taken in work by this run."""
        return self.execute("SELECT 1 FROM later WHERE path = ?", (path,)).fetchone() is not None

    def set_digests(self) -> None:
        """The whole tree is done."""
        self.execute(
            "UPDATE folders SET digest = later.digest, found = NULL FROM later WHERE folders.path = later.path"
        )

    def open_folder(self, path: str, found: Iterable[str], boot: str = "") -> frozenset[str]:
        """Take a folder in work: what we write there from now on is ours, but not what was `found` there.

        When that work was begun before the machine started anew (`boot` differs), journals of what was put in place may
        be lost: then what was found when it was first taken in work counts.
        """
        row = self.execute("SELECT found FROM folders WHERE path = ?", (path,)).fetchone()
        begun, names = _found(self.parsed(row[0])) if row is not None and row[0] is not None else (boot, None)
        if names is None or (begun and begun == boot):
            begun, names = boot, sorted(found)
        self.execute(
            "INSERT INTO folders (path, digest, found) VALUES (?, '', ?)"
            " ON CONFLICT (path) DO UPDATE SET digest = '', found = excluded.found",
            (path, json.dumps([begun, names])),
        )
        self.execute("INSERT OR IGNORE INTO seen SELECT id FROM folders WHERE path = ?", (path,))
        return frozenset(names)

    def finish_folder(self, path: str, digest: str, ungrouped: Iterable[FileRow], scans: Iterable[str]) -> None:
        """A folder is done: `ungrouped` are its files outside scans, `scans` all scan_ids it holds now."""
        folder = self._folder(path)
        kept = set(scans)
        for number, scan_id in self.execute("SELECT id, scan_id FROM scans WHERE folder = ?", (folder,)).fetchall():
            if scan_id not in kept:
                self._drop_scan(number)
        self.put_ungrouped(path, ungrouped)
        self.set_digest(path, digest)

    def forget_vanished(self, gone: Iterable[tuple[int, str]] | None = None) -> int:
        """Drop every folder that was not visited, or those given of them; return how many."""
        unseen = self.vanished() if gone is None else list(gone)
        for folder, _ in unseen:
            for (number,) in self.execute("SELECT id FROM scans WHERE folder = ?", (folder,)).fetchall():
                self._drop_scan(number)
            self.execute("DELETE FROM files WHERE folder = ?", (folder,))
            self.execute("DELETE FROM folders WHERE id = ?", (folder,))
        return len(unseen)

    def forget_digests(self) -> None:
        """Have all folders looked at again on this run."""
        self.execute("UPDATE scans SET digest = ''")
        self.execute("UPDATE folders SET digest = ''")

    def forget_failed(self, reasons: Collection[str] = ()) -> None:
        """Have scans and folders with failed files looked at again on this run: all, or those that failed so.

        Parameters
        ----------
        reasons
            Each as the summary has it, stage and reason: "pixels: truncated pixel data".
        """
        failed = "FROM files WHERE outcome = 'failed'"
        if reasons:
            failed += f" AND stage || ': ' || reason IN ({','.join('?' * len(reasons))})"
        self.execute(f"UPDATE scans SET digest = '' WHERE id IN (SELECT scan {failed})", (*reasons,))
        self.look_again(f"SELECT DISTINCT folder {failed}", (*reasons,))

    def look_again(self, folders: str, values: Sequence[Any] = ()) -> None:
        """Forget the digests of folders that a query names, and of those above them: one may be an archive."""
        paths = {row[0] for row in self.execute(f"SELECT path FROM folders WHERE id IN ({folders})", values)}
        while paths:
            for path in paths:
                self.execute("UPDATE folders SET digest = '' WHERE path = ?", (path,))
            paths = {path.rpartition("/")[0] for path in paths if "/" in path}

    def _folder(self, path: str) -> int:
        return int(self.execute("SELECT id FROM folders WHERE path = ?", (path,)).fetchone()[0])

    # -- scans ---------------------------------------------------------------------------------------------------

    def put_scan(self, folder: str, scan: ScanRow) -> None:
        """Replace a scan: its files, products and rows; products that it no longer has go to the trash."""
        number = self._folder(folder)
        old = self.execute("SELECT id FROM scans WHERE scan_id = ?", (scan.scan_id,)).fetchone()
        if old is not None:
            self._drop_scan(old[0])
        cursor = self.execute(
            "INSERT INTO scans (folder, scan_id, series, digest, verdict, start, stop, parts)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(number, scan.scan_id, scan.series, scan.digest, json.dumps(scan.verdict)),
                *(*scan.span, parts_text(scan.parts)),
            ),
        )
        self._add_files(cursor.lastrowid, scan.files)
        for kind, path, layout, size, checksum in scan.products:
            values = (kind, path, cursor.lastrowid, layout, size, checksum)
            self.execute("INSERT OR REPLACE INTO products VALUES (?, ?, ?, ?, ?, ?)", values)
            self.execute("DELETE FROM trash WHERE kind = ? AND path = ?", (kind, path))

    def drop_scans(self, which: str) -> int:
        """Drop the scans that an SQL condition names; return how many."""
        numbers = [row[0] for row in self.execute(f"SELECT id FROM scans WHERE {which}")]
        for number in numbers:
            self._drop_scan(number)
        return len(numbers)

    def put_ungrouped(self, path: str, ungrouped: Iterable[FileRow]) -> None:
        """Replace a folder's files outside scans."""
        self.execute("DELETE FROM files WHERE folder = ? AND scan IS NULL", (self._folder(path),))
        self._add_files(None, ungrouped)

    def add_ungrouped(self, ungrouped: Iterable[FileRow]) -> None:
        """Note files outside scans."""
        self._add_files(None, ungrouped)

    def _drop_scan(self, number: int) -> None:
        self.execute(
            "INSERT OR REPLACE INTO trash SELECT kind, path, size, checksum FROM products WHERE scan = ?", (number,)
        )
        self.execute("DELETE FROM products WHERE scan = ?", (number,))
        self.execute(
            "DELETE FROM files WHERE scan = ? AND folder = (SELECT folder FROM scans WHERE id = ?)", (number,) * 2
        )
        self.execute("DELETE FROM scans WHERE id = ?", (number,))

    def _add_files(self, scan: int | None, files: Iterable[FileRow]) -> None:
        numbers: dict[str, int] = {}
        rows: list[tuple[Any, ...]] = []
        for folder, name, size, mtime, out in files:
            number = numbers.get(folder) or numbers.setdefault(folder, self._folder(folder))
            rows.append((number, name, size, mtime, out.outcome, out.stage, out.reason, out.detail, scan))
        try:
            self._db.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        except sqlite3.Error as error:
            raise self.translate(error) from None

    # -- rows of the JSONL ---------------------------------------------------------------------------------------

    def spans(self) -> list[tuple[int, int]]:
        """(start, stop) of every live range of the JSONL, in order."""
        return self.execute("SELECT start, stop FROM scans WHERE stop > start ORDER BY start").fetchall()

    def live_rows(self) -> int:
        """Bytes of all live ranges."""
        return int(self.execute("SELECT coalesce(sum(stop - start), 0) FROM scans").fetchone()[0])

    def sorted_spans(self) -> list[tuple[int, int, int]]:
        """(scan, start, stop) of every live range of the JSONL, by the path of the scan's first file."""
        first = "min(CASE path WHEN '' THEN name ELSE path || '/' || name END)"
        sql = (
            f"SELECT scans.id, start, stop FROM scans LEFT JOIN (SELECT scan, {first} AS first FROM files"
            " JOIN folders ON folders.id = files.folder WHERE scan IS NOT NULL GROUP BY scan) ON scan = scans.id"
            " WHERE stop > start ORDER BY coalesce(first, scan_id), scan_id"
        )
        return self.execute(sql).fetchall()

    def lose_rows(self, length: int) -> int:
        """The JSONL holds only `length` bytes: have the scans beyond it made again; return how many."""
        lost_scans = f"SELECT id FROM scans WHERE stop > {int(length)} AND stop > start"
        self.look_again(f"SELECT DISTINCT folder FROM files WHERE scan IN ({lost_scans})")
        lost = self.execute("UPDATE scans SET digest = '', start = 0, stop = 0 WHERE stop > ?", (length,))
        return lost.rowcount

    def plan_spans(self, spans: Iterable[tuple[int, int, int]]) -> None:
        """Note where each range, as of `sorted_spans`, will lie once dead rows are gone."""
        place = 0
        for number, start, stop in spans:
            self.execute("UPDATE scans SET new_start = ? WHERE id = ?", (place, number))
            place += stop - start

    def move_spans(self) -> None:
        """The compacted JSONL is in place."""
        self.execute("UPDATE scans SET stop = new_start + stop - start, start = new_start WHERE stop > start")

    # -- work of this run ----------------------------------------------------------------------------------------

    def begin_survey(self) -> None:
        """Forget what an earlier pass of this run saw and queued."""
        for table in ("todo", "seen", "later"):
            self.execute(f"DELETE FROM {table}")

    def add_todo(self, rows: Iterable[TodoRow]) -> None:
        """Queue folders and archives."""
        self._db.executemany("INSERT INTO todo (root, path, archive, count, size) VALUES (?, ?, ?, ?, ?)", rows)

    def todo(self) -> Iterator[tuple[int, bytes, bytes]]:
        """(root, folder, archive) queued, a thousand at a time, of which the largest come first.

        So a large one seldom begins when there is nothing else left to do.
        """
        last, sql = 0, "SELECT * FROM todo WHERE number > ? ORDER BY number LIMIT 1000"
        while batch := self.execute(sql, (last,)).fetchall():
            for _, root, path, archive, _, _ in sorted(batch, key=lambda row: -row[-1]):
                yield root, path, archive
            last = batch[-1][0]


def _found(noted: list[Any]) -> tuple[str, list[str]]:
    """What `open_folder` noted; a ledger of version 1 held the names alone."""
    return (noted[0], noted[1]) if len(noted) == 2 and isinstance(noted[1], list) else ("", noted)


def ledger_path(rows_path: str) -> str:
    """Where the ledger of a JSONL lies: beside it."""
    return rows_path + ".ledger"
