"""Files made from ledger and JSONL alone: tables, logs, an index. A new one is a module here and a row in `VIEWS`."""

from __future__ import annotations

import os

from crawler.config import Config
from crawler.ledger import Ledger
from crawler.summary import Summary
from crawler.views import csv, failures, index, missing, series, totals
from crawler.views.base import Context, View, whole

VIEWS: tuple[View, ...] = (failures.VIEW, missing.VIEW, series.VIEW, csv.VIEW, index.VIEW, totals.VIEW)


def paths(config: Config) -> list[str]:
    """Every file that views make under a configuration."""
    return [path for view in VIEWS if (path := view.path(config))]


def build(config: Config, ledger: Ledger, summary: Summary) -> list[str]:
    """Rebuild views that are missing or older than the last change; return what was made.

    Raises
    ------
    OutputError
        A file cannot be written; the old one stays.
    """
    made: list[str] = []
    revision = ledger.get("revision", 0)
    for view in VIEWS:
        path = view.path(config)
        mark = f"view {view.name}"
        if path is None or (ledger.get(mark) == revision and os.path.exists(path)):
            continue
        with whole(path) as scratch:
            view.build(Context(config, ledger, summary), scratch)
        ledger.put(mark, revision)
        made.append(path)
    return made
