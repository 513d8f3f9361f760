"""An input that cannot be read, or is suddenly empty, takes nothing of what was made of it along."""

from __future__ import annotations

import errno
import os
import shutil
import zipfile

import pytest
from support.factories import ct_series, quick_dataset, save
from support.runs import ALL, content, export, rows

from crawler.errors import SourceError


@pytest.fixture
def exported(tmp_path):
    ct_series(tmp_path / "in" / "a" / "deep", n=3, uid="1.2.3.1")
    ct_series(tmp_path / "in" / "a", n=2, uid="1.2.3.2")
    ct_series(tmp_path / "in" / "b", n=6, uid="1.2.3.3")
    (tmp_path / "in" / "a" / "notes.txt").write_text("no DICOM")
    export(tmp_path / "in", tmp_path / "out")
    return tmp_path


def files_of(out):
    """Everything that a run made, but for accounts."""
    return {name: value for name, value in content(out).items() if name.startswith(("media/", "volumes/", "metadata"))}


def listed(out):
    """Sizes of outputs, and the rows, after a run that could not go on: unfinished files are emptied by the next."""
    found = {path: path.stat().st_size for name in ("media", "volumes") for path in (out / name).rglob("*.*")}
    return found, (out / "metadata.jsonl").read_bytes()


@pytest.fixture
def barred(monkeypatch):
    """Have folders and files of these endings answer EACCES, whoever asks (root may read everything)."""
    names: list[str] = []
    original = os.scandir

    class Entry:
        def __init__(self, entry):
            self._entry = entry
            self.name, self.path = entry.name, entry.path

        def __getattr__(self, name):
            if self.path.endswith(tuple(names)) and self.path.endswith(".dcm"):
                raise PermissionError(13, "Permission denied")
            return getattr(self._entry, name)

    class Found:
        def __init__(self, entries):
            self._entries = entries

        def __enter__(self):
            return map(Entry, self._entries.__enter__())

        def __exit__(self, *error):
            return self._entries.__exit__(*error)

    def scandir(path="."):
        if names and str(path).endswith(tuple(names)):
            raise PermissionError(13, "Permission denied")
        return Found(original(path)) if names else original(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return names


@pytest.mark.parametrize("name", ["in/a", "in/a/deep", "in", "in/a/deep/0001.dcm"])
def test_what_cannot_be_read_once_keeps_its_rows_and_outputs(exported, barred, name):
    before = files_of(exported / "out")
    barred.append(name)
    for _ in range(2):
        summary = export(exported / "in", exported / "out")
        assert files_of(exported / "out") == before
        assert summary.failed == {"find: folder cannot be read": 1}
        assert summary.found == 13
        assert len(rows(exported / "out")) == 11
    barred.clear()
    export(exported / "in", exported / "out")
    export(exported / "in", exported / "fresh")
    assert content(exported / "out") == content(exported / "fresh")


def test_a_folder_that_cannot_be_read_from_the_start_is_a_failure(exported, barred):
    barred.append("in/a")
    summary = export(exported / "in", exported / "other")
    assert summary.failed == {"find: folder cannot be read": 1}
    assert summary.found == 7


def test_a_tree_with_such_a_folder_changes_nothing(exported, barred):
    export(exported / "in", exported / "tree", dicom={"group": "tree"}, **ALL)
    before = content(exported / "tree")
    barred.append("in/a")
    save(quick_dataset(SOPInstanceUID="1.2.9"), exported / "in" / "b" / "new.dcm")
    with pytest.raises(SourceError, match="cannot be read now"):
        export(exported / "in", exported / "tree", dicom={"group": "tree"}, **ALL)
    assert content(exported / "tree") == before


def test_an_archive_that_cannot_be_read_once_keeps_its_rows_and_outputs(tmp_path, monkeypatch):
    """It was touched, so that it is opened again, and the disk errs."""
    tree, out = tmp_path / "in", tmp_path / "out"
    archive_of(ct_series(tmp_path / "files", n=4), tree / "a.zip")
    export(tree, out)
    before = files_of(out)
    os.utime(tree / "a.zip", ns=(1, 1))
    unreadable(monkeypatch)
    for _ in range(2):
        summary = export(tree, out)
        assert summary.failed == {"find: cannot be read": 1}
        assert (summary.found, summary.listed) == (5, 5)
        assert files_of(out) == before
    monkeypatch.undo()
    assert export(tree, out).exit_code == 0
    export(tree, tmp_path / "fresh")
    assert content(out) == content(tmp_path / "fresh")


def test_a_tree_with_such_an_archive_stops(tmp_path, monkeypatch):
    tree, out = tmp_path / "in", tmp_path / "out"
    archive_of(ct_series(tmp_path / "files", n=4), tree / "a.zip")
    sections = {"dicom": {"group": "tree"}, **ALL}
    export(tree, out, **sections)
    before = listed(out)
    save(quick_dataset(SOPInstanceUID="1.2.9"), tree / "new.dcm")
    unreadable(monkeypatch)
    with pytest.raises(SourceError, match=r"a\.zip cannot be read now"):
        export(tree, out, **sections)
    assert listed(out) == before
    monkeypatch.undo()
    assert export(tree, out, **sections).exit_code == 0
    export(tree, tmp_path / "fresh", **sections)
    assert content(out) == content(tmp_path / "fresh")


def test_an_archive_that_could_never_be_read_is_a_failure(tmp_path, monkeypatch):
    archive_of(ct_series(tmp_path / "files", n=4), tmp_path / "in" / "a.zip")
    unreadable(monkeypatch)
    summary = export(tmp_path / "in", tmp_path / "out")
    assert (summary.found, summary.failed) == (1, {"find: cannot be read": 1})


def archive_of(paths, target):
    target.parent.mkdir(parents=True)
    with zipfile.ZipFile(target, "w") as archive:
        for path in paths:
            archive.write(path, f"inside/{path.name}")


def unreadable(monkeypatch):
    """Have zip archives answer EIO when they are listed."""

    def fail(*arguments):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("crawler.sources.zip_source.expand_zip", fail)


@pytest.mark.parametrize("group", ["folder", "tree"])
@pytest.mark.parametrize("left", ["nothing", "little"])
@pytest.mark.parametrize("flags", [{}, {"rebuild": True}])
def test_an_input_that_is_suddenly_empty_stops_the_run(exported, group, left, flags):
    options = {"dicom": {"group": group}, **ALL}
    export(exported / "in", exported / group, **options)
    before = {path: path.read_bytes() for path in (exported / group).rglob("*") if path.is_file()}
    shutil.move(exported / "in", exported / "unmounted")
    (exported / "in").mkdir()
    if left == "little":
        if flags:  # whoever makes all anew of what is there gets that
            return
        shutil.copytree(exported / "unmounted" / "a" / "deep", exported / "in" / "a" / "deep")
    with pytest.raises(SourceError, match=r"(?s)nothing was removed.*dicom\.max_lost: 1"):
        export(exported / "in", exported / group, **flags, **options)
    after = {path: path.read_bytes() for path in (exported / group).rglob("*") if path.is_file()}
    ledger = exported / group / "metadata.jsonl.ledger"
    assert {**after, ledger: b""} == {**before, ledger: b""}
    options["dicom"] = {"group": group, "max_lost": 1}
    summary = export(exported / "in", exported / group, **flags, **options)
    assert summary.found == (0 if left == "nothing" else 3)
    assert len(rows(exported / group)) == summary.found


def test_one_of_two_roots_that_is_empty(exported):
    roots = [exported / "in" / "a", exported / "in" / "b"]
    export(roots, exported / "two")
    shutil.rmtree(exported / "in" / "b")
    (exported / "in" / "b").mkdir()
    with pytest.raises(SourceError, match=r"in/b: 6 of 6 files are gone"):
        export(roots, exported / "two")


def test_the_files_of_one_folder_count_as_those_of_many(tmp_path):
    paths = ct_series(tmp_path / "in", n=5)
    export(tmp_path / "in", tmp_path / "out")
    for path in paths[:3]:
        path.unlink()
    with pytest.raises(SourceError, match="3 of 5 files are gone"):
        export(tmp_path / "in", tmp_path / "out")
