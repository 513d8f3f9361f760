"""Seekable bytes made of what is not: a part of a file, or a stream that inflates as far as it is read.

It knows nothing of archive formats: whoever makes a stream says where its bytes come from and how many there are.
"""

from __future__ import annotations

import errno
import io
import tempfile
import zlib
from functools import cache
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from crawler.stores.sized_stream import SizedStream
from crawler.stores.stream import RemoteStream

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# One read of the input: holds the header of most CT and MR files (5-12 KiB in the test data), and costs no more than
# the smallest read that a disk or a network file system serves.
BLOCK = 16 * 1024
_CHUNK = 1 << 20  # bytes inflated at a time
_IN_MEMORY = 64 << 20  # what was inflated goes to disk above this size


@cache
def _damage() -> tuple[type[Exception], ...]:
    """What damaged streams raise; asked for when something is raised, since most inputs hold no archive."""
    from lzma import LZMAError
    from zipfile import BadZipFile

    return BadZipFile, zlib.error, LZMAError, EOFError


class Source(Protocol):
    """Bytes that come in order."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end."""

    def close(self) -> None:
        """Let go of the file."""


class FileSlice(SizedStream, io.RawIOBase):
    """A part of a file as a file: `size` bytes from offset `start` on."""

    def __init__(self, path: str, start: int, size: int) -> None:
        self._file = io.FileIO(path)
        self._start, self._size = start, size

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read from the present position; less than asked for when the file was cut since."""
        view = memoryview(buffer)[: max(0, self._size - self._position)]
        self._file.seek(self._start + self._position)
        count = self._file.readinto(view) or 0
        self._position += count
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


class LoadedStream(SizedStream, io.RawIOBase):
    """A stream of which a part is in memory.

    Parameters
    ----------
    stream
        Closed with this one.
    size
        Bytes in it.
    start, data
        The part.
    """

    def __init__(self, stream: BinaryIO, size: int, start: int, data: bytes) -> None:
        self._stream, self._size, self._start, self._data = stream, size, start, memoryview(data)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read from the present position: up to the end of the part, within it."""
        view = memoryview(buffer).cast("B")
        inside = self._position - self._start
        if 0 <= inside < len(self._data):
            part = self._data[inside : inside + len(view)]
            view[: len(part)] = part
            self._position += len(part)
            return len(part)
        self._stream.seek(self._position)
        data = self._stream.read(min(len(view), max(0, self._size - self._position)))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()
        super().close()


class InflatingStream(SizedStream, io.RawIOBase):
    """A stream that inflates no further than it is read, and keeps what it inflated: in memory, then on disk.

    Parameters
    ----------
    source
        Closed with the stream.
    size
        Bytes that the source is said to hold: the end of the stream, known without getting there. A source that ends
        earlier or later is damaged.

    Notes
    -----
    Damage is raised as an `OSError`, as the read of a bad disk is, from the first read on that needs what lies behind
    it. So it becomes a fault of the stage that reads. The last bytes are handed out only after the source has found
    its checksum to be right.
    """

    def __init__(self, source: Source, size: int) -> None:
        self._source = source
        self._size = size
        self._have = 0
        self._fault = ""
        self._spool = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by `close`

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read from the present position, inflating up to its end.

        Raises
        ------
        OSError
            The source is damaged before that end.
        """
        view = memoryview(buffer)
        wanted = max(0, min(len(view), self._size - self._position))
        if not wanted:
            return 0
        self._grow(self._position + wanted)
        self._spool.seek(self._position)
        data = self._spool.read(wanted)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Close the source and drop what was inflated."""
        self._spool.close()
        self._source.close()
        super().close()

    def _grow(self, end: int) -> None:
        """Inflate up to `end`, which lies within the size."""
        while self._have < end:
            if self._fault:
                raise OSError(errno.EIO, self._fault)
            try:
                data = self._source.read(min(_CHUNK, end - self._have))
                at_end = self._have + len(data) == self._size
                longer = at_end and self._source.read(1)  # also makes gzip look at its checksum
            except _damage() as error:
                self._fault = _described(error)
            except OSError as error:
                if error.errno is not None:
                    raise  # the disk's fault, not the archive's
                self._fault = _described(error)
            else:
                if longer or not data:
                    self._fault = f"damaged compression: holds {'more' if longer else 'less'} than its size says"
                    continue
                self._spool.seek(self._have)
                self._spool.write(data)
                self._have += len(data)


class ZlibSource:
    """A zlib stream (RFC 1950) in order; its Adler-32 is checked at its end."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._engine = zlib.decompressobj()

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end.

        Raises
        ------
        zlib.error, EOFError
            The stream is damaged, or ends before it says so.
        """
        parts: list[bytes] = []
        while size and not self._engine.eof:
            packed = self._engine.unconsumed_tail or self._stream.read(BLOCK)
            data = self._engine.decompress(packed, size)
            if not packed and not data:
                raise EOFError
            parts.append(data)
            size -= len(data)
        return b"".join(parts)

    def close(self) -> None:
        """Close the packed stream."""
        self._stream.close()


def buffered(raw: io.RawIOBase) -> BinaryIO:
    """Return the stream with a buffer of one block; closing it closes the raw one."""
    return cast(BinaryIO, io.BufferedReader(raw, BLOCK))


def read_block(stream: BinaryIO, least: int, most: int) -> bytes:
    """Read up to `most` bytes at once, where that costs no more than `least`; all of `least` unless the stream ends.

    A block of a local file costs what a byte of it does. A remote stream gives what it has, and fetches no more than it
    must.
    """
    if isinstance(stream, RemoteStream):
        return stream.read_block(least)
    return stream.read(most)


def _described(error: Exception) -> str:
    """Return what is wrong with the packed bytes, without the library's text, which may quote them."""
    if isinstance(error, EOFError):
        return "damaged compression: it ends early"
    wrong = "checksum" if "crc" in str(error).lower() or "incorrect data check" in str(error) else "data"
    return f"damaged compression: wrong {wrong}"
