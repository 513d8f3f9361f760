"""What a person thinks of series: keep, drop, unsure, in a CSV file.

One row a series, by its UID and its scan_id. The file is written whole, and renamed into place.
"""

from __future__ import annotations

import csv
import io
import os
import threading
import time

from crawler.web.jobs import write_whole

NAME = "ratings.csv"
RATINGS = ("keep", "drop", "unsure")
COLUMNS = ("scan_id", "SeriesInstanceUID", "rating", "rated")
_LOCK = threading.Lock()


def read(folder: str) -> dict[str, dict[str, str]]:
    """scan_id -> row; empty when there is no file."""
    try:
        with open(os.path.join(folder, NAME), newline="", encoding="utf-8") as file:
            return {row["scan_id"]: row for row in csv.DictReader(file) if row.get("rating") in RATINGS}
    except (FileNotFoundError, KeyError):
        return {}


def rate(folder: str, scan_id: str, series_uid: str, rating: str) -> None:
    """Keep a rating; an empty one takes it back."""
    with _LOCK:
        rows = read(folder)
        rows.pop(scan_id, None)
        if rating:
            values = (scan_id, series_uid, rating, time.strftime("%Y-%m-%dT%H:%M:%S"))
            rows[scan_id] = dict(zip(COLUMNS, values, strict=True))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows[name] for name in sorted(rows))
        os.makedirs(folder, exist_ok=True)
        write_whole(os.path.join(folder, NAME), text.getvalue())
