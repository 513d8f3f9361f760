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


def build(context: Context, target: str) -> None:
    """Write scan_id, the verdict's columns in the verdict's order, and the preview's path below its folder."""
    columns: dict[str, None] = {}
    for _, verdict, _ in context.ledger.scans():
        columns.update(dict.fromkeys(column for column in verdict if column != "scan_id"))
    previews: dict[str, str] = {}
    for scan_id, place in context.ledger.previews() if context.config.preview else ():
        previews.setdefault(scan_id, portable(os.fsdecode(place)))
    further = ["preview"] if context.config.preview else []
    with open(target, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["scan_id", *columns, "folders_with_series", *further])
        for scan_id, verdict, folders in context.ledger.scans():
            preview = [previews.get(scan_id)] if further else []
            writer.writerow([scan_id, *(verdict.get(column) for column in columns), folders, *preview])


VIEW = View("series", path, build, shape)
