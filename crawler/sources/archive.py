"""Archives as sources of files: which they are, and what lies in them.

Nothing is written outside the spool, and nothing larger than the quota allows. Archives inside archives are named and
not opened.
"""

from __future__ import annotations

import os
import posixpath
import struct
from collections.abc import Callable, Sequence

from crawler.archives.members import archive_format
from crawler.archives.quota import DEFLATE_MOST, QUOTA, Quota
from crawler.errors import FileError
from crawler.model import File
from crawler.sources.expanded import ArchiveContents, Expanded, failed
from crawler.stores.access import open_path
from crawler.stores.address import is_remote

__all__ = ["Expanded", "expand", "is_archive"]

_GZIP = b"\x1f\x8b\x08"
_GZIP_LEAST = 18  # bytes of header and trailer, RFC 1952 2.3


def is_archive(name: str) -> bool:
    """Whether a file is an archive, by its name alone: a walk opens no file."""
    return archive_format(name) is not None


def expand(
    file: File,
    spool: str,
    quota: Quota = QUOTA,
    advance: Callable[[], object] | None = None,
    readers: Sequence[str] = (),
) -> Expanded:
    """Find the members of an archive, or make those of a file that a package beside reads.

    Parameters
    ----------
    spool
        A folder: members of a compressed tar are copied below it, and stay there until the caller removes
        them. No other kind of archive writes anything.
    advance
        Called whenever a part of a tar archive was read, so that a long one is not taken for a hang.
    readers
        Endings of files that packages beside read (`dicom.readers`).

    Returns
    -------
    Expanded
        Also of an archive that is refused, or damaged: its own outcome then says why, and its members are those that
        came before.

    Raises
    ------
    ValueError
        The file's name is no archive's.
    """
    name = os.path.basename(file.path)
    found = archive_format(name)
    other = found is None and name.lower().endswith(tuple(readers))
    if found is None and not other:
        raise ValueError(f"{file.name!r} is not the name of an archive")
    try:
        if found is None:
            from crawler.sources.reader_source import expand_file  # loads pydicom and the package

            return expand_file(file, spool, readers, quota)
        kind, compression = found
        if kind == "zip":
            from crawler.archives.zips import open_directory

            if is_remote(file.root):
                open_directory.clear()  # it is listed because it is new or changed
            from crawler.sources.zip_source import expand_zip

            return expand_zip(file, quota)
        if kind == "gz":
            return _expand_gzip(file, quota)
        from crawler.sources.tar_source import expand_tar

        return expand_tar(file, compression, spool, quota, advance)
    except FileError as error:
        return ArchiveContents().end(failed(error))
    except OSError as error:
        return ArchiveContents().end(failed(FileError("cannot be read", error.strerror or type(error).__name__)))


def _expand_gzip(file: File, quota: Quota) -> Expanded:
    """Return the one member of ``name.dcm.gz``, called ``name.dcm``; its size stands in the last bytes.

    The size is modulo 2**32 (RFC 1952 2.3.1), and of the last part of a file made of several. A member that turns out
    to hold more is damaged, where it is read: no DICOM file is stored so.
    """
    with open_path(file.native) as stream:
        head = stream.read(len(_GZIP))
        packed = stream.seek(0, os.SEEK_END)
        if not packed:
            raise FileError("damaged archive", "the file is empty")
        if head != _GZIP[: len(head)]:
            raise FileError("damaged archive", "it is no gzip file")
        if packed < _GZIP_LEAST:
            raise FileError("truncated archive", f"holds {packed} bytes")
        stream.seek(-4, os.SEEK_END)
        (size,) = struct.unpack("<I", stream.read(4))
    name = posixpath.basename(file.path.replace(os.sep, "/"))[: -len(".gz")]
    contents = ArchiveContents()
    if size > DEFLATE_MOST * packed:  # then these bytes are no size
        raise FileError("truncated archive", "its end is missing")
    if quota.member_is_bomb(size, packed):
        raise FileError("suspicious compression", f"{packed:,} bytes inflate to {size:,}")
    contents = ArchiveContents()
    contents.members.append(file._replace(size=size, member=name))
    return contents.end()
