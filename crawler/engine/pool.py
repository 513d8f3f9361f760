"""Worker processes that may die: tasks go out, answers come back, and a poison file costs one file.

Workers note what they are on (`worker.py`). The parent kills one that makes no progress or outgrows its memory, and
when one dies it names the item. A lost task comes back as `Lost`; running the rest of it again is the caller's
business, as is what an item means.

Why not `concurrent.futures` (one dead worker breaks the pool for good) or `pebble` (a worker that dies while idle
breaks it for all that is queued; limits count per task, not per file): tests/test_pool.py shows both.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from multiprocessing.connection import wait
from typing import Any, NamedTuple

from crawler.engine.worker import serve
from crawler.error_boundary import describe, stop_of
from crawler.errors import StopError
from crawler.export.heartbeat import SLOT, Heartbeat, Work
from crawler.export.private_log import streams_taken

TICK = 0.25  # seconds between two looks at time and memory
START_SECONDS = 60.0  # a worker that has not said its first word by then never will
STALL_SECONDS = 1.0  # between two looks: the parent was stopped (Ctrl-Z, a frozen container), so the workers were too
START_ATTEMPTS = 3  # workers in a row that die before their first word: the machine, not a file, is at fault


class Limits(NamedTuple):
    """What one file may cost a worker: seconds for one step (a header, a frame, a file closed), bytes resident."""

    seconds: float
    memory: int


class Done(NamedTuple):
    """A task's answer."""

    ticket: int
    value: Any


class Lost(NamedTuple):
    """A task that ended without an answer. `item` is the culprit's number in the task, None if not noted."""

    ticket: int
    item: int | None
    stage: str
    reason: str
    detail: str


