"""An output that was tampered with: the audit's search finds a text in every container and encoding."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sqlite3
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest

from crawler.privacy.audit import search
from crawler.privacy.search import Needles

NAME = "Quastenflosser"
PLACES: dict[str, Callable[[Path], object]] = {}


def place(function: Callable[[Path], object]) -> Callable[[Path], object]:
    """Register a way to hide the name in a file."""
    PLACES[function.__name__] = function
    return function


def tarred(path: Path, name: str, data: bytes) -> None:
    """A tar with one file."""
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))


def zipped(path: Path | io.BytesIO, name: str, data: bytes) -> None:
    """A zip with one file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)


@place
def gzip_in_a_tar(path: Path) -> None:
    tarred(path, "a.gz", gzip.compress(b"x" * 50 + NAME.encode()))


@place
def a_long_name_in_a_tar_of_gzip(path: Path) -> None:
    tarred(path, f"{'d' * 120}/{NAME}.txt", b"")
    path.write_bytes(gzip.compress(path.read_bytes()))


@place
def zip_in_gzip_in_zip(path: Path) -> None:
    inner = io.BytesIO()
    zipped(inner, "a.txt", NAME.encode())
    zipped(path, "a.gz", gzip.compress(inner.getvalue()))


@place
def bzip2_and_xz(path: Path) -> None:
    tarred(path, "a.bz2", bz2.compress(lzma.compress(NAME.encode())))


@place
def shared_strings_of_a_workbook(path: Path) -> None:
    xml = f"<sst><si><r><rPr><b/></rPr><t>{NAME[:6]}</t></r><r><t>{NAME[6:]}</t></r></si></sst>"
    zipped(path, "xl/sharedStrings.xml", xml.encode())


@place
def numeric_entities_of_markup(path: Path) -> None:
    path.write_text("<p>" + "".join(f"&#x{ord(letter):x};" for letter in NAME) + "</p>")


@place
def a_picture_inside_html(path: Path) -> None:
    import base64

    path.write_text(f'<img src="data:image/png;base64,{base64.b64encode(png(b"zTXt", compressed())).decode()}">')


@place
def parquet_dictionary_pages(path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="python -m pip install -r requirements-tables.txt")
    files = pytest.importorskip("pyarrow.parquet", reason="python -m pip install -r requirements-tables.txt")
    column = arrow.array([NAME, "b"] * 500).dictionary_encode()
    files.write_table(arrow.table({"a": column}), path, compression="zstd", write_statistics=False)


@place
def parquet_bytes_that_are_packed(path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="python -m pip install -r requirements-tables.txt")
    files = pytest.importorskip("pyarrow.parquet", reason="python -m pip install -r requirements-tables.txt")
    table = arrow.table({"a": [gzip.compress(NAME.encode())]})
    files.write_table(table, path, compression="snappy")


@place
def parquet_metadata_of_a_column(path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="python -m pip install -r requirements-tables.txt")
    files = pytest.importorskip("pyarrow.parquet", reason="python -m pip install -r requirements-tables.txt")
    field = arrow.field("a", arrow.int32(), metadata={"k": "x" * 300 + NAME})
    files.write_table(arrow.table([[1]], schema=arrow.schema([field])), path)


@place
def hdf5_attributes(path: Path) -> None:
    with h5py.File(path, "w", track_order=True) as file:
        file.create_group("g/h").attrs["a"] = np.array(["x", NAME], dtype=h5py.string_dtype())


