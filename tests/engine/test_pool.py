"""Workers that crash, hang, grow or die idle cost their own task, and the pool goes on."""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from crawler.engine.pool import Done, Inline, Limits, Lost, Pool, start_method
from crawler.errors import OutputError, StopError
from crawler.export.heartbeat import Heartbeat

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ends workers by POSIX signals")
LIMITS = Limits(seconds=600, memory=100 * 10**6)  # a busy machine takes no step for a hang


def work(task, heartbeat: Heartbeat):
    """A task is a list of deeds; the answer counts those that were done."""
    for item, deed in enumerate(task):
        heartbeat.note(item, "pixels")
        if deed == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif deed == "hang":
            hang(heartbeat)
        elif deed == "grow":
            bytearray(2 * 10**9)  # refused at once
        elif deed == "grow outside the heap":
            block = mmap.mmap(-1, 2 * 10**8, flags=mmap.MAP_SHARED)
            for _ in range(20):
                block.write(b"x" * 10**7)
            time.sleep(3600)  # it is found as soon as the parent looks
        elif deed == "raise":
            raise KeyError("a value that must not be quoted")
        elif deed == "full":
            raise OutputError("the disk is full")
        elif deed == "slow":
            time.sleep(0.4)
        elif deed == "start a program":
            shell = 'sleep 3600 & echo $! > "$0.part"; mv "$0.part" "$0"; wait'  # a program that starts another
            subprocess.Popen(["sh", "-c", shell, task[0]], start_new_session=True)
            while not Path(task[0]).exists():
                time.sleep(0.01)
            hang(heartbeat)
    heartbeat.clear()
    return len(task)


def hang(heartbeat: Heartbeat) -> None:
    """Never return, and have been at it for an hour already, by the notes that the parent reads."""
    heartbeat._slots[2] -= 3600
    time.sleep(3600)


def answers(pool, tasks):
    tickets = {pool.submit(task): number for number, task in enumerate(tasks)}
    found = {}
    end = time.monotonic() + 600
    while len(found) < len(tasks):
        assert time.monotonic() < end, "the pool never answered"
        for event in pool.events():
            found[tickets[event.ticket]] = event
    return [found[number] for number in range(len(tasks))]


@pytest.fixture
def pool():
    pool = Pool(2, work, LIMITS)
    yield pool
    pool.terminate()


@pytest.mark.parametrize(
    ("deed", "reasons"),
    [
        ("crash", {"worker died"}),
        ("hang", {"time limit"}),
        ("grow", {"out of memory"}),
        ("grow outside the heap", {"memory limit"}),
        ("raise", {"internal error"}),
    ],
)
def test_a_poison_item_is_named_and_its_neighbours_are_answered(pool, deed, reasons):
    events = answers(pool, [["fine"], ["fine", deed, "fine"], ["fine"] * 3, *[["fine"]] * 20])
    lost = events.pop(1)
    assert isinstance(lost, Lost)
    assert (lost.item, lost.stage) == (1, "pixels")
    assert lost.reason in reasons
    assert "quoted" not in lost.detail
    assert [type(event) for event in events] == [Done] * 22


def test_the_clock_starts_anew_with_every_step():
    heartbeat = Heartbeat([0.0] * 4)
    for stage in ("header", "pixels", "pixels"):
        heartbeat._slots[2] -= 3600
        heartbeat.note(0, stage)
        assert time.monotonic() - heartbeat.where()[2] < 100


def test_time_for_which_everything_was_stopped_does_not_count(pool):
    """Ctrl-Z: the parent finds that it did not look for long, and grants its workers that time."""
    pool._limits = Limits(seconds=3000, memory=LIMITS.memory)
    now = time.monotonic()
    pool._last_look = now - 3600
    pool._note_stall()
    assert pool._seconds_since(now - 3600) < 100
    assert pool._seconds_since(now - 7200) > 3500
    assert pool._seconds_since(time.monotonic()) < 100


@pytest.mark.skipif(not shutil.which("sleep"), reason="needs a program that does nothing")
def test_programs_of_a_worker_end_with_it(pool, tmp_path):
    note = tmp_path / "pid"
    (event,) = answers(pool, [[str(note), "start a program"]])
    assert isinstance(event, Lost)
    program = int(note.read_text())
    end = time.monotonic() + 600
    while is_running(program):
        assert time.monotonic() < end, "the program outlived its worker"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie (its new parent may be slow to collect it)."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.skipif(start_method() != "fork", reason="a worker begins with its parent's memory by fork alone")
def test_what_the_parent_holds_is_not_counted():
    ballast = b"x" * 150_000_000
    pool = Pool(1, work, Limits(seconds=600, memory=100_000_000))
    try:
        (event,) = answers(pool, [["slow"] * 3])  # the parent looks several times
    finally:
        pool.terminate()
    assert isinstance(event, Done)
    assert len(ballast) == 150_000_000


def test_workers_never_keep_their_parent_from_ending(pool):
    """Python waits for child processes at its end, but for those of this kind."""
    assert all(worker.process.daemon for worker in pool._workers)


def test_a_worker_that_dies_while_idle_takes_nothing_along(pool):
    answers(pool, [["fine"]] * 4)
    for worker in list(pool._workers):
        os.kill(worker.process.pid, signal.SIGKILL)
    assert all(isinstance(event, Done) for event in answers(pool, [["fine"]] * 50))


def test_an_error_that_stops_the_run_is_raised_in_the_parent(pool):
    with pytest.raises(OutputError, match="full"):
        answers(pool, [["full"]])


class CannotLoad:
    """Work that ends the process that loads it."""

    def __reduce__(self):
        return (os._exit, (7,))


def test_workers_that_cannot_start_end_the_run():
    pool = Pool(1, CannotLoad(), LIMITS, method="spawn")
    try:
        with pytest.raises(StopError, match="num_workers: 0"):
            answers(pool, [["fine"]])
    finally:
        pool.terminate()


def test_workers_leave_when_the_parent_is_killed(tmp_path):
    note = tmp_path / "pid"
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            pool = Pool(1, work, Limits(10**6, 10**9))
            pool.submit(["hang"])
            while not pool._workers[0].heartbeat.begun():
                pool.events()
            (tmp_path / "part").write_text(str(pool._workers[0].process.pid))
            (tmp_path / "part").rename(note)
            time.sleep(3600)
        os._exit(0)
    end = time.monotonic() + 600
    try:
        while not note.exists():
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    worker = int(note.read_text())
    while time.monotonic() < end:
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    pytest.fail("the worker outlived its parent")


def test_inline_answers_like_the_pool():
    events = answers(Inline(work), [["fine", "fine"], ["fine", "raise"]])
    assert events[0] == Done(1, 2)
    assert isinstance(events[1], Lost)
    assert (events[1].item, events[1].reason) == (1, "internal error")


def test_pebble_answers_alike_and_breaks_where_we_do_not():
    """The library that the pool stands in for: equal answers, but an idle death fails all that is queued."""
    pebble = pytest.importorskip("pebble", reason="pip install pebble")
    with pebble.ProcessPool(max_workers=2) as other:
        assert [other.schedule(len, args=(["a"] * n,)).result(30) for n in range(5)] == list(range(5))
        pids = [other.schedule(os.getpid).result(30) for _ in range(8)]
        for pid in set(pids):
            os.kill(pid, signal.SIGKILL)

        def submit_until_it_fails():
            for _ in range(600):  # it takes a moment until it notices
                other.schedule(len, args=(["a"],)).result(10)
                time.sleep(0.05)

        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever it raises, the work is not done
            submit_until_it_fails()
