"""Whatever a killed run leaves behind is recognised at the next start."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
import subprocess
import sys

import pytest
from support.factories import ct_series, quick_dataset, save
from support.runs import ALL, config, content, export

from crawler.disk import fingerprint
from crawler.errors import LedgerError, OutputError
from crawler.ledger.database import Ledger
from crawler.ledger.own_files import OwnFiles
from crawler.ledger.rows import Rows
from crawler.ledger.store import Store, ledger_of
from crawler.model import Outcome


@pytest.fixture
def changed(tmp_path):
    """A finished output whose input changed: the next run has dead rows to compact and products to delete."""
    ct_series(tmp_path / "in" / "a", n=4, uid="1.2.3.1")
    ct_series(tmp_path / "in" / "b", n=4, uid="1.2.3.2")
    export(tmp_path / "in", tmp_path / "out")
    shutil.rmtree(tmp_path / "in" / "a")
    export(tmp_path / "in", tmp_path / "fresh")
    return tmp_path


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.mark.parametrize(
    ("owner", "name", "after"),
    [
        (Rows, "write_compacted", True),
        (Ledger, "plan_spans", True),
        (Rows, "replace", False),
        (Rows, "replace", True),
        (Ledger, "move_spans", True),
        (Store, "empty_trash", False),
        (Ledger, "forget_trash", False),
        (Ledger, "forget_vanished", False),
        (Ledger, "finish_folder", False),
    ],
)
def test_killed_at_every_step_of_tidying_up(changed, monkeypatch, owner, name, after):
    if name == "finish_folder":
        save(quick_dataset(SOPInstanceUID="1.2.9"), changed / "in" / "new.dcm")
        shutil.rmtree(changed / "fresh")
        export(changed / "in", changed / "fresh")
    original, calls = getattr(owner, name), []

    def kill(self, *arguments):
        calls.append(name)
        if name == "empty_trash" and owner is Store and len(calls) == 1:
            return original(self, *arguments)  # the first call is the one at the start
        if after:
            original(self, *arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, kill)
        with pytest.raises(Killed):
            export(changed / "in", changed / "out")
    export(changed / "in", changed / "out")
    assert content(changed / "out") == content(changed / "fresh")


def test_a_ledger_of_another_version_is_refused(tmp_path):
    ledger = Ledger(str(tmp_path / "l"))
    ledger.put("version", 999)
    ledger.commit()
    ledger.close()
    with pytest.raises(LedgerError, match="another version"):
        Ledger(str(tmp_path / "l"))


def test_a_ledger_that_is_damaged_in_the_middle_is_named(tmp_path):
    for number in range(300):
        save(quick_dataset(SOPInstanceUID=f"1.2.3.{number}"), tmp_path / "in" / f"{number}.dcm")
    export(tmp_path / "in", tmp_path / "out", metadata={})
    path = tmp_path / "out" / "metadata.jsonl.ledger"
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(LedgerError, match=r"damaged .* --rebuild"):
        export(tmp_path / "in", tmp_path / "out", metadata={})


def test_failures_are_counted_by_reason(tmp_path):
    ledger = Ledger(str(tmp_path / "l"))
    ledger.open_folder("f", [])
    bad = Outcome("failed", "pixels", "truncated pixel data", "holds 1 of 2 bytes")
    ledger.finish_folder("f", "d", [("f", "a", 1, 2, bad), ("f", "b", 1, 2, bad)], [])
    assert ledger.accounts() == [("failed", "pixels", "truncated pixel data", 2, 2)]
    assert [row[:2] for row in ledger.failures()] == [("f", "a"), ("f", "b")]
    ledger.close()


@pytest.mark.parametrize("names", [["a", "b"], ["a"], []])
def test_what_a_ledger_of_version_1_found_in_a_folder_is_foreign(tmp_path, names):
    """It noted the names alone, without the start of the machine."""
    ledger = Ledger(str(tmp_path / "l"))
    ledger.open_folder("f", [])
    ledger.execute("UPDATE folders SET found = ?", (json.dumps(names),))
    assert ledger.open_folder("f", ["a", "b", "c"]) == frozenset(names)
    ledger.close()


def test_the_ledger_of_an_output_stays_when_the_section_metadata_goes(tmp_path):
    """The only one that is there: of two it cannot be told which."""
    without = config(tmp_path, tmp_path, volume={})
    assert ledger_of(without) == str(tmp_path / "dme.ledger")
    (tmp_path / "one.jsonl.ledger").touch()
    assert ledger_of(without) == str(tmp_path / "one.jsonl.ledger")
    (tmp_path / "two.jsonl.ledger").touch()
    assert ledger_of(without) == str(tmp_path / "dme.ledger")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 600 kB; needs Linux and the right to mount."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = sys.platform == "linux" and os.geteuid() == 0
    if made:
        command = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)]
        made = subprocess.run(command, capture_output=True, check=False).returncode == 0
    if not made:
        pytest.skip("mounting a small file system needs Linux and root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_full_disk_stops_the_run_and_keeps_what_was_done(tmp_path, small_disk, workers):
    for number in range(24):
        ct_series(tmp_path / "in" / f"{number:02}", n=6, uid=f"1.2.3.{number}", size=(128, 128))
    with pytest.raises(OutputError, match=r"disk.* full"):
        export(tmp_path / "in", small_disk / "out", workers)
    # Room is made, and the same command goes on.
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    summary = export(tmp_path / "in", small_disk / "out", workers)
    assert summary.exit_code == 0
    export(tmp_path / "in", tmp_path / "fresh")
    assert content(small_disk / "out") == content(tmp_path / "fresh")


def test_sections_may_be_added_one_by_one(tmp_path):
    ct_series(tmp_path / "in", n=3)
    sections = {}
    for name, section in ALL.items():
        sections[name] = section
        export(tmp_path / "in", tmp_path / "out", **sections)
    export(tmp_path / "in", tmp_path / "fresh")
    assert content(tmp_path / "out") == content(tmp_path / "fresh")


def test_of_a_thousand_folders_the_largest_go_first(tmp_path):
    ledger = Ledger(os.fspath(tmp_path / "ledger"))
    try:
        ledger.add_todo((0, b"%d" % number, b"", 1, number % 7) for number in range(1500))
        order = [(int(path) >= 1000, -(int(path) % 7), int(path)) for _, path, _ in ledger.todo()]
        assert order == sorted(order)
        assert len(order) == 1500
    finally:
        ledger.close()


def test_a_disk_error_is_no_damage(changed, monkeypatch):
    """`--rebuild` sets a damaged ledger aside, and with it what it knows of products; not for an error of the disk."""
    original = Ledger.commit

    def fails(self):
        raise self.translate(sqlite3.OperationalError("disk I/O error"))

    monkeypatch.setattr(Ledger, "commit", fails)
    with pytest.raises(OutputError, match="cannot be read or written now"):
        export(changed / "in", changed / "out", rebuild=True)
    monkeypatch.setattr(Ledger, "commit", original)
    assert not list((changed / "out").rglob("*set-aside*"))
    assert export(changed / "in", changed / "out", rebuild=True).exit_code == 0
    assert content(changed / "out") == content(changed / "fresh")


def test_rows_on_their_way_that_cannot_be_kept_stop_the_run(changed, monkeypatch):
    """Their files did not fail; the next run has them."""
    monkeypatch.setattr("crawler.engine.plan.FOLDER_FILES", 2)
    monkeypatch.setattr("crawler.engine.crawl.FOLDER_FILES", 2)
    makedirs = os.makedirs

    def unwritable(path, *arguments, **options):
        """The spool's place is taken by nothing that can be written in."""
        if os.path.basename(os.path.dirname(os.path.dirname(path))) != ".dme-tmp":
            makedirs(path, *arguments, **options)

    monkeypatch.setattr(os, "makedirs", unwritable)
    with pytest.raises(OutputError, match="rows on their way"):
        export(changed / "in", changed / "out", rebuild=True)
    monkeypatch.undo()
    assert export(changed / "in", changed / "out").exit_code == 0
    assert content(changed / "out") == content(changed / "fresh")


