"""What the pool makes of each thing that may become of a worker, one at a time: no processes, no waiting."""

from __future__ import annotations

import errno
import os
import signal
import sys

import pytest

from crawler.engine import pool as module
from crawler.engine.pool import Done, Inline, Limits, Lost, Pool
from crawler.errors import OutputError, StopError
from crawler.export.heartbeat import SLOT, Heartbeat

# As `pool.py` has them: whoever changes one of them there is asked here whether that is meant.
TICK, START_SECONDS, STALL_SECONDS, START_ATTEMPTS = 0.25, 60.0, 1.0, 3
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="names POSIX signals")


class Process:
    """A process that ended, or did not: `exitcode` says so."""

    def __init__(self) -> None:
        self.sentinel = object()
        self.exitcode: int | None = None
        self.joined: list[float] = []

    def join(self, seconds: float) -> None:
        self.joined.append(seconds)


class Conn:
    """A pipe: what was sent into it, and what comes out of it."""

    def __init__(self) -> None:
        self.sent: list[object] = []
        self.inside: list[object] = []
        self.breaks: Exception | None = None

    def send(self, message: object) -> None:
        if self.breaks is not None:
            raise self.breaks
        self.sent.append(message)

    def poll(self) -> bool:
        return bool(self.inside)

    def recv(self) -> object:
        message = self.inside.pop(0)
        if isinstance(message, Exception):
            raise message
        return message


class Worker:
    """A worker whose fate the test decides."""

    made: list[Worker]

    def __init__(self, *arguments: object) -> None:
        self.conn, self.process, self.heartbeat = Conn(), Process(), Heartbeat([0.0] * SLOT)
        self.ticket: int | None = None
        self.task: object = None
        self.ready, self.killed, self.growth, self.initial_memory = False, 0, 0, 0
        Worker.made.append(self)

    def memory_growth(self) -> int:
        return self.growth

    def kill(self) -> None:
        self.killed += 1


class Clock:
    """Time as the test has it."""

    now = 10_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr("crawler.export.heartbeat.time", clock)
    return clock


@pytest.fixture
def ready(monkeypatch, clock):
    """What `wait` finds ready at the next look."""
    found: list[object] = []

    def wait(handles, seconds):
        assert seconds == TICK
        return [one for one in found if one in handles]

    Worker.made = []
    monkeypatch.setattr(module, "wait", wait)
    monkeypatch.setattr(module, "_Worker", Worker)
    return found


@pytest.fixture
def pool(ready):
    pool = Pool(2, print, Limits(600, 1000))
    for worker in Worker.made:
        start(pool, worker, ready)
    return pool


def start(pool, worker, ready):
    ready[:] = [worker.conn]
    worker.conn.inside.append(("ready", 77))
    assert pool.events() == []
    assert worker.initial_memory == 77
    ready.clear()


def begin(pool, ready, item=3, stage="pixels"):
    """One task, taken by the first worker, which is on an item of it."""
    ticket = pool.submit("task")
    worker = next(one for one in Worker.made if one.ticket == ticket)
    worker.heartbeat.begin(ticket)
    worker.heartbeat.note(item, stage)
    return ticket, worker


def test_each_worker_has_one_task_at_a_time_and_the_rest_waits(pool, ready):
    tickets = [pool.submit(name) for name in "abc"]
    assert tickets == [1, 2, 3]
    first, second = Worker.made
    assert (first.conn.sent, second.conn.sent) == ([(1, "a")], [(2, "b")])
    assert pool.backlog == 3
    first.conn.inside.append(("done", "answer"))
    ready[:] = [first.conn]
    assert pool.events() == [Done(1, "answer")]
    assert first.conn.sent[1:] == [(3, "c")]
    assert pool.backlog == 2
    assert pool.forget_queue() == []


def test_what_no_worker_is_on_can_be_forgotten(pool):
    for name in "abcd":
        pool.submit(name)
    assert pool.forget_queue() == [3, 4]
    assert pool.backlog == 2


def test_a_task_waits_for_a_worker_that_has_said_its_first_word(ready):
    pool = Pool(1, print, Limits(600, 1000))
    (worker,) = Worker.made
    pool.submit("a")
    assert worker.conn.sent == []
    start(pool, worker, ready)
    assert worker.conn.sent == [(1, "a")]


def test_a_task_that_cannot_be_sent_to_a_worker_that_just_died_stays(pool, ready):
    first, second = Worker.made
    second.ticket = 99  # busy
    first.conn.breaks = BrokenPipeError()
    ticket = pool.submit("task")
    assert pool.backlog == 2
    assert first.ticket is None
    first.process.exitcode = -9
    ready[:] = [first.process.sentinel]
    assert pool.events() == []
    assert first.killed == 1
    third = Worker.made[2]
    start(pool, third, ready)
    assert third.conn.sent == [(ticket, "task")]


