"""The scans of an output of `run_crawler.py`: what each is called, which row speaks for it, or why it failed.

Made from ledger and JSONL in one pass, and kept in a temporary SQLite file, so that memory does not grow with their
number. It writes no output.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from crawler.compat.folders import InputFolder, InputFolders, flat
from crawler.ledger.database import Ledger

Row = dict[str, Any]

# What the earlier crawler wrote for a failure in each stage.
REASONS = {"find": "Failure in dataset_tags_and_values", "header": "Failure in dataset_tags_and_values",
           "layout": "Failure in get_pixel_data", "pixels": "Failure in get_pixel_data",
           "write": "CSV or pixel data write failure"}  # fmt: skip
NO_FILES = "Number of dicoms in folder = 0"
NO_PIXELS = f"{REASONS['pixels']}: no pixel data"

_SERIES, _INSTANCE = "(0020,000E)", "(0008,0018)"
# `source` sorts scans: the first file of each. `start` and `size` are the place of its row in the JSONL.
_SCHEMA = """
CREATE TABLE scans (folder INTEGER, source TEXT, wanted TEXT, id TEXT UNIQUE, files INTEGER, reason TEXT,
    origin TEXT, start INTEGER, size INTEGER, PRIMARY KEY (folder, source)) WITHOUT ROWID;
