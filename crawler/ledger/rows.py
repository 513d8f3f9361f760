"""The JSONL file: appended to, cut back to what the ledger knows, compacted at the end of a run.

It knows bytes and ranges, not what is in them; the ledger says which ranges are alive.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, BinaryIO

import xxhash

from crawler.disk import fingerprint, require_regular
from crawler.errors import LedgerError, OutputError
from crawler.paths import portable

_BLOCK = 1 << 20
BEGIN = b'{"dicom_file":'  # of every row
BEGIN_COMPAT = b'{"'  # of a row of `metadata.compat`, which begins with some element


class Rows:
    """An open JSONL of known length."""

    def __init__(self, path: str, begin: bytes = BEGIN) -> None:
        self.path = path
        self._begin = begin
        require_regular(path)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self._file: BinaryIO = open(path, "ab")  # noqa: SIM115 - open for the length of a run
        except OSError as error:
            raise OutputError(f"{portable(path)} cannot be written: {error.strerror}") from None
        self.length = self._file.tell()
        self._flushed = -1  # length that the disk is known to have
        self._checksum = xxhash.xxh3_128() if not self.length else None  # None: of rows that an earlier run wrote
        self._changed = False
        self._compacted: xxhash.xxh3_128 | None = None

    def append(self, data: bytes | str) -> tuple[int, int]:
        """Append finished lines, given as bytes or as the path of a file that holds them; return their place."""
        start = self.length
        if isinstance(data, bytes):
            self._write(data)
        else:
            with open(data, "rb") as source:
                while block := source.read(_BLOCK):
                    self._write(block)
        return start, self.length

    def _write(self, block: bytes) -> None:
        self._file.write(block)
        self.length += len(block)
        self._changed = True
        if self._checksum is not None:
            self._checksum.update(block)

    def sealed(self, before: list[Any] | None) -> tuple[int, str] | list[Any]:
        """Length and checksum of the whole (as `disk.fingerprint`); read again only where rows of two runs are joined.

        Parameters
        ----------
        before
            Those of the run before; they hold as long as nothing was written.
        """
        if before is not None and not self._changed and before[0] == self.length:
            return before
        self._file.flush()
        return (self.length, self._checksum.hexdigest()) if self._checksum is not None else fingerprint(self.path)

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
        self.length, self._flushed, self._changed = length, -1, True
        self._checksum = None if length else xxhash.xxh3_128()

    def modified(self) -> int:
        """When the file was last written to, ns; buffered rows are flushed first."""
        self._file.flush()
        return os.fstat(self._file.fileno()).st_mtime_ns

    def number(self) -> int:
        """The file system's number (inode) of the file: another one after `replace`."""
        return os.fstat(self._file.fileno()).st_ino

    def first_break(
        self, spans: Iterable[tuple[int, int]], tail: int | None = None, *, whole: bool = True
    ) -> int | None:
        """Where the file is no sequence of rows; None when it is.

        Parameters
        ----------
        spans
            (start, stop) of ranges, each of which must begin and end with a row; those beyond the file are passed over.
        tail
            Where rows begin that nobody recorded: each must begin like one of ours, the last may be cut short.
        whole
            Whether there may be whole rows among these.
        """
        with open(self.path, "rb", buffering=0) as file:
            for start, stop in spans:
                if stop > self.length:
                    continue
                file.seek(max(0, start - 1))
                head = file.read(2 if start else 1)
                file.seek(stop - 2)
                if head != (b"\n{" if start else b"{") or file.read(2) != b"}\n":
                    return start
        if tail is None:
            return None
        with open(self.path, "rb") as file:
            file.seek(max(0, tail - 1))
            if tail and file.read(1) != b"\n":
                return tail
            while line := file.readline(_BLOCK):
                start = file.tell() - len(line)
                head = line[: len(self._begin)]
                while line and not line.endswith(b"\n"):
                    line = file.readline(_BLOCK)
                if not head.startswith(self._begin if line else b"{") or (line and not whole):
                    return start
        return None

    def write_compacted(self, path: str, spans: Iterable[tuple[int, int]]) -> int:
        """Copy the live ranges to `path`; return the new length."""
        self._file.flush()
        self._compacted = xxhash.xxh3_128()
        with open(self.path, "rb") as source, open(path, "wb") as target:
            for start, stop in spans:
                source.seek(start)
                left = stop - start
                while left:
                    block = source.read(min(left, _BLOCK))
                    if not block:
                        raise LedgerError(f"{portable(self.path)} became shorter during the run; run again")
                    target.write(block)
                    self._compacted.update(block)
                    left -= len(block)
            target.flush()
            os.fsync(target.fileno())
            return target.tell()

    def replace(self, path: str) -> None:
        """Put a compacted file in place and go on with it; the old one stays when that fails."""
        self._file.close()
        try:
            os.replace(path, self.path)
        except OSError:
            self._file = open(self.path, "ab")  # noqa: SIM115
            raise
        self._file = open(self.path, "ab")  # noqa: SIM115
        self.length, self._flushed, self._changed = self._file.tell(), -1, True
        self._checksum, self._compacted = self._compacted, None

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
