"""The bytes that a file of outputs holds, in itself and in what it packs: for a search, not for a reader.

A file gives its own bytes, then those that gzip, zip (npz, xlsx), HDF5, Parquet, PNG and SQLite keep compressed or in a
form of their own. What cannot be opened gives its own bytes alone, and says so.
"""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

_PNG = b"\x89PNG\r\n\x1a\n"


class Unopened(Exception):
    """A container that could not be looked into; its text names the kind."""


def contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """(kind of container, bytes) of a file.

    Raises
    ------
    Unopened
        After all that could be read was given.
    OSError
        The file cannot be read.
    """
    data = path.read_bytes()
    yield "file", data
    try:
        yield from _inside(data, path)
    except (
        OSError,
        ValueError,
        EOFError,
        KeyError,
        RuntimeError,
        zlib.error,
        zipfile.BadZipFile,
        sqlite3.Error,
    ) as error:
        raise Unopened(type(error).__name__) from error


def _inside(data: bytes, path: Path) -> Iterator[tuple[str, bytes]]:
    if data[:2] == b"\x1f\x8b":
        yield "gzip", gzip.decompress(data)
    elif data[:4] == b"PK\x03\x04":
        yield from _zip(data)
    elif data[:8] == b"\x89HDF\r\n\x1a\n":
        yield from _hdf5(path)
    elif data[:4] == b"PAR1":
        yield from _parquet(path)
    elif data[:8] == _PNG:
        yield from _png(data)
    elif data[:15] == b"SQLite format 3":
        yield from _sqlite(path)


def _zip(data: bytes) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist():
            yield "zip", entry.filename.encode("utf-8", "replace") + entry.comment
            yield "zip", archive.read(entry)


def _hdf5(path: Path) -> Iterator[tuple[str, bytes]]:
    with h5py.File(path, "r") as file:
        yield "hdf5", _attributes(file)
        names: list[str] = []
        file.visit(names.append)
        for name in names:
            yield "hdf5", name.encode()
            link = file.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                yield "hdf5", f"{link.filename} {link.path}".encode()
        for name in list(file):
            link = file.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                yield "hdf5", f"{name} {link.filename} {link.path}".encode()
        for name in names:
            node = file[name]
            yield "hdf5", _attributes(node)
            if isinstance(node, h5py.Dataset):
                yield "hdf5", _values(node[()])


def _attributes(node: Any) -> bytes:
    return b"\n".join(name.encode() + b"=" + _values(value) for name, value in node.attrs.items())


def _values(value: Any) -> bytes:
    """Bytes of what h5py gives: numbers as they are, texts one a line."""
    if isinstance(value, bytes):
        return value
    array = np.asarray(value)
    if array.dtype.names:
        return b"\n".join(_values(array[name]) for name in array.dtype.names)
    if array.dtype.kind in "OSU":
        return b"\n".join(
            one if isinstance(one, bytes) else str(one).encode("utf-8", "replace") for one in array.ravel()
        )
    return array.tobytes()


def _parquet(path: Path) -> Iterator[tuple[str, bytes]]:
    import pyarrow.parquet as parquet  # an optional package: an output of this kind needs it, too

    table = parquet.read_table(path)
    yield "parquet", str(table.schema).encode() + repr(table.schema.metadata).encode()
    for batch in table.to_batches(max_chunksize=4096):
        yield "parquet", json.dumps(batch.to_pylist(), default=str, ensure_ascii=False).encode("utf-8", "replace")


def _png(data: bytes) -> Iterator[tuple[str, bytes]]:
    place = len(_PNG)
    while place + 8 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        kind, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        if kind in (b"zTXt", b"iTXt", b"iCCP"):
            packed = body.partition(b"\0")[2].lstrip(b"\0\1")
            try:
                yield "png", zlib.decompress(packed)
            except zlib.error:
                yield "png", packed
        place += 12 + length


def _sqlite(path: Path) -> Iterator[tuple[str, bytes]]:
    with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            quoted = table.replace('"', '""')
            for row in database.execute(f'SELECT * FROM "{quoted}"'):
                yield (
                    "sqlite",
                    b"\n".join(
                        value if isinstance(value, bytes) else str(value).encode("utf-8", "replace") for value in row
                    ),
                )
