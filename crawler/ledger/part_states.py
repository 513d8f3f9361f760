"""Which parts (`config/parts.py`) each scan of the ledger has, and which scans lack one.

Few sets of parts are in use at a time, so that questions and changes go by set and not by scan.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from crawler.config.parts import section_of
from crawler.ledger.queries import Accounts
from crawler.model import Outcome


def parts_text(parts: Iterable[str]) -> str:
    """A set of parts as the ledger keeps it: equal sets are equal texts."""
    return json.dumps(sorted(parts))


class Parts(Accounts):
    """What `Ledger` knows and changes of the parts of scans."""

    def scans_in(self, folder: str) -> list[tuple[int, str, str, frozenset[str]]]:
        """(number, scan_id, digest, parts) of a folder's scans."""
        sql = "SELECT scans.id, scan_id, scans.digest, parts FROM scans JOIN folders ON folder = folders.id"
        found = self.execute(f"{sql} WHERE path = ?", (folder,)).fetchall()
        return [(number, scan_id, digest, self._set(parts)) for number, scan_id, digest, parts in found]

    def scan_state(self, scan_id: str) -> tuple[int, str, frozenset[str]] | None:
        """(number, digest, parts) of one scan; None when it is unknown."""
        row = self.execute("SELECT id, digest, parts FROM scans WHERE scan_id = ?", (scan_id,)).fetchone()
        return None if row is None else (row[0], str(row[1]), self._set(row[2]))

    def scan_number(self, scan_id: str) -> int:
        """Number of a scan that is known."""
        return int(self.execute("SELECT id FROM scans WHERE scan_id = ?", (scan_id,)).fetchone()[0])

    def scan_record(self, number: int) -> tuple[dict[str, Any], int, int]:
        """Verdict of a scan, and where its rows begin and end."""
        verdict, start, stop = self.execute("SELECT verdict, start, stop FROM scans WHERE id = ?", (number,)).fetchone()
        return dict(self.parsed(verdict)), start, stop

    def products_in(self, number: int) -> list[tuple[str, bytes, str, int, str]]:
        """Products of a scan, as `ProductRow`."""
        return self.execute(
            "SELECT kind, path, layout, size, checksum FROM products WHERE scan = ? ORDER BY kind, path", (number,)
        ).fetchall()

    def outcomes_of(self, number: int) -> Iterator[tuple[str, Outcome]]:
        """(name in outputs, outcome) of a scan's files that were not exported."""
        sql = (
            "SELECT path, name, outcome, stage, reason, detail FROM files JOIN folders ON folder = folders.id"
            " WHERE scan = ? AND outcome <> 'exported'"
        )
        for path, name, *outcome in self.execute(sql, (number,)).fetchall():
            yield (f"{path}/{name}" if path else name), Outcome(*outcome)

    def fill_in_parts(self, parts: Iterable[str]) -> None:
        """Scans of a ledger of version 2 have these."""
        self.execute("UPDATE scans SET parts = ? WHERE parts IS NULL", (parts_text(parts),))

    def forget_sections(self, sections: frozenset[str], where: str = "1") -> int:
        """Have parts of some sections made anew, of the scans that an SQL condition names; return how many lose one."""
        count = 0
        for text, parts in self._sets(where):
            left = frozenset(part for part in parts if section_of(part) not in sections)
            if left != parts:
                changed = self.execute(
                    f"UPDATE scans SET parts = ? WHERE parts IS ? AND {where}", (parts_text(left), text)
                )
                count += changed.rowcount
        return count

    def lacking(self, wanted: frozenset[str]) -> dict[str, int]:
        """Part -> scans that lack it, in the order of names."""
        found: dict[str, int] = {}
        for text, parts in self._sets():
            if missing := wanted - parts:
                count = int(self.execute("SELECT count(*) FROM scans WHERE parts IS ?", (text,)).fetchone()[0])
                for part in missing:
                    found[part] = found.get(part, 0) + count
        return dict(sorted(found.items()))

    def open_lacking(self, wanted: frozenset[str]) -> None:
        """Have the folders looked at whose scans lack a part."""
        for text, parts in self._sets():
            if wanted - parts:
                literal = "parts IS NULL" if text is None else "parts = '" + text.replace("'", "''") + "'"
                self.look_again(
                    f"SELECT DISTINCT folder FROM files WHERE scan IN (SELECT id FROM scans WHERE {literal})"
                )

    def do_again(self, names: Iterable[str]) -> int:
        """Have the scans of some files, as outputs name them, done again; return how many of these files are known."""
        count = 0
        for name in sorted(names):
            folder, _, last = name.rpartition("/")
            sql = "SELECT scan, folder FROM files JOIN folders ON folder = folders.id WHERE path = ? AND name = ?"
            row = self.execute(sql, (folder, last)).fetchone()
            if row is not None:
                count += 1
                self.execute("UPDATE scans SET digest = '' WHERE id = ?", (row[0],))
                self.look_again(str(int(row[1])))
        return count

    def look_again(self, folders: str) -> None:
        """Forget the digests of folders that a query names (`Ledger` says how)."""
        raise AssertionError("a ledger says how")

    def _sets(self, where: str = "1") -> list[tuple[str | None, frozenset[str]]]:
        found = self.execute(f"SELECT DISTINCT parts FROM scans WHERE {where}").fetchall()
        return [(text, self._set(text)) for (text,) in found]

    def _set(self, text: str | None) -> frozenset[str]:
        return frozenset(self.parsed(text)) if text else frozenset()
