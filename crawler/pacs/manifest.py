"""The manifest: which instances are wanted from a PACS, and what became of each. One SQLite file beside the files.

It is the only truth about a retrieval, and what a killed one resumes from. It asks no server and moves no file
(`intake.py`); what it can be asked for tables and accounts is `accounts.py`.

Changes gather in one transaction until `commit`. In between, each arrival is a line of a journal (`journal.py`), which
is written before its file is put in place: files that lie there after a kill are recognised by size and XXH3.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from crawler.errors import LedgerError, OutputError
from crawler.pacs.accounts import Accounts
from crawler.pacs.identify import holds, place
from crawler.pacs.journal import Journal
from crawler.pacs.names import ARRIVALS, MANIFEST
from crawler.pacs.wanted import HERE, Arrival, Ask, Listed, Series
from crawler.paths import portable

VERSION = 1
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE requests (id INTEGER PRIMARY KEY, line INTEGER, keys TEXT, cells TEXT, state TEXT,
    reason TEXT, studies INTEGER);
CREATE TABLE series (id INTEGER PRIMARY KEY, study TEXT, uid TEXT, modality TEXT, expected INTEGER, listed INTEGER,
    state TEXT, reason TEXT, seconds REAL, UNIQUE (study, uid));
CREATE TABLE asked_by (request INTEGER, series INTEGER, PRIMARY KEY (request, series)) WITHOUT ROWID;
CREATE TABLE instances (series INTEGER, uid TEXT, outcome TEXT, code INTEGER, reason TEXT, sop_class TEXT, syntax TEXT,
    size INTEGER, xxh3 TEXT, transport TEXT, attempts INTEGER, seconds REAL, copies INTEGER,
    PRIMARY KEY (series, uid)) WITHOUT ROWID;
CREATE TABLE strays (series INTEGER, uid TEXT, reason TEXT, copies INTEGER, PRIMARY KEY (series, uid)) WITHOUT ROWID;
"""


