"""cohort.csv: the list of requests as it was given, each row with what became of it, from PACS to export."""

from __future__ import annotations

import csv
import os

from crawler.config.loader import Config
from crawler.pacs.accounts import STATES, Fared
from crawler.pacs.cohort import RESULTS
from crawler.tables.base import Context, View
from crawler.tables.received import open_accounts, place_of


def path(config: Config) -> str | None:
    """Beside the summary, where requests come from a list; it repeats the list, so under privacy it is private."""
    if not config.cohort_path:
        return None
    return os.path.join(config.private_dir, "cohort.csv") if config.private_dir else config.own_path("cohort.csv")


def build(context: Context, target: str) -> None:
    """Write the list's own columns, then line, found (studies), expected, received, exported (files), reason."""
    with (
        open_accounts(context.config) as accounts,
        open(target, "w", newline="", encoding="utf-8") as file,
    ):
        if accounts is None:
            return
        columns = accounts.columns()
        writer = csv.writer(file)
        writer.writerow([*columns, *RESULTS])
        place = place_of(context.config, context.ledger, context.policy)
        for fared in accounts.requests():
            folders = [place(study, series) for study, series in fared.series]
            exported = sum(context.ledger.exported_in(folder) for folder in folders)
            cells = [*fared.cells, *[""] * len(columns)][: len(columns)]
            results = (fared.line, fared.studies, fared.expected, fared.received, exported, _reason(fared, exported))
            writer.writerow([*cells, *results])


def _reason(fared: Fared, exported: int) -> str:
    """Why a row is not as good as it could be; empty when it is."""
    reasons = [f"{STATES[fared.state]}: {fared.reason}" if fared.state in STATES else fared.reason]
    if fared.received < fared.expected:
        reasons.append(f"{fared.expected - fared.received:,} instances are missing: see unreadable_files.csv")
    if exported < fared.received:
        reasons.append(f"{fared.received - exported:,} files are not exported: see unreadable_files.csv, summary.json")
    return "; ".join(filter(None, reasons))


VIEW = View("cohort", path, build)
