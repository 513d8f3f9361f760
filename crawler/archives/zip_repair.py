"""A zip archive of which `zipfile` refuses the whole directory for the oddity of one entry, read as if it had none.

Looks at the directory and says which bytes to read as others; nothing is changed on disk, and no member is opened. An
entry that is mended so keeps its place: what it holds is judged when it is read.
"""

from __future__ import annotations

import io
import struct
import zipfile
from typing import TYPE_CHECKING, BinaryIO

from crawler.stores.access import open_path

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_END = struct.Struct("<4s4H2LH")  # end of central directory record, APPNOTE.TXT 4.3.16
_ENTRY = struct.Struct("<4s6H3L5H2L")  # central directory header, 4.3.12
_UTF8 = 0x800  # general purpose bit 11, 4.4.4
_NEWEST = 63  # zipfile.MAX_EXTRACT_VERSION
_PLAIN = 20  # version needed for deflate, 4.4.3.2
_UNUSED = 0xFFFF  # of extra fields: an id that is no one's
_MOST = 256 << 20  # bytes of a directory that is looked at: some two million entries


def oddities(path: str) -> dict[int, bytes]:
    """Place in the file -> the bytes to be read there; empty when no entry stands out, or the directory is not found.

    Raises
    ------
    OSError
        The archive cannot be read.
    """
    with open_path(path) as file:
        size = file.seek(0, io.SEEK_END)
        first = max(0, size - _END.size - 0xFFFF)
        file.seek(first)
        tail = file.read()
        at = tail.rfind(b"PK\5\6")
        if at < 0 or len(tail) - at < _END.size:
            return {}
        length = _END.unpack_from(tail, at)[5]
        start = first + at - length
        if start < 0 or length > _MOST:
            return {}
        file.seek(start)
        directory = file.read(length)
    found: dict[int, bytes] = {}
    at = 0
    while directory[at : at + 4] == b"PK\1\2" and at + _ENTRY.size <= len(directory):
        _, _, needed, flags, _, _, _, _, packed, whole, n_name, n_extra, n_comment, *_, offset = _ENTRY.unpack_from(
            directory, at
        )
        name, extra = at + _ENTRY.size, at + _ENTRY.size + n_name
        if needed & 0xFF > _NEWEST:
            found[start + at + 6] = struct.pack("<H", _PLAIN)
        if flags & _UTF8 and not _is_utf8(directory[name:extra]):
            found[start + at + 8] = struct.pack("<H", flags & ~_UTF8)
        if n_extra >= 4 and not _is_well_formed(directory[extra : extra + n_extra], [whole, packed, offset]):
            found[start + extra] = struct.pack("<2H", _UNUSED, n_extra - 4)
        at = extra + n_extra + n_comment
    return found


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_well_formed(extra: bytes, sizes: list[int]) -> bool:
    """Whether an extra field is a sequence of fields, the one of zip64 as long as the sizes ask for (4.5.3)."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if length + 4 > len(extra):
            return False
        if kind == 1 and length < 8 * sum(size == 0xFFFFFFFF for size in sizes):
            return False
        extra = extra[length + 4 :]
    return True


class _Patched(io.RawIOBase):
    """A file with some bytes read as others."""

    def __init__(self, path: str, patches: dict[int, bytes]) -> None:
        self._file = open_path(path, 0)
        self._patches = sorted(patches.items())

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        start = self._file.tell()
        view = memoryview(buffer).cast("B")
        count = self._file.readinto(view) or 0  # type: ignore[attr-defined] # of a raw file
        for place, data in self._patches:
            for number, byte in enumerate(data, place - start):
                if 0 <= number < count:
                    view[number] = byte
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()


def patched(path: str, patches: dict[int, bytes]) -> tuple[zipfile.ZipFile, BinaryIO]:
    """Open an archive with these bytes in place of its own; the file is the caller's to close."""
    file = io.BufferedReader(_Patched(path, patches))
    try:
        return zipfile.ZipFile(file), file
    except BaseException:
        file.close()
        raise
