"""Places that a run cannot use, and limits of the system: one line each, no traceback; who may read what is written."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.factories import ct_series
from support.runs import ALL, content, export

import crawler.disk
from crawler.engine.progress import Silent, make_progress
from crawler.errors import LedgerError, OutputError
from crawler.ledger.database import Ledger

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes, FIFOs and limits")


@pytest.fixture
def tree(tmp_path):
    ct_series(tmp_path / "in", n=3)
    return tmp_path / "in"


@pytest.mark.parametrize("kind", ["folder", "fifo", "link"])
@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.jsonl.ledger"])
def test_something_else_in_place_of_a_file(tree, tmp_path, name, kind):
    path = tmp_path / "out" / name
    path.parent.mkdir()
    if kind == "folder":
        path.mkdir()
        (path / "mine").write_text("mine")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises((OutputError, LedgerError), match=r"no regular file|a folder|symbolic link|no ledger of ours"):
        export(tree, tmp_path / "out")
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_in_place_of_the_rows_is_set_aside_by_rebuild(tree, tmp_path):
    export(tree, tmp_path / "out")
    before = content(tmp_path / "out")
    (tmp_path / "out" / "metadata.jsonl").unlink()
    (tmp_path / "out" / "metadata.jsonl" / "sub").mkdir(parents=True)
    assert export(tree, tmp_path / "out", rebuild=True).exit_code == 0
    assert (tmp_path / "out" / "metadata.jsonl.set-aside-1" / "sub").is_dir()
    (tmp_path / "out" / "metadata.jsonl.set-aside-1" / "sub").rmdir()
    (tmp_path / "out" / "metadata.jsonl.set-aside-1").rmdir()
    assert content(tmp_path / "out") == before


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE meta SET value = '{' WHERE key = 'rows'",
        "UPDATE meta SET value = NULL WHERE key = 'config'",
        "UPDATE scans SET verdict = 'none'",
    ],
)
def test_a_ledger_changed_by_hand_is_one_line(tree, tmp_path, sql):
    export(tree, tmp_path / "out")
    ledger = Ledger(str(tmp_path / "out" / "metadata.jsonl.ledger"))
    ledger.execute(sql)
    ledger.touch()
    ledger.commit()
    ledger.close()
    with pytest.raises(LedgerError, match=r"damaged.*--rebuild"):
        export(tree, tmp_path / "out")


def command(tmp_path, tree, before="", after="", **sections):
    """The command in a shell with limits."""
    settings = tmp_path / "config.yml"
    document = {"num_workers": 2, "output": {"dir": str(tmp_path / "out")}, "dicom": {"dir": str(tree)}}
    settings.write_text(yaml.safe_dump({**document, **(sections or {"metadata": {}})}))
    line = f"{before} exec {sys.executable} dme.py {settings} {after}"
    return subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize("limit", [12, 20, 24, 30])
def test_few_open_files(tree, tmp_path, limit):
    done = command(tmp_path, tree, f"ulimit -n {limit};", "-q")
    assert "Traceback" not in done.stderr
    if done.returncode:
        assert done.returncode in (1, 3)
        assert len(done.stderr.splitlines()) <= 2, done.stderr
        assert command(tmp_path, tree).returncode == 0


@pytest.mark.parametrize("unbuffered", [False, True])
@pytest.mark.parametrize("after", ["2>&-", "2>/dev/full", ">&- 2>&-", "2>&- -q"])
def test_a_terminal_that_is_gone(tree, tmp_path, monkeypatch, after, unbuffered):
    monkeypatch.setenv("PYTHONUNBUFFERED", "1" if unbuffered else "")
    assert command(tmp_path, tree, after=after).returncode == 0
    assert (tmp_path / "out" / "summary.json").exists()


def test_no_progress_where_there_is_no_stream():
    assert isinstance(make_progress(None), Silent)


@pytest.mark.parametrize(("mode", "file", "folder"), [("private", 0o600, 0o700), ("group", 0o640, 0o750)])
@pytest.mark.parametrize("workers", [0, 2])
def test_who_may_read_what_is_written(tree, tmp_path, mode, file, folder, workers):
    before = os.umask(0o022)
    try:
        sections = {**ALL, "output": {"dir": str(tmp_path / "out"), "mode": mode}, "num_workers": workers}
        done = command(tmp_path, tree, **sections)
        assert done.returncode == 0, done.stderr
        found = {path: stat.S_IMODE(path.stat().st_mode) for path in [tmp_path / "out", *(tmp_path / "out").rglob("*")]}
        wrong = {str(path): oct(mode) for path, mode in found.items() if mode != (folder if path.is_dir() else file)}
        assert wrong == {}
        export(tree, tmp_path / "other")
        assert stat.S_IMODE((tmp_path / "other" / "summary.json").stat().st_mode) == 0o600
        assert os.umask(0o022) == 0o022, "the caller's own was not restored"
    finally:
        os.umask(before)


@pytest.mark.parametrize("durable", [True, False])
def test_products_are_on_the_disk_before_the_ledger_vouches_for_them(tree, tmp_path, monkeypatch, durable):
    order: list[str] = []
    commit, put = Ledger.commit, Ledger.put_scan

    def committed(self):
        order.append("commit")
        commit(self)

    def recorded(self, *arguments):
        order.append("scan")
        put(self, *arguments)

    monkeypatch.setattr("crawler.ledger.store.sync_file_systems", lambda folders: order.append("sync"))
    monkeypatch.setattr(Ledger, "commit", committed)
    monkeypatch.setattr(Ledger, "put_scan", recorded)
    export(tree, tmp_path / "out", output={"dir": str(tmp_path / "out"), "durable": durable}, **ALL)
    after = order[order.index("scan") :]
    assert after[: after.index("commit")].count("sync") == durable


def test_syncing_is_a_call_that_the_system_takes(tmp_path):
    crawler.disk.sync_file_systems([str(tmp_path), str(tmp_path / "not there")])
    crawler.disk.sync_folder(str(tmp_path))
    assert isinstance(crawler.disk.is_local(str(tmp_path)), bool)


def test_a_worker_that_cannot_take_back_what_it_wrote_leaves_it_to_the_engine(tmp_path, monkeypatch):
    """A volume is written, then one of its files fails, and the obsolete volume cannot be deleted at once."""
    paths = ct_series(tmp_path / "in", n=6)
    data = paths[5].read_bytes()
    paths[5].write_bytes(data[:-50])
    original = os.unlink
    refused: list[str] = []

    def unlink(path, *arguments, **options):
        if str(path).endswith(".h5") and "volumes" in str(path) and ".dme-tmp" not in str(path) and not refused:
            refused.append(str(path))
            raise PermissionError(13, "Permission denied", path)
        original(path, *arguments, **options)

    monkeypatch.setattr(os, "unlink", unlink)
    summary = export(tmp_path / "in", tmp_path / "out")
    assert "internal error" not in str(summary.failed)
    monkeypatch.undo()
    export(tmp_path / "in", tmp_path / "fresh")
    assert content(tmp_path / "out") == content(tmp_path / "fresh")
