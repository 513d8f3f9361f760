"""What files of arrays and of tables hold, as bytes for a search: HDF5, Zarr, Parquet, MATLAB 5 and SQLite.

Texts come one a line in UTF-8, whatever the file keeps them as; numbers as the bytes that they are in memory.
"""

from __future__ import annotations

import io
import json
import sqlite3
import tempfile
import zlib
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

Pieces = Iterator[tuple[str, bytes]]
"""(kind of container, bytes)"""

_COMPRESSED, _MATRIX = 15, 14  # data types of MAT-File 5 elements
_CHARACTERS = 4  # class of an array
_CODECS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}


def hdf5(data: bytes) -> Pieces:
    """Attributes, names, targets of links and values, filters undone."""
    with h5py.File(io.BytesIO(data), "r") as file:
        yield "hdf5 attributes", _attributes(file)
        yield from _group(file, set())


def _group(group: h5py.Group, seen: set[Any]) -> Pieces:
    for name in group:
        link = group.get(name, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            yield "hdf5 name", f"{name} {link.filename} {link.path}".encode("utf-8", "replace")
            continue
        if isinstance(link, h5py.SoftLink):
            yield "hdf5 name", f"{name} {link.path}".encode("utf-8", "replace")
            continue
        yield "hdf5 name", name.encode("utf-8", "replace")
        node = group[name]
        place = h5py.h5o.get_info(node.id).addr
        if place in seen:
            continue
        seen.add(place)
        yield "hdf5 attributes", _attributes(node)
        if isinstance(node, h5py.Dataset):
            yield "hdf5", _values(node[()])
        elif isinstance(node, h5py.Group):
            yield from _group(node, seen)


def _attributes(node: Any) -> bytes:
    return b"\n".join(name.encode("utf-8", "replace") + b"=" + _values(value) for name, value in node.attrs.items())


def _values(value: Any) -> bytes:
    """Bytes of what h5py gives: numbers as they are, texts one a line."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, h5py.Empty):
        return b""
    array = np.asarray(value)
    if array.dtype.names:
        return b"\n".join(_values(array[name]) for name in array.dtype.names)
    if array.dtype.kind == "O":  # texts, or rows of different lengths
        return b"\n".join(
            _values(one) if isinstance(one, bytes | np.ndarray) else str(one).encode("utf-8", "replace")
            for one in array.ravel()
        )
    if array.dtype.kind in "SU":
        return b"\n".join(
            one if isinstance(one, bytes) else str(one).encode("utf-8", "replace") for one in array.ravel()
        )
    return array.tobytes()


def parquet(data: bytes) -> Pieces:
    """Names, metadata of table and columns, and all values, pages and dictionaries undone."""
    import pyarrow as arrow  # an optional package: an output of this kind needs it, too
    import pyarrow.parquet as files

    table = files.read_table(arrow.BufferReader(data))
    says = [table.schema.metadata or {}, *(field.metadata or {} for field in table.schema)]
    yield "parquet", b"\n".join([*(part for one in says for pair in one.items() for part in pair)])
    yield "parquet", "\n".join(map(str, table.schema.types)).encode() + "\n".join(table.column_names).encode()
    for batch in table.to_batches(max_chunksize=4096):
        for column in batch.columns:
            for value in column.to_pylist():
                if isinstance(value, bytes):
                    yield "parquet", value
        told = json.dumps(batch.to_pylist(), default=str, ensure_ascii=False)
        yield "parquet", told.encode("utf-8", "replace")


def zarr(data: bytes) -> Pieces:
    """Values of all arrays of a Zarr v3 group in a zip; its attributes are JSON beside them."""
    import zarr as package  # an optional package: an output of this kind needs it, too

    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        file.write(data)
        file.flush()
        with package.storage.ZipStore(file.name, mode="r") as store:
            group: Any = package.open_group(store, mode="r")
            for name, node in group.members(max_depth=None):
                yield "zarr name", name.encode("utf-8", "replace")
                if isinstance(node, package.Array):
                    yield "zarr", _values(node[...])


def sqlite(data: bytes) -> Pieces:
    """All rows of all tables; a value that is bytes comes alone, as it may be packed."""
    rollback = data[:18] + b"\1\1" + data[20:]  # a copy in memory has no write-ahead log
    database = sqlite3.connect(":memory:")
    try:
        database.deserialize(rollback)
        database.text_factory = bytes
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            quoted = table.decode("utf-8", "replace").replace('"', '""')
            for row in database.execute(f'SELECT * FROM "{quoted}"'):
                yield "sqlite", b"\n".join(one if isinstance(one, bytes) else str(one).encode() for one in row)
                yield from (("sqlite value", one) for one in row if isinstance(one, bytes))
    finally:
        database.close()


def matlab(data: bytes) -> Pieces:
    """Texts of a MAT-File 5, compressed or not: characters lie in it by columns, in two bytes each."""
    order = "little" if data[126:128] == b"IM" else "big"
    yield from _elements(data[128:], order)


def _elements(data: bytes, order: Any) -> Pieces:
    for kind, body in _tagged(data, order):
        if kind == _COMPRESSED:
            whole = zlib.decompress(body)
            yield "mat", whole
            yield from _elements(whole, order)
        elif kind == _MATRIX:
            yield from _matrix(body, order)


def _matrix(data: bytes, order: Any) -> Pieces:
    parts = list(_tagged(data, order))
    if len(parts) < 3:
        return
    is_text = int.from_bytes(parts[0][1][:4], order) & 0xFF == _CHARACTERS
    for kind, body in parts[3:]:
        if kind == _MATRIX:
            yield from _matrix(body, order)
        elif is_text and kind in _CODECS:
            codec = _CODECS[kind]
            ending = ("-le" if order == "little" else "-be") if codec in ("utf-16", "utf-32") else ""
            text = body.decode(codec + ending, "replace")
            sizes = [int.from_bytes(parts[1][1][at : at + 4], order) for at in range(0, len(parts[1][1]), 4)]
            rows = sizes[0] if sizes and sizes[0] else 1
            yield "mat", "\n".join(text[row::rows] for row in range(min(rows, len(text)))).encode("utf-8", "replace")


def _tagged(data: bytes, order: Any) -> Iterator[tuple[int, bytes]]:
    """(data type, bytes) of elements one behind the other ("MAT-File Versions", elements of 4 bytes included)."""
    place = 0
    while place + 8 <= len(data):
        kind = int.from_bytes(data[place : place + 4], order)
        if kind >> 16:  # a small one: its length stands beside the type
            yield kind & 0xFFFF, data[place + 4 : place + 4 + min(4, kind >> 16)]
            place += 8
            continue
        length = int.from_bytes(data[place + 4 : place + 8], order)
        yield kind, data[place + 8 : place + 8 + length]
        place += 8 + length
        if kind != _COMPRESSED:
            place += -length % 8