class Manifest(Accounts):
    """An open manifest, locked against a second retrieval; safe to use from several threads.

    Parameters
    ----------
    root
        Folder of received files; made when absent.
    wait
        Seconds to wait for another retrieval that is about to end.

    Raises
    ------
    LedgerError
        It is damaged, of another version, or in use.
    OutputError
        The folder cannot be written.
    """

    def __init__(self, root: Path, wait: float = 1.0) -> None:
        self.root = root
        self.path = root / MANIFEST
        self.lock = threading.RLock()
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{portable(str(root))} cannot be made: {error.strerror}") from None
        self._db = sqlite3.connect(self.path, timeout=wait, isolation_level=None, check_same_thread=False)
        try:
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = DELETE")  # a rollback journal also serves on network disks
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("BEGIN EXCLUSIVE")
            self._open()
            self._journal = Journal(root / ARRIVALS)
            self._replay()
        except sqlite3.Error as error:
            self._db.close()
            raise self._translate(error) from None
        except OSError as error:
            self._db.close()
            raise OutputError(f"{portable(str(root))} cannot be written: {error.strerror}") from None
        except LedgerError:
            self._db.close()
            raise

    def _open(self) -> None:
        if not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in _SCHEMA.split(";\n"):
                self._db.execute(statement)
            self.put("version", VERSION)
            self.commit_database()
        elif self.get("version") != VERSION:
            raise LedgerError(
                f"{portable(str(self.path))} was written by another version of dme: choose another folder"
            )

    def _translate(self, error: sqlite3.Error) -> LedgerError | OutputError:
        text, name = str(error), portable(str(self.path))
        if "locked" in text or "busy" in text:
            return LedgerError(f"{name} is in use: another retrieval works in this folder; wait for it, or stop it")
        if "full" in text:
            return OutputError("the disk is full; all that was received is kept: free space and run again")
        if "unable to open" in text or "readonly" in text:
            return OutputError(f"{name} cannot be written: check the folder and its permissions")
        return LedgerError(f"{name} is damaged ({text}); move it away, and all is asked for anew")

    def execute(self, sql: str, values: Iterable[Any] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        with self.lock:
            try:
                return self._db.execute(sql, tuple(values))
            except sqlite3.Error as error:
                raise self._translate(error) from None

    def get(self, key: str, default: Any = None) -> Any:
        """A JSON value by name."""
        row = self.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return default if row is None else json.loads(row[0])

    def put(self, key: str, value: Any) -> None:
        """Keep a JSON value by name."""
        self.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    # -- what is permanent ---------------------------------------------------------------------------------------

    def commit_database(self) -> None:
        """End the transaction and begin the next."""
        with self.lock:
            self.execute("COMMIT")
            self.execute("BEGIN EXCLUSIVE")

    def commit(self) -> None:
        """Make all changes permanent; the journal of arrivals has served then."""
        with self.lock:
            self.commit_database()
            self._journal.clear()

    def close(self) -> None:
        """Commit, and let go of the lock."""
        with self.lock:
            try:
                self.commit()
            finally:
                self._journal.close()
                self._db.close()

    def _replay(self) -> None:
        """Take in the arrivals that a killed retrieval had not committed, where their files are what they were."""
        for number, arrival in self._journal.left_behind():
            row = self.execute("SELECT study, uid FROM series WHERE id = ?", (number,)).fetchone()
            if row is None:
                continue
            path = self.root / place(row[0], row[1], arrival.uid)
            with contextlib.suppress(OSError):
                if holds(path, arrival.size, arrival.xxh3):
                    self._note(number, arrival)
                else:
                    path.unlink()  # it is ours, as the line says, and a loss of power cut it short
        self.commit_database()
        self._journal.open()

    # -- what is asked for ---------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Begin a retrieval: its requests are those of now; what earlier ones received stays known."""
        self.execute("DELETE FROM requests")
        self.execute("DELETE FROM asked_by")
        self.commit()

    def add_request(self, ask: Ask, state: str = "open", reason: str = "") -> int:
        """Note a request; return its number."""
        sql = "INSERT INTO requests (line, keys, cells, state, reason, studies) VALUES (?, ?, ?, ?, ?, 0)"
        values = (ask.line, json.dumps(dict(ask.keys)), json.dumps(ask.cells), state, reason)
        number = self.execute(sql, values).lastrowid
        assert number is not None  # an INSERT has one
        return number

    def end_request(self, request: int, state: str, reason: str, studies: int) -> None:
        """Note how a request's finds ended."""
        sql = "UPDATE requests SET state = ?, reason = ?, studies = ? WHERE id = ?"
        self.execute(sql, (state, reason, studies, request))

    def want(self, found: Listed, request: int) -> tuple[Series, int]:
        """Note a series as wanted; return it, and how many instances of it were not known before."""
        with self.lock:
            self.execute(
                "INSERT INTO series (study, uid, modality, expected, listed, state, reason, seconds)"
                " VALUES (?, ?, ?, ?, ?, 'open', '', 0) ON CONFLICT (study, uid) DO UPDATE SET"
                " modality = excluded.modality, expected = coalesce(excluded.expected, expected),"
                " listed = max(listed, excluded.listed)",
                (found.study, found.uid, found.modality, found.expected, found.instances is not None),
            )
            number, known = self.execute(
                "SELECT id, (SELECT count(*) FROM instances WHERE series = id) FROM series WHERE study = ? AND uid = ?",
                (found.study, found.uid),
            ).fetchone()
            if not self.execute("SELECT 1 FROM asked_by WHERE series = ?", (number,)).fetchone():
                self._reopen(number)
            self.execute("INSERT OR IGNORE INTO asked_by VALUES (?, ?)", (request, number))
            for uid, (sop_class, syntax) in (found.instances or {}).items():
                self.execute(
                    "INSERT INTO instances VALUES (?, ?, 'wanted', NULL, '', ?, ?, NULL, NULL, '', 0, 0, 0)"
                    " ON CONFLICT DO UPDATE SET outcome = 'received' WHERE outcome = 'extra'",
                    (number, uid, sop_class, syntax),
                )
            now = self.execute("SELECT count(*) FROM instances WHERE series = ?", (number,)).fetchone()[0]
            return self.series(number), int(now - known)

    def _reopen(self, number: int) -> None:
        """Have what was missing in an earlier retrieval asked for again."""
        self.execute("DELETE FROM strays WHERE series = ?", (number,))
        self.execute(
            "UPDATE instances SET outcome = 'wanted', code = NULL, reason = '' WHERE series = ?"
            " AND outcome IN ('missing', 'refused')",
            (number,),
        )

    def series(self, number: int) -> Series:
        """A series in work, as it stands; received files that are gone, or have another size, are wanted again."""
        with self.lock:
            row = self.execute("SELECT study, uid, expected, listed FROM series WHERE id = ?", (number,)).fetchone()
            series = Series(number, row[0], row[1], row[2], bool(row[3]))
            sizes = self._sizes(series)
            sql = "SELECT uid, outcome, size, sop_class, syntax FROM instances WHERE series = ? ORDER BY uid"
            for uid, outcome, size, sop_class, syntax in self.execute(sql, (number,)).fetchall():
                if outcome in HERE and sizes.get(place(series.study, series.uid, uid).rpartition("/")[2]) == size:
                    series.here.add(uid)
                elif outcome in HERE and not series.listed:
                    self.execute("DELETE FROM instances WHERE series = ? AND uid = ?", (number, uid))
                else:
                    series.wanted[uid] = (sop_class, syntax)
                    if outcome in HERE:
                        self.mark(number, uid, "wanted", None, "")
            return series

    def asked_series(self, study: str, uid: str) -> Series | None:
        """A series that is asked for, as it stands; None for any other."""
        sql = "SELECT id FROM series WHERE study = ? AND uid = ? AND id IN (SELECT series FROM asked_by)"
        with self.lock:
            row = self.execute(sql, (study, uid)).fetchone()
            return None if row is None else self.series(row[0])

    def untried(self, series: Series) -> bool:
        """Whether something of a series is wanted that was never asked for."""
        sql = "SELECT 1 FROM instances WHERE series = ? AND outcome = 'wanted' AND attempts = 0 LIMIT 1"
        return self.execute(sql, (series.id,)).fetchone() is not None

    def _sizes(self, series: Series) -> dict[str, int]:
        folder = (self.root / place(series.study, series.uid, "")).parent
        try:
            with os.scandir(folder) as entries:
                return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
        except OSError:
            return {}

    def instances_of(self, study: str) -> dict[str, set[str]]:
        """Series of a study -> its instances that are known of."""
        sql = "SELECT series.uid, instances.uid FROM series LEFT JOIN instances ON series = id WHERE study = ?"
        found: dict[str, set[str]] = {}
        with self.lock:
            for series, instance in self.execute(sql, (study,)):
                found.setdefault(series, set()).update({instance} - {None})
        return found

    def known(self, study: str) -> dict[str, int]:
        """Series of a study -> number of its instances that are known of."""
        return {series: len(instances) for series, instances in self.instances_of(study).items()}

    # -- what became of it ---------------------------------------------------------------------------------------

    def announce(self, series: int, arrival: Arrival) -> None:
        """Write an arrival down before its file is put in place."""
        with self.lock:
            self._journal.write(series, arrival)

    def arrived(self, series: Series, arrival: Arrival) -> None:
        """Note an instance whose file is in place."""
        with self.lock:
            series.wanted.pop(arrival.uid, None)
            series.here.add(arrival.uid)
            self._note(series.id, arrival)

    def _note(self, number: int, arrival: Arrival) -> None:
        self.execute(
            "INSERT INTO instances VALUES (?, ?, ?, NULL, '', ?, ?, ?, ?, ?, 1, ?, 1) ON CONFLICT DO UPDATE SET"
            " outcome = CASE outcome WHEN 'extra' THEN 'extra' ELSE 'received' END,"
            " code = NULL, reason = '', sop_class = excluded.sop_class,"
            " syntax = excluded.syntax, size = excluded.size, xxh3 = excluded.xxh3, transport = excluded.transport,"
            " seconds = excluded.seconds, copies = 1, attempts = max(attempts, 1)",
            (number, arrival.uid, arrival.outcome, arrival.sop_class, arrival.syntax, arrival.size, arrival.xxh3,
             arrival.transport, arrival.seconds),
        )  # fmt: skip

    def came_again(self, series: Series, uid: str, reason: str) -> None:
        """Count a duplicate of an instance that is here."""
        sql = "UPDATE instances SET copies = copies + 1, reason = ? WHERE series = ? AND uid = ?"
        self.execute(sql, (reason, series.id, uid))

    def came_astray(self, series: Series, uid: str, reason: str) -> None:
        """Note what came and is not what was asked for; it is not kept."""
        sql = "INSERT INTO strays VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET copies = copies + 1"
        self.execute(sql, (series.id, uid, reason))

    def checksum_of(self, series: Series, uid: str) -> str | None:
        """XXH3 of an instance that was received, now or earlier; None for one that never was."""
        sql = "SELECT xxh3 FROM instances WHERE series = ? AND uid = ?"
        row = self.execute(sql, (series.id, uid)).fetchone()
        return None if row is None else row[0]

    def tried(self, series: Series, uids: Iterable[str]) -> None:
        """Count an attempt at some instances, or at all that are wanted."""
        sql, uids = "UPDATE instances SET attempts = attempts + 1 WHERE series = ?", tuple(uids)
        with self.lock:
            if not uids:
                self.execute(f"{sql} AND outcome = 'wanted'", (series.id,))
            for uid in uids:
                self.execute(f"{sql} AND uid = ?", (series.id, uid))

    def mark(self, series: int, uid: str, outcome: str, code: int | None, reason: str) -> None:
        """Note what became of an instance that did not come."""
        sql = "UPDATE instances SET outcome = ?, code = ?, reason = ? WHERE series = ? AND uid = ?"
        self.execute(sql, (outcome, code, reason, series, uid))

    def leave(self, reason: str) -> None:
        """Note why what is wanted still was not tried."""
        self.execute("UPDATE instances SET reason = ? WHERE outcome = 'wanted'", (reason,))

    def close_series(self, series: Series, state: str, reason: str, seconds: float) -> None:
        """Note how a series stands: complete, incomplete, or grew."""
        sql = "UPDATE series SET state = ?, reason = ?, seconds = seconds + ?, expected = ? WHERE id = ?"
        self.execute(sql, (state, reason, seconds, series.expected, series.id))


@contextlib.contextmanager
def open_manifest(root: Path, wait: float = 1.0) -> Iterator[Manifest]:
    """Open the manifest of a folder, and close it with all changes kept."""
    manifest = Manifest(root, wait)
    try:
        yield manifest
    finally:
        manifest.close()
