"""Scripts for SLURM and what `status` says of their tasks; sbatch is a stand-in here, see `test_slurm_system.py`."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.factories import ct_series
from support.runs import ROOT, config

from crawler.cli.shard_table import shard_table
from crawler.cluster import run_shard as shard_runs
from crawler.cluster.beats import Beating, read_beat
from crawler.cluster.making import make_plan
from crawler.cluster.run_shard import run_shard
from crawler.cluster.shards import Shard, ledger_path_of, shard_dir
from crawler.cluster.slurm import Scripts, Wishes, submit, write_scripts
from crawler.cluster.states import read_states
from crawler.engine.progress import Silent
from crawler.errors import LedgerError, StopError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="bash scripts")


@pytest.fixture
def tree(tmp_path) -> Path:
    for number in range(4):
        ct_series(tmp_path / "in put" / f"f{number}", n=3, uid=f"1.2.3.{number}")
    return tmp_path / "in put"


@pytest.fixture
def settings(tree, tmp_path) -> Path:
    path = tmp_path / "my config.yml"
    path.write_text(f'output: {{dir: "{tmp_path}/out put"}}\ndicom: {{dir: "{tree}"}}\nmetadata:\nnum_workers: 0\n')
    return path


def dme(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "dme.py"), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environ}, cwd=ROOT, timeout=120, check=False
    )


@pytest.fixture
def fake_sbatch(tmp_path) -> dict[str, str]:
    """A stand-in that prints a number and notes what it was given."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "sbatch"
    program.write_text(f'#!/bin/sh\necho "$@" >> "{tmp_path}/asked"\nwc -l < "{tmp_path}/asked"\n')
    program.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_plan_scripts_submission_and_merge(settings, tmp_path, fake_sbatch):
    wanted = [
        "--shards",
        "2",
        "--no-estimate",
        "--time",
        "1:00:00",
        "--mem",
        "4G",
        "--cpus",
        "1",
        "--extra=--comment=two words",
    ]
    done = dme("slurm", str(settings), *wanted, **fake_sbatch)
    assert done.returncode == 0, done.stderr
    assert "submitted   job 1, and job 2 for the merge" in done.stdout
    folder = tmp_path / "out put" / "dme-shards"
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == [
        f"--parsable {folder}/array.sbatch",
        f"--parsable --dependency=afterany:1 {folder}/merge.sbatch",
    ]
    text = (folder / "array.sbatch").read_text()
    for line in ("--array=1-2", "--time=1:00:00", "--mem=4G", "--cpus-per-task=1", '--comment="two words"'):
        assert f"#SBATCH {line}\n" in text
    assert f'#SBATCH --output="{folder}/slurm-%A_%a.log"' in text
    for task in ("2", "1"):  # as SLURM would run them
        environ = {**os.environ, "SLURM_ARRAY_TASK_ID": task, "SLURM_CPUS_PER_TASK": "1"}
        subprocess.run(["bash", str(folder / "array.sbatch")], env=environ, check=True, capture_output=True)
    merged = subprocess.run(["bash", str(folder / "merge.sbatch")], capture_output=True, text=True, check=True)
    assert "2 shards, merged" in merged.stdout
    told = dme("status", str(settings))
    assert told.returncode == 0, told.stderr
    assert "2 done; 12 of 12 files" in told.stdout
    assert "finished" in told.stdout


def test_script_hands_signals_on_and_queues_again_near_the_time_limit(settings, tmp_path, fake_sbatch):
    """The run itself is a stand-in here: it says which signal it got, and ends as an interrupted run does."""
    loaded = replace(config(tmp_path, tmp_path / "out"), directory=str(tmp_path))
    stand_in = tmp_path / "run"
    # It says that it is ready through a pipe, and waits for a signal, not for a time.
    stand_in.write_text(
        "#!/bin/bash\ntrap 'kill $idle; exit 130' USR1 TERM\nsleep 600 & idle=$!\n"
        "echo > ready\nwhile :; do wait; done\n"
    )
    stand_in.chmod(0o755)
    requeue = tmp_path / "bin" / "scontrol"
    requeue.write_text(f'#!/bin/sh\necho "$@" > "{tmp_path}/requeued"\n')
    requeue.chmod(0o755)
    scripts = write_scripts(loaded, 3, [str(stand_in)], str(settings), Wishes(1))
    os.mkfifo(tmp_path / "ready")
    environ = {**os.environ, **fake_sbatch, "SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_JOB_ID": "77"}
    for number, queued in ((signal.SIGTERM, False), (signal.SIGUSR1, True)):
        process = subprocess.Popen(["bash", scripts.array], env=environ)
        assert (tmp_path / "ready").read_text() == "\n"
        process.send_signal(number)
        assert process.wait() == 130
        assert (tmp_path / "requeued").exists() == queued
    assert (tmp_path / "requeued").read_text().split() == ["requeue", "77_2"]


