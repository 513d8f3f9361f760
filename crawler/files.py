"""A `File` as seekable bytes, whatever it lies in.

The only door to the input's bytes. It does not read headers: of a deflated file it finds where the data set begins,
and no more.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from crawler.elements import EXPLICIT_LITTLE, quiet_pydicom, walk
from crawler.errors import HeaderError
from crawler.model import File
from crawler.sniff import dataset_start

# One read of the input: holds the header of most CT and MR files (5-12 KiB in the test data), and costs no more than
# the smallest read that a disk or a network file system serves.
BLOCK = 16 * 1024
_CHUNK = 1 << 20  # bytes inflated at a time
_IN_MEMORY = 64 << 20  # an inflated data set above this size goes to disk


def open_file(file: File) -> BinaryIO:
    """Open a file of the input for reading.

    Returns
    -------
    BinaryIO
        Seekable and read-only; buffers one block.

    Raises
    ------
    OSError
        The file cannot be opened.
    HeaderError
        The file lies in an archive, which this version does not open.
    """
    if file.member is not None:
        raise HeaderError("cannot be read", "it lies in an archive: unpack it first")
    return open(file.native, "rb", buffering=BLOCK)


def open_dataset(file: File, deflated: bool) -> BinaryIO:
    """Open the stream that `Pixels.offset` counts in.

    Parameters
    ----------
    deflated
        The transfer syntax is Deflated Explicit VR Little Endian (PS3.5 A.5).

    Returns
    -------
    BinaryIO
        The file itself; when deflated, the inflated data set, without the file meta information.

    Raises
    ------
    OSError
        The file cannot be opened or read.
    FileError
        It is deflated, and not the DICOM file that it was.
    """
    stream = open_file(file)
    if not deflated:
        return stream
    with stream:
        size = size_of(stream)
        dataset_start(stream, size)
        with quiet_pydicom():
            for _ in walk(stream, EXPLICIT_LITTLE, size, stop=not_meta):
                pass
        return inflate(stream)


def not_meta(tag: int) -> bool:
    """Whether a tag lies outside of the file meta information, group 0002 (PS3.10 7.1)."""
    return tag >> 16 != 0x0002


def inflate(stream: BinaryIO) -> BinaryIO:
    """Inflate the rest of a stream (raw RFC 1951, as PS3.5 A.5 has it) into a seekable one that stands at its start.

    What a damaged or truncated stream still gives is kept: a header read from it says itself where it ends.
    """
    spool = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the caller closes it
    try:
        for part in _inflated(stream):
            spool.write(part)
        spool.seek(0)
    except OSError:
        spool.close()
        raise
    return cast(BinaryIO, spool)


def _inflated(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the inflated bytes in bounded parts, up to the end or the first fault."""
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    while not engine.eof:
        chunk = engine.unconsumed_tail or stream.read(BLOCK)
        if not chunk:
            break
        before = engine.copy()
        try:
            yield engine.decompress(chunk, _CHUNK)
        except zlib.error:
            yield from _until_fault(before, chunk)
            return
    yield engine.flush()


def _until_fault(engine: zlib._Decompress, chunk: bytes) -> Iterator[bytes]:
    """Inflate a faulty chunk byte by byte: a call that fails keeps back what it had inflated before."""
    for at in range(len(chunk)):
        try:
            yield engine.decompress(chunk[at : at + 1])
        except zlib.error:
            return


def size_of(stream: BinaryIO) -> int:
    """Bytes in a seekable stream, as they are now; the stream then stands at its start."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    return size


def digest(path: str | os.PathLike[str]) -> str:
    """Return the BLAKE2b-128 checksum of a file's bytes as 32 hexadecimal digits.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
