"""Cells of metadata.csv that workers made (`export/cells.py`), kept in a file of this run until the table is written.

They are a copy of what the rows hold: whatever happens to them, the table is made of the rows.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from crawler.ledger import temporary
from crawler.ledger.database import Ledger
from crawler.ledger.queries import iter_rows

log = logging.getLogger("dme")

NAME = "metadata.cells"
TABLE = "CREATE TEMP TABLE IF NOT EXISTS cells (scan INTEGER PRIMARY KEY, start INTEGER, stop INTEGER)"


class CellSpool:
    """The cells of the scans that this run exported.

    Attributes
    ----------
    columns
        Names of the columns of all that was added.
    """

    def __init__(self, ledger: Ledger, output_dir: str) -> None:
        self._ledger, self._output_dir, self._path = ledger, output_dir, ""
        self._file: BinaryIO | None = None
        self._length = self._added = 0
        self._failed = False
        self.columns: set[str] = set()
        ledger.execute(TABLE)

    def add(self, scan_id: str, data: bytes | str, columns: Iterable[str]) -> None:
        """Keep the cells of a scan that the ledger knows, given as bytes or as the path of a file."""
        if self._failed:
            return
        self.columns.update(columns)
        try:
            if self._file is None:
                folder = temporary.folder(self._output_dir, self._ledger)
                self._path = os.path.join(folder, NAME)
                os.makedirs(folder, exist_ok=True)
                self._file = open(self._path, "wb")  # noqa: SIM115 - open for the length of a run
            start = self._length
            if isinstance(data, bytes):
                self._length += self._file.write(data)
            else:
                with open(data, "rb") as source:
                    shutil.copyfileobj(source, self._file, 1 << 20)
                    self._length += source.tell()
                os.unlink(data)
        except OSError as error:  # the disk is full, say: the table is made of the rows
            log.info("the cells of metadata.csv are not kept: %s", error.strerror)
            self._failed = True
            return
        self._added += 1
        self._ledger.execute(
            "INSERT OR REPLACE INTO cells VALUES (?, ?, ?)", (self._ledger.scan_number(scan_id), start, self._length)
        )

    def places(self) -> Iterator[tuple[int, int, int | None, int | None]]:
        """(start, stop) of a scan's rows and (start, stop) of its cells, or None, in the order of the rows."""
        sql = (
            "SELECT scans.start, scans.stop, cells.start, cells.stop FROM scans LEFT JOIN cells ON scan = scans.id"
            " WHERE scans.stop > scans.start ORDER BY scans.start"
        )
        yield from iter_rows(self._ledger.execute(sql))

    @property
    def is_whole(self) -> bool:
        """Whether all that was added is there still: else `columns` may name some of scans that were replaced."""
        live = "SELECT count(*) FROM cells WHERE scan IN (SELECT id FROM scans)"
        return int(self._ledger.execute(live).fetchone()[0]) == self._added

    @contextlib.contextmanager
    def opened(self) -> Iterator[BinaryIO | None]:
        """The file to read from; None when there are no cells."""
        if self._file is None or self._failed:
            yield None
            return
        self._file.flush()
        with open(self._path, "rb") as file:
            yield file

    def close(self) -> None:
        """Let go of the file, which goes with its folder."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
