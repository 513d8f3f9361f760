"""Archives: what is in them reads as it does on disk; what attacks is refused, within limits, and leaves nothing."""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import lzma
import os
import random
import struct
import tarfile
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import zstandard
from pydicom.data import get_testdata_file
from pydicom.uid import DeflatedExplicitVRLittleEndian
from support.factories import multiframe, quick_dataset, save

from crawler.archives.members import member_name
from crawler.archives.quota import QUOTA, Quota
from crawler.archives.streams import BLOCK, InflatingStream, buffered
from crawler.archives.zips import open_directory
from crawler.dicom.files import open_file
from crawler.errors import FileError, HeaderError, NotDicom, PixelError
from crawler.instance.header import read_instance
from crawler.model import File
from crawler.pixels.frames import frames
from crawler.sources.archive import Expanded, expand, is_archive

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
}
TARS = [f"a.tar{suffix}" for suffix in COMPRESS]
PACKED = TARS[1:]
KINDS = ["a.zip", *TARS]
EVERY = [*KINDS, "a.dcm.gz"]
FOUR_GB = 1 << 32
PIECE = 32 << 20


def file_of(path: Path) -> File:
    info = path.stat()
    return File(str(path.parent), path.name, info.st_size, info.st_mtime_ns)


def tar_bytes(entries: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in entries.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1_600_000_000
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def pack(path: Path, entries: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write an archive of the kind that its name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, data in entries.items():
                archive.writestr(zipfile.ZipInfo(name, (2020, 9, 13, 12, 26, 40)), data, method)
    else:
        path.write_bytes(COMPRESS[path.name.removeprefix("a.tar")](tar_bytes(entries)))
    return path


def unpack(path: Path, quota: Quota = QUOTA) -> Expanded:
    return expand(file_of(path), str(path.parent / "spool"), quota)


def spooled(path: Path) -> list[Path]:
    """What lies in the spool, folders included."""
    return sorted((path.parent / "spool").rglob("*"))


def members(expanded: Expanded) -> dict[str | None, bytes]:
    found = {}
    for file in expanded.members:
        with open_file(file) as stream:
            found[file.member] = stream.read()
    return found


def reasons(expanded: Expanded) -> dict[str, str]:
    return {name: outcome.reason for name, outcome in expanded.faults}


def failure(expanded: Expanded) -> str:
    """Reason of an archive that failed to be found whole."""
    assert (expanded.outcome.outcome, expanded.outcome.stage) == ("failed", "find")
    return expanded.outcome.reason


def is_well(expanded: Expanded) -> bool:
    return (expanded.outcome.outcome, expanded.outcome.reason) == ("skipped", "container")


@contextmanager
def memory_below(limit: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "name",
    [*EVERY, "a.ZIP", "a.tgz", "a.tbz2", "a.txz", "a.tzst", "a.Tar.Zst", "A.DCM.GZ"],
)
def test_archives_are_known_by_name(name: str) -> None:
    assert is_archive(name)


@pytest.mark.parametrize("name", ["zip", "a.dcm", "a.gz", "a.nii.gz", "a.zip.dcm", "a.7z", ""])
def test_other_files_are_no_archives(name: str) -> None:
    assert not is_archive(name)


# Members read as files do


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Plain, multi-frame (larger than any buffer), deflated and compressed files."""
    folder = tmp_path_factory.mktemp("originals")
    made = [save(quick_dataset(), folder / "one.dcm"), multiframe(folder / "many.dcm", 40, 64, 64)]
    for name in ("JPEG2000.dcm", "image_dfl.dcm", "emri_small_RLE.dcm"):
        copy = folder / name
        copy.write_bytes(Path(str(get_testdata_file(name))).read_bytes())
        made.append(copy)
    return made


def assert_equal(member: File, original: Path) -> None:
    expected, found = read_instance(file_of(original)), read_instance(member)
    assert found.record == expected.record
    theirs, ours = list(frames(expected)), list(frames(found))
    assert len(theirs) == len(ours) > 0
    for a, b in zip(theirs, ours, strict=True):
        np.testing.assert_array_equal(a.values, b.values)


@pytest.mark.parametrize("kind", KINDS)
def test_members_read_as_their_files_do(tmp_path: Path, originals: list[Path], kind: str) -> None:
    path = pack(tmp_path / kind, {f"deep/er/{one.name}": one.read_bytes() for one in originals})
    expanded = unpack(path)
    assert is_well(expanded)
    assert not expanded.faults
    assert [file.member for file in expanded.members] == [f"deep/er/{one.name}" for one in originals]
    assert [file.key for file in expanded.members] == [f"{kind}/deep/er/{one.name}" for one in originals]
    for member, original in zip(expanded.members, originals, strict=True):
        assert member.size == original.stat().st_size
        assert member.mtime_ns == 1_600_000_000 * 10**9
        assert_equal(member, original)
    if kind in PACKED:
        assert {one.name for one in spooled(path) if one.is_file()} == {"0", "1", "2", "3", "4"}
    else:
        assert not spooled(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_method_of_zip(tmp_path: Path, originals: list[Path], method: int) -> None:
    (member,) = unpack(pack(tmp_path / "a.zip", {"b": originals[1].read_bytes()}, method)).members
    assert_equal(member, originals[1])


def test_gzipped_file(tmp_path: Path, originals: list[Path]) -> None:
    for number, original in enumerate(originals):
        path = tmp_path / f"{number}.DCM.gz"
        path.write_bytes(gzip.compress(original.read_bytes()))
        expanded = unpack(path)
        assert is_well(expanded)
        (member,) = expanded.members
        assert member.key == f"{number}.DCM.gz/{number}.DCM"
        assert_equal(member, original)


def test_directory_of_a_zip_is_read_once_and_again_when_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    class Counting(zipfile.ZipFile):
        def __init__(self, file: str) -> None:
            opened.append(file)
            super().__init__(file)

    path = pack(tmp_path / "a.zip", {str(number): b"%d" % number for number in range(100)})
    monkeypatch.setattr(zipfile, "ZipFile", Counting)
    assert members(unpack(path))["99"] == b"99"
    assert len(opened) == 1
    monkeypatch.undo()
    pack(path, {"99": b"another"})
    assert members(unpack(path)) == {"99": b"another"}
    open_directory.clear()


def test_member_outlives_the_directory(tmp_path: Path) -> None:
    first = pack(tmp_path / "a.zip", {"1": bytes(100_000) + b"1"})
    second = pack(tmp_path / "b.zip", {"2": b"2"})
    with open_file(unpack(first).members[0]) as stream:
        assert members(unpack(second)) == {"2": b"2"}
        assert stream.read()[-1:] == b"1"


class CountingSource:
    """Zeros, and how many of them were asked for."""

    def __init__(self, size: int) -> None:
        self.left, self.given = size, 0

    def read(self, size: int, /) -> bytes:
        data = bytes(min(size, self.left))
        self.left -= len(data)
        self.given += len(data)
        return data

    def close(self) -> None:
        self.left = 0


def test_stream_inflates_no_further_than_it_is_read() -> None:
    source = CountingSource(FOUR_GB)
    with buffered(InflatingStream(source, FOUR_GB)) as stream:
        assert stream.seek(0, io.SEEK_END) == FOUR_GB
        stream.seek(0)
        assert stream.read(100) == bytes(100)
        assert source.given == BLOCK
        stream.seek(1 << 20)
        stream.read(1)
        assert source.given <= (1 << 20) + BLOCK


@pytest.mark.parametrize(("size", "word"), [(999, "more"), (1001, "less")])
def test_stream_of_another_size_is_damaged_where_it_ends(size: int, word: str) -> None:
    with InflatingStream(CountingSource(1000), size) as stream:
        assert stream.read(500) == bytes(500)
        for _ in range(2):
            with pytest.raises(OSError, match=f"holds {word}"):
                stream.readall()
            stream.seek(500)


def test_four_gigabytes_that_are_no_dicom_are_not_inflated(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    noise = random.Random(1).randbytes(1 << 20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("b", "w") as member:
        member.write(noise)  # inflates far below the limit of the ratio
        for _ in range(99):
            member.write(bytes(1 << 20))
    started = time.process_time()
    (file,) = unpack(path).members
    with memory_below(8 << 20), pytest.raises(NotDicom):
        read_instance(file)
    assert time.process_time() - started < 1


# Damage


@pytest.mark.parametrize("kind", KINDS)
def test_archive_cut_in_half(tmp_path: Path, kind: str) -> None:
    contents = {f"{number:02}": random.Random(number).randbytes(100_000) for number in range(20)}
    path = pack(tmp_path / kind, contents)
    os.truncate(path, path.stat().st_size // 2)
    expanded = unpack(path)
    if kind == "a.zip":
        assert failure(expanded) == "damaged archive"
        assert "incomplete download" in expanded.outcome.detail
        assert not expanded.members
        return
    assert failure(expanded) == "truncated archive"
    count = len(expanded.members)
    assert f"{count} members were read before" in expanded.outcome.detail
    assert 1 <= count <= 10  # bzip2 keeps back the block that was cut, of 900 kB
    assert members(expanded) == dict(list(contents.items())[:count])
    assert set(reasons(expanded).values()) <= {"truncated archive member"}
    if kind in PACKED:
        assert len([one for one in spooled(path) if one.is_file()]) == count


@pytest.mark.parametrize("kind", TARS)
def test_tar_cut_between_two_members(tmp_path: Path, kind: str) -> None:
    whole = tar_bytes({"a": bytes(512), "b": bytes(512)})
    (tmp_path / kind).write_bytes(COMPRESS[kind.removeprefix("a.tar")](whole[:1024]))
    expanded = unpack(tmp_path / kind)
    assert failure(expanded) == "truncated archive"
    assert list(members(expanded)) == ["a"]


@pytest.mark.parametrize("kind", PACKED)
def test_damage_inside_a_compressed_tar(tmp_path: Path, kind: str) -> None:
    path = pack(tmp_path / kind, {f"{number:02}": random.Random(number).randbytes(100_000) for number in range(20)})
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 3, len(data) // 3 + 64):
        data[place] ^= 0xFF
    path.write_bytes(data)
    assert failure(unpack(path)) in ("damaged archive", "truncated archive")


def test_damaged_header_inside_a_tar(tmp_path: Path) -> None:
    data = bytearray(tar_bytes({"a": b"1", "b": b"2", "c": b"3"}))
    data[1024:1100] = b"\xff" * 76
    (tmp_path / "a.tar").write_bytes(data)
    expanded = unpack(tmp_path / "a.tar")
    assert failure(expanded) == "damaged archive"
    assert members(expanded) == {"a": b"1"}


def test_wrong_checksum_fails_the_stage_that_reads_it(tmp_path: Path) -> None:
    original = multiframe(tmp_path / "b.dcm", 40, 64, 64)
    path = pack(tmp_path / "a.zip", {"b": original.read_bytes()}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[200_000] ^= 1
    path.write_bytes(data)
    (member,) = unpack(path).members
    instance = read_instance(member)
    assert instance.record == read_instance(file_of(original)).record
    with pytest.raises(PixelError, match="wrong checksum"):
        list(frames(instance))
    small = pack(tmp_path / "c.zip", {"b": save(quick_dataset(), tmp_path / "c.dcm").read_bytes()}, zipfile.ZIP_STORED)
    data = bytearray(small.read_bytes())
    data[100] ^= 1
    small.write_bytes(data)
    with pytest.raises(HeaderError, match="wrong checksum"):
        read_instance(unpack(small).members[0])


def test_gzipped_file_that_was_cut(tmp_path: Path, originals: list[Path]) -> None:
    path = tmp_path / "a.dcm.gz"
    data = gzip.compress(originals[2].read_bytes())
    path.write_bytes(data[: len(data) // 2])
    expanded = unpack(path)
    for member in expanded.members:  # the last bytes happen to be a size that might be
        with pytest.raises((PixelError, HeaderError)):
            list(frames(read_instance(member)))
    if not expanded.members:
        assert failure(expanded) in ("truncated archive", "suspicious compression")


@pytest.mark.parametrize("kind", EVERY)
def test_file_of_no_bytes(tmp_path: Path, kind: str) -> None:
    (tmp_path / kind).touch()
    expanded = unpack(tmp_path / kind)
    assert failure(expanded) == "damaged archive"
    assert "empty" in expanded.outcome.detail
    assert not spooled(tmp_path / kind)


@pytest.mark.parametrize("kind", EVERY)
def test_wrong_extension(tmp_path: Path, kind: str) -> None:
    save(quick_dataset(), tmp_path / kind)
    expanded = unpack(tmp_path / kind)
    assert failure(expanded) == "damaged archive"
    assert "it is no" in expanded.outcome.detail
    assert not spooled(tmp_path / kind)


@pytest.mark.parametrize("kind", KINDS)
def test_archive_of_nothing_is_well(tmp_path: Path, kind: str) -> None:
    expanded = unpack(pack(tmp_path / kind, {}))
    assert is_well(expanded)
    assert not expanded.members
    assert not expanded.faults
    assert not spooled(tmp_path / kind)


@pytest.mark.parametrize("kind", KINDS)
def test_garbage_behind_the_end_is_told(tmp_path: Path, kind: str) -> None:
    path = pack(tmp_path / kind, {"a": b"1"})
    with path.open("ab") as stream:
        stream.write(b"garbage" * 2000)
    expanded = unpack(path)
    assert members(expanded) == {"a": b"1"}
    # bz2 and lzma pass over what is no stream of theirs, as their commands do.
    if kind not in ("a.tar.bz2", "a.tar.xz", "a.zip"):
        assert expanded.outcome.detail


def test_missing_archive(tmp_path: Path) -> None:
    expanded = expand(File(str(tmp_path), "a.zip", 1, 1), str(tmp_path / "spool"))
    assert failure(expanded) == "cannot be read"
    with pytest.raises(ValueError, match="not the name"):
        expand(File(str(tmp_path), "a.dcm", 1, 1), str(tmp_path))


# Names


HOSTILE = ["../a", "a/../../b", "/etc/passwd", "\\\\host\\a", "C:\\a", "c:a", "a\\..\\b", ".."]


@pytest.mark.parametrize("name", [*HOSTILE, "a\0b", ".", "./"])
def test_hostile_names_are_refused(name: str) -> None:
    with pytest.raises(FileError, match="hostile member name"):
        member_name(name)


@pytest.mark.parametrize("kind", ["a.zip", "a.tar", "a.tar.gz"])
def test_hostile_members_cost_themselves(tmp_path: Path, kind: str) -> None:
    expanded = unpack(pack(tmp_path / kind, {**dict.fromkeys(HOSTILE, b"bad"), "good..dcm": b"good"}))
    assert members(expanded) == {"good..dcm": b"good"}
    assert reasons(expanded) == dict.fromkeys(HOSTILE, "hostile member name")
    assert is_well(expanded)
    assert len([one for one in spooled(tmp_path / kind) if one.is_file()]) == (kind == "a.tar.gz")
    assert sorted(os.listdir(tmp_path)) in ([kind], [kind, "spool"])


def test_nul_in_a_name(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"good.dcmXbad": b"1"})
    path.write_bytes(path.read_bytes().replace(b"good.dcmXbad", b"good.dcm\0bad"))
    assert reasons(unpack(path)) == {"good.dcm\\x00bad": "hostile member name"}


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
@pytest.mark.parametrize("kind", ["a.zip", "a.tar", "a.tar.gz"])
def test_repeated_names(tmp_path: Path, kind: str) -> None:
    names = ["a/b", "a/b", "./a//b"]
    path = tmp_path / kind
    if kind == "a.zip":
        with zipfile.ZipFile(path, "w") as archive:
            for number, name in enumerate(names):
                archive.writestr(name, b"%d" % number)
    else:
        parts = b"".join(tar_bytes({name: b"%d" % number})[:1024] for number, name in enumerate(names))
        path.write_bytes(COMPRESS[kind.removeprefix("a.tar")](parts + bytes(1024)))
    expanded = unpack(path)
    assert members(expanded) == {"a/b": b"0"}
    assert reasons(expanded) == {"a/b#2": "repeated member name", "a/b#3": "repeated member name"}


def test_names_of_zip_in_both_its_encodings(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"größe/\N{CJK UNIFIED IDEOGRAPH-6F22}": b"1", "XYZ": b"2"})
    path.write_bytes(path.read_bytes().replace(b"XYZ", b"\x84\x94\x81"))  # cp437, APPNOTE.TXT appendix D
    assert members(unpack(path)) == {"größe/\N{CJK UNIFIED IDEOGRAPH-6F22}": b"1", "äöü": b"2"}


def test_name_that_is_not_the_utf8_it_claims_to_be(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"a": b"0", "ü": b"1", "b": b"2"})
    path.write_bytes(path.read_bytes().replace("ü".encode(), b"\xff\xfe"))
    expanded = unpack(path)
    assert is_well(expanded)
    first, odd, last = expanded.members
    with open_file(first) as one, open_file(last) as other:
        assert (one.read(), other.read()) == (b"0", b"2")
    with pytest.raises(HeaderError, match="damaged archive member"):  # its local header says the same
        open_file(odd)


@pytest.mark.parametrize(("field", "value"), [(6, b"\xff\x00"), (46 + 1, b"\1\0\xff\xff"), (46 + 1, b"\1\0\0\0")])
def test_entry_of_a_zip_that_zipfile_refuses_costs_no_other(tmp_path: Path, field: int, value: bytes) -> None:
    """A version that nobody needs, an extra field longer than its place, one of zip64 that is too short."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in "123":
            entry = zipfile.ZipInfo(name)
            entry.extra = b"\xfe\xca\4\0abcd"
            archive.writestr(entry, name.encode() * 1000)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2", data.index(b"PK\1\2") + 1)
    data[at + field : at + field + len(value)] = value
    path.write_bytes(data)
    assert members(unpack(path)) == {name: name.encode() * 1000 for name in "123"}
    path.write_bytes(data[:-30])
    assert failure(unpack(path)) == "damaged archive"


@pytest.mark.parametrize("kind", ["a.tar", "a.tar.gz"])
def test_names_of_any_bytes(tmp_path: Path, kind: str) -> None:
    name = b"\xff\xfe\xe4".decode("utf-8", "surrogateescape")
    expanded = unpack(pack(tmp_path / kind, {name: b"1", "a/" + "long" * 100: b"2"}))
    assert members(expanded) == {name: b"1", "a/" + "long" * 100: b"2"}
    assert expanded.members[0].key == f"{kind}/\\xff\\xfe\\xe4"


# Kinds of members


TYPES = {
    b"link": (tarfile.SYMTYPE, "link"),
    b"hard": (tarfile.LNKTYPE, "link"),
    b"device": (tarfile.CHRTYPE, "not a regular file"),
    b"pipe": (tarfile.FIFOTYPE, "not a regular file"),
    b"other": (b"Q", "not a regular file"),
    b"sparse": (tarfile.GNUTYPE_SPARSE, "sparse archive member"),
}


@pytest.mark.parametrize("kind", ["a.tar", "a.tar.gz"])
def test_what_is_no_regular_file_in_a_tar(tmp_path: Path, kind: str) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, (code, _) in TYPES.items():
            info = tarfile.TarInfo(name.decode())
            info.type, info.linkname = code, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("folder")
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
        info = tarfile.TarInfo("file")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"1"))
    path = tmp_path / kind
    path.write_bytes(COMPRESS[kind.removeprefix("a.tar")](stream.getvalue()))
    expanded = unpack(path)
    assert reasons(expanded) == {name.decode(): reason for name, (_, reason) in TYPES.items()}
    assert {outcome.outcome for name, outcome in expanded.faults if name != "sparse"} == {"skipped"}
    assert members(expanded) == {"file": b"1"}


