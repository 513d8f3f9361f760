"""Products that the ledger knows and that are there no longer: somebody deleted them, and a run makes them again.

Output folders are listed; no file is opened or looked at. A file that was changed is there, and stays.
"""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Iterator

from crawler.config.loader import Config
from crawler.config.parts import parts_of, section_of, section_of_product
from crawler.disk import is_absent
from crawler.ledger.database import Ledger
from crawler.ledger.packed import place_of
from crawler.ledger.store import output_root
from crawler.ledger.uploads import is_uploaded, was_uploaded
from crawler.paths import portable

log = logging.getLogger("dme")

LISTED = 64  # folders whose names are held at a time: products come in the order of paths
TABLE = "CREATE TEMP TABLE IF NOT EXISTS lost (scan INTEGER, section TEXT, PRIMARY KEY (scan, section)) WITHOUT ROWID"


def lost_products(config: Config, ledger: Ledger) -> Iterator[tuple[int, str, str]]:
    """(scan, section, native path) of every product that is gone, of the sections that are on."""
    wanted = {section_of(part) for part in parts_of(config.shaping())}
    listings: OrderedDict[str, frozenset[str]] = OrderedDict()
    sql = "SELECT kind, path, scan, size, checksum FROM products ORDER BY kind, path"
    for kind, place, scan, size, checksum in ledger.execute(sql):
        section = section_of_product(kind, place)
        if section not in wanted:
            continue
        path = os.path.join(output_root(config, kind), os.fsdecode(place))
        folder, name = os.path.split(path)
        if folder not in listings:
            listings[folder] = _names_in(folder)
            if len(listings) > LISTED:
                listings.popitem(last=False)
        if name not in listings[folder] and is_absent(path):  # some file systems tell names apart otherwise
            if config.output_address and is_uploaded(ledger, os.path.relpath(path, config.output_dir), size, checksum):
                continue
            pack = config.output.pack
            packed = place_of(ledger, kind, place, size, checksum) if pack is not None else None
            if pack is not None and packed:
                place_there = os.path.join(config.path(pack.dir), packed[0])
                if os.path.exists(place_there) or was_uploaded(config, ledger, place_there):
                    continue
            yield scan, section, path


def make_again(config: Config, ledger: Ledger) -> int:
    """Have what is gone made by this run; return how many files that are."""
    ledger.execute(TABLE)
    ledger.execute("DELETE FROM lost")
    count, first = 0, ""
    for scan, section, path in lost_products(config, ledger):
        count, first = count + 1, first or path
        ledger.execute("INSERT OR IGNORE INTO lost VALUES (?, ?)", (scan, section))
    if not count:
        return 0
    log.warning("%d outputs are gone and are made again, the first is %s", count, portable(first))
    for (section,) in ledger.execute("SELECT DISTINCT section FROM lost").fetchall():
        ledger.forget_sections(frozenset([section]), f"id IN (SELECT scan FROM lost WHERE section = '{section}')")
    ledger.open_lacking(frozenset(parts_of(config.shaping())))
    return count


def _names_in(folder: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()
