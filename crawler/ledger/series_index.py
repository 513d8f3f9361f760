"""Who belongs to which scan of a tree, on disk: what `group: tree` needs to bring together files from anywhere.

A temporary table beside the ledger, gone with the run. It holds the few facts of a header that grouping needs and
where the rest is spooled, and hands scans out in order of their series' hash: memory for one scan, however many there
are.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from crawler.layout.scan import HASH_DIGITS, SeriesKey, scan_members, series_hash
from crawler.ledger.database import Ledger
from crawler.model import File

_SCHEMA = """
CREATE TEMP TABLE members (root INTEGER, series TEXT, uid TEXT, number TEXT, path BLOB, member BLOB, start INTEGER,
    copy BLOB, size INTEGER, mtime INTEGER, stem BLOB, spool BLOB, place INTEGER, state INTEGER, row INTEGER);
CREATE TEMP TABLE touched (series TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TEMP TABLE found_again (scan_id TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_SORTED = "CREATE INDEX temp.members_in_order ON members (series)"
# A folder is fresh when it exists and its listing is unchanged.
_FRESH = "folders.id IN (SELECT id FROM seen) AND folders.digest != ''"
_BATCH = 1000  # rows fetched at a time


class Spooled(NamedTuple):
    """Where an instance and its row lie in a spool file."""

    path: str
    start: int
    sizes: tuple[int, int]


class Member(NamedTuple):
    """One file of a scan: `root` is the number of its root, `stem` names its media."""

    root: int
    file: File
    stem: str
    key: SeriesKey
    spooled: Spooled


class SeriesIndex:
    """The table. Rows go in by `add`, then `touch`, `unread` and more of them, then `scans` and `drop_rest`."""

    def __init__(self, ledger: Ledger, roots: list[tuple[str, str, Callable[[str], str] | None]]) -> None:
        self._ledger = ledger
        self._roots = roots  # path and prefix of each root, and what outputs have in place of a path under privacy
        for statement in _SCHEMA.strip().split(";\n"):
            ledger.execute(statement)

    def add(self, members: Iterable[Member]) -> None:
        """Keep members of scans."""
        for one in members:
            file, place, uid = one.file, one.spooled, one.key.uid
            values = (
                one.root,
                series_hash(uid, "" if uid else file.key),
                uid,
                None if one.key.number is None else str(one.key.number),
                os.fsencode(file.path),
                None if file.member is None else os.fsencode(file.member),
                file.start,
                os.fsencode(file.spooled),
                file.size,
                file.mtime_ns,
                os.fsencode(one.stem),
                os.fsencode(place.path),
                place.start,
                *place.sizes,
            )
            self._ledger.execute(f"INSERT INTO members VALUES ({', '.join('?' * len(values))})", values)

    def touch(self) -> None:
        """Note every series that may have changed.

        It has a new member; or it lost one, or one was written to; or it shares the digits of its name with such a one.
        """
        run = self._ledger.execute
        run("INSERT OR IGNORE INTO touched SELECT DISTINCT series FROM members")
        run(
            "INSERT OR IGNORE INTO touched SELECT series FROM scans JOIN files ON files.scan = scans.id"
            f" JOIN folders ON files.folder = folders.id WHERE NOT ({_FRESH})"
        )
        run(
            "INSERT OR IGNORE INTO touched SELECT series FROM scans"
            f" WHERE substr(series, 1, {HASH_DIGITS}) IN (SELECT substr(series, 1, {HASH_DIGITS}) FROM touched)"
        )

    def unread(self) -> Iterator[tuple[str, list[str], set[str]]]:
        """(folder, names of all its files, those to be read) of touched series in folders that did not change."""
        last = -1
        while True:
            row = self._ledger.execute(
                "SELECT min(folders.id) FROM touched JOIN scans USING (series) JOIN files ON files.scan = scans.id"
                f" JOIN folders ON files.folder = folders.id WHERE folders.id > ? AND {_FRESH}",
                (last,),
            ).fetchone()
            if row[0] is None:
                return
            last = row[0]
            (path,) = self._ledger.execute("SELECT path FROM folders WHERE id = ?", (last,)).fetchone()
            rows = self._ledger.execute(
                "SELECT name, touched.series FROM files LEFT JOIN scans ON files.scan = scans.id"
                " LEFT JOIN touched USING (series) WHERE files.folder = ?",
                (last,),
            ).fetchall()
            yield path, [name for name, _ in rows if name], {name for name, series in rows if series is not None}

    def scans(self) -> Iterator[tuple[int, str, list[Member]]]:
        """(number of the root, scan_id, members) of every touched scan that has members, in order of hashes.

        Members may lie below several roots; the scan is one of the first of them.
        """
        self._ledger.execute(_SORTED)
        near = itertools.groupby(self._rows(), key=lambda row: row[0][:HASH_DIGITS])
        for _, bucket in near:  # scans that share these digits are named together
            found = list(bucket)
            first: dict[str, int] = {}
            for series, member in found:
                first[series] = min(member.root, first.get(series, member.root))
            for root in sorted({*first.values()}):
                members = [member for series, member in found if first[series] == root]
                for scan_id, numbers in self._named(root, members).items():
                    self._ledger.execute("INSERT OR IGNORE INTO found_again VALUES (?)", (scan_id,))
                    yield root, scan_id, [members[number] for number in numbers]

    def _named(self, root: int, members: list[Member]) -> dict[str, list[int]]:
        names = [member.file.key for member in members]
        _, prefix, public = self._roots[root]
        order = None if public is None else [member.file.true for member in members]
        folder = prefix if public is None else public(prefix)
        return scan_members(folder, names, [member.key for member in members], order)

    def drop_rest(self) -> int:
        """Drop the touched scans that were not found again; return how many."""
        return self._ledger.drop_scans(
            "series IN (SELECT series FROM touched) AND scan_id NOT IN (SELECT scan_id FROM found_again)"
        )

    def _rows(self) -> Iterator[tuple[str, Member]]:
        last: tuple[str, int] = ("", -1)
        sql = f"SELECT *, rowid FROM members WHERE (series, rowid) > (?, ?) ORDER BY series, rowid LIMIT {_BATCH}"
        while batch := self._ledger.execute(sql, last).fetchall():
            for row in batch:
                yield row[1], self._member(row)
            last = (batch[-1][1], batch[-1][-1])

    def _member(self, row: tuple[Any, ...]) -> Member:
        root, _, uid, number, path, member, start, copy, size, mtime, stem, spool, place, state, line, _ = row
        base, prefix, public = self._roots[root]
        inside = None if member is None else os.fsdecode(member)
        file = File(base, os.fsdecode(path), size, mtime, prefix, inside, start, os.fsdecode(copy))
        file = file if public is None else file._replace(public=public(file.true))
        key = SeriesKey(uid, None if number is None else int(number))
        return Member(root, file, os.fsdecode(stem), key, Spooled(os.fsdecode(spool), place, (state, line)))
