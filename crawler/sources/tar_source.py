"""The members of a tar archive: places in it when it is plain, temporary copies when it is compressed.

The archive is read once, in order, in bounded memory. What comes before a cut or a damage is handed on.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

from crawler.archives.quota import Quota
from crawler.errors import FileError
from crawler.model import File, Outcome
from crawler.sources.expanded import CONTAINER, ArchiveContents, Expanded, failed, nanoseconds
from crawler.sources.spool import Spool
from crawler.sources.tar_stream import DAMAGE, LONGEST_HEADER, TarStream
from crawler.stores.access import open_path

# What tarfile raises for headers that make no sense: numbers, sparse maps and PAX fields are parsed without a net, and
# extended headers in a row recurse.
_TAR_ERRORS = (tarfile.TarError, ValueError, ArithmeticError, LookupError, RecursionError, *DAMAGE)


def expand_tar(
    file: File, compression: str, spool: str, quota: Quota, advance: Callable[[], object] | None = None
) -> Expanded:
    """Return the members of a tar archive.

    Parameters
    ----------
    compression
        "", "gz", "bz2", "xz" or "zst".
    spool
        A folder for temporary copies.
    advance
        Called whenever a part was read.

    Raises
    ------
    OSError
        The archive cannot be opened.
    """
    with open_path(file.native) as raw:
        size = raw.seek(0, os.SEEK_END)
        raw.seek(0)
        stream = TarStream(raw, compression, size, quota, advance)
        if not compression:
            return _Reader(file, stream, None).read()
        with Spool(spool, quota) as copies:
            return _Reader(file, stream, copies).read()


class _Reader:
    """One pass over an archive; with `copies` for the members of a compressed one."""

    def __init__(self, file: File, stream: TarStream, copies: Spool | None) -> None:
        self._file, self._stream, self._copies = file, stream, copies
        self._contents = ArchiveContents()

    def read(self) -> Expanded:
        """Read the archive as far as it goes."""
        outcome: Outcome | None = None
        try:
            for info in _headers(self._stream):
                self._member(info)
            outcome = self._end()
        except FileError as error:  # a bomb: no step further
            outcome = self._stopped(error)
        except _TAR_ERRORS:
            outcome = self._stopped(self._damage())
        except OSError as error:
            damage = self._damage() if error.errno is None else FileError("cannot be read", error.strerror or "")
            outcome = self._stopped(damage)
        return self._contents.end(outcome)

    def _member(self, info: tarfile.TarInfo) -> None:
        """Hand a member on, or say why not."""
        if info.isdir():
            return
        name = self._contents.accept(info.name, _kind_fault(info))
        if name is None:
            return
        member = self._file._replace(size=info.size, mtime_ns=nanoseconds(info.mtime), member=name)
        try:
            if self._copies is not None:
                self._copies.check(info.size)
                member = member._replace(spooled=self._copies.copy(self._content(info.size)))
            elif self._stream.holds(info.offset_data + info.size):
                member = member._replace(start=info.offset_data)
            else:
                raise _cut(info.size)
        except FileError as error:
            self._contents.refuse(name, failed(error))
        except (*DAMAGE, OSError):
            self._contents.refuse(name, Outcome("failed", "find", "damaged archive member"))
            raise
        else:
            self._contents.members.append(member)

    def _content(self, size: int) -> Iterator[bytes]:
        yield from self._stream.parts(size)
        if self._stream.ended:
            raise _cut(size)

    def _end(self) -> Outcome | None:
        """Return what is to be said of an archive in which tarfile finds nothing more."""
        if self._stream.ended:
            return self._stopped(self._damage())
        if any(self._stream.last):
            return self._stopped(FileError("damaged archive", "what follows is no header"))
        more = self._stream.rest()
        if self._stream.cut:
            return self._stopped(self._damage())
        return Outcome("skipped", "", CONTAINER, "what follows its end mark was not read") if more else None

    def _damage(self) -> FileError:
        """Return what is wrong, by where the reading stopped."""
        if not self._stream.size:
            return FileError("damaged archive", "the file is empty")
        if self._stream.ended:
            return FileError("truncated archive")
        start = self._stream.tell() <= tarfile.BLOCKSIZE
        return FileError("damaged archive", "it is no archive of the kind that its name says" if start else "")

    def _stopped(self, error: FileError) -> Outcome:
        """Return the outcome of an archive that was read up to here."""
        count = f"{len(self._contents.members)} members were read before"
        return failed(FileError(error.reason, f"{error.detail}; {count}" if error.detail else count))


def _headers(stream: TarStream) -> Iterator[tarfile.TarInfo]:
    """Yield the archive's headers, keeping none."""
    tar = tarfile.TarFile(fileobj=cast(BinaryIO, stream), mode="r", encoding="utf-8", errors="surrogateescape")
    while (info := tar.next()) is not None:
        if info.size < 0:
            raise tarfile.ReadError("a negative size")
        if sum(len(value) for value in tar.pax_headers.values()) > LONGEST_HEADER:
            raise tarfile.ReadError("global headers without end")
        stream.begin()
        yield info
        tar.members.clear()  # type: ignore[attr-defined] # would grow with the archive


def _kind_fault(info: tarfile.TarInfo) -> Outcome | None:
    """Return what an entry's type says against it."""
    if info.issym() or info.islnk():
        return Outcome("skipped", "", "link", "a link inside an archive is not followed")
    if info.issparse():
        return Outcome("failed", "find", "sparse archive member", "unpack the archive first")
    if not info.isreg():
        return Outcome("skipped", "", "not a regular file", "a device, a pipe, or a type that is not known")
    return None


def _cut(size: int) -> FileError:
    return FileError("truncated archive member", f"it should hold {size:,} bytes")
