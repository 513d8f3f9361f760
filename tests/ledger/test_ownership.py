"""Nothing is written over or deleted that the ledger does not know as ours, whatever died, was copied or lies about."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys

import pytest
from support.factories import ct_series, multiframe, quick_dataset, save
from support.runs import ALL, accounts_hold, content, export, rows

import crawler.sinks.base
from crawler.engine.pool import start_method
from crawler.errors import LedgerError, OutputError
from crawler.ledger.database import Ledger
from crawler.ledger.schema import VERSION

FORKS = pytest.mark.skipif(
    sys.platform != "linux" or start_method() != "fork", reason="plants the fault in forked workers"
)
VIEWS = ["summary.json", "series.csv", "unreadable_files.csv", "report.html", "metadata.csv", "pixel_data.h5"]


def tree_of(folder):
    """Every file below a folder, with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestAWorkerThatDiesAfterPublishing:
    @pytest.fixture
    def output(self, tmp_path, monkeypatch):
        """An output whose worker was killed once it had put one picture in place, as often as it was tried."""
        ct_series(tmp_path / "in", n=3)
        original = crawler.sinks.base.Target.publish

        def publish(self, scratch, extension, kind, layout=""):
            product = original(self, scratch, extension, kind, layout)
            if product.path.endswith("0.png"):
                os.kill(os.getpid(), signal.SIGKILL)
            return product

        with monkeypatch.context() as patch:
            patch.setattr(crawler.sinks.base.Target, "publish", publish)
            summary = export(tmp_path / "in", tmp_path / "out", 1)
        assert sum(summary.failed.values()) == 1
        return tmp_path

    @FORKS
    def test_leaves_no_stranger(self, output):
        """What it put in place went, or belongs to the file's row."""
        known = {name for row in rows(output / "out").values() for name in row["media_files"]}
        there = {path.name for path in (output / "out" / "media").iterdir()}
        assert there == known

    @FORKS
    @pytest.mark.parametrize("flag", ["retry_failed", "rebuild"])
    def test_is_made_up_for(self, output, flag):
        summary = export(output / "in", output / "out", **{flag: True})
        assert (summary.exported, summary.skipped, summary.failed) == (3, {}, {})
        export(output / "in", output / "fresh")
        assert content(output / "out") == content(output / "fresh")


