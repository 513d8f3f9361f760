"""metadata.csv: the JSONL as a table, in two passes over the file and memory for one row.

Columns: ours first, then elements by tag, then private ones. Lists of values are joined by a backslash, as DICOM does;
sequences and other nested values are JSON.
"""

from __future__ import annotations

import csv
import os
from typing import Any

import orjson
from pydicom.datadict import tag_for_keyword

from crawler.config import Config
from crawler.views.base import Context, View

OURS = (
    "dicom_file",
    "outcome",
    "stage",
    "reason",
    "scan_id",
    "media_type",
    "media_file",
    "volume_file",
    "media_files",
    "volume_files",
)


def path(config: Config) -> str | None:
    """Beside the JSONL, with its stem."""
    if config.metadata is None or config.metadata_path is None or "csv" not in config.metadata.tables:
        return None
    return os.path.splitext(config.metadata_path)[0] + ".csv"


def build(context: Context, target: str) -> None:
    """Write one line a row of the JSONL, live rows only."""
    source = context.config.metadata_path
    if source is None:
        return
    found: set[str] = set()
    with open(source, "rb") as rows:
        for line in rows:
            found.update(orjson.loads(line))
    columns = [*OURS, *sorted(found.difference(OURS), key=_order)]
    with open(source, "rb") as rows, open(target, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for line in rows:
            row = orjson.loads(line)
            writer.writerow([cell(row.get(column)) for column in columns])


def cell(value: Any) -> Any:
    """A JSON value as the text of one cell."""
    if isinstance(value, list):
        if any(isinstance(item, dict | list) for item in value):
            return orjson.dumps(value).decode()
        return "\\".join("" if item is None else str(item) for item in value)
    if isinstance(value, dict):
        return orjson.dumps(value).decode()
    return value


def _order(column: str) -> tuple[int, int, str]:
    """Standard elements by tag, then everything else by text."""
    keyword = column.split("#")[0].split("_")[0]
    tag = tag_for_keyword(keyword)
    return (0, tag, column) if tag is not None else (1, 0, column)


VIEW = View("csv", path, build)