def test_a_change_makes_the_output_unfinished_and_what_was_made_of_it_stale(tmp_path):
    ledger = Ledger(str(tmp_path / "l"))
    ledger.put("finished", True)
    ledger.touch()
    ledger.touch()
    assert (ledger.get("finished"), ledger.get("revision")) == (False, 2)
    ledger.close()


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ("database is locked", LedgerError, "in use"),
        ("database is busy", LedgerError, "in use"),
        ("database or disk is full", OutputError, "disk is full"),
        ("disk I/O error", OutputError, "cannot be read or written now"),
        ("unable to open database file", OutputError, "cannot be written: check the folder"),
        ("attempt to write a readonly database", OutputError, "cannot be written: check the folder"),
        ("database disk image is malformed", LedgerError, "is damaged"),
    ],
)
def test_each_error_of_sqlite_is_told_as_what_it_is(tmp_path, text, kind, told):
    """One that cannot be written is not damaged: `--rebuild` would set it aside for nothing."""
    ledger = Ledger(str(tmp_path / "l"))
    error = ledger.translate(sqlite3.OperationalError(text))
    assert type(error) is kind
    assert told in str(error)
    ledger.close()


def test_rebuild_with_another_folder_of_media_leaves_the_old_one_alone(tmp_path, caplog):
    ct_series(tmp_path / "in", n=2)
    export(tmp_path / "in", tmp_path / "out", image={}, metadata={}, media={"dir": "first"})
    before = sorted((tmp_path / "out" / "first").rglob("*.png"))
    assert len(before) == 2
    summary = export(tmp_path / "in", tmp_path / "out", rebuild=True, image={}, metadata={}, media={"dir": "second"})
    assert summary.exported == 2
    assert sorted((tmp_path / "out" / "first").rglob("*.png")) == before
    assert len(list((tmp_path / "out" / "second").rglob("*.png"))) == 2
    assert any("first stay there" in record.getMessage() for record in caplog.records)


def test_a_first_run_has_nothing_to_warn_of(tmp_path, caplog):
    ct_series(tmp_path / "in", n=2)
    assert export(tmp_path / "in", tmp_path / "out").exit_code == 0
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_file_of_ours_agrees_with_its_record_or_was_being_written(tmp_path):
    ledger = Ledger(str(tmp_path / "l"))
    own, path = OwnFiles(ledger), str(tmp_path / "file")
    (tmp_path / "file").write_bytes(b"abc")
    assert own.agrees(path, (None, None))
    assert own.agrees(path, fingerprint(path))
    assert not own.agrees(path, (3, "0" * 32))
    assert not own.agrees(path, (4, fingerprint(path)[1]))
    ledger.close()
