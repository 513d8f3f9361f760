"""What is measured when somebody asks, and kept: sizes of folders, and the last answer of the PACS.

A walk over folders takes long: it goes on in a thread, one at a time, and pages show what is known.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterable
from typing import NamedTuple

from crawler.errors import ConfigError, PacsError, RequestError
from crawler.pacs.check import check
from crawler.web import pacs_settings


class Size(NamedTuple):
    """Bytes and files below a folder, and when that was found out, seconds since the epoch."""

    size: int
    files: int
    measured: float


class PacsAnswer(NamedTuple):
    """Whether the PACS answered, what it told, and when it was asked, seconds since the epoch."""

    works: bool
    detail: str
    asked: float


class Monitor:
    """What is known."""

    def __init__(self) -> None:
        self._sizes: dict[str, Size] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.pacs: PacsAnswer | None = None

    def size(self, folder: str) -> Size | None:
        """The size of a folder; None before it was measured."""
        return self._sizes.get(folder)

    @property
    def is_measuring(self) -> bool:
        """Whether a walk goes on."""
        return self._thread is not None and self._thread.is_alive()

    def measure(self, folders: Iterable[str]) -> None:
        """Have folders measured, unless a walk goes on; of all others nothing is known any more."""
        with self._lock:
            if not self.is_measuring:
                self._thread = threading.Thread(target=self._walk, args=(list(folders),), daemon=True)
                self._thread.start()

    def wait(self) -> None:
        """Until the walk has ended."""
        if self._thread is not None:
            self._thread.join()

    def ask(self, workspace: str) -> None:
        """Have the PACS of the settings give a sign of life (C-ECHO, or a query of DICOMweb)."""
        try:
            with contextlib.closing(check(pacs_settings.server(workspace))) as findings:  # type: ignore[type-var]
                first = next(iter(findings))
            self.pacs = PacsAnswer(first.works is not False, f"{first.name}: {first.detail}", time.time())
        except RequestError as error:
            self.pacs = PacsAnswer(False, error.reason, time.time())
        except (ConfigError, PacsError) as error:
            self.pacs = PacsAnswer(False, str(error), time.time())

    def _walk(self, folders: list[str]) -> None:
        for folder in folders:
            size, files = size_of(folder)
            self._sizes[folder] = Size(size, files, time.time())
        for gone in self._sizes.keys() - {*folders}:
            del self._sizes[gone]


def size_of(folder: str) -> tuple[int, int]:
    """Bytes and files below a folder; links are not followed, and a file with several names counts once."""
    size = files = 0
    seen: set[tuple[int, int]] = set()
    queue = [folder]
    while queue:
        try:
            with os.scandir(queue.pop()) as entries:
                for entry in entries:
                    with contextlib.suppress(OSError):  # it went meanwhile
                        if entry.is_dir(follow_symlinks=False):
                            queue.append(entry.path)
                            continue
                        state = entry.stat(follow_symlinks=False)
                        if state.st_nlink > 1 and (state.st_dev, state.st_ino) in seen:
                            continue
                        seen.update([(state.st_dev, state.st_ino)] if state.st_nlink > 1 else [])
                        size, files = size + state.st_size, files + 1
        except OSError:
            continue
    return size, files
