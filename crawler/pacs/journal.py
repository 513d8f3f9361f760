"""The journal of arrivals: a line of text for each file, between two commits of the manifest.

A commit waits for the disk, which an arrival should not; a line only has to outlive the process. It is read once, after
a kill, and emptied by each commit.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import TextIO

from crawler.errors import OutputError
from crawler.pacs.wanted import Arrival
from crawler.paths import portable

# `dataclasses.astuple` copies deeply, and takes ten times as long.
_values = attrgetter(*(field.name for field in dataclasses.fields(Arrival)))


class Journal:
    """Lines of (number of the series, arrival). `open` must come before `write`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def left_behind(self) -> Iterator[tuple[int, Arrival]]:
        """Yield what a killed retrieval wrote; a torn line, as a loss of power leaves it, is passed over."""
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            with contextlib.suppress(ValueError, TypeError):
                number, *values = json.loads(line)
                yield int(number), Arrival(*values)

    def open(self) -> None:
        """Begin anew."""
        self._file = open(self._path, "w", encoding="utf-8")  # noqa: SIM115 - open as long as the manifest is

    def write(self, series: int, arrival: Arrival) -> None:
        """Add a line; it outlives the process when this returns."""
        assert self._file is not None, "a journal is opened first"
        try:
            self._file.write(json.dumps([series, *_values(arrival)]) + "\n")
            self._file.flush()
        except OSError as error:
            raise self._refusal(error) from None

    def clear(self) -> None:
        """Forget the lines: the manifest holds them."""
        if self._file is None or not self._file.tell():
            return
        try:
            self._file.seek(0)
            self._file.truncate()
        except OSError as error:
            raise self._refusal(error) from None

    def close(self) -> None:
        """Let go of the file, and remove it: a manifest that was closed holds all."""
        if self._file is not None:
            self._file.close()
            with contextlib.suppress(OSError):
                os.unlink(self._path)

    def _refusal(self, error: OSError) -> OutputError:
        return OutputError(f"{portable(str(self._path))} cannot be written: {error.strerror}")