@place
def hdf5_texts_that_are_compressed(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("g/t", data=np.array([NAME.encode()] * 2000), compression="gzip", shuffle=True)


@place
def hdf5_rows_of_different_lengths(path: Path) -> None:
    with h5py.File(path, "w") as file:
        made = file.create_dataset("v", (1,), dtype=h5py.vlen_dtype(np.uint8))
        made[0] = np.frombuffer(b"." * 4000 + gzip.compress(NAME.encode()) + NAME.encode(), np.uint8)


@place
def hdf5_behind_a_user_block(path: Path) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset("t", data=np.array([NAME.encode()] * 2000), compression="gzip", shuffle=True)


@place
def hdf5_links(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["g/soft"] = h5py.SoftLink(f"/{NAME}")
        file["g/external"] = h5py.ExternalLink(f"{NAME}.h5", "/a")
    zipped(path, "a.h5", path.read_bytes())


@place
def a_field_of_a_nifti_header(path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4))
    image.header["aux_file"] = NAME
    path.write_bytes(gzip.compress(image.to_bytes()))


@place
def an_extension_of_a_nifti_header(path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", NAME.encode()))
    path.write_bytes(gzip.compress(image.to_bytes()))


def png(kind: bytes, body: bytes) -> bytes:
    """A PNG of one chunk."""
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IEND\xaeB`\x82"


def compressed() -> bytes:
    """The body of a zTXt chunk."""
    return b"Comment\0\0" + zlib.compress(NAME.encode())


@place
def png_text(path: Path) -> None:
    path.write_bytes(png(b"tEXt", b"Author\0" + NAME.encode()))


@place
def png_text_that_is_compressed(path: Path) -> None:
    path.write_bytes(png(b"zTXt", compressed()))


@place
def png_text_of_a_language(path: Path) -> None:
    path.write_bytes(png(b"iTXt", b"Author\0\1\0de\0Urheber\0" + zlib.compress(NAME.encode())))


@place
def mp4_metadata(path: Path) -> None:
    text = NAME.encode()
    data = struct.pack(">I", 16 + len(text)) + b"data\0\0\0\1\0\0\0\0" + text
    item = struct.pack(">I", 8 + len(data)) + b"\xa9nam" + data
    path.write_bytes(b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + item)


@place
def mat_texts(path: Path) -> None:
    io_of = pytest.importorskip("scipy.io", reason="python -m pip install -r requirements-formats.txt")
    io_of.savemat(path, {"A": {"note": NAME}})


@place
def mat_texts_that_are_compressed(path: Path) -> None:
    io_of = pytest.importorskip("scipy.io", reason="python -m pip install -r requirements-formats.txt")
    io_of.savemat(path, {"A": np.array([NAME, "short"], dtype=object)}, do_compression=True)


@place
def mat_rows_of_characters(path: Path) -> None:
    io_of = pytest.importorskip("scipy.io", reason="python -m pip install -r requirements-formats.txt")
    io_of.savemat(path, {"A": np.array([NAME, "x" * len(NAME)])})


@place
def a_ledger(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE t (a TEXT, b BLOB)")
    database.execute("INSERT INTO t VALUES ('x', ?)", (zlib.compress(b"-" * 40 + NAME.encode()),))
    database.commit()
    database.close()


@place
def unicode_of_numpy(path: Path) -> None:
    np.savez_compressed(path.with_suffix(".npz"), a=np.array([NAME]))


@place
def a_link(path: Path) -> None:
    path.symlink_to(f"/somewhere/{NAME}")


@place
def a_report_elsewhere(path: Path) -> None:
    inside = path.parent / "below"
    inside.mkdir()
    (inside / "privacy_audit.json").write_text(NAME)


@pytest.mark.parametrize("hide", PLACES.values(), ids=PLACES)
def test_a_name_is_found_wherever_it_is_hidden(hide: Callable[[Path], object], tmp_path: Path) -> None:
    folder = tmp_path / "output"
    folder.mkdir()
    hide(folder / "a.bin")
    found = search([folder], Needles([NAME]))
    assert list(found.hits) == [NAME]
    assert not found.unopened


@pytest.mark.usefixtures("no_thread_of_zarr")
def test_a_name_in_a_pack_of_zarr_is_found(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", reason="python -m pip install -r requirements-packs.txt")
    store = zarr.storage.ZipStore(str(tmp_path / "a.zip"), mode="w")
    data = np.frombuffer(gzip.compress(NAME.encode()), np.uint8)
    made = zarr.create_group(store, zarr_format=3).create_array(
        "m", shape=data.shape, dtype=data.dtype, chunks=data.shape, shards=data.shape
    )
    made[...] = data
    store.close()
    assert list(search([tmp_path], Needles([NAME])).hits) == [NAME]


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(b"a" * 100)[:-9],
        b"PK\x03\x04" + b"\0" * 90,
        b"\x28\xb5\x2f\xfd" + b"\0" * 30,
        b"\x89HDF\r\n\x1a\n" + b"\0" * 90,
        png(b"zTXt", b"Comment\0\0no stream"),
        b"SQLite format 3\0" + b"\1" * 2000,
    ],
    ids=["gzip", "zip", "zstd", "hdf5", "png", "sqlite"],
)
def test_what_cannot_be_opened_is_told_and_not_passed_over(data: bytes, tmp_path: Path) -> None:
    tarred(tmp_path / "a.tar", "member", data)
    assert len(search([tmp_path], Needles([NAME])).unopened) == 1


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("MÜLLER-LÜDENSCHEIDT", "Müller-Lüdenscheidt".encode()),
        ("Müller-Lüdenscheidt", "MÜLLER-LÜDENSCHEIDT".encode("latin-1")),
        ("Müller", "Mu\u0308ller".encode()),
        ("Müller", b"Mueller"),
        ("Müller", b"muller"),
        ("Łukasiewicz", "Łukasiewicz".encode("iso8859-2")),
        ("Иванов", "иванов".encode("cp1251")),
        ("山田", "山田".encode("shift_jis")),
        ('O\'Neil "Ö"', '"O\'Neil \\"Ö\\""'.encode()),
        ("a/b c1234", b"a%2Fb+c1234"),
        ("Quastenflosser", "quastenflosser".encode("utf-32-le")),
        ("Quastenflosser", b"cXVhc3RlbmZsb3NzZXI="),
        ("0004711081", b"number 4711081."),
        ("4711081", b"number 004711081."),
        ("4711081", b"file.4711081"),
        ("MRN-471-1081", b"mrn4711081"),
    ],
)
def test_other_spellings_of_a_text_are_found(text: str, written: bytes) -> None:
    assert Needles([text]).found_in(b"xyz " + written + b" abc") == {0}


@pytest.mark.parametrize("written", [b"14711081", b"47110812", b"2.25.4711081", b"1.004711081", b"0.4711081"])
def test_a_piece_of_another_number_is_no_identifier(written: bytes) -> None:
    assert Needles(["4711081"]).found_in(b"xyz " + written + b" abc") == set()