CREATE INDEX scans_of_origin ON scans (origin);
CREATE TABLE failed (file TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE volumes (origin TEXT, layout INTEGER, path BLOB, PRIMARY KEY (origin, layout)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One scan, or one file in 2D mode.

    Attributes
    ----------
    scan_id
        Its Scan ID, unique.
    files
        How many DICOM files it has.
    source
        Its first file, as `File.key`.
    reason
        Why it failed; empty for a scan that is stored.
    """

    scan_id: str
    files: int
    source: str
    reason: str


class Catalogue:
    """All scans of an output, in order of their folders and first files.

    Parameters
    ----------
    rows
        Path of the JSONL, its keys in the style "tag".
    pixels
        Whether a scan without pixel data has failed.
    stack
        Whether scans are series; otherwise each file is one.
    """

    def __init__(self, ledger: Ledger, rows: str, folders: InputFolders, *, pixels: bool, stack: bool) -> None:
        self._rows, self._folders, self._pixels, self._stack = rows, folders, pixels, stack
        self._db = sqlite3.connect("", isolation_level=None)  # a temporary file that SQLite deletes by itself
        self._db.executescript(_SCHEMA)
        self._db.execute("BEGIN")
        self._read_rows(ledger)
        self._add_failures(ledger)
        self._add_empty_folders()
        self._name()
        volumes = ((scan, int(layout or 1), path) for scan, layout, path in ledger.volumes())
        self._db.executemany("INSERT INTO volumes VALUES (?, ?, ?)", volumes)

    def close(self) -> None:
        """Delete the temporary file."""
        self._db.close()

    def stored(self) -> Iterator[tuple[Entry, Row]]:
        """Scans that did not fail, each with the row of its first file."""
        sql = "SELECT id, files, source, start, size FROM scans WHERE reason = '' ORDER BY folder, source"
        with open(self._rows, "rb") as rows:
            for scan_id, files, source, start, size in self._db.execute(sql):
                rows.seek(start)
                yield Entry(scan_id, files, source, ""), orjson.loads(rows.read(size))

    def failed(self) -> Iterator[Entry]:
        """Scans that failed, with the reason."""
        sql = "SELECT id, files, source, reason FROM scans WHERE reason != '' ORDER BY folder, source"
        for row in self._db.execute(sql):
            yield Entry(*row)

    def volumes(self) -> Iterator[tuple[list[Entry], list[str]]]:
        """Stored scans with the volumes that hold their frames, in order of the layouts; paths are relative.

        In 2D mode several scans share the volumes of their series.
        """
        sql = "SELECT origin FROM scans WHERE reason = '' GROUP BY origin ORDER BY min(folder), min(source)"
        for (origin,) in self._db.execute(sql):
            members = "SELECT id, files, source, reason FROM scans WHERE origin = ? AND reason = '' ORDER BY source"
            paths = self._db.execute("SELECT path FROM volumes WHERE origin = ? ORDER BY layout", (origin,))
            entries = [Entry(*row) for row in self._db.execute(members, (origin,))]
            yield entries, [os.fsdecode(path) for (path,) in paths]

    def has(self, scan_id: str) -> bool:
        """Whether a scan has this ID."""
        return self._db.execute("SELECT 1 FROM scans WHERE id = ?", (scan_id,)).fetchone() is not None

    def count_failed(self) -> int:
        """How many scans failed."""
        return int(self._db.execute("SELECT count(*) FROM scans WHERE reason != ''").fetchone()[0])

    def count_stored(self) -> int:
        """How many scans did not fail."""
        return int(self._db.execute("SELECT count(*) FROM scans WHERE reason = ''").fetchone()[0])

    # -- how it is made --------------------------------------------------------------------------------------------

    def _read_rows(self, ledger: Ledger) -> None:
        """Enter every scan that has rows; the ledger says which parts of the JSONL are alive, one scan each."""
        with open(self._rows, "rb") as rows:
            for start, stop in ledger.spans():
                rows.seek(start)
                scan = _ScanDraft()
                while start < stop:
                    line = rows.readline()
                    row = orjson.loads(line)
                    if row["outcome"] == "failed":
                        self._db.execute("INSERT INTO failed VALUES (?)", (row["dicom_file"],))
                    # A second copy of a file is the same scan in 2D mode, and one file more in 3D mode.
                    if row["reason"] != "index" and (self._stack or row["reason"] != "duplicate"):
                        scan.add(row, start, len(line))
                        if not self._stack:
                            self._enter(scan)
                            scan = _ScanDraft()
                    start += len(line)
                if scan.files:
                    self._enter(scan)

    def _enter(self, scan: _ScanDraft) -> None:
        row = scan.row
        folder, path = self._folders.of(row["dicom_file"])
        wanted = _wanted(folder, path, row.get(_SERIES if self._stack else _INSTANCE))
        reason = scan.reason() or (NO_PIXELS if self._pixels and not scan.has_volume else "")
        values = (folder.number, row["dicom_file"], wanted, scan.files, reason)
        sql = "INSERT INTO scans (folder, source, wanted, files, reason, origin, start, size) VALUES (?,?,?,?,?,?,?,?)"
        self._db.execute(sql, (*values, row["scan_id"], scan.start, scan.size))

    def _add_failures(self, ledger: Ledger) -> None:
        """Enter what failed before it had a row: each file is a scan that nobody knows the UID of."""
        for of, name, stage, reason, _ in ledger.failures():
            source = "/".join(filter(None, (of, name)))  # an archive, and the folder itself, have no name of their own
            if self._db.execute("SELECT 1 FROM failed WHERE file = ?", (source,)).fetchone():
                continue
            folder, path = self._folders.of(source)
            wanted = _wanted(folder, path, None) if path else folder.label
            self._insert_failure(folder.number, source, wanted, 1 if path else 0, f"{REASONS[stage]}: {reason}")

    def _add_empty_folders(self) -> None:
        """Enter folders that hold no DICOM file at all."""
        full = {number for (number,) in self._db.execute("SELECT DISTINCT folder FROM scans")}
        for folder in self._folders.known:
            if folder.number not in full:
                self._insert_failure(folder.number, folder.prefix, folder.label, 0, NO_FILES)

    def _insert_failure(self, folder: int, source: str, wanted: str, files: int, reason: str) -> None:
        sql = "INSERT INTO scans (folder, source, wanted, files, reason, origin) VALUES (?, ?, ?, ?, ?, '')"
        self._db.execute(sql, (folder, source, wanted, files, reason))

    def _name(self) -> None:
        """Give every scan its ID; one that is taken, by a repeated UID say, gets a number."""
        sql = "SELECT folder, source, wanted FROM scans WHERE id IS NULL ORDER BY folder, source LIMIT 1000"
        while batch := self._db.execute(sql).fetchall():
            for folder, source, wanted in batch:
                number, scan_id = 1, wanted
                while not self._claim_id(folder, source, scan_id):
                    number += 1
                    scan_id = f"{wanted}_{number}"

    def _claim_id(self, folder: int, source: str, scan_id: str) -> bool:
        with contextlib.suppress(sqlite3.IntegrityError):
            self._db.execute("UPDATE scans SET id = ? WHERE folder = ? AND source = ?", (scan_id, folder, source))
            return True
        return False


class _ScanDraft:
    """A scan while its rows are read. The header of the first file stands for it."""

    def __init__(self) -> None:
        self.files = self.start = self.size = 0
        self.row: Row = {}
        self.has_volume = False
        self._failed: list[Row] = []
        self._failures = 0

    def add(self, row: Row, start: int, size: int) -> None:
        """Count one more file."""
        if not self.files:
            self.row, self.start, self.size = row, start, size
        self.files += 1
        self.has_volume |= bool(row["volume_files"])
        if row["outcome"] == "failed":
            self._failures += 1
            self._failed = self._failed or [row]

    def reason(self) -> str:
        """Why the scan failed: one file that failed is enough."""
        if not self._failed:
            return ""
        row = self._failed[0]
        name = row["dicom_file"].rpartition("/")[2]
        return f"{REASONS[row['stage']]}: {row['reason']} ({self._failures} of {self.files} files, the first {name})"


def _wanted(folder: InputFolder, path: str, uid: Any) -> str:
    """Scan ID of a file that lies at a path below its folder: folder and UID; without one, what the file is called."""
    above, _, name = path.rpartition("/")
    text = uid if isinstance(uid, str) else "\\".join(map(str, uid)) if isinstance(uid, list) else ""
    own = text.replace("\0", "") or f"nouid_{os.path.splitext(name)[0]}"
    return "_".join(filter(None, (folder.label, flat(above), flat(own))))
