"""A `File` as seekable bytes, whatever it lies in: a folder, an archive, a compressed store.

The only door to the input's bytes. It does not read headers: of a deflated file it finds where the data set begins,
and no more. Members of archives come as `sources.archive` listed them; nothing is searched for here.
"""

from __future__ import annotations

import io
import os
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import BinaryIO, cast

from crawler.archives.members import archive_format
from crawler.archives.quota import DEFLATE_MOST, QUOTA
from crawler.archives.streams import BLOCK, FileSlice, InflatingStream, LoadedStream, ZlibSource, buffered
from crawler.dicom.elements import EXPLICIT_LITTLE
from crawler.dicom.read_ahead import Prepared, read_ahead
from crawler.dicom.sniff import PREFIX, dataset_start
from crawler.dicom.uids import DeflatedExplicitVRLittleEndian
from crawler.dicom.walk import walk
from crawler.errors import HeaderError
from crawler.model import File, Instance
from crawler.stores.access import open_path, open_remote
from crawler.stores.address import is_remote
from crawler.stores.remote import stores
from crawler.stores.stream import RemoteStream

_CHUNK = 1 << 20  # bytes inflated at a time
_IN_MEMORY = 64 << 20  # an inflated data set above this size goes to disk
_PREAMBLE = 128  # bytes in front of the prefix, PS3.10 7.1
_SIZE = 8
_LOADED = 16 << 20  # bytes of pixel data that are read ahead of one file


def open_file(file: File) -> BinaryIO:
    """Open a file of the input for reading.

    Returns
    -------
    BinaryIO
        Seekable and read-only; buffers one block. What is compressed (a member of a zip or .dcm.gz, an attachment of an
        Orthanc store) is inflated no further than it is read.

    Raises
    ------
    OSError
        The file cannot be opened. A read of the stream raises it too: also where a compressed file turns out to be
        damaged, see `streams.InflatingStream`.
    HeaderError
        A member of an archive cannot be inflated, or is not there any more.
    """
    prepared = read_ahead.take(file)
    if prepared is not None:
        return prepared
    began = time.perf_counter()
    stream = _open_whole(file)
    read_ahead.measured(time.perf_counter() - began)
    return stream


def headers_ahead(files: Sequence[File]) -> AbstractContextManager[None]:
    """Announce that the headers of these files are read next, in this order."""
    wanted = [(file, BLOCK) for file in files if _is_simple(file)]

    def prepare(number: int) -> BinaryIO:
        stream = _open_whole(wanted[number][0])
        if isinstance(stream, RemoteStream):
            stream.peek()
        return stream

    return read_ahead.announce(wanted, prepare, partial(_is_worth_while, wanted))


def pixels_ahead(instances: Sequence[Instance]) -> AbstractContextManager[None]:
    """Announce that the pixel data of these instances are read next, in this order."""
    places: list[tuple[int, int]] = []
    wanted: list[Prepared] = []
    for instance in instances:
        pixels, file = instance.pixels, instance.file
        if pixels is None or not _is_simple(file) or instance.transfer_syntax == DeflatedExplicitVRLittleEndian:
            continue
        length = file.size - pixels.offset if pixels.length is None else pixels.length
        length = length if 0 < length <= _LOADED else 0  # of a long one the beginning would not help
        places.append((pixels.offset, length))
        wanted.append((file, length))

    def prepare(number: int) -> BinaryIO:
        stream, (offset, length) = _open_whole(wanted[number][0]), places[number]
        if not length:
            return stream
        size = size_of(stream)  # of a compressed attachment not what was listed
        stream.seek(offset)
        return buffered(LoadedStream(stream, size, offset, stream.read(length)))

    return read_ahead.announce(wanted, prepare, partial(_is_worth_while, wanted))


def _is_simple(file: File) -> bool:
    """Whether a file is read as it lies, and may be opened in a thread."""
    return file.member is None or file.start >= 0


def _is_worth_while(wanted: Sequence[Prepared]) -> bool:
    """Whether opens cost time: known of a store, once the length of its headers is; of a disk measured."""
    if wanted and is_remote(wanted[0][0].root):
        return stores.of(wanted[0][0].root).headers.known
    return read_ahead.slow


def _open_whole(file: File) -> BinaryIO:
    stream = _open(file)
    try:
        size = _attachment_size(stream)
        if size is None:
            return stream
        stream.seek(_SIZE)
        return buffered(InflatingStream(ZlibSource(stream), size))
    except BaseException:
        stream.close()
        raise


