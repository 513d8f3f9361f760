"""series.csv: one row a scan, with what was found about its geometry."""

from __future__ import annotations

import csv
import os

from crawler.config import Config
from crawler.views.base import Context, View


def path(config: Config) -> str | None:
    """Beside the summary."""
    return os.path.join(config.output_dir, "series.csv")


def build(context: Context, target: str) -> None:
    """Write scan_id and the verdict's columns, in the verdict's order."""
    columns: dict[str, None] = {}
    for _, verdict, _ in context.ledger.scans():
        columns.update(dict.fromkeys(column for column in verdict if column != "scan_id"))
    with open(target, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["scan_id", *columns, "folders_with_series"])
        for scan_id, verdict, folders in context.ledger.scans():
            writer.writerow([scan_id, *(verdict.get(column) for column in columns), folders])


VIEW = View("series", path, build)
