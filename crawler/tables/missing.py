"""missing_files.csv: files that a DICOMDIR lists and that the input does not hold, as when a CD was copied in part.

A DICOMDIR (PS3.10 8.6) is believed for nothing else: files are found by the walk, and described by their own headers.
It reads the DICOMDIRs' rows in the JSONL, not the files; without DICOMDIR the table has no rows.
"""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import orjson

from crawler.config.loader import Config
from crawler.ledger.database import Ledger
from crawler.tables.base import Context, View

if TYPE_CHECKING:
    from crawler.dicom.attributes import Attributes

log = logging.getLogger("dme")

COLUMNS = ("dicomdir", "listed", "sop_instance_uid")
_INDEX_ROW = b'"reason":"index"'  # as orjson writes it: only lines that hold it are parsed
_VERSION = re.compile(r";\d+$")  # ISO 9660 7.5.1: a file identifier ends in a semicolon and a version number


def path(config: Config) -> str | None:
    """Beside the summary, when there are rows to read it from."""
    return config.own_path("missing_files.csv") if config.metadata else None


def build(context: Context, target: str) -> None:
    """Write one line a missing file, in the order of each DICOMDIR."""
    lost = 0
    with open(target, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for dicomdir, listed in _indexes(context):
            wanted = {canonical(name): (name, uid) for name, uid in reversed(list(listed))}
            for found in _files_below(context.ledger, dicomdir.rpartition("/")[0]):
                wanted.pop(canonical(found), None)
            lost += len(wanted)
            writer.writerows((dicomdir, name, uid) for name, uid in reversed(wanted.values()))
    if lost:
        log.warning("%d files that a DICOMDIR lists are not in the input: see missing_files.csv", lost)


def canonical(path: str) -> str:
    """What the spellings of one path share: CDs are read with and without versions, in either case.

    >>> canonical("DICOM/IM1.;1") == canonical("dicom/im1")
    True
    """
    return "/".join(_VERSION.sub("", part).rstrip(".").casefold() for part in path.split("/"))


def _indexes(context: Context) -> Iterator[tuple[str, Iterator[tuple[str, str]]]]:
    """(dicom_file, what it lists) of every DICOMDIR."""
    metadata, source = context.config.metadata, context.config.metadata_path
    if metadata is None or source is None or not _has_index(context.ledger):
        return
    if metadata.compat is not None:  # its rows leave sequences out, and a DICOMDIR has none
        log.warning("missing_files.csv is empty: with metadata.compat what a DICOMDIR lists is not looked at")
        return
    from crawler.dicom.attributes import Attributes

    with open(source, "rb") as rows:
        for line in rows:
            if _INDEX_ROW not in line:
                continue
            row = orjson.loads(line)
            if row["reason"] == "index":
                yield row["dicom_file"], _listed(Attributes(row, metadata.keys))


def _has_index(ledger: Ledger) -> bool:
    return any(reason == "index" for _, _, reason, *_ in ledger.accounts())


def _listed(index: Attributes) -> Iterator[tuple[str, str]]:
    """Path relative to the DICOMDIR, and SOP Instance UID, of each directory record that names a file (PS3.3 F.3.2)."""
    for record in index.items("DirectoryRecordSequence"):
        components = record.value("ReferencedFileID")  # (0004,1500): the path, a value for each component
        parts = components if isinstance(components, list) else [components]
        name = "/".join(part for part in parts if isinstance(part, str))
        # (0004,1410) 0: inactive, to be ignored (PS3.3 F.3.2.2)
        if name and record.integer("RecordInUseFlag") != 0:
            yield name, record.text("ReferencedSOPInstanceUIDInFile")


def _files_below(ledger: Ledger, folder: str) -> Iterator[str]:
    """Paths, relative to a folder, of all files in it and below that the ledger knows."""
    sql = "SELECT path, name FROM files JOIN folders ON folder = folders.id"
    if not folder:
        found = ledger.execute(sql)
    else:  # "0" follows "/": a range of the index on folders.path
        found = ledger.execute(f"{sql} WHERE path = ? OR (path > ? AND path < ?)", (folder, folder + "/", folder + "0"))
    for path, name in found:
        below = path[len(folder) :].lstrip("/")
        yield f"{below}/{name}" if below else name


VIEW = View("missing", path, build)
