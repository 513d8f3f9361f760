"""metadata_ID.csv and unreadable_files_ID.csv of `run_crawler.py`: one row a scan, one column an element.

Columns are those of `dataset/flat.py`. A scan's row is that of its first file. Two passes, memory for one row.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence

from crawler.compat.catalogue import Catalogue
from crawler.dicom.flat import cells_of

_TAG = re.compile(r"\(([0-9A-F]{4}),([0-9A-F]{4})\)$")
DATASETS = "Datasets in pixel_data"
SCAN_ID, COUNT, REASON = "Scan ID", "No. DICOMs in scan", "Reason for failure"


def write_metadata(catalogue: Catalogue, target: str, several: Mapping[str, Sequence[str]]) -> None:
    """Write one line a stored scan; columns in the order in which the scans bring them.

    `several` names the datasets of scans that have more than one; then a last column holds them.
    """
    columns: dict[str, None] = {}
    for _, row in catalogue.stored():
        columns.update(dict.fromkeys(cells_of(row, "tag")))
    with open(target, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([SCAN_ID, COUNT, *map(_spelt, columns), *([DATASETS] if several else [])])
        for entry, row in catalogue.stored():
            cells = cells_of(row, "tag")
            named = [" ".join(several.get(entry.scan_id, ()))] if several else []
            writer.writerow([entry.scan_id, entry.files, *(cells.get(column, "") for column in columns), *named])


def _spelt(column: str) -> str:
    """A column as the earlier crawler spells its tag: ``Modality (0008, 0060)``, hexadecimal in lower case."""
    return _TAG.sub(lambda tag: f"({tag[1]}, {tag[2]})".lower(), column)


def write_unreadable(catalogue: Catalogue, target: str) -> None:
    """Write one line a failed scan."""
    with open(target, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([REASON, SCAN_ID, COUNT])
        for entry in catalogue.failed():
            writer.writerow([entry.reason, entry.scan_id, entry.files])
