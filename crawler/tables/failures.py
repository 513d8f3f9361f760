"""unreadable_files.csv: one row a failed file, with the stage and what a person needs to act on it."""

from __future__ import annotations

import csv
import os

from crawler.config.loader import Config
from crawler.tables.base import Context, View


def path(config: Config) -> str | None:
    """Beside the summary."""
    return os.path.join(config.output_dir, "unreadable_files.csv")


def build(context: Context, target: str) -> None:
    """Write file, stage, reason, detail; a folder that cannot be read, and an archive, by its own name."""
    with open(target, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "stage", "reason", "detail"])
        for folder, name, stage, reason, detail in context.ledger.failures():
            writer.writerow(["/".join(filter(None, (folder, name))) or ".", stage, reason, detail])


VIEW = View("failures", path, build)
