"""series.csv: one row a scan, with what was found about its geometry, and its first preview where there are any."""

from __future__ import annotations

import csv
import os

from crawler.config.loader import Config
from crawler.paths import portable
from crawler.tables.base import Context, View


def path(config: Config) -> str | None:
    """Beside the summary."""
    return os.path.join(config.output_dir, "series.csv")


def shape(config: Config) -> bool:
    """Whether there is a column of previews."""
    return config.preview is not None


def _retrieved(config: Config) -> dict[str, str]:
    """Series of which a part is missing -> how much of it a PACS sent: "127 of 180"."""
    from crawler.tables.received import open_accounts  # only runs with a PACS need it

    with open_accounts(config) as accounts:
        found = accounts.incomplete() if accounts else {}
    return {series: f"{here:,} of {known:,}" for (_, series), (here, known) in found.items()}


def build(context: Context, target: str) -> None:
    """Write scan_id, the verdict's columns in the verdict's order, and the preview's path below its folder."""
    columns: dict[str, None] = {}
    for _, verdict, _ in context.ledger.scans():
        columns.update(dict.fromkeys(column for column in verdict if column != "scan_id"))
    previews: dict[str, str] = {}
    for scan_id, place in context.ledger.previews() if context.config.preview else ():
        previews.setdefault(scan_id, portable(os.fsdecode(place)))
    further = ["preview"] if context.config.preview else []
    retrieved = _retrieved(context.config) if context.config.pacs else {}
    if context.config.pacs:
        further.append("retrieved")
    with open(target, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["scan_id", *columns, "folders_with_series", *further])
        for scan_id, verdict, folders in context.ledger.scans():
            more = [previews.get(scan_id)] if context.config.preview else []
            if context.config.pacs:
                more.append(retrieved.get(str(verdict.get("series_uid")), "all"))
            writer.writerow([scan_id, *(verdict.get(column) for column in columns), folders, *more])


VIEW = View("series", path, build, shape)
