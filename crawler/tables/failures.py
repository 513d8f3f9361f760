"""unreadable_files.csv: one row a failed file, with the stage and what a person needs to act on it."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from crawler.config.loader import Config
from crawler.tables.base import Context, View


def path(config: Config) -> str | None:
    """Beside the summary."""
    return config.own_path("unreadable_files.csv")


def build(context: Context, target: str) -> None:
    """Write file, stage, reason, detail; a folder that cannot be read, and an archive, by its own name."""
    with open(target, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "stage", "reason", "detail"])
        for folder, name, stage, reason, detail in context.ledger.failures():
            writer.writerow(["/".join(filter(None, (folder, name))) or ".", stage, reason, detail])
        if context.config.pacs is not None:
            writer.writerows(_not_received(context))


def _not_received(context: Context) -> Iterator[tuple[str, str, str, str]]:
    """Rows of what did not come from a PACS: by the place where it would lie, or by the request."""
    from crawler.pacs.accounts import STAGE
    from crawler.tables.received import failures, open_accounts, prefix_of  # other runs need nothing of it

    prefix = prefix_of(context.config, context.ledger)
    with open_accounts(context.config) as accounts:
        for place, reason, detail in failures(accounts, prefix, context.policy):
            yield place, STAGE, reason, detail


VIEW = View("failures", path, build)
