"""What tarfile reads a hostile archive through: a stream that only goes forward, in bounded steps, under a quota.

It knows blocks and bytes, no members (`tar_source.py`).
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

import zstandard

from crawler.archives.quota import Quota
from crawler.errors import FileError

PART = 1 << 20  # bytes of a member in memory at a time
# tarfile takes an extended header (PAX, GNU long name) into memory whole, and its size is what the archive says.
# Linux allows 64 KiB of extended attributes, the largest thing that belongs in one.
LONGEST_HEADER = 128 * 1024
# What the decompressors raise for damaged input, beside OSErrors without a number (gzip, bz2).
DAMAGE = (zlib.error, lzma.LZMAError, zstandard.ZstdError)

_OPENERS: dict[str, Callable[[BinaryIO], BinaryIO]] = {
    "": lambda raw: raw,
    "gz": lambda raw: cast(BinaryIO, gzip.GzipFile(fileobj=raw, mode="rb")),
    "bz2": lambda raw: cast(BinaryIO, bz2.BZ2File(raw)),
    "xz": lambda raw: cast(BinaryIO, lzma.LZMAFile(raw, format=lzma.FORMAT_XZ)),  # noqa: SIM115 - it ends with `raw`
    "zst": lambda raw: cast(
        BinaryIO, zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=False)
    ),
}


class TarStream:
    """A tar archive from its first byte to its last, once.

    Parameters
    ----------
    raw
        The archive's file, which stays the caller's to close.
    compression
        "", "gz", "bz2", "xz" or "zst". Without one, bytes that nobody wants are skipped and not read.
    size
        Bytes of the file.
    advance
        Called whenever a part was read, so that a long archive is not taken for a hang.

    Attributes
    ----------
    size
        Bytes of the file.
    packed
        Whether it is compressed.
    ended
        Whether the data ended before a read or a skip was through.
    cut
        Whether the compression itself says that something is missing.
    last
        The bytes of tarfile's last read.
    """

    def __init__(
        self, raw: BinaryIO, compression: str, size: int, quota: Quota, advance: Callable[[], object] | None
    ) -> None:
        self._raw, self._quota = raw, quota
        self.size = size
        self._source = _OPENERS[compression](raw)
        self.packed = bool(compression)
        self._advance = advance or (lambda: None)
        self._position = 0
        self._mark = (0, 0)  # position, and bytes taken from the file, where the member began
        self.ended = False
        self.cut = False
        self.last = b""

    def tell(self) -> int:
        """Return the bytes behind us."""
        return self._position

    def seek(self, offset: int, /) -> int:
        """Skip up to `offset`.

        Raises
        ------
        tarfile.ReadError
            It lies behind us (a negative size, CVE-2025-8194), or beyond the end.
        FileError
            "suspicious compression".
        """
        if offset < self._position:
            raise tarfile.ReadError("an offset that leads back")
        if self.packed:
            for _ in self.parts(offset - self._position):
                pass
        elif offset > self.size:
            self.ended = True
        else:
            self._position = self._source.seek(offset)
        if self.ended:
            raise tarfile.ReadError("unexpected end of data")
        return self._position

    def read(self, size: int, /) -> bytes:
        """Read a header; shorter at the end of the data.

        Raises
        ------
        tarfile.ReadError
            No header has that size.
        """
        if not 0 <= size <= LONGEST_HEADER:
            raise tarfile.ReadError("a header of an impossible size")
        self.last = self._take(size)
        return self.last

    def holds(self, offset: int) -> bool:
        """Whether a plain archive reaches that far."""
        return offset <= self.size

    def begin(self) -> None:
        """Say that a member begins here: the ratio counts from here too."""
        self._mark = (self._position, self._taken())

    def parts(self, size: int) -> Iterator[bytes]:
        """Yield the next `size` bytes in parts; they end early, and `ended` is set, when the data does.

        Raises
        ------
        FileError
            "suspicious compression".
        """
        while size and not self.ended:
            data = self._take(min(PART, size))
            size -= len(data)
            self._advance()
            yield data

    def rest(self) -> bool:
        """Read on to the end, past the end mark, so that checksums are checked; return whether more than zeros follow.

        An archive that is not compressed is read only as far as the answer needs.
        """
        more = False
        while data := self._take(PART):
            self._advance()
            more = more or any(data)
            if more and not self.packed:
                break
        return more

    def _take(self, size: int) -> bytes:
        try:
            data = self._source.read(size)
        except EOFError:
            data = b""
            self.cut = True
        self._position += len(data)
        self.ended = self.ended or len(data) < size
        if self.packed:
            self._refuse_bombs()
        return data

    def _taken(self) -> int:
        return self._raw.tell()

    def _refuse_bombs(self) -> None:
        position, taken = self._mark
        inflated, packed = self._position - position, self._taken() - taken
        if self._quota.member_is_bomb(inflated, packed) or self._quota.archive_is_bomb(self._position, self._taken()):
            raise FileError("suspicious compression", f"{self._taken():,} bytes inflate to {self._position:,} and more")
