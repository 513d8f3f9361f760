"""metadata.xlsx: every table in one workbook, for people.

Sheets: DICOM_Metadata (a row a file), Series_Summary (a row a scan, with its verdict), one a modality with the columns
of its template, MR_Cleaned, Failures, and Notes where Excel's limits needed something.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from typing import Any

from crawler.config.loader import Config
from crawler.dicom.dictionary import KeyStyle, key_for, tag_for, tag_text
from crawler.dicom.flat import element_name
from crawler.tables import mr_cleaned, series
from crawler.tables.base import Context, View, rows_of
from crawler.tables.metadata import templates_of
from crawler.tables.table import Row, Table
from crawler.tables.workbook import Workbook

log = logging.getLogger("dme")

# The first columns of seeds/000's sheets, in its order.
_PLACE = (
    "SeriesFolder",
    "FileName",
    "SampleFileName",
    "FileIndex",
    "TotalFilesInSeries",
    "FilesReadForMetadata",
    "Low_quality",
    "Low_quality_reason",
)
_ELEMENTS = (
    "PatientID",
    "AccessionNumber",
    "StudyDate",
    "Modality",
    "SeriesNumber",
    "SeriesDescription",
    "InstanceNumber",
    "Rows",
    "Columns",
)
_SUMMARY = (
    "SeriesFolder",
    "FileCount",
    "Modality",
    "SeriesDescription",
    "PatientID",
    "AccessionNumber",
    "StudyDate",
    "scan_id",
)
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
            book.add(
                "DICOM_Metadata", _files(context, lines.whole(metadata.columns if metadata else "nested")), "dicom_file"
            )
            book.add("Series_Summary", _series(context), "scan_id")
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


def _files(context: Context, whole: Table) -> Table:
    """Every row, behind the columns that such a sheet had before: place in the series, quality, who it is."""
    metadata = context.config.metadata
    if metadata is None or metadata.compat is not None:
        return whole
    keys = {word: _column(word, metadata.keys, metadata.columns) for word in _ELEMENTS}

    def order(found: Iterable[str]) -> list[str]:
        others = whole.order(set(found).difference(_PLACE))
        first = [key for key in keys.values() if key in others]
        return [*_PLACE, *first, *(name for name in others if name not in first)]

    def rows() -> Iterator[Row]:
        totals = {scan_id: verdict.get("n_files") for scan_id, verdict, _ in context.ledger.scans()}
        seen: dict[str, tuple[int, str]] = {}
        for row in whole.rows():
            folder, _, name = str(row["dicom_file"]).rpartition("/")
            scan_id = row.get("scan_id") or ""
            number, sample = seen.get(scan_id, (0, name))
            seen[scan_id] = (number + 1, sample)
            number_of_request = row.get(keys["AccessionNumber"])
            place = {
                "SeriesFolder": scan_id.rpartition("/")[0] or folder or ".",
                "FileName": f"{number_of_request}/{name}" if number_of_request else name,
            }
            if scan_id:
                files = totals.get(scan_id)
                place |= {"SampleFileName": sample, "FileIndex": number + 1}
                place |= {"TotalFilesInSeries": files, "FilesReadForMetadata": files}
            if row.get("quality_low") is not None:
                place |= {"Low_quality": int(row["quality_low"]), "Low_quality_reason": row.get("quality_reasons")}
            yield {**row, **place}

    return Table(rows, order)


def _column(keyword: str, style: KeyStyle, columns: str) -> str:
    """What a column of an element is called."""
    tag = tag_for(keyword)
    if columns == "flat" and tag is not None:
        return f"{element_name(tag, '')} {tag_text(tag)}"
    return key_for(keyword, style)


def _series(context: Context) -> Table:
    """As series.csv, behind the columns that such a sheet had before."""
    whole = series.table(context)
    columns = [*_SUMMARY, *(name for name in whole.columns() if name not in _SUMMARY)]

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