def test_what_is_no_regular_file_in_a_zip(tmp_path: Path) -> None:
    modes = {"link": 0o120777, "device": 0o020666, "pipe": 0o010644, "file": 0o100644, "plain": 0, "folder": 0o040755}
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, mode in modes.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, b"" if name == "folder" else b"/etc/passwd")
        archive.mkdir("another")
    expanded = unpack(tmp_path / "a.zip")
    assert reasons(expanded) == {"link": "link", "device": "not a regular file", "pipe": "not a regular file"}
    assert list(members(expanded)) == ["file", "plain"]


@pytest.mark.parametrize("kind", ["a.zip", "a.tar", "a.tar.gz"])
def test_archive_inside_an_archive_is_named_and_not_opened(tmp_path: Path, kind: str) -> None:
    inner = pack(tmp_path / "b.zip", {"c": b"1"}).read_bytes()
    expanded = unpack(pack(tmp_path / kind, {"b.zip": inner, "c": b"2"}))
    assert reasons(expanded) == {"b.zip": "container"}
    assert expanded.faults[0][1].outcome == "skipped"
    assert members(expanded) == {"c": b"2"}


def with_flag(path: Path, flag: int, names: list[bytes]) -> Path:
    """Set a general purpose bit of members, in their local headers and in the directory."""
    data = bytearray(path.read_bytes())
    for name in names:
        for mark, flags, start in ((b"PK\3\4", 6, 30), (b"PK\1\2", 8, 46)):
            at = data.index(name)
            while data[at - start : at - start + 4] != mark:
                at = data.index(name, at + 1)
            data[at - start + flags] |= flag
    path.write_bytes(data)
    return path


