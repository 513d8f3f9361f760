"""No ffmpeg outlives the process that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from support.runs import ROOT

from crawler.engine.pool import Limits, Lost, Pool, start_method
from crawler.sinks import program
from crawler.sinks.ffmpeg import find_program

ENDLESS = (find_program(), "-hide_banner", "-nostdin", "-re", "-f", "lavfi", "-i", "testsrc", "-f", "null", "-")
CODE = """
import sys
from crawler.sinks import program
process = program.start(sys.argv[1:])
process.stderr.read(1)  # it runs
print(process.pid, flush=True)
sys.stdin.read()
"""
linux = pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is of Linux")


def has_ended(pid: int) -> bool:
    """Whether a process is gone within a minute, or only its entry is left."""
    try:
        process = psutil.Process(pid)
        process.wait(60.0)
    except psutil.TimeoutExpired:
        return process.status() == psutil.STATUS_ZOMBIE  # of a container whose first process collects nothing
    except psutil.NoSuchProcess:
        pass
    return True


@linux
@pytest.mark.parametrize("path", [os.environ["PATH"], "/nowhere"], ids=["setpriv", "between fork and exec"])
def test_a_program_ends_with_the_process_that_started_it(path):
    command = [sys.executable, "-c", CODE, *ENDLESS]
    environment = {**os.environ, "PATH": path}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as starter:
        pid = int(starter.stdout.readline())
        assert psutil.Process(pid).is_running()
        starter.kill()
        starter.wait()
        assert has_ended(pid)


def work(task, heartbeat):
    """Start an endless ffmpeg, note its number, and die."""
    process = program.start(ENDLESS)
    process.stderr.read(1)
    Path(task).write_text(str(process.pid))
    os.kill(os.getpid(), signal.SIGKILL)


@linux
def test_none_is_left_after_kill_9_of_its_worker(tmp_path):
    pool = Pool(1, work, Limits(600.0, 1 << 30), start_method())
    pool.submit(str(tmp_path / "pid"))
    events = []
    while not events:
        events = pool.events()
    assert [type(event) for event in events] == [Lost]
    pool.terminate()
    assert has_ended(int((tmp_path / "pid").read_text()))


def test_output_and_messages_of_a_run():
    done = program.run([sys.executable, "-c", "import sys; print('out'); sys.exit('message')"])
    assert (done.returncode, done.stdout.strip(), done.stderr.strip()) == (1, b"out", b"message")


def test_a_program_without_setpriv_gives_the_same(monkeypatch):
    monkeypatch.setattr(program, "_setpriv", tuple)
    test_output_and_messages_of_a_run()


def test_one_that_is_not_there():
    with pytest.raises(OSError, match="nowhere"):
        program.run(["/nowhere/ffmpeg"])
