"""Progress written down for others: `dme status` and the web server read it while the run holds its ledger.

A file is renamed into place twice a second at most; a disk that takes none ends no run. `ledger/live.py` says what it
holds.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from crawler.engine.progress import BAR_SECONDS, Progress
from crawler.ledger.live import Live
from crawler.ledger.own_files import UNFINISHED

if TYPE_CHECKING:
    from crawler.pacs.retrieval import Standing


class ProgressFile:
    """Passes progress on, and writes it down now and then."""

    def __init__(self, progress: Progress, path: str) -> None:
        self._progress, self._path = progress, path
        now = time.time()
        self._live = Live("starting", now, now, now, process=os.getpid(), where=socket.gethostname())
        self._told = float("-inf")
        self._tell()

    def retrieving(self, standing: Standing) -> None:
        """So much came from the PACS up to now; told often."""
        self._progress.retrieving(standing)
        if self._is_due(standing.over):
            self._live.retrieval = asdict(standing)
            if not self._live.to_do:  # with workers, series that are whole are exported meanwhile
                self._enter("retrieving")
            self._tell()

    def survey(self, folders: int, files: int, size: int) -> None:
        """So much was found up to now."""
        self._progress.survey(folders, files, size)
        if self._is_due():
            self._enter("survey")
            self._live.to_do, self._live.size, self._live.done, self._live.done_size = files, size, 0, 0
            self._tell()

    def start(self, files: int, size: int) -> None:
        """So much is to be done."""
        self._progress.start(files, size)
        live = self._live
        live.to_do, live.size, live.done, live.done_size, live.failed = files, size, 0, 0, 0
        live.state = ""  # each start is a stage of its own: a rate is of this one
        self._enter("running")
        self._tell()

    def advance(self, files: int, size: int, failed: int) -> None:
        """So much more is done."""
        self._progress.advance(files, size, failed)
        self._live.done += files
        self._live.done_size += size
        self._live.failed += failed
        if self._is_due():
            self._tell()

    def finish(self) -> None:
        """Nothing more follows."""
        self._progress.finish()
        self._enter("finishing")
        self._tell()

    def remove(self) -> None:
        """The run has ended: the ledger can be read."""
        for path in (self._path, self._path + UNFINISHED):
            with contextlib.suppress(OSError):
                os.unlink(path)

    def _enter(self, state: str) -> None:
        if self._live.state != state:
            self._live.state, self._live.since = state, time.time()

    def _is_due(self, at_once: bool = False) -> bool:
        return at_once or time.monotonic() - self._told >= BAR_SECONDS

    def _tell(self) -> None:
        self._told, self._live.told = time.monotonic(), time.time()
        with contextlib.suppress(OSError):  # a full disk ends the run elsewhere
            with open(self._path + UNFINISHED, "w", encoding="utf-8") as file:
                json.dump(asdict(self._live), file)
            os.replace(self._path + UNFINISHED, self._path)


@contextlib.contextmanager
def told_to_others(progress: Progress, path: str) -> Iterator[ProgressFile]:
    """Progress that also goes to a file, which is gone at the end."""
    file = ProgressFile(progress, path)
    try:
        yield file
    finally:
        file.remove()
