"""Products in the ledger: which files of the output folders are ours, and which of these wait for deletion.

It deletes nothing itself (`own_files.py` does). Paths are relative to their output root, as bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from crawler.ledger.queries import Accounts
from crawler.paths import native

TrashRow = tuple[str, bytes, int | None, str | None]
"""Kind, path as in `ProductRow`, size and checksum as recorded; None in a ledger of version 1."""
MERGED = "merged"  # in the ledger of shards' output as a whole: what the last merge knew
KEPT = ("version", "temporary", "own files unknown", MERGED)  # what `forget_all` keeps of the single values
PRODUCT_KINDS = ("image", "video", "document", "waveform", "text", "volume", "sidecar", "preview")


class Products(Accounts):
    """What `Ledger` knows and changes of products."""

    def is_ours(self, path: bytes) -> bool:
        """Whether a path, relative to its output root, is a product of ours, or one that waits for deletion."""
        kinds = ", ".join("?" * len(PRODUCT_KINDS))  # all of them: the index begins with the kind
        sql = f"SELECT 1 FROM {{}} WHERE kind IN ({kinds}) AND path = ? LIMIT 1"
        values, tables = (*PRODUCT_KINDS, path), ("products", "trash")
        return any(self.execute(sql.format(table), values).fetchone() is not None for table in tables)

    def recorded(self, path: bytes) -> list[tuple[str, int | None, str | None]]:
        """Kind, size and checksum of what is ours at a path, as in `is_ours`."""
        kinds = ", ".join("?" * len(PRODUCT_KINDS))
        sql = f"SELECT kind, size, checksum FROM {{0}} WHERE kind IN ({kinds}) AND path = ?"
        return self.execute(
            f"{sql.format('products')} UNION {sql.format('trash')}", (*PRODUCT_KINDS, path) * 2
        ).fetchall()

    def trash(self) -> list[TrashRow]:
        """Products that nothing names any more."""
        return self.execute(
            "SELECT kind, path, size, checksum FROM trash WHERE NOT EXISTS"
            " (SELECT 1 FROM products WHERE products.kind = trash.kind AND products.path = trash.path)"
        ).fetchall()

    def forget_trash(self, kept: Iterable[TrashRow] = ()) -> None:
        """Forget the trash, as its files are deleted, but for those that could not be."""
        self.execute("DELETE FROM trash")
        for row in kept:
            self.execute("INSERT INTO trash VALUES (?, ?, ?, ?)", row)

    def take_published(self, kind: str, path: bytes, size: int, checksum: str) -> None:
        """A file was put in place by a process that could not tell of it: it is a product's new state, or trash."""
        found = self.execute(
            "UPDATE products SET size = ?, checksum = ? WHERE kind = ? AND path = ?", (size, checksum, kind, path)
        )
        if not found.rowcount:
            self.execute("INSERT OR REPLACE INTO trash VALUES (?, ?, ?, ?)", (kind, path, size, checksum))

    def clear_vanished(self, gone: Iterable[tuple[int, str]]) -> int:
        """Have outputs that lie as these folders of the input did deleted, and their scans made anew; return how many.

        The folders stay known: which scans their files belonged to is told by them.
        """
        count = 0
        below = "FROM products WHERE kind = ? AND path > ? AND path < ?"
        for number, path in gone:
            place = os.fsencode(native(path))
            ends = place + os.sep.encode(), place + chr(ord(os.sep) + 1).encode()
            for kind in PRODUCT_KINDS:
                values = (kind, *ends)
                self.execute(f"UPDATE scans SET digest = '' WHERE id IN (SELECT scan {below})", values)
                self.execute(f"INSERT OR REPLACE INTO trash SELECT kind, path, size, checksum {below}", values)
                count += self.execute(f"DELETE {below}", values).rowcount
            self.execute("UPDATE folders SET digest = '' WHERE id = ?", (number,))
        return count

    def forget_all(self) -> None:
        """Begin anew: every product goes to the trash; which files are ours stays known."""
        self.execute("INSERT OR REPLACE INTO trash SELECT kind, path, size, checksum FROM products")
        for table in ("products", "scans", "files", "folders"):
            self.execute(f"DELETE FROM {table}")
        self.execute(f"DELETE FROM meta WHERE key NOT IN ({', '.join('?' * len(KEPT))})", KEPT)
