"""One call on a file errs, at a place where the error could be taken for an answer: the next run has all again."""

from __future__ import annotations

import errno
import os
import shutil
import sys

import pytest
from support.factories import ct_series, multiframe
from support.faults import Faults, in_child, raising
from support.runs import content, export, failures

from crawler.errors import OutputError
from crawler.sinks.base import Target

SECTIONS = {
    "metadata": {"tables": ["csv"]},
    "image": {"bits": 8},
    "video": {"extension": "frames"},
    "volume": {"formats": ["hdf5", "nifti"]},
    "config": {"file": "copy.yml"},
}


@pytest.fixture
def tree(tmp_path):
    ct_series(tmp_path / "in" / "a", n=3, uid="1.2.3.1")
    multiframe(tmp_path / "in" / "cine.dcm", 3, 8, 8)
    return tmp_path / "in"


def made(out):
    """What lies there, but for the copy of the configuration, which holds the place."""
    return {name: value for name, value in content(out).items() if name != "copy.yml"}


@pytest.fixture
def fresh(tree, tmp_path):
    export(tree, tmp_path / "fresh", **SECTIONS)
    return made(tmp_path / "fresh")


def erring(monkeypatch, names, errs, once=False):
    """Have functions of `os` raise EIO for the paths that `errs` picks; returns those that it did."""
    struck = []

    def wrapped(original):
        def call(path, *arguments, **options):
            if isinstance(path, str | os.PathLike) and not (once and struck) and errs(str(path)):
                struck.append(str(path))
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
            return original(path, *arguments, **options)

        return call

    for name in names:
        monkeypatch.setattr(os, name, wrapped(getattr(os, name)))
    return struck


def called_from(module):
    """Whether a module of the project is on the stack."""
    frame = sys._getframe()
    while frame is not None and not frame.f_code.co_filename.endswith(module):
        frame = frame.f_back
    return frame is not None


def test_a_second_name_that_cannot_be_removed_is_no_failure(tree, tmp_path, monkeypatch, fresh):
    """A product gets its place by a hard link: it is there, whatever becomes of its name among unfinished files."""
    struck = erring(monkeypatch, ["unlink"], lambda path: ".dme-tmp" in path)
    summary = export(tree, tmp_path / "out", **SECTIONS)
    monkeypatch.undo()
    assert len(struck) > 5
    assert summary.exit_code == 0, failures(tmp_path / "out")
    assert made(tmp_path / "out") == fresh


def test_what_a_killed_run_put_in_place_is_ours_though_it_cannot_be_read_at_once(tree, tmp_path, monkeypatch, fresh):
    class Killed(BaseException):
        pass

    def kill(self, *arguments):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("crawler.engine.recorder.Recorder.scan", kill)
        with pytest.raises(Killed):
            export(tree, tmp_path / "out", **SECTIONS)
    assert list((tmp_path / "out" / "media").rglob("*.png"))
    with monkeypatch.context() as patch:
        struck = erring(patch, ["lstat"], lambda path: "media" in path and path.endswith(".png"), once=True)
        with pytest.raises(OutputError, match="all that was committed is kept"):
            export(tree, tmp_path / "out", **SECTIONS)
        assert struck
    assert export(tree, tmp_path / "out", **SECTIONS).exit_code == 0
    assert made(tmp_path / "out") == fresh


@pytest.mark.parametrize("name", ["copy.yml", "metadata.csv", "metadata.jsonl", "series.csv"])
def test_a_report_never_lacks_a_link_because_the_disk_erred(tree, tmp_path, monkeypatch, fresh, name):
    with monkeypatch.context() as patch:
        errs = lambda path: path.endswith(name) and called_from("tables/report.py")  # noqa: E731
        struck = erring(patch, ["stat", "lstat"], errs, once=True)
        with pytest.raises(OutputError):
            export(tree, tmp_path / "out", **SECTIONS)
        assert struck
    assert export(tree, tmp_path / "out", **SECTIONS).exit_code == 0
    assert made(tmp_path / "out") == fresh


