"""Deflate streams (RFC 1951) by ISA-L: the level that all formats share, bytes in pieces, and the shuffle before it.

Any inflater reads them. What holds the stream (gzip, zlib, a zip archive, a chunk of HDF5) is for others to say. Equal
input gives equal bytes on one machine; processors of another kind may find other matches.

ISA-L alone does not promise that (2.31.1, levels 1 and 2, `write_first_byte` of igzip_icf_body_h1_gr_bt.asm): the hash
of a stream's third byte is taken of a register that still holds an address, so one small picture in some 200 comes out
a byte longer or shorter in another process. Its loop for the ends of blocks starts a stream rightly, and the other then
goes on: `Compressor` gives the first bytes a block of their own, for ten bytes and 1 % of the time.

One CT frame of 512 x 512 x 16 bit (pydicom-data's 693_UNCI), one core, zlib from the standard library beside it:

===================  ==========  =====  ==========  =====
input                ISA-L 1     size   zlib        size
===================  ==========  =====  ==========  =====
shuffled (HDF5)      560 MB/s    0.403  4: 66 MB/s  0.354
plain (.nii.gz)      425 MB/s    0.531  1: 69 MB/s  0.511
differences (PNG)    477 MB/s    0.292  6: 34 MB/s  0.225
===================  ==========  =====  ==========  =====

Level 2 takes 3 to 14 % longer for 1 to 4 % less, 0 is no faster and up to 16 % larger, 3 is slower and no smaller; MR
of 64 x 64 and a small CT come out alike at 1 and 2. With more memory than its default, level 1 is 1 to 7 % faster.
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.errors import ConfigError

LEVEL = 1
"""Of ISA-L, which knows 0 to 3."""
MEMORY = 9
"""The most for a compressor's state, 1 to 9 as zlib counts it: some 0.6 MB."""
HEAD = 8
"""Bytes that go first: more than the 3 from which on ISA-L looks for matches at the end of a block, less than the 16
that its other loop leaves to that."""
ZLIB, GZIP, RAW = zlib.MAX_WBITS, 16 + zlib.MAX_WBITS, -zlib.MAX_WBITS
"""Containers of a stream, as zlib's `wbits` names them: RFC 1950, RFC 1952 and none."""


def check_level(level: int, name: str) -> None:
    """Raise ConfigError, about the format `name`, unless ISA-L has the level."""
    if not 0 <= level <= 3:
        raise ConfigError(f"{name} level: {level} is not between 0 and 3")


class Compressor:
    """Bytes in pieces to a stream. How they are cut may change the stream; the process in which it is made does not.

    Parameters
    ----------
    level
        Of ISA-L.
    container
        `ZLIB`, `GZIP` or `RAW`.
    """

    def __init__(self, level: int, container: int) -> None:
        from isal import isal_zlib  # only runs that compress need it

        self._stream = isal_zlib.compressobj(level, isal_zlib.DEFLATED, container, MEMORY)
        self._sync = isal_zlib.Z_SYNC_FLUSH
        self._head: bytes | None = b""

    def compress(self, data: bytes | memoryview | npt.NDArray[Any]) -> bytes:
        """What is ready of the stream after these data."""
        if self._head is None:
            return self._stream.compress(data)
        source = np.frombuffer(data, np.uint8)  # whatever its shape and type
        missing = HEAD - len(self._head)
        self._head += source[:missing].tobytes()
        if len(self._head) < HEAD:
            return b""
        head, self._head = self._head, None
        stream = self._stream
        return b"".join((stream.compress(head), stream.flush(self._sync), stream.compress(source[missing:])))

    def finish(self) -> bytes:
        """The rest of the stream."""
        return self._stream.compress(self._head or b"") + self._stream.flush()


class CompressedFile:
    """A new file into which goes, compressed, what is written to it; no name and no time goes with it.

    Parameters
    ----------
    path
        Must not exist.
    level
        Of ISA-L.
    container
        `ZLIB` or `GZIP`.

    Raises
    ------
    OSError
        From every method, as the system raised it.
    """

    def __init__(self, path: str, level: int, container: int) -> None:
        self.path = path
        self._file = open(path, "xb")  # noqa: SIM115 - closed by `close`
        self._stream = Compressor(level, container)

    def write(self, data: bytes | memoryview) -> None:
        """Compress bytes."""
        self._file.write(self._stream.compress(data))

    def finish(self) -> None:
        """Write what the compressor still holds, and close the file."""
        self._file.write(self._stream.finish())
        self.close()

    def close(self) -> None:
        """Close the file, finished or not."""
        self._file.close()


def deflated(data: npt.NDArray[np.uint8], level: int = LEVEL) -> bytes:
    """Compress bytes at once, in the container of zlib."""
    stream, source = Compressor(level, ZLIB), data.reshape(-1)
    return b"".join((stream.compress(source[:HEAD]), stream.compress(source[HEAD:]), stream.finish()))


def shuffled(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """The bytes of an array with all first ones in front, then all second ones, and so on (HDF5's filter 2).

    Parameters
    ----------
    values
        C-contiguous, of any shape, and in the byte order in which it is to be read back.

    Returns
    -------
    ndarray
        One axis, as many bytes as `values` has; of single bytes it is a view.
    """
    size = values.dtype.itemsize
    if size not in (2, 4):
        return np.ascontiguousarray(values.reshape(-1).view(np.uint8).reshape(-1, size).T).reshape(-1)
    numbers = values.reshape(-1).view(f"<u{size}")
    planes = np.empty((size, numbers.size), np.uint8)
    for number, plane in enumerate(planes):  # a shift and a cast take a quarter of the time of a strided copy
        np.copyto(plane, numbers >> 8 * number if number else numbers, casting="unsafe")
    return planes.reshape(-1)
