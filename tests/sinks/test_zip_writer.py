"""The own zip writer against the standard library's reader, with sizes on either side of what 32 bits hold."""

import io
import shutil
import subprocess
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.sinks import zip_writer
from crawler.sinks.deflate import LEVEL
from crawler.sinks.zip_writer import ZipWriter


def archive_of(members, level=LEVEL):
    file = io.BytesIO()
    archive = ZipWriter(file, level)
    for name, blocks in members.items():
        with archive.member(name) as member:
            for block in blocks:
                assert member.write(block) == memoryview(block).nbytes
    archive.finish()
    return file.getvalue()


def read(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,12}\.npy", fullmatch=True), st.lists(st.binary(max_size=300))))
def test_members_come_back(members):
    data = archive_of(members)
    assert read(data) == {name: b"".join(blocks) for name, blocks in members.items()}
    assert archive_of(members) == data


@pytest.mark.parametrize("level", range(4))
def test_every_level_is_read(level):
    noise, zeros = np.random.default_rng(0).bytes(1 << 20), bytes(1 << 20)
    assert read(archive_of({"noise": [noise], "zeros": [zeros]}, level)) == {"noise": noise, "zeros": zeros}


def test_arrays_are_taken_as_their_bytes():
    array = np.arange(24, dtype="<f4").reshape(2, 3, 4)
    assert read(archive_of({"a": [array.data, array[:0].data]})) == {"a": array.tobytes()}


def test_sizes_and_places_past_32_bits_have_fields_of_64(monkeypatch):
    """As if 32 bits held no more than 60: the reader has to take every number from the fields of zip64."""
    members = {name: [name.encode() * 500] for name in ("first", "second", "third")}
    plain = archive_of(members)
    monkeypatch.setattr(zip_writer, "LARGEST", 60)
    large = archive_of(members)
    assert b"PK\6\6" in large
    assert b"PK\6\6" not in plain
    assert read(large) == read(plain) == {name: blocks[0] for name, blocks in members.items()}


@pytest.mark.system
@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
def test_unzip_finds_no_fault(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(archive_of({"one.npy": [b"1" * 1000], "none.npy": []}))
    assert "No errors" in subprocess.run(["unzip", "-t", path], capture_output=True, text=True, check=True).stdout
