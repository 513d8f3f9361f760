"""Which products lie in packs, and which of these hold what is no product any more.

It reads and writes no pack (`engine/packer.py` does). A product is in its pack when size and checksum are those of its
record: one that was made again is packed again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from crawler.ledger.database import Ledger
from crawler.ledger.products import PRODUCT_KINDS

TABLE = """CREATE TABLE IF NOT EXISTS packed (kind TEXT, path BLOB, size INTEGER, checksum TEXT, pack TEXT, member TEXT,
    PRIMARY KEY (kind, path)) WITHOUT ROWID"""
_SAME = (
    "products.kind = packed.kind AND products.path = packed.path"
    " AND products.size = packed.size AND products.checksum = packed.checksum"
)
_NO_PREVIEW = "products.kind <> 'preview'"  # the report shows them from their folder


class Askable(Protocol):
    """A ledger, open for a run or for reading."""

    def execute(self, sql: str, values: Iterable[Any] = ()) -> sqlite3.Cursor:
        """Run a statement."""


class Member(NamedTuple):
    """A product, and the name that it has, or will have, in a pack."""

    kind: str
    path: str
    size: int
    checksum: str
    name: str = ""


class Packed:
    """The record of what lies in which pack."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        ledger.execute(TABLE)

    def pending(self) -> list[Member]:
        """Products that lie in no pack as they are, by path."""
        sql = (
            "SELECT kind, path, size, checksum FROM products"
            f" WHERE {_NO_PREVIEW} AND NOT EXISTS (SELECT 1 FROM packed WHERE {_SAME}) ORDER BY kind, path"
        )
        return [Member(kind, os.fsdecode(path), *rest) for kind, path, *rest in self._ledger.execute(sql)]

    def spans(self, pack: str | None, paths: Iterable[str] = ()) -> list[tuple[int, int]]:
        """Where the rows lie, in the JSONL, of scans with products in a pack; with None, in no pack as they are.

        And of those with products of these native paths.
        """
        values: tuple[str, ...] = () if pack is None else (pack,)
        where = f"{_NO_PREVIEW} AND NOT EXISTS (SELECT 1 FROM packed WHERE {_SAME})"
        if pack is not None:
            where = f"EXISTS (SELECT 1 FROM packed WHERE {_SAME} AND pack = ?)"
        scans = f"SELECT scan FROM products WHERE {where}"
        found = set(self._ledger.execute(f"SELECT start, stop FROM scans WHERE id IN ({scans})", values))
        kinds = ", ".join("?" * len(PRODUCT_KINDS))  # all of them: the index begins with the kind
        where = f"kind IN ({kinds}) AND path = ?"
        sql = f"SELECT start, stop FROM scans WHERE id IN (SELECT scan FROM products WHERE {where})"
        for path in paths:
            found.update(self._ledger.execute(sql, (*PRODUCT_KINDS, os.fsencode(path))))
        return sorted(found)

    def pending_bytes(self) -> int:
        """Their bytes."""
        sql = (
            f"SELECT total(size) FROM products WHERE {_NO_PREVIEW} AND NOT EXISTS (SELECT 1 FROM packed WHERE {_SAME})"
        )
        return int(self._ledger.execute(sql).fetchone()[0])

    def add(self, pack: str, members: Iterable[Member]) -> set[str]:
        """Products were packed; return the packs that hold an earlier state of some."""
        former: set[str] = set()
        for m in members:
            place = (m.kind, os.fsencode(m.path))
            found = self._ledger.execute("SELECT pack FROM packed WHERE kind = ? AND path = ?", place).fetchone()
            former.update(found or ())
            values = (*place, m.size, m.checksum, pack, m.name)
            self._ledger.execute("INSERT OR REPLACE INTO packed VALUES (?, ?, ?, ?, ?, ?)", values)
        return former - {pack}

    def at(self, path: str) -> list[tuple[Member, str]]:
        """Products of a relative path that lie in a pack as they are, and that pack."""
        found: list[tuple[Member, str]] = []
        for kind in PRODUCT_KINDS:  # the index begins with it
            sql = f"SELECT * FROM packed WHERE kind = ? AND path = ? AND EXISTS (SELECT 1 FROM products WHERE {_SAME})"
            for _, _, size, checksum, pack, name in self._ledger.execute(sql, (kind, os.fsencode(path))):
                found.append((Member(kind, path, size, checksum, name), pack))
        return found

    def members(self, pack: str) -> list[Member]:
        """What a pack holds of products as they are."""
        sql = f"SELECT * FROM packed WHERE pack = ? AND EXISTS (SELECT 1 FROM products WHERE {_SAME}) ORDER BY member"
        found = self._ledger.execute(sql, (pack,))
        return [Member(kind, os.fsdecode(path), size, check, name) for kind, path, size, check, _, name in found]

    def count(self, pack: str) -> int:
        """How many products were put in a pack."""
        return int(self._ledger.execute("SELECT count(*) FROM packed WHERE pack = ?", (pack,)).fetchone()[0])

    def forget(self, pack: str) -> None:
        """A pack is gone."""
        self._ledger.execute("DELETE FROM packed WHERE pack = ?", (pack,))

    def packs(self) -> list[str]:
        """Names of all packs."""
        return [name for (name,) in self._ledger.execute("SELECT DISTINCT pack FROM packed ORDER BY pack")]

    def index(self) -> Iterable[tuple[str, str, int, str, str]]:
        """(kind, path, bytes, pack, member) of all that is packed, by pack and member."""
        sql = f"SELECT kind, path, size, pack, member FROM packed WHERE EXISTS (SELECT 1 FROM products WHERE {_SAME})"
        for kind, path, *rest in self._ledger.execute(f"{sql} ORDER BY pack, member"):
            yield (kind, os.fsdecode(path), *rest)


def place_of(ledger: Askable, kind: str, path: bytes, size: int, checksum: str) -> tuple[str, str] | None:
    """Pack and member of a product; None for one that lies by itself."""
    if not ledger.execute("SELECT 1 FROM sqlite_master WHERE name = 'packed'").fetchone():
        return None
    sql = "SELECT pack, member FROM packed WHERE kind = ? AND path = ? AND size = ? AND checksum = ?"
    found = ledger.execute(sql, (kind, path, size, checksum)).fetchone()
    return None if found is None else (found[0], found[1])
