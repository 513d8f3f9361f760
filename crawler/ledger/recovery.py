"""The JSONL against what the ledger vouches for: looked at first, then cut, or given up in part, and compacted.

Every step leaves a state that the next start recognises, whatever kills it: before, in between or after.
"""

from __future__ import annotations

import contextlib
import logging
import os
from itertools import pairwise

from crawler.disk import is_there, sync_folder
from crawler.errors import LedgerError
from crawler.ledger.database import Ledger
from crawler.ledger.rows import Rows
from crawler.paths import portable

log = logging.getLogger("dme")


def compacted_path(path: str) -> str:
    """Where the successor of a JSONL is written."""
    return path + ".compacted"


def recover(rows: Rows, ledger: Ledger) -> None:
    """Bring the JSONL to what the ledger vouches for.

    Raises
    ------
    LedgerError
        It was changed by another program. Nothing is touched then.
    """
    _settle_compaction(rows, ledger)
    length = ledger.get("rows", 0)
    if rows.length == length and rows.modified() == ledger.get("rows modified"):
        return
    require_unchanged(rows, ledger)
    name = portable(rows.path)
    if rows.length > length:
        log.info("%s: cut back by %d bytes that an interrupted run had not recorded", name, rows.length - length)
        rows.cut(length)
    elif rows.length < length:
        lost = ledger.lose_rows(rows.length)
        rows.cut(max((stop for _, stop in ledger.spans()), default=0))
        log.warning("%s is shorter than recorded (or missing): %d scans are exported again", name, lost)
    ledger.put("rows", rows.length)
    ledger.put("rows modified", rows.modified())
    ledger.commit()


def require_unchanged(rows: Rows, ledger: Ledger) -> None:
    """Look whether the JSONL is what runs of ours can have left; change nothing.

    Every recorded range must begin and end with a row, and what follows the last one must be rows that a run had not
    recorded yet: after a run that came to its end there is half a row at most.

    Raises
    ------
    LedgerError
        It is not.
    """
    length = ledger.get("rows", 0)
    tail = rows.length > length
    wrong = rows.first_break(ledger.spans(), length if tail else None, whole=not ledger.get("finished", False))
    if wrong is not None:
        raise LedgerError(
            f"{portable(rows.path)} was changed by another program (near byte {wrong:,}); it is not touched:"
            " put the former file back, or have --rebuild set it aside and make it anew"
        )


def compact(rows: Rows, ledger: Ledger) -> None:
    """Free the JSONL of dead rows, and bring the others in the order of paths, whatever order workers ended in.

    A scan's rows stay together, at the place of its first file. A kill at any point leaves the old file or the new one,
    and either is known.

    Raises
    ------
    OSError
        The disk is full, or the file cannot be written; the old one stays.
    """
    whole = ledger.live_rows() == rows.length
    if whole and ledger.get("rows in order") == rows.length:
        return
    spans = ledger.sorted_spans()
    if whole and all(before[2] <= after[1] for before, after in pairwise(spans)):
        ledger.put("rows in order", rows.length)
        ledger.commit()
        return
    path = compacted_path(rows.path)
    try:
        length = rows.write_compacted(path, ((start, stop) for _, start, stop in spans))
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(path)
        if whole:  # nothing but the order is amiss
            log.warning("%s: there is no room for a copy in the order of paths", portable(rows.path))
            return
        raise
    ledger.plan_spans(spans)
    ledger.put("compacting", (length, rows.length, rows.number()))
    ledger.commit()
    rows.replace(path)
    _note_compacted(rows, ledger, length)


def _settle_compaction(rows: Rows, ledger: Ledger) -> None:
    """Find out how far a compaction came that did not come to its end."""
    pending = ledger.get("compacting")
    path = compacted_path(rows.path)
    if pending is not None:
        # A ledger of version 1 noted the new length alone.
        length, before, number = pending if isinstance(pending, list) else (pending, ledger.get("rows", 0), None)
        old = rows.length == before and (length != before or rows.number() == number)
        if is_there(path) or old:
            ledger.put("compacting", None)  # written, but never put in place; the ledger must know before it is gone
            ledger.commit()
        else:
            _note_compacted(rows, ledger, length)  # put in place, but never noted
    if is_there(path):
        os.unlink(path)


def _note_compacted(rows: Rows, ledger: Ledger, length: int) -> None:
    sync_folder(os.path.dirname(rows.path))  # or a power cut could bring the old file back
    ledger.move_spans()
    ledger.put("compacting", None)
    ledger.put("rows", length)
    ledger.put("rows in order", length)
    ledger.put("rows modified", rows.modified() if rows.length == length else None)
    ledger.commit()