@FORKS
def test_a_parent_that_dies_after_a_worker_published_knows_its_files(tmp_path, monkeypatch):
    """All products are in place, none is recorded: the next run makes them anew and loses none."""
    ct_series(tmp_path / "in", n=3)

    class Killed(BaseException):
        pass

    def kill(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("crawler.engine.recorder.Recorder.scan", kill)
        with pytest.raises(Killed):
            export(tmp_path / "in", tmp_path / "out", 1)
    assert len(list((tmp_path / "out" / "media").glob("*.png"))) == 3
    save(quick_dataset(SOPInstanceUID="1.2.9"), tmp_path / "in" / "mine.dcm")
    (tmp_path / "out" / "media" / "mine.png").write_bytes(b"a picture of the user's, placed between the two runs")
    summary = export(tmp_path / "in", tmp_path / "out", 1)
    assert summary.skipped == {"exists": 1}
    assert (tmp_path / "out" / "media" / "mine.png").read_bytes().startswith(b"a picture of the user's")


def test_rebuild_of_a_copy_leaves_the_original_alone(tmp_path):
    ct_series(tmp_path / "in", n=3)
    export(tmp_path / "in", tmp_path / "out")
    before = tree_of(tmp_path / "out")
    shutil.copytree(tmp_path / "out", tmp_path / "copy")
    export(tmp_path / "in", tmp_path / "copy", rebuild=True)
    assert tree_of(tmp_path / "out") == before
    assert content(tmp_path / "copy") == content(tmp_path / "out")


def test_rebuild_deletes_no_product_that_was_changed(tmp_path):
    paths = ct_series(tmp_path / "in", n=3)
    export(tmp_path / "in", tmp_path / "out")
    picture = tmp_path / "out" / "media" / f"{paths[0].stem}.png"
    picture.write_bytes(b"drawn on")
    summary = export(tmp_path / "in", tmp_path / "out", rebuild=True)
    assert picture.read_bytes() == b"drawn on"
    assert summary.skipped == {"exists": 1}


def test_a_vanished_file_takes_no_changed_product_along(tmp_path):
    paths = ct_series(tmp_path / "in", n=5)
    export(tmp_path / "in", tmp_path / "out")
    picture = tmp_path / "out" / "media" / f"{paths[0].stem}.png"
    picture.write_bytes(b"drawn on")
    paths[0].unlink()
    export(tmp_path / "in", tmp_path / "out")
    assert picture.read_bytes() == b"drawn on"


@pytest.mark.parametrize("name", VIEWS)
def test_files_of_the_user_are_refused_at_start(tmp_path, name):
    ct_series(tmp_path / "in", n=3)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_bytes(b"mine")
    with pytest.raises(OutputError, match=rf"{name} exists, and no run of this output made it.*--rebuild"):
        export(tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out" / name).read_bytes() == b"mine"
    assert not (tmp_path / "out" / "media").exists()
    summary = export(tmp_path / "in", tmp_path / "out", rebuild=True)
    assert summary.exit_code == 0
    assert (tmp_path / "out" / f"{name}.set-aside-1").read_bytes() == b"mine"


def test_a_copy_of_the_configuration_never_replaces_an_input(tmp_path):
    (path,) = ct_series(tmp_path / "in", n=1)
    before = path.read_bytes()
    with pytest.raises(OutputError, match="exists, and no run of this output made it"):
        export(tmp_path / "in", tmp_path / "out", config={"file": str(path)}, **ALL)
    assert path.read_bytes() == before


def test_a_table_that_was_edited_is_set_aside(tmp_path):
    ct_series(tmp_path / "in", n=3)
    export(tmp_path / "in", tmp_path / "out")
    edited = tmp_path / "out" / "series.csv"
    edited.write_text(edited.read_text() + "my,notes\n")
    save(quick_dataset(SOPInstanceUID="1.2.9"), tmp_path / "in" / "new.dcm")
    export(tmp_path / "in", tmp_path / "out")
    assert "my,notes" in (tmp_path / "out" / "series.csv.set-aside-1").read_text()
    assert "my,notes" not in edited.read_text()


def test_a_report_that_the_user_wrote_where_none_was_is_kept(tmp_path):
    """unreadable_files.csv is there only when something failed... a table of the user's by its name is not ours."""
    ct_series(tmp_path / "in", n=2)
    export(tmp_path / "in", tmp_path / "out", metadata={"tables": []})
    (tmp_path / "out" / "metadata.csv").write_text("mine")
    with pytest.raises(OutputError, match=r"metadata\.csv"):
        export(tmp_path / "in", tmp_path / "out", metadata={"tables": ["csv"]})
    assert (tmp_path / "out" / "metadata.csv").read_text() == "mine"


class TestLinks:
    def test_a_temporary_folder_that_is_a_link_is_refused(self, tmp_path):
        ct_series(tmp_path / "in", n=1)
        (tmp_path / "mine" / "main").mkdir(parents=True)
        (tmp_path / "mine" / "main" / "thesis.txt").write_text("mine")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / ".dme-tmp").symlink_to(tmp_path / "mine")
        with pytest.raises(OutputError, match=r"\.dme-tmp is no folder"):
            export(tmp_path / "in", tmp_path / "out")
        assert (tmp_path / "mine" / "main" / "thesis.txt").read_text() == "mine"

    @pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.jsonl.ledger"])
    def test_rows_and_ledger_are_not_written_through_links(self, tmp_path, name):
        ct_series(tmp_path / "in", n=1)
        (tmp_path / "out").mkdir()
        (tmp_path / "mine").write_bytes(b"")
        (tmp_path / "out" / name).symlink_to(tmp_path / "mine")
        with pytest.raises(OutputError, match="symbolic link"):
            export(tmp_path / "in", tmp_path / "out")
        assert (tmp_path / "mine").read_bytes() == b""

    @pytest.mark.parametrize("slot", ["media", "volumes"])
    def test_a_folder_in_the_output_that_leads_out_of_it(self, tmp_path, slot):
        ct_series(tmp_path / "in" / "a", n=2, uid="1.2.3.1")
        ct_series(tmp_path / "in" / "b", n=2, uid="1.2.3.2")
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "out" / slot).mkdir(parents=True)
        (tmp_path / "out" / slot / "a").symlink_to(tmp_path / "elsewhere")
        summary = export(tmp_path / "in", tmp_path / "out")
        accounts_hold(summary, 4)
        assert summary.failed == {"write: output folder unusable": 2}
        assert list((tmp_path / "elsewhere").iterdir()) == []

    def test_pictures_of_a_cine_that_lead_out_of_it(self, tmp_path):
        multiframe(tmp_path / "in" / "cine.dcm", 3, 16, 16)
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "out" / "media").mkdir(parents=True)
        (tmp_path / "out" / "media" / "cine.frames").symlink_to(tmp_path / "elsewhere")
        summary = export(tmp_path / "in", tmp_path / "out", video={"extension": "frames"})
        assert summary.failed == {"write: output folder unusable": 1}
        assert list((tmp_path / "elsewhere").iterdir()) == []

    def test_products_behind_a_link_are_not_deleted(self, tmp_path):
        paths = ct_series(tmp_path / "in" / "a", n=4)
        export(tmp_path / "in", tmp_path / "out")
        shutil.move(tmp_path / "out" / "media" / "a", tmp_path / "elsewhere")
        (tmp_path / "out" / "media" / "a").symlink_to(tmp_path / "elsewhere")
        before = tree_of(tmp_path / "elsewhere")
        paths[0].unlink()
        export(tmp_path / "in", tmp_path / "out")
        assert tree_of(tmp_path / "elsewhere") == before


