"""`group: tree`: one file a folder, anywhere below the root, gives what one folder gives."""

from __future__ import annotations

import shutil
import struct
import sys
import zlib
from pathlib import Path

import h5py
import pytest
from support.factories import ct_series, make_uid, quick_dataset, save
from support.runs import ALL, accounts_hold, content, export, failures, rows, survives_kills
from support.samples import copy_sample

TREE = {**ALL, "dicom": {"group": "tree"}}


def scatter(source: Path, target: Path, compress: bool = False) -> None:
    """Each file in a folder of its own, under names without meaning but in order, as in Orthanc's storage."""
    for number, path in enumerate(sorted(path for path in source.rglob("*") if path.is_file())):
        name = f"{number:04x}"
        place = target / name[:2] / name[2:] / f"{name}-{make_uid(number)[-12:]}"
        place.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes()
        if compress and number % 2:
            data = struct.pack("<Q", len(data)) + zlib.compress(data, 1)
        place.write_bytes(data)


def volumes(out: Path) -> list:
    """Shapes, values and geometry, whatever the volumes are called and wherever their files lie."""
    found = [value for name, value in content(out).items() if name.startswith("volumes/")]
    return sorted((str(shape), dtype, data, attributes.get("affine")) for data, shape, dtype, attributes, _ in found)


def bare_rows(out: Path) -> list:
    """Rows without what names paths."""
    paths = ("dicom_file", "scan_id", "media_file", "media_files", "volume_file", "volume_files")
    return sorted(str({key: row[key] for key in row if key not in paths}) for row in rows(out).values())


@pytest.fixture(scope="session")
def mixed(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mixed")
    copy_sample(folder, broken=True)
    ct_series(folder / "ct", n=9, orientation="oblique", shuffle=True)
    return folder


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_scattered_files_give_what_folders_give(mixed, tmp_path, compress, workers):
    export(mixed, tmp_path / "folders")
    scatter(mixed, tmp_path / "in", compress)
    summary = export(tmp_path / "in", tmp_path / "tree", workers, **TREE)
    accounts_hold(summary, sum(path.is_file() for path in mixed.rglob("*")))
    assert bare_rows(tmp_path / "tree") == bare_rows(tmp_path / "folders")
    assert volumes(tmp_path / "tree") == volumes(tmp_path / "folders")
    assert len(failures(tmp_path / "tree")) == len(failures(tmp_path / "folders"))
    before = content(tmp_path / "tree")
    assert export(tmp_path / "in", tmp_path / "tree", workers, **TREE).handled == 0
    assert content(tmp_path / "tree") == before


@pytest.mark.parametrize("change", ["add", "remove", "replace", "move", "foreign"])
def test_one_changed_file_exports_its_scan_alone(tmp_path, change):
    tree = tmp_path / "in"
    ct_series(tmp_path / "a", n=6, uid="1.2.3.1")
    ct_series(tmp_path / "b", n=5, uid="1.2.3.2", orientation="sagittal")
    scatter(tmp_path, tree)
    files = sorted(path for path in tree.rglob("*") if path.is_file())
    first, rest = files[:6], files[6:]
    spare = tmp_path / "spare"
    if change == "add":
        shutil.move(first[3], spare)
    export(tree, tmp_path / "out", **TREE)
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "volumes").iterdir()}
    if change == "add":
        shutil.move(spare, first[3])
    elif change == "remove":
        shutil.rmtree(first[2].parent)
    elif change == "replace":
        first[2].write_bytes(first[2].read_bytes()[:-2] + b"\x07\x00")
    elif change == "move":
        (tree / "elsewhere").mkdir()
        shutil.move(first[2], tree / "elsewhere" / "x")
    else:
        (tree / "notes").mkdir()
        (tree / "notes" / "a.txt").write_text("no DICOM")
    export(tree, tmp_path / "out", **TREE)
    export(tree, tmp_path / "fresh", **TREE)
    assert content(tmp_path / "out") == content(tmp_path / "fresh")
    kept = {row["volume_file"] for row in rows(tmp_path / "out").values() if row["SeriesInstanceUID"] == "1.2.3.2"}
    assert len(rest) == 5
    for name in kept:
        path = tmp_path / "out" / "volumes" / name
        assert path.stat().st_mtime_ns == made[path], "another scan was made again"


def test_a_series_over_two_roots_is_one(tmp_path):
    for number, path in enumerate(ct_series(tmp_path / "all", n=6, uid="1.2.3")):
        place = tmp_path / f"root{number % 2 + 1}" / str(number) / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, place)
    save(quick_dataset(SeriesInstanceUID="1.2.4"), tmp_path / "root2" / "other.dcm")
    roots = [tmp_path / "root1", tmp_path / "root2"]
    summary = export(roots, tmp_path / "out", **TREE)
    accounts_hold(summary, 7)
    found = rows(tmp_path / "out")
    assert {row["scan_id"].split("/")[0] for name, row in found.items() if "other" not in name} == {"root1"}
    assert found["root2/other.dcm"]["scan_id"].startswith("root2/")
    [volume] = (tmp_path / "out" / "volumes" / "root1").rglob("*.h5")
    with h5py.File(volume) as file:
        assert file["image"].shape[0] == 6


