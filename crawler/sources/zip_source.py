"""The members of a zip archive, as its directory has them: nothing is inflated here.

Each member is judged before it is handed on: what cannot be read, or should not be, is a fault with a reason.
"""

from __future__ import annotations

import calendar
import stat
import zipfile
from collections.abc import Sequence
from itertools import pairwise

from crawler.archives.quota import Quota
from crawler.archives.zips import DAMAGE, ENCRYPTED, open_directory, unreadable
from crawler.errors import FileError
from crawler.model import File, Outcome
from crawler.sources.expanded import ArchiveContents, Expanded, failed, nanoseconds
from crawler.stores.access import open_path

_LOCAL_HEADER = 30  # bytes without name and extra field, APPNOTE.TXT 4.3.7
_DOS_DIRECTORY = 0x10


def expand_zip(file: File, quota: Quota) -> Expanded:
    """Return the members of a zip archive.

    Raises
    ------
    FileError
        The archive is refused: damaged, or made to inflate without end.
    OSError
        It cannot be read.
    """
    try:
        directory = open_directory.get(file.native)
    except DAMAGE as error:
        raise FileError("damaged archive", _what_is_wrong(file.native)) from error
    beyond = {id(entry) for entry in directory.entries if entry.header_offset + _extent(entry) > directory.start}
    _refuse_bombs([entry for entry in directory.entries if id(entry) not in beyond], file.size, quota)
    contents = ArchiveContents()
    encrypted = members = 0
    for entry in directory.entries:
        if entry.orig_filename.endswith("/") or _is_bare_directory(entry):
            continue
        members += 1
        fault = _kind_fault(entry)
        if fault is None and id(entry) in beyond:
            fault = failed(FileError("damaged archive member", "it ends behind the start of the directory"))
        if fault is None and (refusal := unreadable(entry, quota)) is not None:
            encrypted += bool(entry.flag_bits & ENCRYPTED)
            fault = failed(refusal)
        # `filename` ends at a NUL; the name as written does not.
        name = contents.accept(entry.orig_filename, fault)
        if name is not None:
            contents.members.append(file._replace(size=entry.file_size, mtime_ns=_mtime(entry), member=name))
    if members and encrypted == members:
        return contents.end(
            Outcome("failed", "find", "encrypted archive", "unpack it with its password, and crawl what comes out")
        )
    return contents.end()


def _what_is_wrong(path: str) -> str:
    """Tell half a download from what never was a zip archive."""
    with open_path(path) as stream:
        head = stream.read(4)
    if not head:
        return "the file is empty"
    # A local header, or the mark of an archive in parts: APPNOTE.TXT 4.3.7, 8.5.
    if head in (b"PK\3\4", b"PK\7\x08"):
        return "its directory, which stands at the end, is missing or damaged: an incomplete download?"
    return "it is no zip archive"


def _refuse_bombs(entries: Sequence[zipfile.ZipInfo], size: int, quota: Quota) -> None:
    """Refuse members that share bytes (D. Fifield, "A better zip bomb", 2019), and too much for the archive's size."""
    places = sorted((entry.header_offset, entry.header_offset + _extent(entry)) for entry in entries)
    if _overlap(places):
        raise FileError("suspicious compression", "its members overlap")
    total = sum(entry.file_size for entry in entries if not quota.member_is_bomb(*_sizes(entry)))
    if quota.archive_is_bomb(total, size):
        raise FileError("suspicious compression", f"{size:,} bytes inflate to {total:,}")


def _overlap(places: Sequence[tuple[int, int]]) -> bool:
    return any(end > start for (_, end), (start, _) in pairwise(places))


def _extent(entry: zipfile.ZipInfo) -> int:
    """Return the least bytes that an entry takes in the archive; the local extra field may add to it."""
    return _LOCAL_HEADER + len(entry.orig_filename) + entry.compress_size


def _sizes(entry: zipfile.ZipInfo) -> tuple[int, int]:
    return entry.file_size, entry.compress_size


def _is_bare_directory(entry: zipfile.ZipInfo) -> bool:
    """Whether an entry is a folder without the slash that should end its name."""
    return not entry.file_size and (
        stat.S_ISDIR(entry.external_attr >> 16) or bool(entry.external_attr & _DOS_DIRECTORY)
    )


def _kind_fault(entry: zipfile.ZipInfo) -> Outcome | None:
    """Return what an entry's Unix mode says against it; archives of other systems have none."""
    mode = entry.external_attr >> 16
    if stat.S_ISLNK(mode):
        return Outcome("skipped", "", "link", "a link inside an archive is not followed")
    if stat.S_IFMT(mode) and not stat.S_ISREG(mode):
        return Outcome("skipped", "", "not a regular file", "a device, a socket or a pipe")
    return None


def _mtime(entry: zipfile.ZipInfo) -> int:
    """Return the time stamp, which knows no zone, in ns; 0 for a day that is in no calendar."""
    try:
        return nanoseconds(calendar.timegm((*entry.date_time, 0, 0, 0)))
    except ValueError:
        return 0
