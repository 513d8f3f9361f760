"""The bytes that a file of outputs holds, in itself and in what it packs: for a search, not for a reader.

A file gives its own bytes, then what containers keep compressed or in a form of their own, and what lies in these:
gzip, bzip2, xz, zlib, zip (npz, xlsx), tar, HDF5, Zarr, Parquet, PNG, MATLAB, SQLite, and images inside HTML. What
cannot be opened gives its own bytes alone, and says so.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import html
import io
import lzma
import re
import sqlite3
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from crawler.privacy.array_files import Pieces, hdf5, matlab, parquet, sqlite, zarr

_PNG = b"\x89PNG\r\n\x1a\n"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_DEEPEST = 8
_TEXT_START = (b"<", b"\xef\xbb\xbf<")
_WITHIN_WORDS = re.compile(rb"</?(?:\w+:)?(?:r|t|rPr|phoneticPr|span|b|i|em|strong|font|tspan|a|u|sub|sup|wbr)\b[^>]*>")
_TAGS = re.compile(rb"<[^>]*>")
_DATA = re.compile(rb"data:[\w/+.-]*;base64,([A-Za-z0-9+/=\s]+)")
_FAILS = (
    OSError,
    ValueError,
    EOFError,
    LookupError,
    RuntimeError,
    ImportError,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    sqlite3.Error,
)


class Unopened(Exception):
    """A container that could not be looked into; its text names the kind."""


def contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """(kind of container, bytes) of a file, and of all that it holds.

    Raises
    ------
    Unopened
        After all that could be read was given.
    OSError
        The file cannot be read.
    """
    data = path.read_bytes()
    yield "file", data
    failed: list[str] = []
    yield from _all(data, 0, failed)
    if failed:
        raise Unopened(failed[0])


def _all(data: bytes, depth: int, failed: list[str]) -> Iterator[tuple[str, bytes]]:
    """What some bytes hold, and what that holds; `failed` gets what could not be opened."""
    if depth > _DEEPEST:
        failed.append("containers in containers")
        return
    pieces = _pieces(data)
    while True:
        try:
            kind, inner = next(pieces)
        except StopIteration:
            return
        except _FAILS as error:
            failed.append(type(error).__name__)
            return
        yield kind, inner
        yield from _all(inner, depth + 1, failed)


def _pieces(data: bytes) -> Pieces:
    """The content of a container, one level deep; nothing where it is none."""
    if data[:2] == b"\x1f\x8b":
        yield "gzip", gzip.decompress(data)
    elif data[:3] == b"BZh":
        yield "bzip2", bz2.decompress(data)
    elif data[:6] == b"\xfd7zXZ\0":
        yield "xz", lzma.decompress(data)
    elif data[:4] == b"\x28\xb5\x2f\xfd":
        raise ValueError("Zstandard")  # no package of ours reads it, but inside of Zarr
    elif data[:4] == b"PK\x03\x04":
        yield from _zip(data)
    elif data[257:262] == b"ustar":
        yield from _tar(data)
    elif any(data[place : place + 8] == _HDF5 for place in (0, 512, 1024, 2048)):  # behind a user block, as MATLAB 7.3
        yield from hdf5(data)
    elif data[:4] == b"PAR1":
        yield from parquet(data)
    elif data[:8] == _PNG:
        yield from _png(data)
    elif data[:15] == b"SQLite format 3":
        yield from sqlite(data)
    elif data[:10] == b"MATLAB 5.0":
        yield from matlab(data)
    elif data[:2] in _ZLIB:
        yield from _zlib(data)
    elif data[:64].lstrip().startswith(_TEXT_START):
        yield from _markup(data)


def _zip(data: bytes) -> Pieces:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        is_zarr = "zarr.json" in archive.namelist()
        if is_zarr:
            yield from zarr(data)
        for entry in archive.infolist():
            yield "zip name", entry.filename.encode("utf-8", "replace") + b"\n" + entry.comment + b"\n" + entry.extra
            if not is_zarr or entry.filename.endswith(".json"):
                yield "zip", archive.read(entry)


def _tar(data: bytes) -> Pieces:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        for member in archive:
            says = (member.name, member.linkname, member.uname, member.gname, *member.pax_headers.values())
            yield "tar name", "\n".join(map(str, says)).encode("utf-8", "surrogateescape")
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                yield "tar", file.read()


def _zlib(data: bytes) -> Pieces:
    """A zlib stream; two bytes alone do not tell, so what is none is no container."""
    try:
        yield "zlib", zlib.decompressobj().decompress(data)
    except zlib.error:
        return


def _png(data: bytes) -> Pieces:
    """Texts and profiles that are compressed; others, and what stands behind the end, are in the file's own bytes."""
    place = len(_PNG)
    while place + 8 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        keyword, _, rest = body.partition(b"\0")
        if kind in (b"zTXt", b"iCCP"):
            yield "png", keyword + b"\n" + zlib.decompress(rest[1:])
        elif kind == b"iTXt" and rest[:1] == b"\1":
            language, _, rest = rest[2:].partition(b"\0")
            translated, _, text = rest.partition(b"\0")
            yield "png", b"\n".join((keyword, language, translated, zlib.decompress(text)))
        elif kind == b"IEND":
            return
        place += 12 + length


def _markup(data: bytes) -> Pieces:
    """Text without tags, which may stand inside words, and images that are written out."""
    words = _TAGS.sub(b"\n", _WITHIN_WORDS.sub(b"", data)).decode("utf-8", "replace")
    yield "markup", html.unescape(words).encode("utf-8", "replace")
    for found in _DATA.finditer(data):
        yield "base64", base64.b64decode(re.sub(rb"\s", b"", found[1]))
