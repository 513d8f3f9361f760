"""The engine's promises on files inside archives: equal rows but for the paths, equal volumes."""

from __future__ import annotations

import gzip
import os
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from support.factories import ct_series, quick_dataset, save
from support.runs import ALL, accounts_hold, content, export, failures, rows, survives_kills
from support.samples import copy_sample
from test_tree import TREE, bare_rows, volumes


@pytest.fixture(scope="session")
def mixed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mixed")
    copy_sample(folder, broken=True)
    ct_series(folder / "ct" / "deep", n=9, orientation="oblique", shuffle=True)
    return folder


def pack(source: Path, target: Path) -> Path:
    """All files of a folder as an archive of the kind that the name says."""
    target.parent.mkdir(parents=True, exist_ok=True)
    files = sorted(path for path in source.rglob("*") if path.is_file())
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                archive.write(path, path.relative_to(source).as_posix())
    else:
        mode = {"tar": "w", "gz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}[target.suffix[1:]]
        with tarfile.open(target, mode) as archive:
            for path in files:
                archive.add(path, path.relative_to(source).as_posix())
    return target


def files_in(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*"))


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.xz"])
@pytest.mark.parametrize("workers", [0, 2])
def test_an_archive_gives_what_its_folder_gives(mixed, tmp_path, name, workers):
    pack(mixed, tmp_path / "in" / name)
    export(mixed, tmp_path / "folder")
    summary = export(tmp_path / "in", tmp_path / "packed", workers)
    accounts_hold(summary, files_in(mixed) + 1)
    assert summary.listed == summary.found
    assert summary.skipped == {"not DICOM": 1, "container": 1}
    assert bare_rows(tmp_path / "packed") == bare_rows(tmp_path / "folder")
    assert volumes(tmp_path / "packed") == volumes(tmp_path / "folder")
    assert {f"{name}/{key}" for key in failures(tmp_path / "folder")} == set(failures(tmp_path / "packed"))
    assert (tmp_path / "packed" / "media" / name / "us_heart").is_dir()
    before = content(tmp_path / "packed")
    again = export(tmp_path / "in", tmp_path / "packed", workers)
    assert (again.handled, again.listed) == (0, again.found)
    assert content(tmp_path / "packed") == before


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_archives_in_a_tree(mixed, tmp_path, name):
    pack(mixed, tmp_path / "in" / "x" / name)
    save(quick_dataset(), tmp_path / "in" / "plain" / "b")
    summary = export(tmp_path / "in", tmp_path / "out", **TREE)
    accounts_hold(summary, files_in(mixed) + 2)
    assert export(tmp_path / "in", tmp_path / "out", **TREE).handled == 0
    save(quick_dataset(SOPInstanceUID="1.2.9.9", SeriesInstanceUID="1.2.9"), tmp_path / "in" / "plain" / "c")
    summary = export(tmp_path / "in", tmp_path / "out", **TREE)
    export(tmp_path / "in", tmp_path / "fresh", **TREE)
    assert content(tmp_path / "out") == content(tmp_path / "fresh")


def test_a_tree_folder_that_vanishes_leaves_what_an_archive_holds_of_its_scan(tmp_path):
    paths = ct_series(tmp_path / "src", n=5, uid="1.2.3")
    (tmp_path / "in" / "plain").mkdir(parents=True)
    for path in paths[:2]:
        shutil.move(path, tmp_path / "in" / "plain" / path.name)
    pack(tmp_path / "src", tmp_path / "in" / "rest.zip")
    accounts_hold(export(tmp_path / "in", tmp_path / "out", **TREE), 6)
    shutil.rmtree(tmp_path / "in" / "plain")
    accounts_hold(export(tmp_path / "in", tmp_path / "out", **TREE), 4)
    export(tmp_path / "in", tmp_path / "fresh", **TREE)
    assert content(tmp_path / "out") == content(tmp_path / "fresh")


def test_a_changed_archive_exports_what_changed_in_it(tmp_path):
    ct_series(tmp_path / "src" / "a", n=4, uid="1.2.3.1")
    ct_series(tmp_path / "src" / "b", n=4, uid="1.2.3.2")
    path = pack(tmp_path / "src", tmp_path / "in" / "x.zip")
    export(tmp_path / "in", tmp_path / "out")
    shutil.rmtree(tmp_path / "src" / "a")
    ct_series(tmp_path / "src" / "c", n=3, uid="1.2.3.3")
    pack(tmp_path / "src", path)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))
    summary = export(tmp_path / "in", tmp_path / "out")
    accounts_hold(summary, 8)
    export(tmp_path / "in", tmp_path / "fresh")
    assert content(tmp_path / "out") == content(tmp_path / "fresh")
    path.unlink()
    accounts_hold(export(tmp_path / "in", tmp_path / "out", **ALL, dicom={"max_lost": 1}), 0)


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_an_archive_cut_in_half_is_refused_or_partly_read(mixed, tmp_path, name):
    path = pack(mixed, tmp_path / "in" / name)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    save(quick_dataset(), tmp_path / "in" / "whole.dcm")
    summary = export(tmp_path / "in", tmp_path / "out", 2)
    assert summary.exit_code == 3
    accounts_hold(summary, summary.listed)
    assert name in failures(tmp_path / "out")
    assert rows(tmp_path / "out")["whole.dcm"]["outcome"] == "exported"
    if name != "a.zip":
        assert len(rows(tmp_path / "out")) > 5


