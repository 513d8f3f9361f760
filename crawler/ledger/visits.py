"""What the walk of a run asks the ledger: is a folder known and unchanged, what of it is kept, what is gone."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator

from crawler.ledger.queries import Accounts
from crawler.paths import portable

_WITHIN = "(path = ? OR (path > ? AND path < ?))"  # an archive's own folder and those in it


class Visits(Accounts):
    """What `Ledger` knows and notes of folders that a walk comes to."""

    def visit(self, path: str) -> str:
        """Note that a folder exists; return its digest, empty when it is unknown or unfinished."""
        row = self.execute("SELECT id, digest FROM folders WHERE path = ?", (path,)).fetchone()
        if row is None:
            return ""
        self.execute("INSERT OR IGNORE INTO seen VALUES (?)", (row[0],))
        return str(row[1])

    def was_read(self, path: str, name: str) -> bool:
        """Whether a file of a folder is known, and not as one that cannot be read."""
        sql = "SELECT 1 FROM files JOIN folders ON folder = folders.id WHERE path = ? AND name = ? AND stage <> 'find'"
        return self.execute(sql, (path, name)).fetchone() is not None

    def keep_folder(self, path: str, below: bool) -> int:
        """Keep all that is known of a folder that cannot be read, and have it looked at again by the next run.

        With `below`, the folders in it are kept, too, as they are. Returns how many files are known.
        """
        where, values = _below(path) if below else ("path = ?", (path,))
        sql = f"SELECT count(*) FROM files JOIN folders ON folder = folders.id WHERE {where} AND files.name <> ''"
        count = int(self.execute(sql, values).fetchone()[0])
        if count:
            self.execute(
                "INSERT INTO folders (path, digest) VALUES (?, '') ON CONFLICT (path) DO UPDATE SET digest = ''",
                (path,),
            )
            self.execute(f"INSERT OR IGNORE INTO seen SELECT id FROM folders WHERE {where}", values)
        return count

    def count_below(self, path: str, without: Iterable[str] = ()) -> int:
        """Files known in a folder and all below it, but for those in and below others."""
        where, values = _below(path, without)
        sql = f"SELECT count(*) FROM files JOIN folders ON folder = folders.id WHERE {where}"
        return int(self.execute(sql, values).fetchone()[0])

    def count_lost(self, path: str, root: int, without: Iterable[str] = ()) -> int:
        """Files known below a root's folder that are gone: of folders not seen, and of queued ones that hold fewer.

        An archive that is queued is there; what it holds is known when it was read again.
        """
        where, values = _below(path, without)
        known = "SELECT count(*) FROM files JOIN folders ON folder = folders.id WHERE"
        sql = f"{known} folders.id NOT IN (SELECT id FROM seen) AND {where}"
        lost = int(self.execute(sql, values).fetchone()[0])
        prefix = path + "/" if path else ""
        queued = self.execute("SELECT path, count FROM todo WHERE root = ? AND archive = x''", (root,)).fetchall()
        for native, count in queued:
            inside = portable(os.fsdecode(native))
            key = prefix + inside if inside else path
            lost += max(0, int(self.execute(f"{known} folders.path = ?", (key,)).fetchone()[0]) - count)
        queued = self.execute("SELECT path, archive FROM todo WHERE root = ? AND archive != x''", (root,)).fetchall()
        for native, name in queued:
            key = prefix + portable(os.fsdecode(os.path.join(native, name)))
            sql = f"{known} folders.id NOT IN (SELECT id FROM seen) AND {_WITHIN}"
            lost -= int(self.execute(sql, _within(key)).fetchone()[0])
        return lost

    def vanished(self, besides: Iterable[str] = ()) -> list[tuple[int, str]]:
        """(number, path) of folders that were not visited, but for those in archives that are still to be opened."""
        unopened = frozenset(besides)
        rows = self.execute("SELECT id, path FROM folders WHERE id NOT IN (SELECT id FROM seen)")
        return [(number, path) for number, path in rows if not unopened or unopened.isdisjoint(_and_above(path))]

    def vanished_in(self, archive: str, there: Collection[str]) -> list[tuple[int, str]]:
        """(number, path) of folders that an archive held, itself included, and that are not among those there."""
        known = self.execute(f"SELECT id, path FROM folders WHERE {_WITHIN}", _within(archive)).fetchall()
        return [(number, path) for number, path in known if path not in there]

    def visit_archive(self, path: str, digest: str) -> bool:
        """Note that an archive exists; True when it is done and unchanged: then the folders in it exist too."""
        unchanged = self.visit(path) == digest
        if unchanged:
            self.execute(f"INSERT OR IGNORE INTO seen SELECT id FROM folders WHERE {_WITHIN}", _within(path))
        return unchanged

    def forget_archive(self, path: str) -> None:
        """Have an archive read again; the folders in it must be found again."""
        self.execute(f"UPDATE folders SET digest = '' WHERE {_WITHIN}", _within(path))
        self.execute(f"DELETE FROM seen WHERE id IN (SELECT id FROM folders WHERE {_WITHIN})", _within(path))

    def files_in_archive(self, path: str) -> int:
        """Files of an archive and the folders in it, itself included."""
        sql = f"SELECT count(*) FROM files JOIN folders ON folder = folders.id WHERE {_WITHIN}"
        return int(self.execute(sql, _within(path)).fetchone()[0])


def _below(path: str, without: Iterable[str] = ()) -> tuple[str, tuple[str, ...]]:
    """A condition for a folder and all below it but for others, with its values; the root without a name is all."""
    where, values = (_WITHIN, _within(path)) if path else ("1", ())
    for other in without:
        where, values = f"{where} AND NOT {_WITHIN}", (*values, *_within(other))
    return where, values


def _and_above(path: str) -> Iterator[str]:
    """A path, and those of the folders above it."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def _within(path: str) -> tuple[str, str, str]:
    """What `_WITHIN` compares with: "0" follows "/"."""
    return path, path + "/", path + "0"
