"""Files of PS3.10 round a dataset that arrives: file meta information of our own, or of the sender, then its bytes.

`Writer` writes into a temporary file and hashes what it writes; nothing is decoded. `read_meta` reads group 2 back.
Neither looks into datasets.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import monotonic

import xxhash

from crawler.errors import OutputError
from crawler.pacs.model import Received
from crawler.pacs.pdu import IMPLEMENTATION_NAME, IMPLEMENTATION_UID

PREAMBLE = bytes(128) + b"DICM"
# VRs with a length of 32 bits after two reserved bytes, in group 2 (PS3.5 7.1.2, PS3.10 table 7.1-1).
_LONG_VRS = {b"OB", b"UN", b"UT", b"UC", b"UR", b"OW"}


@dataclass(frozen=True, slots=True)
class Meta:
    """What file meta information says; `end` is where the dataset begins. "" for what it lacks."""

    sop_class: str
    sop_uid: str
    transfer_syntax: str
    end: int


def file_meta(sop_class: str, sop_uid: str, transfer_syntax: str) -> bytes:
    """Return preamble, prefix and group 2 (PS3.10 7.1): equal for equal arguments, whoever sent the instance."""
    body = (
        struct.pack("<HH2s2xI2s", 2, 1, b"OB", 2, b"\0\1")
        + _usual(0x0002, b"UI", sop_class)
        + _element(0x0003, b"UI", sop_uid)
        + _usual(0x0010, b"UI", transfer_syntax)
        + _usual(0x0012, b"UI", IMPLEMENTATION_UID)
        + _usual(0x0013, b"SH", IMPLEMENTATION_NAME)
    )
    return PREAMBLE + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(body)) + body


def _element(element: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii", "replace")
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", 2, element, vr, len(value)) + value


_usual = lru_cache(256)(_element)  # what the instances of a series share; a file is begun for each


def read_meta(head: bytes) -> Meta | None:
    """Read file meta information from the first bytes of a file.

    Returns
    -------
    Meta or None
        None when there is no prefix, or when group 2 does not end within `head`. The group length is not relied on.
    """
    if head[128:132] != b"DICM":
        return None
    found: dict[int, str] = {}
    at = 132
    while at + 8 <= len(head):
        group, element, vr, length = struct.unpack_from("<HH2sH", head, at)
        if group != 2:
            return Meta(found.get(2, ""), found.get(3, ""), found.get(0x10, ""), at)
        at += 8
        if vr in _LONG_VRS:
            if at + 4 > len(head):
                return None
            (length,) = struct.unpack_from("<I", head, at)
            at += 4
        if vr == b"UI":
            found[element] = head[at : at + length].decode("ascii", "replace").strip("\0 ")
        at += length
    return None


class Writer:
    """A temporary file that an instance is written into.

    Parameters
    ----------
    path
        Must not exist.
    sop_class, sop_uid, transfer_syntax
        Of the instance; they go into `Received`.
    head
        Written first: `file_meta(...)`, or nothing when the sender's own bytes begin the file.

    Raises
    ------
    OutputError
        The file cannot be created or written.
    """

    def __init__(self, path: Path, sop_class: str, sop_uid: str, transfer_syntax: str, head: bytes) -> None:
        self.path = path
        self.sop_class, self.sop_uid, self.transfer_syntax = sop_class, sop_uid, transfer_syntax
        self.size = 0
        self._began = monotonic()
        self._hash = xxhash.xxh3_64()
        self._file = -1
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise OutputError(f"{path.parent}: a received file cannot be created ({error.strerror})") from error
        if head:
            self.write(memoryview(head))

    def write(self, data: memoryview) -> None:
        """Append some bytes."""
        self._hash.update(data)
        self.size += len(data)
        try:
            if (written := os.write(self._file, data)) < len(data):
                self._rest(data[written:])
        except OSError as error:
            self.discard()
            raise OutputError(f"{self.path.parent}: a received file cannot be written ({error.strerror})") from error

    def _rest(self, data: memoryview) -> None:
        """What one call did not take, as at a limit or a signal."""
        while data:
            data = data[os.write(self._file, data) :]

    def finish(self) -> Received:
        """Close the file, which is now complete."""
        self._close()
        seconds = monotonic() - self._began
        return Received(
            self.sop_uid,
            self.sop_class,
            self.transfer_syntax,
            self.path,
            self.size,
            self._hash.hexdigest(),
            seconds,
        )

    def discard(self) -> None:
        """Remove the file; idempotent, and without effect on one that was taken over."""
        self._close()
        with suppress(FileNotFoundError):
            self.path.unlink()

    def _close(self) -> None:
        if self._file >= 0:
            file, self._file = self._file, -1
            os.close(file)
