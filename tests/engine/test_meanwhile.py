"""What a user puts into the output folders while a run is at work, and names that a later input needs otherwise."""

from __future__ import annotations

import errno
import os
import shutil
import zipfile

import pytest
from support.factories import ct_series, multiframe, quick_dataset, save
from support.runs import accounts_hold, content, export, failures, rows

from crawler.disk import put_new
from crawler.sinks.base import Target

SECTIONS = {
    "metadata": {},
    "image": {"bits": 8},
    "video": {"extension": "frames"},
    "volume": {"formats": ["hdf5", "npz"]},
    "preview": {"size": 64},
}
PLACES = (
    "media/a/0001.png",
    "media/cine.frames/0002.png",
    "volumes/a/s1-60cd13fb.h5",
    "volumes/a/s1-60cd13fb.npz",
    "previews/a/s1-60cd13fb.png",
)


@pytest.fixture
def tree(tmp_path):
    ct_series(tmp_path / "in" / "a", n=3, uid="1.2.3.1")
    multiframe(tmp_path / "in" / "cine.dcm", 2, 8, 8)
    return tmp_path / "in"


def put_before(monkeypatch, path, data=b"of the user"):
    """Have a user put a file in place just before ours is renamed to it."""
    publish = Target.publish

    def meanwhile(self, scratch, extension, kind, layout=""):
        if self.path + extension == str(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return publish(self, scratch, extension, kind, layout)

    monkeypatch.setattr(Target, "publish", meanwhile)


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("place", PLACES)
def test_a_file_that_a_user_puts_there_after_the_plan_is_not_written_over(tree, tmp_path, monkeypatch, place, links):
    if not links:  # FAT, and some network disks

        def refuse(*arguments, **options):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr(os, "link", refuse)
    out = tmp_path / "out"
    path = out / place
    put_before(monkeypatch, path)
    summary = export(tree, out, **SECTIONS)
    accounts_hold(summary, 4)
    assert path.read_bytes() == b"of the user"
    assert {(row["stage"], row["reason"]) for row in failures(out).values()} == {("write", "a file was put there")}
    assert place not in str([row["media_files"] + row["volume_files"] for row in rows(out).values()])
    monkeypatch.undo()
    path.unlink()
    export(tree, out, retry_failed=True, **SECTIONS)
    export(tree, tmp_path / "fresh", **SECTIONS)
    assert content(out) == content(tmp_path / "fresh")


def test_what_is_ours_is_written_over(tree, tmp_path):
    export(tree, tmp_path / "out", **SECTIONS)
    os.utime(tree / "a" / "0001.dcm")
    os.utime(tree / "cine.dcm")
    summary = export(tree, tmp_path / "out", **SECTIONS)
    assert summary.handled == 4
    export(tree, tmp_path / "fresh", **SECTIONS)
    assert content(tmp_path / "out") == content(tmp_path / "fresh")


def test_media_overwrite_writes_over_what_is_put_there(tree, tmp_path, monkeypatch):
    put_before(monkeypatch, tmp_path / "out" / "media" / "a" / "0001.png")
    summary = export(tree, tmp_path / "out", media={"overwrite": True}, **SECTIONS)
    assert summary.exit_code == 0
    assert (tmp_path / "out" / "media" / "a" / "0001.png").read_bytes() != b"of the user"


def test_put_new_refuses_what_is_there(tmp_path):
    (tmp_path / "new").write_bytes(b"new")
    (tmp_path / "old").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        put_new(str(tmp_path / "new"), str(tmp_path / "old"))
    assert (tmp_path / "old").read_bytes() == b"old"
    put_new(str(tmp_path / "new"), str(tmp_path / "other"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "other"]
    with pytest.raises(FileNotFoundError):
        put_new(str(tmp_path / "other"), str(tmp_path / "no folder" / "one"))


@pytest.mark.parametrize("group", ["folder", "tree"])
def test_a_subfolder_named_like_an_output_that_comes_later(tmp_path, group):
    tree, out = tmp_path / "in", tmp_path / "out"
    sections = {"image": {}, "metadata": {}, "dicom": {"group": group}}
    save(quick_dataset(SOPInstanceUID="1.2.7", SeriesInstanceUID="1.2.7.1"), tree / "a.dcm")
    export(tree, out, **sections)
    assert (out / "media" / "a.png").is_file()
    save(quick_dataset(SOPInstanceUID="1.2.8", SeriesInstanceUID="1.2.8.1"), tree / "a.png" / "deep" / "b.dcm")
    summary = export(tree, out, **sections)
    assert (summary.exit_code, summary.exported) == (0, 2), failures(out)
    export(tree, tmp_path / "fresh", **sections)
    assert content(out) == content(tmp_path / "fresh")


@pytest.mark.parametrize("group", ["folder", "tree"])
@pytest.mark.parametrize("series", ["1.2.8.1", "1.2.7.1"])  # another one than that of a.dcm, and the same
def test_a_subfolder_named_like_an_output_that_goes_later(tmp_path, group, series):
    tree, out = tmp_path / "in", tmp_path / "out"
    sections = {"image": {}, "metadata": {}, "dicom": {"group": group}}
    save(quick_dataset(SOPInstanceUID="1.2.7", SeriesInstanceUID="1.2.7.1"), tree / "a.dcm")
    save(quick_dataset(SOPInstanceUID="1.2.8", SeriesInstanceUID=series), tree / "a.png" / "deep" / "b.dcm")
    ct_series(tree / "c", n=5)
    with zipfile.ZipFile(tree / "other.zip", "w") as archive:  # is to be opened again when it is touched
        archive.write(save(quick_dataset(SOPInstanceUID="1.2.9"), tmp_path / "one.dcm"), "c/one.dcm")
    export(tree, out, **sections)
    assert (out / "media" / "a.png").is_dir()
    shutil.rmtree(tree / "a.png")
    os.utime(tree / "other.zip", ns=(1, 1))
    assert export(tree, out, **sections).exported == 7
    assert (out / "media" / "a.png").is_file()
    export(tree, tmp_path / "fresh", **sections)
    assert content(out) == content(tmp_path / "fresh")


@pytest.mark.parametrize("group", ["folder", "tree"])
def test_the_same_inside_an_archive(tmp_path, group):
    tree, out = tmp_path / "in", tmp_path / "out"
    sections = {"image": {}, "metadata": {}, "dicom": {"group": group}}
    for number, name in enumerate(("a.dcm", "a.png/b.dcm")):
        save(quick_dataset(SOPInstanceUID=f"1.2.7.{number}"), tmp_path / "files" / name)
    tree.mkdir()
    for names in (("a.dcm", "a.png/b.dcm"), ("a.dcm",)):
        with zipfile.ZipFile(tree / "a.zip", "w") as archive:
            for name in names:
                archive.write(tmp_path / "files" / name, name)
        assert export(tree, out, **sections).exit_code == 0, failures(out)
    assert (out / "media" / "a.zip" / "a.png").is_file()
    export(tree, tmp_path / "fresh", **sections)
    assert content(out) == content(tmp_path / "fresh")


@pytest.mark.parametrize("again", ["it stays away", "it is put back"])
def test_a_tree_whose_folder_is_gone_survives_a_kill_after_its_outputs_went(tmp_path, monkeypatch, again):
    tree, out = tmp_path / "in", tmp_path / "out"
    sections = {"image": {}, "metadata": {}, "volume": {}, "dicom": {"group": "tree"}}
    paths = ct_series(tree / "a", n=3)
    (tree / "b").mkdir()
    shutil.move(paths[2], tree / "b" / "0003.dcm")
    export(tree, out, **sections)
    shutil.copytree(tree / "b", tmp_path / "b")
    shutil.rmtree(tree / "b")

    class Killed(BaseException):
        pass

    def kill(self):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("crawler.engine.crawl.Engine._crawl", kill)
        with pytest.raises(Killed):
            export(tree, out, **sections)
    assert not (out / "media" / "b").exists()
    if again == "it is put back":
        shutil.copytree(tmp_path / "b", tree / "b")
    assert export(tree, out, **sections).exit_code == 0
    export(tree, tmp_path / "fresh", **sections)
    assert content(out) == content(tmp_path / "fresh")


def test_one_that_comes_later_does_not_move_an_edited_output(tmp_path):
    """It was ours and was changed since: it stays, and what belongs in the folder fails."""
    tree, out = tmp_path / "in", tmp_path / "out"
    save(quick_dataset(SOPInstanceUID="1.2.7", SeriesInstanceUID="1.2.7.1"), tree / "a.dcm")
    export(tree, out, image={}, metadata={})
    (out / "media" / "a.png").write_bytes(b"edited")
    save(quick_dataset(SOPInstanceUID="1.2.8", SeriesInstanceUID="1.2.8.1"), tree / "a.png" / "b.dcm")
    summary = export(tree, out, image={}, metadata={})
    assert summary.failed == {"write: a file lies where a folder is needed": 1}
    assert (out / "media" / "a.png").read_bytes() == b"edited"
    shutil.rmtree(tree / "a.png")
