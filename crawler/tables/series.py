"""series.csv and series.parquet, and a sheet of the workbook: one row a series in a folder (a scan).

Who it is, what was found about its geometry and quality, and what was written of it. A DICOMDIR is no series and has
no row. It reads the ledger alone, so that it costs no pass over the JSONL.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from crawler.config.loader import Config
from crawler.export.series_columns import KEYWORDS
from crawler.ledger.database import Ledger
from crawler.paths import portable
from crawler.tables.base import Context, View
from crawler.tables.csvfile import write_csv
from crawler.tables.table import Row, Table

_ARRAYS = ("b_values", "shapes", "axes")
_COUNTS = ("n_failed", "n_skipped", "n_volumes")
_OUTPUTS = ("volume_files", "n_media", "media_file")


@dataclass(slots=True)
class _Written:
    """What the ledger knows of a scan's files and outputs."""

    failed: int = 0
    skipped: int = 0
    layouts: set[str] = field(default_factory=set)
    volumes: list[str] = field(default_factory=list)
    media: tuple[int, str | None] = (0, None)
    preview: str | None = None


def verdict_word(verdict: dict[str, Any]) -> tuple[str, str]:
    """A scan's verdict in a word, and how good that is: "good", "warn", "bad" or "plain"."""
    if "n_planes" not in verdict:
        return "not exported", "bad"
    if verdict.get("n_refused"):
        return "refused", "bad"
    if verdict.get("policy"):
        return {"split": "split", "keep": "kept uneven"}.get(verdict["policy"], "uneven"), "warn"
    if verdict.get("regular_volume"):
        return "regular volume", "good"
    if not verdict.get("n_images"):
        return "no image", "plain"
    if verdict.get("obliquity_degrees") is None:
        return "no geometry", "plain"
    return ("single slice", "plain") if verdict.get("n_planes") == 1 else ("irregular", "warn")


def path(config: Config) -> str | None:
    """Beside the summary."""
    return config.own_path("series.csv")


def parquet_path(config: Config) -> str | None:
    """Beside series.csv, where `metadata.tables` asks for the format."""
    wanted = config.metadata is not None and "parquet" in config.metadata.tables
    return config.own_path("series.parquet") if wanted else None


def shape(config: Config) -> list[bool]:
    """Whether there are columns of previews, and of what a PACS sent."""
    return [config.preview is not None, config.pacs is not None]


def table(context: Context) -> Table:
    """The table: who a series is, its verdict, its outputs; rows by scan_id."""
    config = context.config
    verdicts: dict[str, None] = {}
    for _, verdict, _ in context.ledger.scans():
        verdicts.update(dict.fromkeys(verdict))
    further = (["preview"] if config.preview else []) + (["retrieved", "retrieval_reason"] if config.pacs else [])
    first = ["scan_id", *KEYWORDS, "n_files", *_COUNTS, *_ARRAYS, "verdict"]
    columns = [
        *first,
        *(name for name in verdicts if name not in first),
        *_OUTPUTS,
        "folders_with_series",
        *further,
    ]

    def rows() -> Iterator[Row]:
        written = _written(context.ledger)
        retrieved, reasons = _retrieved(context) if config.pacs else ({}, {})
        for scan_id, verdict, folders in context.ledger.scans():
            mine = written.get(scan_id) or _Written()
            yield {
                **verdict,
                "scan_id": scan_id,
                "verdict": verdict_word(verdict)[0],
                "n_failed": mine.failed,
                "n_skipped": mine.skipped,
                "n_volumes": len(mine.layouts),
                "volume_files": mine.volumes or None,
                "n_media": mine.media[0],
                "media_file": mine.media[1],
                "folders_with_series": folders,
                "preview": mine.preview,
                "retrieved": retrieved.get(str(verdict.get("series_uid")), "all"),
                "retrieval_reason": reasons.get(str(verdict.get("series_uid"))),
            }

    return Table(rows, lambda _: columns)


def build(context: Context, target: str) -> None:
    """Write the table as CSV."""
    write_csv(table(context), target)


def build_parquet(context: Context, target: str) -> None:
    """Write the table as Parquet."""
    from crawler.tables.parquet import write_parquet  # pyarrow is slow to load, and few runs want it

    write_parquet(table(context), target)


def _written(ledger: Ledger) -> dict[str, _Written]:
    found: dict[str, _Written] = defaultdict(_Written)
    for scan_id, outcome, count in ledger.losses():
        if outcome == "failed":
            found[scan_id].failed = count
        else:
            found[scan_id].skipped = count
    for scan_id, layout, place in ledger.volumes():
        found[scan_id].layouts.add(layout)
        found[scan_id].volumes.append(_text(place))
    for scan_id, count, place in ledger.media():
        found[scan_id].media = count, _text(place)
    for scan_id, place in ledger.previews():
        found[scan_id].preview = found[scan_id].preview or _text(place)
    return found


def _text(place: bytes) -> str:
    return portable(os.fsdecode(place))


def _retrieved(context: Context) -> tuple[dict[str, str], dict[str, str]]:
    """Series of which a part is missing -> how much of it a PACS sent ("127 of 180"), and why not the rest."""
    from crawler.tables.received import missing, open_accounts  # only runs with a PACS need it

    with open_accounts(context.config) as accounts:
        return missing(accounts, context.policy)


VIEW = View("series", path, build, shape)
PARQUET_VIEW = View("series.parquet", parquet_path, build_parquet, shape)
