"""How a run tells how it goes on: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, NoReturn, Protocol, TextIO

if TYPE_CHECKING:
    from tqdm import tqdm

    from crawler.pacs.retrieval import Standing

BAR_SECONDS = 0.5  # between two states of a line that is written over
LINE_SECONDS = 10.0  # between two plain lines: enough for a batch log, little enough to see that it lives


class Progress(Protocol):
    """Who is told how a run goes on."""

    def retrieving(self, standing: Standing) -> None:
        """So much came from the PACS up to now; told often."""

    def survey(self, folders: int, files: int, size: int) -> None:
        """So much was found up to now."""

    def start(self, files: int, size: int) -> None:
        """So much is to be done."""

    def advance(self, files: int, size: int, failed: int) -> None:
        """So much more is done."""

    def finish(self) -> None:
        """Nothing more follows."""


class Silent:
    """Progress for nobody."""

    def retrieving(self, standing: Standing) -> None:
        """Say nothing."""

    def survey(self, folders: int, files: int, size: int) -> None:
        """Say nothing."""

    def start(self, files: int, size: int) -> None:
        """Say nothing."""

    def advance(self, files: int, size: int, failed: int) -> None:
        """Say nothing."""

    def finish(self) -> None:
        """Say nothing."""


def make_progress(stream: TextIO | None, quiet: bool = False) -> Progress:
    """The kind of progress that suits a stream; none for one that is closed."""
    if quiet or stream is None:
        return Silent()
    return Bar(stream) if stream.isatty() else Lines(stream)


def retrieval_text(standing: Standing) -> str:
    """One line: requests, series, instances, rate, time left; no identifiers."""
    rate = standing.received / standing.seconds if standing.seconds else 0.0
    text = (
        f"pacs: {standing.planned:,}/{standing.requests:,} requests,"
        f" {standing.series_done:,}/{standing.series:,} series,"
        f" {standing.received:,}/{standing.wanted:,} instances, {standing.bytes / 1e6:,.1f} MB,"
        f" {standing.bytes / 1e6 / max(standing.seconds, 1e-6):,.1f} MB/s"
    )
    if standing.waiting:
        return f"{text}, waiting for pacs.window"
    left = max(0, standing.wanted - standing.received)
    return f"{text}, {left / rate:,.0f} s left" if rate and left and not standing.over else text


class Bar:
    """A tqdm bar with files, bytes, rate, failures and time left."""

    def __init__(self, stream: TextIO) -> None:
        from tqdm import tqdm  # slow to load, and of no use where there is no terminal

        self._stream = stream
        self._make = tqdm
        self._bar: tqdm[NoReturn] | None = None
        self._size = self._of = self._failed = 0
        self._told = 0.0
        tqdm.monitor_interval = 0  # no thread: a process without threads forks safely

    def retrieving(self, standing: Standing) -> None:
        """So much came from the PACS up to now; told often."""
        now = time.monotonic()
        if now - self._told >= BAR_SECONDS or standing.over:
            self._told = now
            self._stream.write(f"\r\x1b[K{retrieval_text(standing)}" + ("\n" if standing.over else ""))
            self._stream.flush()

    def survey(self, folders: int, files: int, size: int) -> None:
        """So much was found up to now."""
        self._stream.write(f"\rfound {files:,} files in {folders:,} folders ")
        self._stream.flush()

    def start(self, files: int, size: int) -> None:
        """So much is to be done."""
        self._stream.write("\n")
        self._size, self._of, self._failed = 0, size, 0  # `pacs receive` exports again and again
        wide = os.get_terminal_size(self._stream.fileno()).columns > 0  # some terminals say 0: then 80 is assumed
        self._bar = self._make(
            total=files,
            unit=" files",
            file=self._stream,
            dynamic_ncols=wide,
            ncols=None if wide else 80,
            nrows=None if wide else 24,
            smoothing=0.1,
        )

    def advance(self, files: int, size: int, failed: int) -> None:
        """So much more is done."""
        if self._bar is None:
            return
        self._size += size
        self._failed += failed
        self._of = max(self._of, self._size)  # archives hold more than was known before they were opened
        self._bar.set_postfix_str(f"{self._size / 1e6:,.0f}/{self._of / 1e6:,.0f} MB, {self._failed} failed", False)
        self._bar.total = max(self._bar.total or 0, self._bar.n + files)
        self._bar.update(files)

    def finish(self) -> None:
        """Nothing more follows."""
        if self._bar is not None:
            self._bar.close()


class Lines:
    """A line now and then."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._files = self._size = self._failed = self._total = self._of = 0
        self._began = self._said = time.monotonic()

    def retrieving(self, standing: Standing) -> None:
        """So much came from the PACS up to now; told often."""
        if time.monotonic() - self._said >= LINE_SECONDS or standing.over:
            self._said = time.monotonic()
            self._write(f"dme: {retrieval_text(standing)}\n")

    def survey(self, folders: int, files: int, size: int) -> None:
        """So much was found up to now."""
        self._total = files

    def start(self, files: int, size: int) -> None:
        """So much is to be done."""
        found = max(self._total, files)  # what archives hold is known when they are opened
        self._write(f"dme: {found:,} files found, {files:,} of them ({size / 1e6:,.1f} MB) to do\n")
        self._total, self._of = files, size
        self._files = self._size = self._failed = 0  # `pacs receive` exports again and again
        self._began = self._said = time.monotonic()

    def advance(self, files: int, size: int, failed: int) -> None:
        """So much more is done."""
        self._files += files
        self._size += size
        self._failed += failed
        if time.monotonic() - self._said >= LINE_SECONDS:
            self._say()

    def finish(self) -> None:
        """Nothing more follows."""
        self._say()

    def _say(self) -> None:
        self._said = time.monotonic()
        seconds = max(1e-6, self._said - self._began)
        rate = self._files / seconds
        beyond = self._files > self._total or self._size > self._of  # archives held more than was known
        files = f"{self._files:,} files" if beyond else f"{self._files:,}/{self._total:,} files"
        size = f"{self._size / 1e6:,.1f}" + ("" if beyond else f"/{self._of / 1e6:,.1f}")
        left = "" if beyond or not rate else f", {(self._total - self._files) / rate:,.0f} s left"
        self._write(f"dme: {files}, {size} MB, {rate:,.0f} files/s, {self._failed} failed{left}\n")

    def _write(self, text: str) -> None:
        """Tell it, or not: a stream that is full or closed is no reason to end a run."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()