class Inline:
    """No processes: tasks run here, one at a time, without containment (num_workers: 0)."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._queue: deque[tuple[int, Any]] = deque()
        self._tickets = 0

    @property
    def backlog(self) -> int:
        """Tasks that have not been answered."""
        return len(self._queue)

    def submit(self, task: Any) -> int:
        """Queue a task; its ticket comes back with its answer."""
        self._tickets += 1
        self._queue.append((self._tickets, task))
        return self._tickets

    def events(self) -> list[Done | Lost]:
        """Run the next task."""
        if not self._queue:
            return []
        ticket, task = self._queue.popleft()
        heartbeat = Heartbeat([0.0] * SLOT)
        try:
            # What codecs write to standard error may name paths: under `privacy` it is not for the screen.
            with streams_taken(getattr(self._work, "private_log", None)):
                return [Done(ticket, self._work(task, heartbeat))]
        except StopError:
            raise
        except Exception as error:  # the boundary between workers and parent
            stop = stop_of(error)
            if stop is not None:
                raise stop from error
            item, stage, _ = heartbeat.where()
            return [Lost(ticket, item, stage, *describe(error))]

    def forget_queue(self) -> list[int]:
        """Drop what has not begun; return its tickets."""
        dropped = [ticket for ticket, _ in self._queue]
        self._queue.clear()
        return dropped

    def close(self) -> None:
        """Nothing to stop."""

    terminate = close


class _Worker:
    """One process, its pipe, and the task that it is on."""

    def __init__(self, context: Any, work: Work, limits: Limits) -> None:
        slots = _shared_slots(context)
        self.heartbeat = Heartbeat(slots)
        self.conn, there = context.Pipe()
        self.ticket: int | None = None
        self.task: Any = None
        self.ready = False
        self.process = context.Process(
            target=serve, args=(there, slots, work, limits.memory, os.getpid()), name="dme-worker", daemon=True
        )
        self.process.start()
        there.close()
        self.initial_memory = 0
        """Bytes of memory in use when it was ready: a forked process counts what its parent held."""
        self._usage: Any = None

    def memory_growth(self) -> int:
        """Bytes of memory in use beyond those that it began with, 0 if the process is gone."""
        import psutil  # slow to load, and a short run is over before anyone asks

        try:
            self._usage = self._usage or psutil.Process(self.process.pid)
            return int(self._usage.memory_info().rss) - self.initial_memory
        except psutil.Error:
            return 0

    def kill(self) -> None:
        """End the process and the programs that it runs (ffmpeg) at once, and wait for that."""
        programs = self._programs()
        self.process.kill()
        self.process.join()
        for program in programs:
            with contextlib.suppress(OSError):
                os.kill(program, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
        self.conn.close()

    def _programs(self) -> list[int]:
        """Process ids of what the process started. It is stopped first, so that it starts nothing more."""
        if self.ticket is None or not self.process.is_alive():
            return []
        import psutil

        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(self.process.pid)
            process.suspend()
            return [child.pid for child in process.children(recursive=True)]
        return []


class Pool:
    """`workers` processes that run `work(task, heartbeat)`.

    `work` and its answers must be picklable; where the parent has threads (a notebook) or no safe `fork`, workers
    start by spawn and import `work` anew.
    """

    def __init__(self, workers: int, work: Work, limits: Limits, method: str = "") -> None:
        self._context = multiprocessing.get_context(method or start_method())
        self._work = work
        self._limits = limits
        self._queue: deque[tuple[int, Any]] = deque()
        self._tickets = 0
        self._failed_starts = 0
        self._last_check = self._last_look = time.monotonic()
        self._stalls: deque[tuple[float, float]] = deque(maxlen=1000)  # from when to when this process stood still
        try:
            self._workers = [_Worker(self._context, work, limits) for _ in range(workers)]
        except OSError as error:
            raise _cannot_start(error) from None

    @property
    def backlog(self) -> int:
        """Tasks that have not been answered."""
        return len(self._queue) + sum(worker.ticket is not None for worker in self._workers)

    def submit(self, task: Any) -> int:
        """Queue a task; its ticket comes back with its answer."""
        self._tickets += 1
        self._queue.append((self._tickets, task))
        self._dispatch()
        return self._tickets

    def events(self) -> list[Done | Lost]:
        """Answers and losses since the last call; waits a moment for the first.

        Raises
        ------
        StopError
            What a worker raised as such (a full disk), or workers that cannot start at all.
        """
        events: list[Done | Lost] = []
        handles = [worker.conn for worker in self._workers] + [w.process.sentinel for w in self._workers]
        ready = set(wait(handles, TICK))
        self._note_stall()
        for number, worker in enumerate(self._workers):
            dead = worker.process.sentinel in ready
            if worker.conn in ready:
                try:
                    while worker.conn.poll():
                        events.extend(self._receive(worker, worker.conn.recv()))
                except (EOFError, OSError):  # the pipe of a process that is gone, in mid-word perhaps
                    worker.process.join(10.0)
                    dead = True
            if dead:
                events.extend(self._replace_worker(number, worker, *_exit_reason(worker.process)))
        if time.monotonic() - self._last_check >= TICK:
            self._last_check = time.monotonic()
            events.extend(self._enforce_limits())
        self._dispatch()
        return events

    def forget_queue(self) -> list[int]:
        """Drop what no worker is on; return its tickets."""
        dropped = [ticket for ticket, _ in self._queue]
        self._queue.clear()
        return dropped

    def close(self) -> None:
        """Let idle workers leave; they have nothing left to do."""
        for worker in self._workers:
            with contextlib.suppress(OSError):
                worker.conn.send(None)
        for worker in self._workers:
            worker.process.join(2.0)
            worker.kill()
        self._workers = []

    def terminate(self) -> None:
        """End all workers at once, whatever they are on."""
        for worker in self._workers:
            worker.kill()
        self._workers = []

    def _dispatch(self) -> None:
        for worker in self._workers:
            if self._queue and worker.ticket is None and worker.ready:
                ticket, task = self._queue.popleft()
                worker.heartbeat.clear()
                try:
                    worker.conn.send((ticket, task))
                except OSError:  # it died while idle: the next look replaces it, the task stays
                    self._queue.appendleft((ticket, task))
                    continue
                worker.ticket, worker.task = ticket, task

    def _receive(self, worker: _Worker, message: Any) -> list[Done | Lost]:
        kind, value = message
        if kind == "ready":
            worker.ready, worker.initial_memory, self._failed_starts = True, value, 0
            return []
        ticket, worker.ticket = worker.ticket, None
        if ticket is None:
            return []
        if kind == "stop":
            raise value
        if kind == "error":
            return [Lost(ticket, *value)]
        return [Done(ticket, value)]

    def _replace_worker(self, number: int, worker: _Worker, reason: str, detail: str) -> list[Done | Lost]:
        """Replace a worker; what it was on is lost. One that dies while idle takes nothing along."""
        item, stage, _ = worker.heartbeat.where()
        worker.kill()
        if worker.ticket is not None and worker.heartbeat.begun() != worker.ticket:
            self._queue.appendleft((worker.ticket, worker.task))  # it never got there
            worker.ticket = None
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= START_ATTEMPTS * len(self._workers):
                raise StopError("worker processes cannot start; 'num_workers: 0' runs without them")
        try:
            self._workers[number] = _Worker(self._context, self._work, self._limits)
        except OSError as error:
            raise _cannot_start(error) from None
        return [] if worker.ticket is None else [Lost(worker.ticket, item, stage, reason, detail)]

    def _enforce_limits(self) -> list[Done | Lost]:
        lost: list[Done | Lost] = []
        for number, worker in enumerate(self._workers):
            _, _, since = worker.heartbeat.where()
            if not worker.ready and self._seconds_since(since) > START_SECONDS:
                lost += self._replace_worker(number, worker, "worker died", "it never started")
            if worker.ticket is None:
                continue
            if self._seconds_since(since) > self._limits.seconds:
                text = f"no progress for {self._limits.seconds:g} s (limits.seconds)"
                lost += self._replace_worker(number, worker, "time limit", text)
            elif worker.memory_growth() > self._limits.memory:
                text = f"needed more than {self._limits.memory:,} bytes (limits.memory)"
                lost += self._replace_worker(number, worker, "memory limit", text)
        return lost

    def _note_stall(self) -> None:
        """Note that this process did not run for a while: it looks every `TICK`, and its own work between is short."""
        now = time.monotonic()
        if now - self._last_look > TICK + STALL_SECONDS:
            self._stalls.append((self._last_look + TICK, now))
        self._last_look = now

    def _seconds_since(self, begin: float) -> float:
        """Time since a moment, without that for which this process, and with it the whole group, stood still."""
        stalled = sum(max(0.0, stop - max(start, begin)) for start, stop in self._stalls)
        return time.monotonic() - begin - stalled


def start_method() -> str:
    """`fork` where it is safe (Linux, no other thread here): 0.02 s a worker against 0.7 s by `spawn`."""
    return "fork" if sys.platform == "linux" and threading.active_count() == 1 else "spawn"


def _shared_slots(context: Any) -> Any:
    """Memory that a worker shares with its parent: by `fork` anonymous, so that it needs no place in /dev/shm."""
    if context.get_start_method() == "fork":
        return memoryview(mmap.mmap(-1, SLOT * 8)).cast("d")
    return context.RawArray("d", SLOT)


def _cannot_start(error: OSError) -> StopError:
    hint = "; raise the limit of open files (ulimit -n)" if error.errno in (errno.EMFILE, errno.ENFILE) else ""
    return StopError(f"worker processes cannot start: {error.strerror}{hint}; fewer 'num_workers' need less, 0 none")


def _exit_reason(process: Any) -> tuple[str, str]:
    code = process.exitcode
    if code is None:
        return "worker died", "the process that handled it stopped answering"
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        hint = ", perhaps by the system for want of memory" if name == "SIGKILL" else ""
        return "worker died", f"the process that handled it was ended by {name}{hint}"
    return "worker died", f"the process that handled it ended with code {code}"
