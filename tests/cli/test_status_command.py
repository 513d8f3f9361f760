"""`dme.py status`: what it says of finished, interrupted and running work, and that it changes nothing."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from support.factories import ct_series, quick_dataset, save
from support.runs import config, export

from crawler.cli.main import main
from crawler.errors import LedgerError
from crawler.ledger.status import read_status


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and time of every file below a folder."""
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(folder.rglob("*")) if p.is_file()}


def tree(folder: Path) -> Path:
    """A series and a file that is not DICOM."""
    ct_series(folder / "ct", 3)
    (folder / "notes.txt").write_text("none")
    return folder


def test_finished(tmp_path: Path) -> None:
    export(tree(tmp_path / "in"), tmp_path / "out")
    before = state(tmp_path)
    status = read_status(config(tmp_path / "in", tmp_path / "out"))
    assert (status.running, status.finished, status.unfinished) == (False, True, 0)
    assert status.summary is not None
    assert (status.summary.found, status.summary.exported, status.summary.skipped) == (4, 3, {"not DICOM": 1})
    assert (status.summary.scans, status.summary.volumes) == (1, 1)
    assert status.changed == os.stat(status.ledger).st_mtime
    assert state(tmp_path) == before


def test_failures_keep_their_reasons(tmp_path: Path) -> None:
    path = save(quick_dataset(), tmp_path / "in" / "cut.dcm")
    path.write_bytes(path.read_bytes()[:-10])
    export(tmp_path / "in", tmp_path / "out")
    summary = read_status(config(tmp_path / "in", tmp_path / "out")).summary
    assert summary is not None
    assert summary.failed == {"pixels: truncated pixel data": 1}


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="does not exist"):
        read_status(config(tmp_path, tmp_path / "out"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"no database at all, though of some length" * 9])
def test_a_ledger_that_is_none(tmp_path: Path, content: bytes) -> None:
    ledger = tmp_path / "metadata.jsonl.ledger"
    ledger.write_bytes(content)
    with pytest.raises(LedgerError, match=r"empty|damaged"):
        read_status(config(tmp_path / "in", tmp_path))
    assert ledger.read_bytes() == content


def test_another_version(tmp_path: Path) -> None:
    export(tree(tmp_path / "in"), tmp_path / "out")
    with sqlite3.connect(tmp_path / "out" / "metadata.jsonl.ledger") as database:
        database.execute("UPDATE meta SET value = '0' WHERE key = 'version'")
    database.close()
    with pytest.raises(LedgerError, match="another version"):
        read_status(config(tmp_path / "in", tmp_path / "out"))


# What a run does between two commits: it holds the lock, and a journal lies beside the ledger.
HOLD = """
import sys, time
from crawler.ledger.database import Ledger
ledger = Ledger(sys.argv[1])
ledger.put("finished", False)
ledger.commit()
ledger.put("finished", True)
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a locked file cannot be read there to compare it")
def test_running_then_killed(tmp_path: Path) -> None:
    export(tree(tmp_path / "in"), tmp_path / "out")
    ledger = tmp_path / "out" / "metadata.jsonl.ledger"
    command = [sys.executable, "-c", HOLD, str(ledger)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "held\n"
        before = state(tmp_path)
        status = read_status(config(tmp_path / "in", tmp_path / "out"))
        assert (status.running, status.summary) == (True, None)
        run.kill()
        run.wait()
    assert Path(f"{ledger}-journal").exists(), "a kill in mid-transaction is what this is about"
    status = read_status(config(tmp_path / "in", tmp_path / "out"))
    assert (status.running, status.finished) == (False, False)
    assert status.summary is not None
    assert status.summary.found == 4
    assert state(tmp_path) == before


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree(tmp_path / "in")
    settings = tmp_path / "c.yml"
    settings.write_text(f"num_workers: 0\noutput: {{dir: {tmp_path}/out}}\ndicom: {{dir: {tmp_path}/in}}\nmetadata:\n")
    assert main(["status", str(settings)]) == 1
    assert "does not exist" in capsys.readouterr().err
    assert main([str(settings), "-q"]) == 0
    assert main(["status", str(settings)]) == 0
    lines = capsys.readouterr().out.splitlines()
    told = {line.split("  ")[0]: line.split()[-1] for line in lines}
    assert (told["state"], told["exported"], told["skipped"], told["failed"]) == ("finished", "3", "1", "0")