def test_a_second_root_joins_the_series_that_are_there(tmp_path):
    for number, path in enumerate(ct_series(tmp_path / "all", n=6, uid="1.2.3")):
        place = tmp_path / f"root{number % 2 + 1}" / path.name
        place.parent.mkdir(exist_ok=True)
        shutil.move(path, place)
    ct_series(tmp_path / "root1" / "another", n=3, uid="1.2.5")
    (tmp_path / "empty").mkdir()
    export([tmp_path / "root1", tmp_path / "empty"], tmp_path / "grown", **TREE)
    export([tmp_path / "root1", tmp_path / "empty", tmp_path / "root2"], tmp_path / "grown", **TREE)
    export([tmp_path / "root1", tmp_path / "empty", tmp_path / "root2"], tmp_path / "fresh", **TREE)
    assert content(tmp_path / "grown") == content(tmp_path / "fresh")


def test_copies_in_two_roots_are_duplicates(tmp_path):
    ct_series(tmp_path / "root1", n=3, uid="1.2.3")
    shutil.copytree(tmp_path / "root1", tmp_path / "root2")
    summary = export([tmp_path / "root1", tmp_path / "root2"], tmp_path / "out", **TREE)
    accounts_hold(summary, 6)
    assert summary.skipped == {"duplicate": 3}


def test_a_series_in_several_folders_is_noted_in_folder_mode(tmp_path, caplog):
    for number, path in enumerate(ct_series(tmp_path / "all", n=4, uid="1.2.3")):
        place = tmp_path / "in" / str(number % 2) / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, place)
    export(tmp_path / "in", tmp_path / "out")
    lines = (tmp_path / "out" / "series.csv").read_text().splitlines()
    assert lines[0].endswith(",folders_with_series")
    assert [line.rsplit(",", 1)[1] for line in lines[1:]] == ["2", "2"]
    assert "1 series lie in several folders" in caplog.text


def test_files_without_a_series_uid_are_scans_of_their_own(tmp_path):
    for number in range(3):
        dataset = quick_dataset(SeriesInstanceUID=None, SOPInstanceUID=f"1.2.3.{number}")
        save(dataset, tmp_path / "in" / str(number) / "a")
    summary = export(tmp_path / "in", tmp_path / "out", **TREE)
    assert summary.scans == 3


@pytest.mark.skipif(sys.platform == "win32", reason="kills process groups by POSIX signals")
def test_killed_anywhere_and_run_again(mixed, tmp_path):
    scatter(mixed, tmp_path / "in")
    settings = tmp_path / "c.yml"
    settings.write_text(
        f"num_workers: 2\noutput: {{dir: {tmp_path / 'out'}}}\ndicom: {{dir: {tmp_path / 'in'}, group: tree}}\n"
        "metadata:\nimage:\nvideo:\nvolume:\n"
    )
    export(tmp_path / "in", tmp_path / "whole", **TREE)
    survives_kills(settings, tmp_path / "out", tmp_path / "whole", "tree")


@pytest.mark.parametrize("change", ["add", "remove"])
def test_files_of_the_root_itself_stay_when_another_folder_changes(tmp_path, change):
    """They share a series with files below, or have one of their own."""
    tree = tmp_path / "in"
    paths = ct_series(tree, n=3, uid="1.2.3.1")
    ct_series(tree / "sub", n=3, uid="1.2.3.2")
    save(quick_dataset(SOPInstanceUID="1.2.8", SeriesInstanceUID="1.2.3.1"), tree / "sub" / "shared.dcm")
    options = {"dicom": {"group": "tree"}, **ALL}
    export(tree, tmp_path / "out", **options)
    if change == "add":
        save(quick_dataset(SOPInstanceUID="1.2.9", SeriesInstanceUID="1.2.3.1"), tree / "sub" / "new.dcm")
    else:
        for path in paths:
            path.unlink()
    export(tree, tmp_path / "out", **options)
    export(tree, tmp_path / "fresh", **options)
    assert content(tmp_path / "out") == content(tmp_path / "fresh")
    assert export(tree, tmp_path / "out", **options).handled == 0


def test_files_of_others_stay_in_folders_that_did_not_change(tmp_path):
    """A scan that a new file elsewhere touches is exported again, into folders that are not in work themselves."""
    tree, out = tmp_path / "in", tmp_path / "out"
    save(quick_dataset(SOPInstanceUID="1.2.8", SeriesInstanceUID="1.2.3.1"), tree / "a" / "one.dcm")
    (out / "media" / "a").mkdir(parents=True)
    (out / "media" / "a" / "one.png").write_bytes(b"mine")
    options = {"dicom": {"group": "tree"}, **ALL}
    export(tree, out, **options)
    save(quick_dataset(SOPInstanceUID="1.2.9", SeriesInstanceUID="1.2.3.1"), tree / "b" / "two.dcm")
    summary = export(tree, out, **options)
    assert (out / "media" / "a" / "one.png").read_bytes() == b"mine"
    assert summary.skipped == {"exists": 1}