def test_encrypted_member_and_encrypted_archive(tmp_path: Path) -> None:
    path = with_flag(pack(tmp_path / "a.zip", {"first": b"1", "second": b"2"}), 1, [b"first"])
    expanded = unpack(path)
    assert reasons(expanded) == {"first": "encrypted archive member"}
    assert members(expanded) == {"second": b"2"}
    assert is_well(expanded)
    with pytest.raises(HeaderError, match="encrypted archive member"):
        open_file(File(str(tmp_path), "a.zip", 1, 1, member="first"))
    assert failure(unpack(with_flag(path, 1, [b"second"]))) == "encrypted archive"


def test_method_that_nobody_knows(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"first": b"1", "second": b"2"})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2") + 10
    data[at : at + 2] = struct.pack("<H", 97)  # WavPack
    path.write_bytes(data)
    expanded = unpack(path)
    assert reasons(expanded) == {"first": "unsupported compression"}
    assert members(expanded) == {"second": b"2"}


# Bombs


def zeros(suffix: str, size: int) -> Iterator[bytes]:
    """Pieces that together inflate to zeros, of formats whose streams may follow one another."""
    for _ in range(size // PIECE):
        yield zero_piece(suffix)


@functools.cache
def zero_piece(suffix: str) -> bytes:
    return COMPRESS[suffix](bytes(PIECE))


def header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("name", ["bomb", "../bomb"])
def test_four_gigabytes_in_one_member_of_a_tar(tmp_path: Path, kind: str, name: str) -> None:
    suffix = kind.removeprefix("a.tar")
    path = tmp_path / kind
    with path.open("wb") as stream:
        stream.write(COMPRESS[suffix](tar_bytes({"good": b"1"})[:1024]))
        stream.write(COMPRESS[suffix](header(name, FOUR_GB)))
        stream.writelines(zeros(suffix, FOUR_GB))
    started = time.process_time()
    with memory_below(24 << 20):
        expanded = unpack(path)
    assert time.process_time() - started < 5
    assert failure(expanded) == "suspicious compression"
    assert members(expanded) == {"good": b"1"}
    assert reasons(expanded) == {name: "suspicious compression" if name == "bomb" else "hostile member name"}
    assert [one.stat().st_size for one in spooled(path) if one.is_file()] == [1]


@pytest.mark.parametrize("kind", PACKED)
def test_many_small_bombs_in_a_tar(tmp_path: Path, kind: str) -> None:
    suffix = kind.removeprefix("a.tar")
    path = tmp_path / kind
    with path.open("wb") as stream:
        for number in range(FOUR_GB // PIECE):
            stream.write(COMPRESS[suffix](header(str(number), PIECE)))
            stream.writelines(zeros(suffix, PIECE))
    expanded = unpack(path, Quota(total=200 * 10**6))
    assert failure(expanded) == "suspicious compression"
    assert sum(one.stat().st_size for one in spooled(path) if one.is_file()) <= 200 * 10**6
    assert len(expanded.members) == 5


def test_four_gigabytes_in_one_member_of_a_zip(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"bomb": bytes(10**6), "good": b"1"})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2") + 24
    data[at : at + 4] = struct.pack("<I", FOUR_GB - 2)
    path.write_bytes(data)
    expanded = unpack(path)
    assert reasons(expanded) == {"bomb": "suspicious compression"}
    assert members(expanded) == {"good": b"1"}
    with pytest.raises(HeaderError, match="suspicious compression"):
        open_file(File(str(tmp_path), "a.zip", 1, 1, member="bomb"))


def test_member_of_a_zip_that_inflates_to_more_than_it_says(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("bomb", "w") as member:
        for _ in range(200):
            member.write(bytes(1 << 20))
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2") + 24
    data[at : at + 4] = struct.pack("<I", 1000)
    path.write_bytes(data)
    (file,) = unpack(path).members
    with memory_below(8 << 20), pytest.raises(OSError, match="wrong checksum"):
        open_file(file)


def test_many_bombs_in_a_zip(tmp_path: Path) -> None:
    piece = bytes(50 << 20)
    expanded = unpack(pack(tmp_path / "a.zip", {str(n): piece for n in range(3)}), Quota(total=100 * 10**6))
    assert failure(expanded) == "suspicious compression"
    assert not expanded.members


def test_members_of_a_zip_that_overlap(tmp_path: Path) -> None:
    """Two directory entries for one local header: the simplest of D. Fifield's bombs."""
    path = pack(tmp_path / "a.zip", {"1": bytes(1000), "2": bytes(1000)})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2", data.index(b"PK\1\2") + 1) + 42
    data[at : at + 4] = bytes(4)
    path.write_bytes(data)
    expanded = unpack(path)
    assert failure(expanded) == "suspicious compression"
    assert "overlap" in expanded.outcome.detail


@pytest.mark.parametrize(("field", "value"), [(20, b"\xff\xff\xff\x7f"), (20, b"\xff" * 4), (42, b"\xff\xff\xff\x7f")])
def test_member_of_a_zip_that_lies_about_its_place_costs_itself(tmp_path: Path, field: int, value: bytes) -> None:
    path = pack(tmp_path / "a.zip", {"1": bytes(1000), "2": bytes(1000), "3": bytes(1000)})
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2", data.index(b"PK\1\2") + 1) + field
    data[at : at + 4] = value
    path.write_bytes(data)
    expanded = unpack(path)
    assert is_well(expanded)
    assert [file.member for file in expanded.members] == ["1", "3"]
    assert [(name, fault.reason) for name, fault in expanded.faults] == [("2", "damaged archive member")]


def test_member_of_a_zip_without_a_name_costs_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in "abc":
            archive.writestr(name, bytes(1000))
        archive.filelist[1].filename = ""
    expanded = unpack(path)
    assert is_well(expanded)
    assert [file.member for file in expanded.members] == ["a", "c"]
    assert [(name, fault.reason) for name, fault in expanded.faults] == [("", "hostile member name")]


def test_bomb_of_a_gzipped_file(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm.gz"
    path.write_bytes(gzip.compress(bytes(101 * 10**6)))
    assert failure(unpack(path)) == "suspicious compression"
    path.write_bytes(gzip.compress(b"", mtime=0)[:-4] + b"\xff" * 4)
    assert failure(unpack(path)) == "truncated archive"


@pytest.mark.parametrize("kind", ["a.tar", "a.tar.gz"])
@pytest.mark.parametrize("code", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_extended_header_of_absurd_size(tmp_path: Path, kind: str, code: bytes) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = code, 8 << 30
    data = tar_bytes({"a": b"1"})[:1024] + info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20)
    (tmp_path / kind).write_bytes(COMPRESS[kind.removeprefix("a.tar")](data))
    with memory_below(8 << 20):
        expanded = unpack(tmp_path / kind)
    assert failure(expanded) == "damaged archive"
    assert members(expanded) == {"a": b"1"}


def test_extended_headers_without_end(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 512
    one = info.tobuf(tarfile.GNU_FORMAT) + b"512 comment=".ljust(511, b"x") + b"\n"
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(one * 5000))
    assert failure(unpack(tmp_path / "a.tar.gz")) == "damaged archive"


@pytest.mark.parametrize("kind", ["a.tar", "a.tar.gz"])
@pytest.mark.parametrize("size", [-1, -512, -4096, 1 << 62])
def test_member_of_absurd_size(tmp_path: Path, kind: str, size: int) -> None:
    """A negative size led tarfile in a circle (CVE-2025-8194)."""
    block = bytearray(header("bad", 0))
    block[124:136] = (size + 256**11 if size < 0 else size).to_bytes(12, "big") if size < 0 else bytes(12)
    block[124] = 0xFF if size < 0 else 0x80
    block[125:136] = (size % 256**11).to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    data = tar_bytes({"a": b"1"})[:1024] + bytes(block) + bytes(4096)
    (tmp_path / kind).write_bytes(COMPRESS[kind.removeprefix("a.tar")](data))
    expanded = unpack(tmp_path / kind)
    assert failure(expanded) in ("damaged archive", "truncated archive")
    assert members(expanded) == {"a": b"1"}


# Quota


def test_member_that_does_not_fit_leaves_room_for_others(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar.gz", {"1": bytes(600), "2": bytes(600), "3": bytes(300)})
    expanded = unpack(path, Quota(spooled=1000))
    assert list(members(expanded)) == ["1", "3"]
    assert reasons(expanded) == {"2": "archive too large"}
    assert len([one for one in spooled(path) if one.is_file()]) == 2


def test_disk_keeps_its_reserve(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar.gz", {"1": b"1"})
    expanded = unpack(path, Quota(reserve=1 << 62))
    assert reasons(expanded) == {"1": "archive too large"}
    assert not spooled(path)


def test_large_member_of_a_compressed_tar_goes_through_little_memory(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(1 << 20) * 64
    path = pack(tmp_path / "a.tar.gz", {"1": data})
    parts: list[None] = []
    with memory_below(8 << 20):
        expanded = expand(file_of(path), str(tmp_path / "spool"), advance=lambda: parts.append(None))
    assert len(parts) >= 64
    with open_file(expanded.members[0]) as stream:
        assert stream.read() == data


# The compressed attachments of an Orthanc store


def attachment(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + zlib.compress(data)


def test_compressed_attachment_reads_as_its_file(tmp_path: Path, originals: list[Path]) -> None:
    for original in originals:
        path = tmp_path / f"{original.stem}-uuid"
        path.write_bytes(attachment(original.read_bytes()))
        assert_equal(file_of(path), original)


def test_compressed_attachment_that_is_deflated_inside(tmp_path: Path) -> None:
    data = Path(str(get_testdata_file("image_dfl.dcm"))).read_bytes()
    path = tmp_path / "uuid"
    path.write_bytes(attachment(data))
    assert read_instance(file_of(path)).transfer_syntax == DeflatedExplicitVRLittleEndian


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<Q", 5) + zlib.compress(b"four"),
        struct.pack("<Q", 3) + zlib.compress(b"four"),
        struct.pack("<Q", 1 << 60) + zlib.compress(bytes(10**6)),
        struct.pack("<Q", 4) + b"\x78\x9c" + b"\xff" * 100,
        struct.pack("<Q", 4) + b"\x78\x9d" + zlib.compress(b"four")[2:],
        zlib.compress(b"four"),
        b"12345678",
        b"1234",
        b"",
    ],
)
def test_what_does_not_inflate_to_its_size_is_read_as_it_is(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "uuid").write_bytes(data)
    with open_file(file_of(tmp_path / "uuid")) as stream:
        assert stream.read() == data


def test_dicom_file_whose_preamble_looks_like_an_attachment(tmp_path: Path) -> None:
    path = save(quick_dataset(), tmp_path / "a.dcm")
    data = attachment(bytes(300)) + path.read_bytes()[len(attachment(bytes(300))) :]
    path.write_bytes(data)
    with open_file(file_of(path)) as stream:
        assert stream.read() == data


def test_attachment_that_was_cut_or_is_a_bomb(tmp_path: Path) -> None:
    original = random.Random(1).randbytes(100_000)
    path = tmp_path / "uuid"
    path.write_bytes(attachment(original)[:-1000])
    with open_file(file_of(path)) as stream:
        assert stream.read(1000) == original[:1000]
        with pytest.raises(OSError, match="ends early"):
            stream.read()
    path.write_bytes(attachment(bytes(101 * 10**6)))
    with pytest.raises(HeaderError, match="suspicious compression"):
        open_file(file_of(path))