def test_hostile_members_are_refused_one_by_one(tmp_path):
    (tmp_path / "in").mkdir()
    data = save(quick_dataset(), tmp_path / "x.dcm").read_bytes()
    with zipfile.ZipFile(tmp_path / "in" / "evil.zip", "w") as archive:
        for name in ("../out.dcm", "/abs.dcm", "a/../../up.dcm", "good/a.dcm"):
            archive.writestr(name, data)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("good/a.dcm", data)
    summary = export(tmp_path / "in", tmp_path / "out")
    accounts_hold(summary, 6)
    assert summary.exported == 1
    assert sum(summary.failed.values()) == 4
    assert set(failures(tmp_path / "out")) == {
        "evil.zip/%2E%2E/out.dcm",
        "evil.zip/abs.dcm",
        "evil.zip/a/%2E%2E/%2E%2E/up.dcm",
        "evil.zip/good/a.dcm#2",
    }
    assert {path.name for path in tmp_path.iterdir()} == {"in", "out", "x.dcm"}
    found = [path for path in (tmp_path / "out" / "media").rglob("*") if path.is_file()]
    assert [path.name for path in found] == ["a.png"]


def test_one_compressed_file(tmp_path):
    data = save(quick_dataset(), tmp_path / "x.dcm").read_bytes()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.dcm.gz").write_bytes(gzip.compress(data))
    summary = export(tmp_path / "in", tmp_path / "out")
    accounts_hold(summary, 2)
    assert set(rows(tmp_path / "out")) == {"x.dcm.gz/x.dcm"}


def test_an_archive_as_the_input(mixed, tmp_path):
    path = pack(mixed, tmp_path / "in" / "a.zip")
    summary = export(path, tmp_path / "out")
    accounts_hold(summary, files_in(mixed) + 1)


@pytest.mark.skipif(sys.platform == "win32", reason="kills process groups by POSIX signals")
def test_killed_anywhere_and_run_again(mixed, tmp_path):
    for name in ("a.zip", "b.tar.gz"):
        pack(mixed, tmp_path / "in" / name)
    settings = tmp_path / "c.yml"
    settings.write_text(
        f"num_workers: 2\noutput: {{dir: {tmp_path / 'out'}}}\ndicom: {{dir: {tmp_path / 'in'}}}\n"
        "metadata:\nimage:\nvideo:\nvolume:\n"
    )
    export(tmp_path / "in", tmp_path / "whole", **ALL)
    survives_kills(settings, tmp_path / "out", tmp_path / "whole", "archives")