def test_two_outputs_that_share_folders_leave_each_others_unfinished_files(tmp_path, monkeypatch):
    """The second begins while the first is at work: it must not empty the first one's temporary folder."""
    ct_series(tmp_path / "one", n=3, uid="1.2.3.1")
    ct_series(tmp_path / "two" / "sub", n=3, uid="1.2.3.2")
    shared = {**ALL, "media": {"dir": str(tmp_path / "media")}, "volume": {"dir": str(tmp_path / "volumes")}}
    original, begun = crawler.sinks.base.Target.publish, []

    def publish(self, *arguments, **options):
        if not begun:
            begun.append(1)
            summary = export(tmp_path / "two", tmp_path / "out2", **shared)
            accounts_hold(summary, 3)
            assert summary.exit_code == 0
        return original(self, *arguments, **options)

    monkeypatch.setattr(crawler.sinks.base.Target, "publish", publish)
    summary = export(tmp_path / "one", tmp_path / "out1", **shared)
    accounts_hold(summary, 3)
    assert summary.exit_code == 0
    assert not list(tmp_path.rglob(".dme-tmp"))


class TestNamesThatTheFileSystemRefuses:
    """One entry's name costs that entry, in a folder or an archive."""

    def test_an_output_folder_that_cannot_be_listed(self, tmp_path, monkeypatch):
        ct_series(tmp_path / "in" / "a", n=2, uid="1.2.3.1")
        ct_series(tmp_path / "in" / "b", n=2, uid="1.2.3.2")
        (tmp_path / "out" / "media" / "a").mkdir(parents=True)
        original = os.listdir

        def listdir(path="."):
            if str(path).endswith("media/a"):
                raise PermissionError(13, "Permission denied", path)
            return original(path)

        monkeypatch.setattr(os, "listdir", listdir)
        summary = export(tmp_path / "in", tmp_path / "out")
        accounts_hold(summary, 4)
        assert summary.failed == {"write: output folder unusable": 2}
        assert len(rows(tmp_path / "out")) == 4

    @pytest.mark.parametrize("form", ["folder", "zip"])
    def test_a_name_at_the_limit(self, tmp_path, form):
        """With the extension of its picture it is too long; a path of a member may be too long altogether."""
        save(quick_dataset(SOPInstanceUID="1.2.1"), tmp_path / "in" / "fine.dcm")
        save(quick_dataset(SOPInstanceUID="1.2.2"), tmp_path / "x.dcm")
        if form == "folder":
            shutil.copy(tmp_path / "x.dcm", tmp_path / "in" / ("y" * 253))
            count = 2
        else:
            import zipfile

            with zipfile.ZipFile(tmp_path / "in" / "a.zip", "w") as archive:
                archive.write(tmp_path / "x.dcm", "z" * 300 + "/x.dcm")
                archive.write(tmp_path / "x.dcm", "/".join(["deep" * 50] * 30) + "/x.dcm")
                archive.write(tmp_path / "x.dcm", "fine.dcm")
            count = 5
        for _ in range(2):
            summary = export(tmp_path / "in", tmp_path / "out")
            accounts_hold(summary, count)
            assert all(reason == "write: name too long" for reason in summary.failed), summary.failed
            assert "fine.dcm" in rows(tmp_path / "out")


