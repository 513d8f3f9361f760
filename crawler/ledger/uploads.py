"""Which finished files of an output lie in a remote folder, too, as the ledger knows them.

It transfers nothing (`engine/remote_output.py` does). A file is the same there as here when size and checksum are.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from crawler.config.loader import Config
from crawler.ledger.database import Ledger
from crawler.ledger.store import output_root

TABLE = "CREATE TABLE IF NOT EXISTS uploads (path BLOB PRIMARY KEY, size INTEGER, checksum TEXT) WITHOUT ROWID"

Upload = tuple[str, int, str]
"""Native path relative to the output folder, bytes, checksum."""


class Uploads:
    """The record of what was uploaded."""

    def __init__(self, config: Config, ledger: Ledger) -> None:
        self._config, self._ledger = config, ledger
        ledger.execute(TABLE)

    def missing(self) -> Iterator[Upload]:
        """Products, or packs of them, that are done and were not uploaded as they are now."""
        yield from self._lacking(self._products())
        if self._config.output.pack is not None:
            folder = os.path.relpath(self._config.path(self._config.output.pack.dir), self._config.output_dir)
            yield from self._lacking(one for one in self._own_files() if os.path.dirname(one[0]) == folder)

    def missing_own_files(self) -> Iterator[Upload]:
        """The same of the run's own files: tables, the report."""
        yield from self._lacking(self._own_files())

    def note(self, upload: Upload) -> None:
        """A file was uploaded."""
        path, size, checksum = upload
        self._ledger.execute("INSERT OR REPLACE INTO uploads VALUES (?, ?, ?)", (os.fsencode(path), size, checksum))

    def obsolete(self) -> list[str]:
        """Uploaded files that are no part of the output any more."""
        current = {path for path, *_ in (*self._products(), *self._own_files())}
        found = self._ledger.execute("SELECT path FROM uploads").fetchall()
        return [path for (name,) in found if (path := os.fsdecode(name)) not in current]

    def forget(self, path: str) -> None:
        """A file was deleted there."""
        self._ledger.execute("DELETE FROM uploads WHERE path = ?", (os.fsencode(path),))

    def all(self) -> list[Upload]:
        """Everything that lies there."""
        found = self._ledger.execute("SELECT path, size, checksum FROM uploads ORDER BY path").fetchall()
        return [(os.fsdecode(path), size, checksum) for path, size, checksum in found]

    def _lacking(self, files: Iterator[Upload]) -> Iterator[Upload]:
        for path, size, checksum in files:
            if not is_uploaded(self._ledger, path, size, checksum):
                yield path, size, checksum

    def _products(self) -> Iterator[Upload]:
        # With packs, only what is never packed goes there by itself.
        only = "" if self._config.output.pack is None else " WHERE kind = 'preview'"
        for kind, path, size, checksum in self._ledger.execute(
            f"SELECT kind, path, size, checksum FROM products{only}"
        ):
            place = os.path.join(output_root(self._config, kind), os.fsdecode(path))
            yield os.path.relpath(place, self._config.output_dir), size, checksum

    def _own_files(self) -> Iterator[Upload]:
        home = os.path.dirname(self._ledger.path)
        for path, size, checksum in self._ledger.execute("SELECT path, size, checksum FROM own_files WHERE size >= 0"):
            place = os.path.join(home, os.fsdecode(path))
            yield os.path.relpath(place, self._config.output_dir), size, checksum


def was_uploaded(config: Config, ledger: Ledger, path: str) -> bool:
    """Whether a file of this absolute path lies in the remote folder, of any content: packs never change theirs."""
    if config.output_address is None or not _are_noted(ledger):
        return False
    name = os.fsencode(os.path.relpath(path, config.output_dir))
    return ledger.execute("SELECT 1 FROM uploads WHERE path = ?", (name,)).fetchone() is not None


def is_uploaded(ledger: Ledger, path: str, size: int | None, checksum: str | None) -> bool:
    """Whether a file lies in the remote folder as it was recorded; False for an output without one."""
    if not _are_noted(ledger):
        return False
    sql = "SELECT 1 FROM uploads WHERE path = ? AND size = ? AND checksum = ?"
    return ledger.execute(sql, (os.fsencode(path), size, checksum)).fetchone() is not None


def _are_noted(ledger: Ledger) -> bool:
    """Whether a ledger is of an output that has, or had, an address."""
    return ledger.execute("SELECT 1 FROM sqlite_master WHERE name = 'uploads'").fetchone() is not None
