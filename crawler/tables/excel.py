"""metadata.xlsx: every table in one workbook, for people.

Sheets: DICOM_Metadata (a row a file), Series_Summary (a row a scan, with its verdict), one a modality with the columns
of its template, MR_Cleaned, Failures, and Notes where Excel's limits needed something.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from typing import Any

from crawler.config.loader import Config
from crawler.tables import mr_cleaned, series
from crawler.tables.base import Context, View, rows_of
from crawler.tables.metadata import templates_of
from crawler.tables.table import Row, Table
from crawler.tables.workbook import Workbook

log = logging.getLogger("dme")

_FAILURE = ("file", "stage", "reason", "detail")


def path(config: Config) -> str | None:
    """Beside the JSONL, with its stem."""
    if config.metadata is None or config.metadata_path is None or "xlsx" not in config.metadata.tables:
        return None
    return os.path.splitext(config.metadata_path)[0] + ".xlsx"


def shape(config: Config) -> list[Any]:
    """The style of the columns, the templates, the rules of MR."""
    lists = [[one.name, sorted(one.modalities), list(one.keywords)] for one in templates_of(config)]
    rules = mr_cleaned.shape(config) if mr_cleaned.is_wanted(config) else None
    return [config.metadata.columns if config.metadata else "", lists, rules]


def build(context: Context, target: str) -> None:
    """Write the workbook; unfinished sheets lie in the folder that the next start empties."""
    lines, metadata = rows_of(context.config), context.config.metadata
    scratch = os.path.join(context.temp, "workbook")
    os.makedirs(scratch, exist_ok=True)
    try:
        with Workbook(target, scratch) as book:
            book.add("DICOM_Metadata", lines.whole(metadata.columns if metadata else "nested"))
            book.add("Series_Summary", _series(context))
            for template in templates_of(context.config):
                table = lines.of_template(template)
                if next(table.rows(), None) is not None:
                    book.add(template.name.upper(), table)
            if mr_cleaned.is_wanted(context.config):
                table = mr_cleaned.table(context)
                if next(table.rows(), None) is not None:
                    book.add("MR_Cleaned", table)
            book.add("Failures", _failures(context))
        for note in book.notes:
            log.warning("%s: %s", os.path.basename(target).removesuffix(".building"), note)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _series(context: Context) -> Table:
    """As series.csv, behind the folder and the number of files."""
    whole = series.table(context)
    columns = ["scan_id", "SeriesFolder", "FileCount", *(name for name in whole.columns() if name != "scan_id")]

    def rows() -> Iterator[Row]:
        for row in whole.rows():
            folder = row["scan_id"].rpartition("/")[0] or "."
            yield {**row, "SeriesFolder": folder, "FileCount": row.get("n_files")}

    return Table(rows, lambda _: columns)


def _failures(context: Context) -> Table:
    """As unreadable_files.csv."""

    def rows() -> Iterator[Row]:
        for folder, name, *why in context.ledger.failures():
            yield dict(zip(_FAILURE, ["/".join(filter(None, (folder, name))) or ".", *why], strict=True))

    return Table(rows, lambda _: list(_FAILURE))


VIEW = View("xlsx", path, build, shape)