@pytest.mark.parametrize("victim", ["cine.frames/0002.png", ".nii.gz"])
def test_parts_that_cannot_be_taken_back_are_left_to_the_engine(tree, tmp_path, monkeypatch, fresh, victim):
    """The second file of an output fails, and the first cannot be deleted at once."""
    publish = Target.publish

    def fail(self, scratch, extension, kind, layout=""):
        if (self.path + extension).endswith(victim) or (victim == ".nii.gz" and extension == ".json"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return publish(self, scratch, extension, kind, layout)

    with monkeypatch.context() as patch:
        patch.setattr(Target, "publish", fail)
        first = ("0001.png", ".nii.gz")
        erring(patch, ["unlink"], lambda path: ".dme-tmp" not in path and path.endswith(first), once=True)
        summary = export(tree, tmp_path / "out", **SECTIONS)
    assert sum(summary.failed.values()) == (1 if victim.startswith("cine") else 4)
    assert not list((tmp_path / "out").rglob("*.frames" if victim.startswith("cine") else "*.nii.gz"))
    assert export(tree, tmp_path / "out", retry_failed=True, **SECTIONS).exit_code == 0
    assert made(tmp_path / "out") == fresh


def test_outputs_that_cannot_be_looked_at_are_not_gone(tree, tmp_path, monkeypatch, fresh):
    """They are not made again in vain: a run that finds nothing new changes nothing."""
    export(tree, tmp_path / "out", **SECTIONS)
    erring(monkeypatch, ["listdir", "lstat"], lambda path: "media/a" in path)
    summary = export(tree, tmp_path / "out", **SECTIONS)
    monkeypatch.undo()
    assert (summary.exit_code, summary.handled) == (0, 0)
    assert made(tmp_path / "out") == fresh


NAMED = {"metadata": {}, "image": {"bits": 8}, "media": {"name": "{Modality}/{SOPInstanceUID}"}}


def test_a_further_name_that_cannot_be_deleted_at_once_goes_with_the_next_run(tree, tmp_path, monkeypatch):
    export(tree, tmp_path / "out", **NAMED)
    (tree / "a" / "0001.dcm").unlink()
    with monkeypatch.context() as patch:
        struck = erring(patch, ["unlink"], lambda path: f"{os.sep}named{os.sep}" in path, once=True)
        assert export(tree, tmp_path / "out", **NAMED).exit_code == 0
        assert struck
    assert export(tree, tmp_path / "out", **NAMED).handled == 0
    export(tree, tmp_path / "fresh", **NAMED)
    assert made(tmp_path / "out") == made(tmp_path / "fresh")


def test_a_folder_of_further_names_that_cannot_be_looked_at_is_nobody_elses(tree, tmp_path, monkeypatch):
    export(tree, tmp_path / "out", **NAMED)
    ct_series(tree / "b", n=2, uid="1.2.3.9")
    with monkeypatch.context() as patch:
        named = os.path.join("named", "CT")
        struck = erring(patch, ["stat"], lambda path: path.endswith(named) and called_from("link_tree.py"), once=True)
        with pytest.raises(OutputError):
            export(tree, tmp_path / "out", **NAMED)
        assert struck
    assert export(tree, tmp_path / "out", **NAMED).exit_code == 0
    export(tree, tmp_path / "fresh", **NAMED)
    assert made(tmp_path / "out") == made(tmp_path / "fresh")


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_table_that_cannot_be_finished_is_one_line(tree, tmp_path):
    """Generators over the ledger end after it is closed: nothing is printed then."""

    def run():
        return export(tree, tmp_path / "out", metadata={"tables": ["csv"]}).exit_code

    counted = Faults(-1, raising(errno.EIO), tmp_path / "out")
    calls = in_child(run, counted).calls
    at = next(number for number, call in enumerate(calls) if call.startswith("file.write in tables/csvfile.py"))
    shutil.rmtree(tmp_path / "out")
    ended = in_child(run, Faults(at, raising(errno.EIO), tmp_path / "out"))
    assert (ended.code, ended.text.partition(":")[0]) == (1, "OutputError"), ended.text
