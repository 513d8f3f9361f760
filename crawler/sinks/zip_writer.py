"""A zip archive whose members are deflated by ISA-L while they are written, as `.npz` is.

The standard library's writer takes no compressor but zlib. This one knows what an array of arrays needs: members one
after another, names in ASCII, one date for all, sizes past 4 GB. It adds to no archive and encrypts nothing.
Field names are those of PKWARE's APPNOTE.TXT.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Protocol

from crawler.sinks.deflate import RAW, Compressor

DEFLATED = 8
ZIP64 = 45
"""Version needed to extract (4.4.3): 4.5, for sizes of 64 bits."""
UNIX = 3
DATE = (1 << 5) | 1
"""1 January 1980, the first that a zip archive knows: equal members, equal bytes."""
ELSEWHERE = 0xFFFFFFFF
"""Stands in a field of 32 bits for a number that a field of zip64 holds (4.4.1.4)."""
LARGEST = ELSEWHERE - 1
"""What a field of 32 bits can hold beside that."""
MODE = 0o600 << 16


class Writable(Protocol):
    """What a member is written through."""

    def write(self, data: bytes | memoryview) -> int:
        """Take bytes."""
        ...


class ZipWriter:
    """An archive that is being written.

    Parameters
    ----------
    file
        Empty, binary, seekable. The caller closes it, after `finish`.
    level
        Of ISA-L, 0 to 3.

    Raises
    ------
    OSError
        From every method, as the file raised it.
    """

    def __init__(self, file: BinaryIO, level: int) -> None:
        self._file, self._level = file, level
        self._directory: list[bytes] = []

    @contextmanager
    def member(self, name: str) -> Iterator[Writable]:
        """Write a member: the bytes written to what this yields."""
        start, encoded = self._file.tell(), name.encode("ascii")
        self._file.write(_local(encoded, 0, 0, 0))
        data = self._file.tell()
        deflating = _Deflating(self._file, self._level)
        yield deflating
        deflating.finish()
        end = self._file.tell()
        self._file.seek(start)
        self._file.write(_local(encoded, deflating.crc, end - data, deflating.size))
        self._file.seek(end)
        self._directory.append(_central(encoded, deflating.crc, end - data, deflating.size, start))

    def finish(self) -> None:
        """Write the directory, which makes the archive whole."""
        start = self._file.tell()
        self._file.writelines(self._directory)
        size, count = self._file.tell() - start, len(self._directory)
        if max(start, size) > LARGEST:
            # End of central directory of zip64 (4.3.14), and where it lies (4.3.15).
            record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, ZIP64, ZIP64, 0, 0, count, count, size, start)
            self._file.write(record + struct.pack("<4sIQI", b"PK\6\7", 0, start + size, 1))
        end = (b"PK\5\6", 0, 0, count, count, _small(size), _small(start), 0)  # 4.3.16
        self._file.write(struct.pack("<4sHHHHIIH", *end))


class _Deflating:
    """One member's data on their way into the archive."""

    def __init__(self, file: BinaryIO, level: int) -> None:
        from isal import isal_zlib  # only runs that compress need it

        self._file = file
        self._stream = Compressor(level, RAW)
        self._crc32 = isal_zlib.crc32
        self.size = self.crc = 0

    def write(self, data: bytes | memoryview) -> int:
        """Deflate and write bytes."""
        count = memoryview(data).nbytes
        self.crc = self._crc32(data, self.crc)
        self.size += count
        self._file.write(self._stream.compress(data))
        return count

    def finish(self) -> None:
        """Write what the compressor still holds."""
        self._file.write(self._stream.finish())


def _local(name: bytes, crc: int, compressed: int, size: int) -> bytes:
    """Header in front of a member (4.3.7): of one length, as it is written again when the sizes are known."""
    extra = struct.pack("<HHQQ", 1, 16, size, compressed)  # 4.5.3
    numbers = (ZIP64, 0, DEFLATED, 0, DATE, crc, ELSEWHERE, ELSEWHERE, len(name), len(extra))
    return struct.pack("<4sHHHHHIIIHH", b"PK\3\4", *numbers) + name + extra


def _central(name: bytes, crc: int, compressed: int, size: int, start: int) -> bytes:
    """Entry of the directory (4.3.12); the zip64 field has the numbers that do not fit, in this order (4.5.3)."""
    large = [number for number in (size, compressed, start) if number > LARGEST]
    extra = struct.pack(f"<HH{len(large)}Q", 1, 8 * len(large), *large) if large else b""
    numbers = (UNIX << 8 | ZIP64, ZIP64, 0, DEFLATED, 0, DATE, crc, _small(compressed), _small(size))
    rest = (len(name), len(extra), 0, 0, 0, MODE, _small(start))
    return struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", *numbers, *rest) + name + extra


def _small(number: int) -> int:
    """A number as a field of 32 bits has it."""
    return number if number <= LARGEST else ELSEWHERE