def test_without_sbatch_the_scripts_are_there(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StopError, match=r"no sbatch here; the scripts are written"):
        submit(Scripts(str(tmp_path / "a"), str(tmp_path / "b")))


def test_states_of_shards(tree, tmp_path):
    settings = config(tree, tmp_path / "out", metadata={"tables": []})
    assert read_states(settings) == []
    make_plan(settings, 4, estimate=False)
    run_shard(settings, 1, 4)
    run_shard(settings, 2, 4)
    run_shard(settings, 3, 4, job="9_3")
    beat = read_beat(settings, Shard(3, 4))
    assert beat is not None
    assert (beat.state, beat.done, beat.to_do, beat.job) == ("finished", 3, 3, "9_3")
    for number in (2, 3):
        with sqlite3.connect(ledger_path_of(settings, Shard(number, 4))) as ledger:
            ledger.execute("UPDATE meta SET value = 'false' WHERE key = 'finished'")
        ledger.close()
    beating = Beating(Silent(), shard_dir(settings, Shard(3, 4)))  # it began anew, and was never heard of again
    beating.start(3, 900)
    busy = sqlite3.connect(ledger_path_of(settings, Shard(2, 4)), isolation_level=None)
    busy.execute("BEGIN EXCLUSIVE")
    states = read_states(settings)
    assert [one.state for one in states] == ["done", "running", "lost", "not begun"]
    assert [(one.files, one.done) for one in states] == [(3, 3), (3, 3), (3, 3), (3, 0)]
    table = shard_table(states, "dme c.yml", "dme merge c.yml")
    assert "1 done, 1 running, 1 lost, 1 not begun; 9 of 12 files" in table
    assert table.endswith("To go on with a shard: dme c.yml --shard 3/4")
    told = read_beat(settings, Shard(2, 4))
    assert told is not None
    assert read_states(settings, now=told.told + 1000)[1].state == "late"
    busy.execute("ROLLBACK")
    busy.close()


class _AtWarning(logging.Handler):
    """Does something when the first warning comes."""

    def __init__(self, action) -> None:
        super().__init__(logging.WARNING)
        self._action, self.lines = action, []

    def emit(self, record: logging.LogRecord) -> None:
        if not self.lines:
            self._action()
        self.lines.append(record.getMessage())


def test_a_requeued_task_waits_for_its_earlier_process_and_for_no_other(tree, tmp_path, monkeypatch):
    # SLURM may start a requeued task while the process of its first start is dying: it left, and owed its shard.
    settings = config(tree, tmp_path / "out", metadata={"tables": []})
    shard = Shard(1, 2)
    files = run_shard(settings, 1, 2, job="9_1").found
    busy = sqlite3.connect(ledger_path_of(settings, shard), isolation_level=None)
    busy.execute("BEGIN EXCLUSIVE")
    for job in ("", "8_1"):
        with pytest.raises(LedgerError, match=r"by another task \(process \d+ on .*, job 9_1\): this one leaves"):
            run_shard(settings, 1, 2, job=job)
    handler = _AtWarning(lambda: busy.execute("ROLLBACK"))
    logging.getLogger("dme").addHandler(handler)
    try:
        assert run_shard(settings, 1, 2, job="9_1").found == files
    finally:
        logging.getLogger("dme").removeHandler(handler)
    assert handler.lines == ["shard 1/2: the process of this task's earlier start is ending; this one waits for it"]
    busy.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(shard_runs, "PATIENCE", -1.0)  # it hangs: the task leaves after all
    with pytest.raises(LedgerError, match="this one leaves"):
        run_shard(settings, 1, 2, job="9_1")
    busy.close()
