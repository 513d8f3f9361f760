"""Encapsulated documents: the very bytes that were put in, by every encoding, and named by the tables alone."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from support.encapsulated import PDF, STORAGE, document
from support.factories import quick_dataset, save

from crawler.errors import PixelError, SinkError
from crawler.instance.header import read_instance
from crawler.model import File, Instance
from crawler.sinks.base import Target
from crawler.sinks.document import is_document, write_document

CDA = '<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3">é</ClinicalDocument>'.encode()
TRIANGLE = bytes(range(48)) + b"\0\0"  # ends in zeros, as each triangle does
STL = b"made of text".ljust(80, b"\0") + (3).to_bytes(4, "little") + 3 * TRIANGLE
STL_TEXT = b"solid s\nendsolid s\n"
OBJ = b"mtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
MTL = b"newmtl red\nKd 1 0 0\n"


def instance_of(path: Path) -> Instance:
    status = path.stat()
    return read_instance(File(str(path.parent), path.name, status.st_size, status.st_mtime_ns))


@pytest.fixture
def target(tmp_path: Path) -> Target:
    (tmp_path / "temp").mkdir()
    return Target(str(tmp_path / "out" / "deep" / "name"), str(tmp_path / "temp"))


def left(tmp_path: Path) -> list[str]:
    """Names of all files in place or unfinished."""
    return sorted(path.name for folder in ("out", "temp") for path in (tmp_path / folder).rglob("*") if path.is_file())


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize(
    ("number", "mime_type", "content", "extension"),
    [
        ("1", "application/pdf", PDF, ".pdf"),
        ("1", "application/pdf", PDF + b"\n", ".pdf"),
        ("2", "text/XML", CDA, ".xml"),
        ("2", "text/XML", CDA + b"\n", ".xml"),
        ("3", "model/stl", STL, ".stl"),
        ("3", "model/stl", STL_TEXT, ".stl"),
        ("4", "model/obj", OBJ, ".obj"),
        ("5", "model/mtl", MTL, ".mtl"),
        ("5", "model/mtl", MTL + b"\n", ".mtl"),
    ],
)
def test_the_bytes_come_out_as_they_went_in(
    tmp_path: Path, target: Target, number: str, mime_type: str, content: bytes, extension: str, told: bool
) -> None:
    length = {"EncapsulatedDocumentLength": len(content)} if told else {}
    path = document(tmp_path / "a.dcm", content, STORAGE + number, MIMETypeOfEncapsulatedDocument=mime_type, **length)
    [product] = write_document(instance_of(path), target)
    assert (product.path, product.kind, product.size) == (target.path + extension, "document", len(content))
    assert Path(product.path).read_bytes() == content
    assert left(tmp_path) == ["name" + extension]


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
@pytest.mark.parametrize("content", [b"%PDF-1.4 %%EOF\n", PDF], ids=["short", "long"])
def test_every_encoding(tmp_path: Path, target: Target, syntax: str, content: bytes) -> None:
    length = {"EncapsulatedDocumentLength": len(content)}
    path = document(tmp_path / "a.dcm", content, TransferSyntaxUID=syntax, **length)
    [product] = write_document(instance_of(path), target)
    assert Path(product.path).read_bytes() == content


def test_zeros_at_the_end_belong_to_the_document_when_its_length_says_so(tmp_path: Path, target: Target) -> None:
    content = PDF + b"\0\0\0\0"
    content += b"\0" * (len(content) % 2)
    path = document(tmp_path / "a.dcm", content, EncapsulatedDocumentLength=len(content))
    [product] = write_document(instance_of(path), target)
    assert Path(product.path).read_bytes() == content


@pytest.mark.parametrize("wrong", [0, 5, 10**9])
def test_a_length_that_would_lose_bytes_is_not_believed(tmp_path: Path, target: Target, wrong: int) -> None:
    path = document(tmp_path / "a.dcm", PDF, EncapsulatedDocumentLength=wrong)
    [product] = write_document(instance_of(path), target)
    assert Path(product.path).read_bytes() == PDF


@pytest.mark.parametrize(
    ("mime_type", "extension"),
    [
        ("application/pdf", ".pdf"),
        ("Text/XML; charset=utf-8", ".xml"),
        ("model/stl", ".stl"),
        ("application/x-sh", ".bin"),
        ("../../evil.sh", ".bin"),
        ("", ".bin"),
    ],
)
def test_a_class_that_is_not_in_the_table_goes_by_mime_type(
    tmp_path: Path, target: Target, mime_type: str, extension: str
) -> None:
    path = document(tmp_path / "a.dcm", PDF, STORAGE + "99", MIMETypeOfEncapsulatedDocument=mime_type)
    [product] = write_document(instance_of(path), target)
    assert product.path == target.path + extension


def test_the_class_outweighs_the_mime_type(tmp_path: Path, target: Target) -> None:
    path = document(tmp_path / "a.dcm", PDF, MIMETypeOfEncapsulatedDocument="text/xml")
    [product] = write_document(instance_of(path), target)
    assert product.path == target.path + ".pdf"


def test_a_document_that_breaks_off_leaves_nothing(tmp_path: Path, target: Target) -> None:
    path = document(tmp_path / "a.dcm", PDF)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(PixelError, match=r"truncated value: \(0042,0011\)"):
        write_document(instance_of(path), target)
    assert left(tmp_path) == []


@pytest.mark.parametrize("content", [None, b""])
def test_no_document(tmp_path: Path, target: Target, content: bytes | None) -> None:
    path = save(quick_dataset(SOPClassUID=STORAGE + "1", EncapsulatedDocument=content), tmp_path / "a.dcm")
    with pytest.raises(PixelError, match="missing value: no EncapsulatedDocument"):
        write_document(instance_of(path), target)
    assert left(tmp_path) == []


def test_a_file_that_went_away(tmp_path: Path, target: Target) -> None:
    instance = instance_of(document(tmp_path / "a.dcm", PDF))
    (tmp_path / "a.dcm").unlink()
    with pytest.raises(PixelError, match="unreadable file"):
        write_document(instance, target)


def test_a_target_that_cannot_be_written(tmp_path: Path, target: Target) -> None:
    Path(target.path + ".pdf").mkdir(parents=True)
    with pytest.raises(SinkError, match="a folder lies at the target"):
        write_document(instance_of(document(tmp_path / "a.dcm", PDF)), target)
    assert left(tmp_path) == []


def test_memory_does_not_grow_with_the_document(tmp_path: Path, target: Target) -> None:
    content = PDF + bytes(48 << 20) + b"%%EOF\n"
    instance = instance_of(document(tmp_path / "a.dcm", content))
    tracemalloc.start()
    try:
        [product] = write_document(instance, target)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert product.size == len(content)
    assert peak < 8 << 20


def test_which_objects_are_documents() -> None:
    assert is_document(STORAGE + "1")
    assert not is_document("1.2.840.10008.5.1.4.1.1.1")