def _open(file: File) -> BinaryIO:
    if file.spooled:
        return open(file.spooled, "rb", buffering=BLOCK)
    if is_remote(file.root):
        return _open_far(file)
    if file.member is None:
        return open(file.native, "rb", buffering=BLOCK)
    if file.start >= 0:
        return buffered(FileSlice(file.native, file.start, file.size))
    if archive_format(file.native) == ("gz", "gz"):
        import gzip  # as below: only where there are archives

        return buffered(InflatingStream(gzip.open(file.native), file.size))
    return _open_zipped(file)


def _open_far(file: File) -> BinaryIO:
    """Open a file of a remote folder, or a member of an archive there."""
    if file.member is None:
        return open_remote(file.native, file.size)
    if file.start >= 0:
        return open_remote(file.native, 0, file.start, file.size)
    if archive_format(file.native) == ("gz", "gz"):
        import gzip

        return buffered(InflatingStream(gzip.GzipFile(fileobj=open_path(file.native)), file.size))
    return _open_zipped(file)


def _open_zipped(file: File) -> BinaryIO:
    from crawler.archives.zips import DAMAGE, open_directory  # loads zipfile, which few runs need

    try:
        return buffered(open_directory.get(file.native).open(file.member or ""))
    except DAMAGE as error:
        raise HeaderError("damaged archive", "it changed since its members were listed") from error


def _attachment_size(stream: BinaryIO) -> int | None:
    """Return the inflated size of a compressed attachment; None for any other file. The stream's position is lost.

    Orthanc stores files, with StorageCompression, as their size (uint64, little endian) and a zlib stream (its
    ZlibCompressor.cpp, "prefix with uncompressed size"). They have no name and no mark of their own, so what does not
    inflate that way is taken as it is.

    Raises
    ------
    HeaderError
        "suspicious compression".
    """
    if isinstance(stream, RemoteStream):
        return _far_attachment_size(stream)
    return _attached(stream)


def _far_attachment_size(stream: RemoteStream) -> int | None:
    """As `_attachment_size`, asked once for each file: the answer of a store costs time."""
    if stream.is_plain:
        return None
    size = _attached(cast(BinaryIO, stream))
    if size is None:
        stream.note_plain()
    return size


def _attached(stream: BinaryIO) -> int | None:
    # Without a position moved: a block that is buffered here is the one that the header is read from.
    head = cast(io.BufferedReader, stream).peek(BLOCK)
    size, packed = int.from_bytes(head[:_SIZE], "little"), head[_SIZE:]
    # RFC 1950 2.2: deflate with a window of 32 KiB, a check of both bytes, no preset dictionary.
    if packed[:1] != b"\x78" or int.from_bytes(packed[:2], "big") % 31 or packed[1] & 0x20:
        return None
    if head[_PREAMBLE : _PREAMBLE + len(PREFIX)] == PREFIX:
        return None
    engine = zlib.decompressobj()
    try:
        inflated = len(engine.decompress(packed, BLOCK))
    except zlib.error:
        return None
    whole = size_of(stream)
    if inflated > size or (inflated != size and engine.eof) or size > DEFLATE_MOST * whole:
        return None
    if QUOTA.member_is_bomb(size, whole):
        raise HeaderError("suspicious compression", f"{whole:,} bytes inflate to {size:,}")
    return size


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
        for _ in walk(stream, EXPLICIT_LITTLE, size, stop=not_meta):
            pass
        return inflate(stream)[0]


def not_meta(tag: int) -> bool:
    """Whether a tag lies outside of the file meta information, group 0002 (PS3.10 7.1)."""
    return tag >> 16 != 0x0002


def inflate(stream: BinaryIO) -> tuple[BinaryIO, bool]:
    """Inflate the rest of a stream (raw RFC 1951, as PS3.5 A.5 has it) into a seekable one that stands at its start.

    What a damaged or truncated stream still gives is kept. The second value is whether it is whole.
    """
    spool = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the caller closes it
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for part in _inflated(stream, engine):
            spool.write(part)
        spool.seek(0)
    except OSError:
        spool.close()
        raise
    return cast(BinaryIO, spool), engine.eof


def _inflated(stream: BinaryIO, engine: zlib._Decompress) -> Iterator[bytes]:
    """Yield the inflated bytes in bounded parts, up to the end or the first fault."""
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
    if isinstance(stream, io.BufferedReader) and isinstance(stream.raw, io.FileIO):
        stream.seek(0)
        return os.fstat(stream.fileno()).st_size  # a seek to the end would drop the block that is buffered
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    return size
