"""summary.json: the accounts of the run, for machines."""

from __future__ import annotations

import json

from crawler.config.loader import Config
from crawler.tables.base import Context, View


def path(config: Config) -> str | None:
    """In the output folder."""
    return config.own_path("summary.json")


def build(context: Context, target: str) -> None:
    """Write found = exported + skipped + failed, with every reason counted."""
    with open(target, "w", encoding="utf-8") as file:
        json.dump(context.summary.to_json(), file, indent=2)
        file.write("\n")


VIEW = View("totals", path, build)
