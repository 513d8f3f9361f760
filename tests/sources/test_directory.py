"""Folders: each is read once, whatever leads to it, and what cannot be listed costs itself."""

from __future__ import annotations

import hashlib
import logging
import os
import zipfile
from pathlib import Path

import pytest
from support import runs
from support.factories import tiny

from crawler.sources.directory import Folder, Root, Visited, roots_of, walk


def files(*roots: Path) -> tuple[list[str], tuple[int, str]]:
    """Names of all files, and what was left out."""
    found = roots_of(map(str, roots))
    visited = Visited(found)
    names = [file.key for root in found for folder in walk(root, visited=visited) for file in folder.files()]
    return names, visited.repeated


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("in/z/1", "in/2", "out/3", "out/deep/4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"1")
    return tmp_path


def test_a_folder_inside_is_read_under_its_own_name(tree: Path) -> None:
    (tree / "in" / "a").symlink_to(tree / "in" / "z")
    assert files(tree / "in") == (["2", "z/1"], (1, "a"))


def test_a_folder_outside_is_read_once(tree: Path) -> None:
    for name in ("b", "a", "c"):
        (tree / "in" / name).symlink_to(tree / "out")
    (tree / "in" / "0").symlink_to(tree / "out" / "deep")
    assert files(tree / "in") == (["2", "z/1", "0/4", "a/3"], (3, "a/deep"))


def test_loops_and_the_folder_above(tree: Path) -> None:
    (tree / "in" / "up").symlink_to(tree)
    (tree / "in" / "self").symlink_to(tree / "in")
    (tree / "out" / "loop").symlink_to(tree / "out")
    names, (count, _) = files(tree / "in")
    assert sorted(names) == ["2", "up/out/3", "up/out/deep/4", "z/1"]
    assert count == 3  # up/in, self, up/out/loop


def test_links_between_roots(tree: Path) -> None:
    (tree / "in" / "link").symlink_to(tree / "out")
    assert files(tree / "in", tree / "out") == (["in/2", "in/z/1", "out/3", "out/deep/4"], (1, "in/link"))


def test_links_that_multiply_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Ten levels of two links each: 1,024 ways to one file."""
    for level in range(10):
        folder = tmp_path / "in" / str(level)
        folder.mkdir(parents=True)
        for name in "ab":
            (folder / name).symlink_to(tmp_path / "in" / str(level + 1))
    (tmp_path / "in" / "10").mkdir()
    tiny(tmp_path / "in" / "10" / "x.dcm", 1)
    with caplog.at_level(logging.WARNING, "dme"):
        assert runs.export(tmp_path / "in", tmp_path / "out", metadata={}).found == 1
    assert "20 folders that links lead to are read under another name" in caplog.text


@pytest.mark.skipif(os.name == "nt", reason="POSIX paths")
def test_a_path_too_long_costs_its_folder(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    tiny(source / "good.dcm", 1)
    here = os.getcwd()
    try:
        os.chdir(source)
        for _ in range(20):  # 20 names of 250 characters: more than PATH_MAX
            os.mkdir("d" * 250)
            os.chdir("d" * 250)
        Path("lost.dcm").write_bytes(b"1")
    finally:
        os.chdir(here)
    summary = runs.export(source, tmp_path / "out")
    assert summary.exported == 1
    assert summary.failed == {"find: folder cannot be read": 1}
    assert runs.export(source, tmp_path / "out").handled == 0


def test_a_member_whose_name_is_too_long_costs_itself(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    content = tiny(tmp_path / "one.dcm", 1).read_bytes()
    with zipfile.ZipFile(source / "a.zip", "w") as archive:
        for name in ("good.dcm", "n" * 300 + ".dcm", "f" * 300 + "/x.dcm", "p/" * 3000 + "x.dcm"):
            archive.writestr(name, content)
    summary = runs.export(source, tmp_path / "out")
    assert (summary.found, summary.exported) == (5, 1)
    assert summary.failed == {"write: name too long": 3}
    again = runs.export(source, tmp_path / "out")
    assert (again.found, again.handled) == (5, 0)


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2500])
def test_the_digest_of_a_long_listing_is_that_of_its_text(count: int) -> None:
    """Ledgers of earlier versions hold digests of the whole text; a listing is taken in parts now."""
    entries = tuple((f"IM{number:05d}\udc80", number, number * 7) for number in range(count))
    folder = Folder(Root("/in"), "a", entries, children=("x",))
    text = "\n".join(f"{name}\0{size}\0{mtime}" for name, size, mtime in entries)
    expected = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
    assert folder.digest() == expected
