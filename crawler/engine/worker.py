"""The worker's side of the pool: run tasks, say where you are, keep to the memory limit, leave with the parent.

A worker notes in shared memory which item of its task it is on, at which stage, and since when. The parent (`pool.py`)
reads it to name the culprit when the process dies, hangs or outgrows its memory.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

from crawler.error_boundary import describe, stop_of
from crawler.errors import StopError
from crawler.export.heartbeat import Heartbeat, Work
from crawler.export.private_log import take_streams

PR_SET_PDEATHSIG = 1  # prctl(2)
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc


def serve(conn: Connection, slots: Any, work: Work, memory: int, parent: int) -> None:
    """What a worker process runs."""
    if private_log := getattr(work, "private_log", None):
        take_streams(private_log)
    faulthandler.disable()  # the parent tells of a crash in one line
    # Ctrl-C, and what a scheduler sends to all processes of a job, are the parent's to handle: it has tasks finished.
    for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    _leave_with(parent)
    resident, data = _held()
    _limit_memory(data + memory)
    _keep_freed_memory()
    heartbeat = Heartbeat(slots)
    conn.send(("ready", resident))
    while True:
        try:
            message = conn.recv()
        except (EOFError, OSError):
            return
        if message is None:
            return
        heartbeat.begin(message[0])
        try:
            reply = ForkingPickler.dumps(("done", work(message[1], heartbeat)))
        except StopError as error:
            reply = ForkingPickler.dumps(("stop", error))
        except Exception as error:  # the boundary between workers and parent
            item, stage, _ = heartbeat.where()
            stop = stop_of(error)
            reply = ForkingPickler.dumps(("stop", stop) if stop else ("error", (item, stage, *describe(error))))
        heartbeat.clear()
        try:
            conn.send_bytes(reply)
        except OSError:  # the parent is gone
            return


def _held() -> tuple[int, int]:
    """Bytes of resident memory, and of data and stack: a forked worker begins with its parent's. 0 where untold."""
    if sys.platform != "linux":
        return 0, 0
    import resource

    with open("/proc/self/statm", "rb") as statm:  # proc(5): the second and the sixth number, in pages
        numbers = statm.read().split()
    return int(numbers[1]) * resource.getpagesize(), int(numbers[5]) * resource.getpagesize()


def _limit_memory(ceiling: int) -> None:
    """Make allocations beyond `ceiling` bytes of data fail; elsewhere the parent looks on."""
    if sys.platform == "linux":
        import resource

        with contextlib.suppress(ValueError, OSError):  # the system allows less anyway
            resource.setrlimit(resource.RLIMIT_DATA, (ceiling, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _keep_freed_memory() -> None:
    """Have frames reuse memory: glibc gives every block above 128 kB back when it is freed.

    The system then clears new pages for each frame; kept, CT to HDF5 takes a third less system time. What is kept is
    64 MB at most. Does nothing where the C library knows no `mallopt`.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(M_MMAP_THRESHOLD, 32 << 20)  # the most that it takes
            mallopt(M_TRIM_THRESHOLD, 64 << 20)


def _leave_with(parent: int) -> None:
    """Have this process end when its parent is gone (killed, it could not tell us): no orphan goes on writing."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) == 0:
                if os.getppid() != parent:  # it went before
                    os._exit(1)
                return
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    """Look every second whether the parent is there."""
    while sys.platform == "win32" or os.getppid() == parent:
        time.sleep(1.0)
        if sys.platform == "win32":
            import psutil

            if not psutil.pid_exists(parent):
                break
    os._exit(1)