def of_version_1(path):
    """Make a ledger what version 1 of the schema left."""
    database = sqlite3.connect(path)
    database.executescript(
        "DROP TABLE own_files; DROP TABLE trash; ALTER TABLE scans DROP COLUMN parts;"
        "CREATE TABLE trash (kind TEXT, path BLOB, PRIMARY KEY (kind, path)) WITHOUT ROWID;"
        "DELETE FROM meta WHERE key IN ('temporary', 'own files unknown', 'rows modified', 'parts', 'wanted');"
        "UPDATE meta SET value = '1' WHERE key = 'version';"
    )
    database.close()


def test_an_output_of_version_1_goes_on(tmp_path):
    paths = ct_series(tmp_path / "in", n=5)
    export(tmp_path / "in", tmp_path / "out")
    of_version_1(tmp_path / "out" / "metadata.jsonl.ledger")
    (tmp_path / "out" / ".dme-tmp" / "main" / "0a1b2c3d").mkdir(parents=True)
    paths[0].unlink()
    save(quick_dataset(SOPInstanceUID="1.2.9"), tmp_path / "in" / "new.dcm")
    export(tmp_path / "in", tmp_path / "out")
    export(tmp_path / "in", tmp_path / "fresh")
    assert content(tmp_path / "out") == content(tmp_path / "fresh")
    ledger = Ledger(str(tmp_path / "out" / "metadata.jsonl.ledger"))
    assert ledger.get("version") == VERSION
    ledger.close()


class TestRowsChangedByHand:
    """What another program did to the JSONL is seen before anything is cut."""

    @pytest.mark.parametrize("finished", [True, False])
    def test_a_row_made_longer(self, tmp_path, finished):
        self.refused(tmp_path, lambda data: data.replace(b'"outcome"', b'"my_note": 1, "outcome"', 1), finished)

    @pytest.mark.parametrize("finished", [True, False])
    def test_lines_added(self, tmp_path, finished):
        self.refused(tmp_path, lambda data: data + b'{"my": "line"}\n', finished)

    def test_a_row_of_ours_added_after_the_end(self, tmp_path):
        self.refused(tmp_path, lambda data: data + data.splitlines(True)[0], True)

    def test_lines_sorted(self, tmp_path):
        for number, size in enumerate((16, 64)):
            ct_series(tmp_path / "in" / str(number), n=2, uid=f"1.2.4.{number}", size=(size, size), Rows=size)
        self.refused(tmp_path, lambda data: b"\n".join(sorted(data.splitlines(), key=len)) + b"#", True)

    def refused(self, tmp_path, change, finished):
        for number in range(3):
            ct_series(tmp_path / "in" / f"f{number}", n=2, uid=f"1.2.3.{number}")
        export(tmp_path / "in", tmp_path / "out")
        path = tmp_path / "out" / "metadata.jsonl"
        ledger = Ledger(f"{path}.ledger")
        ledger.put("finished", finished)
        ledger.commit()
        ledger.close()
        path.write_bytes(changed := change(path.read_bytes()))
        for _ in range(2):
            with pytest.raises(LedgerError, match=r"changed by another program.*--rebuild"):
                export(tmp_path / "in", tmp_path / "out")
            assert path.read_bytes() == changed
        summary = export(tmp_path / "in", tmp_path / "out", rebuild=True)
        assert summary.exit_code == 0
        assert (tmp_path / "out" / "metadata.jsonl.set-aside-1").read_bytes() == changed

    @pytest.mark.parametrize("cut", [1, 40, 0.3, 0.7])
    def test_one_cut_short_keeps_what_is_whole(self, tmp_path, cut):
        for number in range(6):
            ct_series(tmp_path / "in" / f"f{number}", n=2, uid=f"1.2.3.{number}")
        export(tmp_path / "in", tmp_path / "out")
        before = content(tmp_path / "out")
        path = tmp_path / "out" / "metadata.jsonl"
        size = path.stat().st_size
        os.truncate(path, size - cut if cut >= 1 else int(size * cut))
        kept = len(path.read_bytes().splitlines()) - 1
        summary = export(tmp_path / "in", tmp_path / "out")
        assert 0 < summary.handled <= 12 - kept + 1
        assert content(tmp_path / "out") == before
        assert export(tmp_path / "in", tmp_path / "out").handled == 0


def test_every_row_begins_as_recovery_expects(tmp_path):
    ct_series(tmp_path / "in", n=1)
    for style in ("keyword", "name", "tag"):
        export(tmp_path / "in", tmp_path / style, metadata={"keys": style})
        assert (tmp_path / style / "metadata.jsonl").read_bytes().startswith(b'{"dicom_file":')
        assert json.loads((tmp_path / style / "metadata.jsonl").read_bytes())
