"""What earlier runs made of the scans of a folder: those that lack nothing, and those that lack a part.

A scan is looked at anew as a whole when a file of it failed, or when something of another owner was in its way: what
the missing part would come to cannot be told from the rest.
"""

from __future__ import annotations

import os

from crawler.config.parts import section_of, section_of_product
from crawler.export.earlier import Earlier
from crawler.ledger.store import Store
from crawler.model import Outcome
from crawler.paths import portable

# Files of a scan that keep their outcome when a part is added: the same headers say so again.
_STEADY = ("index", "duplicate", "filtered")


def known_scans(store: Store, folder: str) -> tuple[dict[str, str], dict[str, Earlier]]:
    """Digests of a folder's finished scans, by scan_id; and what is there of those that lack a part."""
    known: dict[str, str] = {}
    earlier: dict[str, Earlier] = {}
    for number, scan_id, digest, parts in store.ledger.scans_in(folder):
        if store.parts <= parts:
            known[scan_id] = digest
        elif digest and (one := _earlier(store, number, digest, parts)) is not None:
            earlier[scan_id] = one
    return known, earlier


def known_scan(store: Store, scan_id: str) -> tuple[str, Earlier | None]:
    """The same of one scan; without both when it is unknown, or to be made anew."""
    found = store.ledger.scan_state(scan_id)
    if found is None or not found[1]:
        return "", None
    number, digest, parts = found
    return (digest, None) if store.parts <= parts else ("", _earlier(store, number, digest, parts))


def _earlier(store: Store, number: int, digest: str, parts: frozenset[str]) -> Earlier | None:
    ledger = store.ledger
    verdict, start, stop = ledger.scan_record(number)
    has_rows = stop > start
    if store.rows is not None and parts and not has_rows:
        return None  # which file gave which output is told by rows alone
    skipped: dict[str, Outcome] = {}
    for key, outcome in ledger.outcomes_of(number):
        if outcome.outcome == "failed" or outcome.reason not in _STEADY:
            return None
        skipped[key] = outcome
    have = {section_of(part) for part in parts}
    gone = frozenset(
        portable(os.fsdecode(path))
        for kind, path, *_ in ledger.products_in(number)
        if section_of_product(kind, path) not in have
    )
    rows = (store.rows.path, start, stop) if store.rows is not None and has_rows else None
    return Earlier(digest, parts, verdict, rows, skipped, gone)