def test_a_worker_that_died_before_its_task_came_loses_nothing(pool, ready):
    ticket = pool.submit("task")
    worker = next(one for one in Worker.made if one.ticket == ticket)
    worker.process.exitcode = -9
    ready[:] = [worker.process.sentinel]
    assert pool.events() == []
    other = next(one for one in Worker.made[:2] if one is not worker)
    assert other.conn.sent == [(ticket, "task")]


@pytest.mark.parametrize(
    ("code", "detail"),
    [
        (-signal.SIGSEGV, "the process that handled it was ended by SIGSEGV"),
        (-signal.SIGKILL, "the process that handled it was ended by SIGKILL, perhaps by the system for want of memory"),
        (-200, "the process that handled it was ended by signal 200"),
        (7, "the process that handled it ended with code 7"),
        (0, "the process that handled it ended with code 0"),
        (None, "the process that handled it stopped answering"),
    ],
)
def test_a_death_is_told_by_its_cause(pool, ready, code, detail):
    ticket, worker = begin(pool, ready)
    worker.process.exitcode = code
    ready[:] = [worker.process.sentinel]
    assert pool.events() == [Lost(ticket, 3, "pixels", "worker died", detail)]
    assert worker.killed == 1
    assert Worker.made[2] in pool._workers
    assert worker not in pool._workers


def test_a_pipe_that_ends_in_mid_word_is_a_death(pool, ready):
    ticket, worker = begin(pool, ready)
    worker.conn.inside.append(EOFError())
    worker.process.exitcode = -signal.SIGSEGV
    ready[:] = [worker.conn]
    (event,) = pool.events()
    assert event == Lost(ticket, 3, "pixels", "worker died", "the process that handled it was ended by SIGSEGV")
    assert worker.process.joined == [10.0]


def test_an_answer_that_came_before_the_death_counts(pool, ready):
    ticket, worker = begin(pool, ready)
    worker.conn.inside.append(("done", 1))
    worker.process.exitcode = -9
    ready[:] = [worker.conn, worker.process.sentinel]
    assert pool.events() == [Done(ticket, 1)]
    assert worker.killed == 1


def test_an_error_is_a_loss_and_a_stop_is_raised(pool, ready):
    ticket, worker = begin(pool, ready)
    worker.conn.inside.append(("error", (2, "write", "internal error", "KeyError at x.py:1")))
    ready[:] = [worker.conn]
    assert pool.events() == [Lost(ticket, 2, "write", "internal error", "KeyError at x.py:1")]
    assert worker.killed == 0
    _, worker = begin(pool, ready)
    worker.conn.inside.append(("stop", OutputError("full")))
    ready[:] = [worker.conn]
    with pytest.raises(OutputError, match="full"):
        pool.events()


def test_a_word_about_no_task_is_passed_over(pool, ready):
    worker = Worker.made[0]
    worker.conn.inside.append(("done", 1))
    ready[:] = [worker.conn]
    assert pool.events() == []


def look(pool, clock, seconds):
    """Let time pass in steps that are no stand-still, and look at the limits after each."""
    events = []
    end = clock.now + seconds
    while clock.now < end:
        clock.now = min(end, clock.now + TICK)
        events += pool.events()
    return events


def test_a_hang_is_ended_after_the_limit_and_not_at_it(pool, ready, clock):
    ticket, worker = begin(pool, ready)
    assert look(pool, clock, 600) == []
    assert worker.killed == 0
    assert look(pool, clock, TICK) == [
        Lost(ticket, 3, "pixels", "time limit", "no progress for 600 s (limits.seconds)")
    ]
    assert worker.killed == 1


def test_an_idle_worker_has_no_time_limit(pool, clock):
    assert look(pool, clock, 700) == []
    assert [worker.killed for worker in Worker.made] == [0, 0]


def test_a_worker_that_outgrows_its_memory_is_ended(pool, ready, clock):
    ticket, worker = begin(pool, ready)
    worker.growth = 1000
    assert look(pool, clock, 1) == []
    worker.growth = 1001
    assert look(pool, clock, TICK) == [
        Lost(ticket, 3, "pixels", "memory limit", "needed more than 1,000 bytes (limits.memory)")
    ]


def test_limits_are_looked_at_once_a_tick(pool, ready, clock):
    _, worker = begin(pool, ready)
    look(pool, clock, TICK)
    worker.growth = 2000
    clock.now += TICK / 2
    assert pool.events() == []
    clock.now += TICK / 2
    assert len(pool.events()) == 1


def test_one_that_hangs_at_its_start_is_replaced_and_takes_nothing_along(ready, clock):
    pool = Pool(1, print, Limits(600, 1000))
    pool.submit("task")
    assert look(pool, clock, START_SECONDS) == []
    assert len(Worker.made) == 1
    assert look(pool, clock, TICK) == []
    assert [worker.killed for worker in Worker.made] == [1, 0]
    start(pool, Worker.made[1], ready)
    assert Worker.made[1].conn.sent == [(1, "task")]


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_that_never_start_end_the_run_after_some_attempts(ready, clock, workers):
    pool = Pool(workers, print, Limits(600, 1000))
    for _ in range(START_ATTEMPTS * workers - 1):
        Worker.made[-1].process.exitcode = 1
        ready[:] = [Worker.made[-1].process.sentinel]
        assert pool.events() == []
    ready[:] = [Worker.made[-1].process.sentinel]
    with pytest.raises(StopError, match="num_workers: 0"):
        pool.events()


