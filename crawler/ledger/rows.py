"""The JSONL file: appended to, cut back to what the ledger knows, compacted at the end of a run.

It knows bytes and ranges, not what is in them; the ledger says which ranges are alive.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from typing import BinaryIO

from crawler.errors import LedgerError, OutputError
from crawler.paths import portable

_BLOCK = 1 << 20


class Rows:
    """An open JSONL of known length."""

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self._file: BinaryIO = open(path, "ab")  # noqa: SIM115 - open for the length of a run
        except OSError as error:
            raise OutputError(f"{portable(path)} cannot be written: {error.strerror}") from None
        self.length = self._file.tell()
        self._flushed = -1  # length that the disk is known to have

    def append(self, data: bytes | str) -> tuple[int, int]:
        """Append finished lines, given as bytes or as the path of a file that holds them; return their place."""
        start = self.length
        if isinstance(data, bytes):
            self._file.write(data)
            self.length += len(data)
        else:
            with open(data, "rb") as source:
                shutil.copyfileobj(source, self._file, _BLOCK)
                self.length += source.tell()
        return start, self.length

    def flush(self) -> None:
        """Hand everything to the disk; costs nothing where it has everything."""
        if self.length != self._flushed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._flushed = self.length

    def cut(self, length: int) -> None:
        """Cut back to a length that the ledger vouches for."""
        self._file.flush()
        self._file.truncate(length)
        self._file.seek(0, os.SEEK_END)
        self.length, self._flushed = length, -1

    def whole(self, length: int) -> bool:
        """Whether a row ends at `length`."""
        if length == 0:
            return True
        with open(self.path, "rb") as file:
            file.seek(length - 1)
            return file.read(1) == b"\n"

    def write_compacted(self, path: str, spans: Iterable[tuple[int, int]]) -> int:
        """Copy the live ranges to `path`; return the new length."""
        self._file.flush()
        with open(self.path, "rb") as source, open(path, "wb") as target:
            for start, stop in spans:
                source.seek(start)
                left = stop - start
                while left:
                    block = source.read(min(left, _BLOCK))
                    if not block:
                        raise LedgerError(f"{portable(self.path)} became shorter during the run; run again")
                    target.write(block)
                    left -= len(block)
            target.flush()
            os.fsync(target.fileno())
            return target.tell()

    def replace(self, path: str) -> None:
        """Put a compacted file in place and go on with it."""
        self._file.close()
        os.replace(path, self.path)
        self._file = open(self.path, "ab")  # noqa: SIM115
        self.length, self._flushed = self._file.tell(), -1

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
