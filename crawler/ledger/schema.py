"""The tables of the ledger, and how a ledger of an earlier version becomes one of this.

It holds SQL and runs none by itself.
"""

from __future__ import annotations

VERSION = 3
TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE folders (id INTEGER PRIMARY KEY, path TEXT UNIQUE, digest TEXT NOT NULL, found TEXT);
CREATE TABLE files (folder INTEGER, name TEXT, size INTEGER, mtime INTEGER, outcome TEXT, stage TEXT, reason TEXT,
    detail TEXT, scan INTEGER, PRIMARY KEY (folder, name)) WITHOUT ROWID;
CREATE INDEX files_of_scan ON files (scan);
CREATE TABLE scans (id INTEGER PRIMARY KEY, folder INTEGER, scan_id TEXT UNIQUE, series TEXT, digest TEXT, verdict TEXT,
    start INTEGER, stop INTEGER, new_start INTEGER, parts TEXT);
CREATE INDEX scans_of_folder ON scans (folder);
CREATE INDEX scans_of_series ON scans (series);
CREATE TABLE products (kind TEXT, path BLOB, scan INTEGER, layout TEXT, size INTEGER, checksum TEXT,
    PRIMARY KEY (kind, path)) WITHOUT ROWID;
CREATE INDEX products_of_scan ON products (scan);
CREATE TABLE trash (kind TEXT, path BLOB, size INTEGER, checksum TEXT, PRIMARY KEY (kind, path)) WITHOUT ROWID;
CREATE TABLE own_files (path BLOB PRIMARY KEY, size INTEGER, checksum TEXT) WITHOUT ROWID;
"""
SCRATCH = """
CREATE TEMP TABLE todo (number INTEGER PRIMARY KEY, root INTEGER, path BLOB, archive BLOB, count INTEGER, size INTEGER);
CREATE TEMP TABLE seen (id INTEGER PRIMARY KEY);
CREATE TEMP TABLE later (path TEXT PRIMARY KEY, digest TEXT) WITHOUT ROWID;
"""
MIGRATIONS = {
    # Version 1 recorded neither size nor checksum of what waits for deletion, and wrote over its own files unasked:
    # those that lie there when it is opened for the first time are taken for ours, as it did.
    1: """
ALTER TABLE trash ADD COLUMN size INTEGER;
ALTER TABLE trash ADD COLUMN checksum TEXT;
CREATE TABLE own_files (path BLOB PRIMARY KEY, size INTEGER, checksum TEXT) WITHOUT ROWID;
INSERT INTO meta VALUES ('own files unknown', 'true');
""",
    # Version 2 recorded what all scans consist of, and not what each does: `store.py` fills that in.
    2: "ALTER TABLE scans ADD COLUMN parts TEXT",
}
"""Version -> statements that make a ledger of it one of the next version."""


def statements(script: str) -> list[str]:
    """A script's statements, one by one: `executescript` would commit first."""
    return [statement for part in script.split(";\n") if (statement := part.strip())]