def test_one_that_starts_in_between_counts_anew(ready, clock):
    pool = Pool(1, print, Limits(600, 1000))
    for _ in range(2):
        for _ in range(START_ATTEMPTS - 1):
            ready[:] = [Worker.made[-1].process.sentinel]
            assert pool.events() == []
        start(pool, Worker.made[-1], ready)
        ready[:] = [Worker.made[-1].process.sentinel]
        assert pool.events() == []


@pytest.mark.parametrize("at_start", [True, False])
@pytest.mark.parametrize(("number", "hint"), [(errno.EMFILE, True), (errno.ENFILE, True), (errno.ENOMEM, False)])
def test_a_process_that_cannot_be_made_is_one_line(ready, monkeypatch, number, hint, at_start):
    def refuse(*arguments):
        raise OSError(number, os.strerror(number))

    if at_start:
        monkeypatch.setattr(module, "_Worker", refuse)
        with pytest.raises(StopError, match=os.strerror(number)) as caught:
            Pool(1, print, Limits(600, 1000))
    else:
        pool = Pool(1, print, Limits(600, 1000))
        monkeypatch.setattr(module, "_Worker", refuse)
        ready[:] = [Worker.made[0].process.sentinel]
        with pytest.raises(StopError, match=os.strerror(number)) as caught:
            pool.events()
    assert ("ulimit -n" in str(caught.value)) == hint


def test_a_stand_still_of_the_whole_group_is_granted(pool, ready, clock):
    """Ctrl-Z for an hour: a task that is in work goes on for as long as before."""
    _, worker = begin(pool, ready)
    look(pool, clock, 400)
    clock.now += 3600
    assert pool.events() == []
    assert look(pool, clock, 195) == []
    assert worker.killed == 0
    (event,) = look(pool, clock, 10)
    assert event.reason == "time limit"


@pytest.mark.parametrize(("pause", "granted"), [(TICK + STALL_SECONDS, False), (TICK + STALL_SECONDS + 0.5, True)])
def test_a_short_pause_is_no_stand_still(pool, clock, pause, granted):
    begin_at = clock.now
    pool.events()
    clock.now += pause
    pool.events()
    passed = pool._seconds_since(begin_at)
    assert passed == pytest.approx(TICK if granted else pause)


def test_time_before_a_task_began_is_not_granted_to_it(pool, clock):
    pool.events()
    clock.now += 3600
    pool.events()
    middle = clock.now - 1800
    assert pool._seconds_since(middle) == pytest.approx(0)
    assert pool._seconds_since(clock.now) == 0


def test_close_asks_the_workers_to_leave_and_terminate_does_not(pool):
    first, second = Worker.made
    second.conn.breaks = BrokenPipeError()
    pool.close()
    assert first.conn.sent == [None]
    assert [worker.process.joined for worker in Worker.made] == [[2.0], [2.0]]
    assert [worker.killed for worker in Worker.made] == [1, 1]
    assert pool._workers == []
    assert pool.backlog == 0


def test_terminate_ends_them_at_once(pool):
    pool.submit("task")
    pool.terminate()
    assert [worker.killed for worker in Worker.made] == [1, 1]
    assert [worker.process.joined for worker in Worker.made] == [[], []]
    assert pool._workers == []


def test_inline_keeps_the_order_and_forgets_on_demand():
    inline = Inline(lambda task, heartbeat: task * 2)
    assert inline.events() == []
    assert [inline.submit(number) for number in (5, 6, 7)] == [1, 2, 3]
    assert inline.backlog == 3
    assert inline.events() == [Done(1, 10)]
    assert inline.forget_queue() == [2, 3]
    assert inline.backlog == 0
    assert inline.events() == []


def test_inline_names_item_and_stage_of_an_error_and_lets_a_stop_pass():
    def work(task, heartbeat):
        heartbeat.note(4, "write")
        raise task

    inline = Inline(work)
    for error in (ZeroDivisionError(), OSError(errno.ENOSPC, "full"), StopError("enough")):
        inline.submit(error)
    (event,) = inline.events()
    assert (event.ticket, event.item, event.stage, event.reason) == (1, 4, "write", "internal error")
    with pytest.raises(OutputError, match="disk is full"):
        inline.events()
    with pytest.raises(StopError, match="enough"):
        inline.events()
    assert inline.backlog == 0


@pytest.mark.parametrize(
    ("platform", "threads", "method"),
    [("linux", 1, "fork"), ("linux", 2, "spawn"), ("darwin", 1, "spawn"), ("win32", 1, "spawn")],
)
def test_workers_are_forked_where_that_is_safe(monkeypatch, platform, threads, method):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr("threading.active_count", lambda: threads)
    assert module.start_method() == method
