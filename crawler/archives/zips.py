"""The directory of a zip archive, and its members as streams.

One directory is kept open in a process: 10,000 members do not read it 10,000 times, and no two large ones are in memory
together. It does not judge what the members are (`sources/zip_source.py`).
"""

from __future__ import annotations

import os
import struct
import zipfile
from contextlib import suppress
from typing import BinaryIO

from crawler.archives.members import member_name
from crawler.archives.quota import QUOTA, Quota
from crawler.archives.streams import InflatingStream
from crawler.archives.zip_repair import oddities, patched
from crawler.errors import FileError, HeaderError
from crawler.stores.access import open_path
from crawler.stores.address import is_remote

ENCRYPTED = 0x41  # general purpose bits 0 and 6, APPNOTE.TXT 4.4.4
_PATCHED = 0x20
_METHODS = {
    zipfile.ZIP_STORED: "stored",
    zipfile.ZIP_DEFLATED: "deflate",
    zipfile.ZIP_BZIP2: "bzip2",
    zipfile.ZIP_LZMA: "LZMA",
}
# What a damaged directory makes `zipfile` raise beside its own error: names that are not the UTF-8 they claim to be
# (ValueError), fields that are cut (struct.error), offsets of 2**63 and more, versions from the future.
DAMAGE = (zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError, struct.error)
_Stamp = tuple[int, str, int, int, int]


class Directory:
    """A zip archive that is open.

    Attributes
    ----------
    entries
        Every entry, in the directory's order.
    start
        Offset of the directory in the archive: where the members end.

    Raises
    ------
    OSError
        The archive cannot be opened.
    One of DAMAGE
        Its directory is missing or damaged.
    """

    def __init__(self, path: str) -> None:
        self._file: BinaryIO | None = None
        try:
            self._zip = zipfile.ZipFile(open_path(path) if is_remote(path) else path)
        except DAMAGE:
            patches = oddities(path)
            if not patches:
                raise
            self._zip, self._file = patched(path, patches)
        self.entries = self._zip.filelist
        self.start = self._zip.start_dir
        self._by_name: dict[str, zipfile.ZipInfo] = {}
        for entry in self.entries:
            with suppress(FileError):
                # The first of a name is the member; `ZipFile.getinfo` would find the last.
                self._by_name.setdefault(member_name(entry.orig_filename), entry)

    def open(self, member: str) -> InflatingStream:
        """Open a member, which is inflated as far as it is read.

        Raises
        ------
        HeaderError
            There is no such member, or it cannot be inflated.
        """
        entry = self._by_name.get(member)
        if entry is None:
            raise HeaderError("damaged archive member", "the archive does not hold it any more")
        fault = unreadable(entry, QUOTA)
        if fault is not None:
            raise HeaderError(fault.reason, fault.detail)
        try:
            return InflatingStream(self._zip.open(entry), entry.file_size)
        except DAMAGE as error:
            raise HeaderError("damaged archive member", "its local header is not what the directory says") from error

    def close(self) -> None:
        """Close the archive."""
        self._zip.close()
        if self._file is not None:
            self._file.close()


class DirectoryCache:
    """Room for one open directory."""

    def __init__(self) -> None:
        self._stamp: _Stamp | None = None
        self._directory: Directory | None = None

    def get(self, path: str) -> Directory:
        """Return the archive's directory, read again only when another was asked for since, or the archive changed.

        Raises
        ------
        OSError, one of DAMAGE
            As `Directory`.
        """
        # A forked process shares the parent's file position, so it opens the archive anew.
        stamp: _Stamp = (os.getpid(), path, 0, 0, 0)
        if not is_remote(path):  # there each look costs as much as a read, and `expand` begins anew
            info = os.stat(path)
            stamp = (os.getpid(), path, info.st_ino, info.st_size, info.st_mtime_ns)
        if self._directory is None or stamp != self._stamp:
            self.clear()
            self._directory = Directory(path)
            self._stamp = stamp
        return self._directory

    def clear(self) -> None:
        """Close what is there."""
        if self._directory is not None:
            self._directory.close()
        self._directory = None


# The one open directory of this process: a cache, whose content no result depends on.
open_directory = DirectoryCache()


def unreadable(entry: zipfile.ZipInfo, quota: Quota) -> FileError | None:
    """Return why a member cannot be inflated, as far as the directory tells; None when it can."""
    if entry.flag_bits & ENCRYPTED:
        return FileError("encrypted archive member", "unpack the archive with its password first")
    if entry.compress_type not in _METHODS or entry.flag_bits & _PATCHED:
        return FileError("unsupported compression", f"zip method {entry.compress_type}: unpack the archive first")
    if quota.member_is_bomb(entry.file_size, entry.compress_size):
        return FileError("suspicious compression", f"{entry.compress_size:,} bytes inflate to {entry.file_size:,}")
    return None
