from __future__ import annotations

import io
import os
import random
import zipfile
import zlib
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from support.factories import quick_dataset, save

from crawler.dicom import files
from crawler.dicom.files import inflate, open_dataset, open_file, size_of
from crawler.errors import HeaderError, NotDicom
from crawler.instance.header import read_instance
from crawler.model import File


def file_of(path: Path) -> File:
    info = path.stat()
    return File(str(path.parent), path.name, info.st_size, info.st_mtime_ns)


def raw_deflate(data: bytes) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return engine.compress(data) + engine.flush()


def test_open_file_is_seekable_and_read_only(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    with open_file(file_of(path)) as stream:
        stream.seek(4)
        assert stream.read(2) == b"45"
        assert size_of(stream) == 10
        assert stream.tell() == 0
        assert not stream.writable()


def test_member_that_the_archive_does_not_hold_is_refused_by_name_of_the_reason(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", b"1")
    with pytest.raises(HeaderError, match="damaged archive member"):
        open_file(File(str(tmp_path), "a.zip", 1, 1, member="b"))


@pytest.mark.skipif(os.name == "nt", reason="file names are Unicode there")
def test_open_file_takes_names_of_any_bytes(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe.dcm")
    (tmp_path / name).write_bytes(b"x")
    with open_file(file_of(tmp_path / name)) as stream:
        assert stream.read() == b"x"


def test_open_dataset_of_a_plain_file_is_the_file(tmp_path: Path) -> None:
    path = save(quick_dataset(), tmp_path / "a.dcm")
    with open_dataset(file_of(path), deflated=False) as stream:
        assert stream.read() == path.read_bytes()


@pytest.mark.parametrize("preamble", [True, False])
def test_offset_of_a_deflated_data_set_counts_in_the_inflated_stream(tmp_path: Path, preamble: bool) -> None:
    data = Path(str(get_testdata_file("image_dfl.dcm"))).read_bytes()
    path = tmp_path / "a.dcm"
    path.write_bytes(data if preamble else data[132:])
    pixels = read_instance(file_of(path)).pixels
    assert pixels is not None
    with open_dataset(file_of(path), deflated=True) as stream:
        stream.seek(pixels.offset)
        expected = pydicom.dcmread(io.BytesIO(data)).PixelData
        assert stream.read(pixels.length or 0) == expected


def test_open_dataset_refuses_what_is_no_dicom_any_more(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(b"gone" * 100)
    with pytest.raises(NotDicom):
        open_dataset(file_of(path), deflated=True)


def test_inflate_passes_large_data_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_IN_MEMORY", 1 << 16)
    monkeypatch.setattr(files, "_CHUNK", 1 << 12)
    data = random.Random(1).randbytes(300_000) + bytes(3_000_000)
    with inflate(io.BytesIO(raw_deflate(data)))[0] as stream:
        assert stream.read() == data


def test_truncated_deflate_keeps_its_beginning() -> None:
    data = random.Random(2).randbytes(100_000)
    with inflate(io.BytesIO(raw_deflate(data)[:50_000]))[0] as stream:
        kept = stream.read()
    assert len(kept) > 45_000
    assert data.startswith(kept)


def test_damaged_deflate_keeps_what_comes_before_the_damage() -> None:
    data = bytes(random.Random(3).choices(b"DICOM data", k=200_000))
    packed = bytearray(raw_deflate(data))
    packed[len(packed) // 2 :] = b"\xff" * 1000
    with inflate(io.BytesIO(packed))[0] as stream:
        kept = stream.read()
    # Bits in front of the damage decode as before; the first wrong symbols may decode to something before one fails.
    assert kept[:90_000] == data[:90_000]


def test_nothing_to_inflate_is_an_empty_stream() -> None:
    with inflate(io.BytesIO(b"\xff\xff\xff"))[0] as stream:
        assert stream.read() == b""
