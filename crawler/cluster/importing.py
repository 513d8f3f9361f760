"""A shard's ledger and rows into those of the whole: numbers are shifted, paths stay. It commits nothing."""

from __future__ import annotations

import os
import sqlite3

from crawler.engine.tree import NO_FILES
from crawler.errors import LedgerError
from crawler.ledger.rows import Rows
from crawler.ledger.status import Reader
from crawler.ledger.store import Store
from crawler.paths import portable

_BLOCK = 1 << 20


def import_shard(store: Store, shard: Reader, rows_path: str | None, name: str) -> None:
    """Copy all that a shard knows.

    Parameters
    ----------
    rows_path
        Its JSONL; None without one.
    name
        Of the shard, for messages.

    Raises
    ------
    LedgerError
        A file was counted by another shard, too; or the JSONL is not what the ledger recorded.
    """
    into = store.ledger
    shift = int(into.execute("SELECT coalesce(max(id), 0) FROM scans").fetchone()[0])
    start = _append_rows(store, shard, rows_path, name)
    into.execute("CREATE TEMP TABLE IF NOT EXISTS places (id INTEGER PRIMARY KEY, whole INTEGER)")
    into.execute("DELETE FROM places")
    try:
        # A folder is one shard's, but for the roots of trees, and folders whose files are of several series.
        for number, path, digest in shard.execute("SELECT id, path, digest FROM folders ORDER BY id"):
            known = into.execute("SELECT id, digest FROM folders WHERE path = ?", (path,)).fetchone()
            if known is None:
                cursor = into.execute("INSERT INTO folders (path, digest) VALUES (?, ?)", (path, digest))
                place = cursor.lastrowid
            else:
                place = known[0]
                if known[1] == NO_FILES:  # a root, in which this shard has files
                    into.execute("UPDATE folders SET digest = ? WHERE id = ?", (digest, place))
                elif digest not in (known[1], NO_FILES):  # one of them is not done, or saw other files
                    into.execute("UPDATE folders SET digest = '' WHERE id = ?", (place,))
            into.execute("INSERT INTO places VALUES (?, ?)", (number, place))
        places = "(SELECT whole FROM temp.places WHERE id = ?)"
        _copy(
            store,
            shard,
            "SELECT id + ?, folder, scan_id, series, digest, verdict, start + ?, stop + ?, parts FROM scans"
            " ORDER BY id",
            (shift, start, start),
            f"INSERT INTO scans VALUES (?, {places}, ?, ?, ?, ?, ?, ?, NULL, ?)",
        )
        _copy(
            store,
            shard,
            "SELECT folder, name, size, mtime, outcome, stage, reason, detail, scan + ? FROM files",
            (shift,),
            f"INSERT INTO files VALUES ({places}, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        _copy(
            store,
            shard,
            "SELECT kind, path, scan + ?, layout, size, checksum FROM products",
            (shift,),
            "INSERT INTO products VALUES (?, ?, ?, ?, ?, ?)",
        )
        _import_packs(store, shard)
    except sqlite3.IntegrityError as error:
        raise LedgerError(
            f"shard {name} has what another has, too ({error}): folders changed hands between plans; choose another"
            " output.dir, or run the shards again with --rebuild"
        ) from None


def _import_packs(store: Store, shard: Reader) -> None:
    """What lies in which pack, and the packs themselves."""
    pack = store.config.output.pack
    if pack is None or not shard.execute("SELECT 1 FROM sqlite_master WHERE name = 'packed'").fetchone():
        return
    _copy(store, shard, "SELECT * FROM packed", (), "INSERT OR REPLACE INTO packed VALUES (?, ?, ?, ?, ?, ?)")
    packs = {name for (name,) in shard.execute("SELECT DISTINCT pack FROM packed")}
    for path, size, checksum in shard.execute("SELECT path, size, checksum FROM own_files"):
        name = os.path.basename(os.fsdecode(path))
        if name in packs:
            store.own.note(os.path.join(store.config.path(pack.dir), name), size, checksum)


def _copy(store: Store, shard: Reader, select: str, values: tuple[int, ...], insert: str) -> None:
    store.ledger.execute_many(insert, shard.execute(select, values))


def _append_rows(store: Store, shard: Reader, rows_path: str | None, name: str) -> int:
    """Append a shard's rows; return where they begin."""
    if store.rows is None or rows_path is None:
        return 0
    length = int(shard.get("rows", 0))
    found = os.path.getsize(rows_path) if os.path.exists(rows_path) else 0
    if length and found == length:
        reader = Rows(rows_path)
        try:
            broken = reader.first_break(shard.spans())
        finally:
            reader.close()
    if found != length or (length and broken is not None):
        raise LedgerError(
            f"{portable(rows_path)} was changed by another program: put it back, or run shard {name} again"
        )
    start = store.rows.length
    if length:
        store.rows.append(rows_path)
    return start
