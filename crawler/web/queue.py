"""Starts jobs when it is their turn, and does what a user wants of them: pause, cancel, retry, start again, remove.

What waits and what runs is read from the disk each time, so that a server that was killed goes on where it was: jobs
that run are not its children, and are found again by their process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import shutil
import signal
import sys
import threading
import time

import psutil

from crawler.web.jobs import (
    CANCELLED,
    CONFIG,
    DRAFT,
    DRY,
    DRY_EXIT,
    EXIT,
    LOG,
    PAUSED,
    QUEUED,
    RUN,
    Job,
    Jobs,
    write_whole,
)
from crawler.web.refusals import Refused
from crawler.web.supervisor import SIGNALS

log = logging.getLogger("dme.web")

SECONDS = 0.5  # between two looks at the queue
ACTIVE = ("running", "stopping")
_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Queue:
    """The jobs of a workspace, at most so many at a time."""

    def __init__(self, jobs: Jobs, command: tuple[str, ...], at_once: int) -> None:
        self.jobs, self.command, self.at_once = jobs, command, at_once
        self._lock = threading.RLock()
        self._children: list[int] = []

    def tick(self) -> None:
        """Start what is due."""
        with self._lock:
            self._children = [child for child in self._children if not _has_ended(child)]
            jobs = list(self.jobs.all())
            waiting = sorted((job for job in jobs if job.wanted == QUEUED), key=lambda job: job.queued)
            if not waiting:
                return
            free = self.at_once - sum(job.wanted != QUEUED and job.state() in ACTIVE for job in jobs)
            for job in waiting[: max(0, free)]:
                self._start(job)

    def run_until(self, ended: threading.Event) -> None:
        """Look at the queue until the server ends."""
        while not ended.wait(SECONDS):
            try:
                self.tick()
            except OSError as error:  # a full disk, say: tried again
                log.warning("the queue: %s", error.strerror)

    def enqueue(self, name: str, flags: tuple[str, ...] = ()) -> None:
        """Have a job run, when it is its turn; it goes on where it was.

        Raises
        ------
        Refused
            It runs already.
        """
        with self._lock:
            job = self._idle(name)
            job.wanted, job.flags, job.queued = QUEUED, list(flags), time.time()
            job.save()

    def stop(self, name: str, wanted: str) -> None:
        """Have a job end in order: paused, to go on later, or cancelled. What is done is kept; asked again, at once."""
        if wanted not in (PAUSED, CANCELLED):
            raise ValueError(wanted)
        with self._lock:
            job = self.jobs.get(name)
            if job.wanted == DRAFT or job.state() not in (*ACTIVE, QUEUED):
                raise Refused(409, "the job does not run")
            job.wanted = wanted
            job.save()
            if job.is_alive():
                with contextlib.suppress(OSError):
                    os.kill(job.process, signal.SIGINT)
            elif (live := job.live()) is not None:  # the process that looked after it was killed
                with contextlib.suppress(OSError):
                    os.kill(live.process, signal.SIGINT)

    def remove(self, name: str) -> None:
        """Delete a job, its uploads, and the outputs in its folder. What lies elsewhere stays.

        Raises
        ------
        Refused
            It runs.
        """
        with self._lock:
            job = self._idle(name)
            aside = f"{job.folder}.removed"
            os.rename(job.folder, aside)  # in one step: no half of a job is ever listed
        shutil.rmtree(aside, ignore_errors=True)

    def dry_run(self, name: str) -> None:
        """Have a job's dry run begin; what it says goes to a file beside the log.

        Raises
        ------
        Refused
            The job runs.
        """
        with self._lock:
            job = self._idle(name)
            for old in (DRY, DRY_EXIT):
                with contextlib.suppress(OSError):
                    os.unlink(job.path(old))
            self._spawn(job, DRY, DRY_EXIT, ["--dry-run"])

    def write(self, name: str, text: str) -> None:
        """Give a job that does not run another configuration."""
        with self._lock:
            write_whole(self._idle(name).path(CONFIG), text)

    def _idle(self, name: str) -> Job:
        job = self.jobs.get(name)
        if job.wanted == QUEUED or job.state() in ACTIVE:
            raise Refused(409, "the job runs, or waits: stop it first")
        return job

    def _start(self, job: Job) -> None:
        job.runs, job.wanted, job.process = job.runs + 1, RUN, 0
        job.save()  # first: a server that is killed here must not start it twice
        with contextlib.suppress(OSError):
            os.unlink(job.path(EXIT))
        job.process, job.born = self._spawn(job, LOG, EXIT, job.flags)
        job.save()

    def _spawn(self, job: Job, log_name: str, exit_name: str, flags: list[str]) -> tuple[int, float]:
        """Start the command of a job under a supervisor; return its process and when that began, 0 when it cannot."""
        command = [*self.command, CONFIG, *flags]
        looked_after = ["-P", "-m", "crawler.web.supervisor", job.folder, str(job.runs), log_name, exit_name, *command]
        nowhere = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
        try:
            # No child that is waited for, as those of `subprocess` are: it outlives the server.
            # Signals wait until it listens: a cancel right after the start is not lost, even where this server's own
            # shell had it ignore SIGINT (`nohup`, `&`).
            child = os.posix_spawn(
                sys.executable,
                [sys.executable, *looked_after],
                environment(),
                file_actions=nowhere,
                setsigmask=SIGNALS,
                setsigdef=SIGNALS,
            )
            self._children.append(child)
            return child, psutil.Process(child).create_time()
        except (OSError, psutil.Error) as error:
            with open(job.path(log_name), "a", encoding="utf-8") as file:
                file.write(f"dme: the run cannot be started ({type(error).__name__})\n")
            return 0, 0.0


def _has_ended(child: int) -> bool:
    """Whether a child has ended; the system may forget it then."""
    try:
        return os.waitpid(child, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True


def environment() -> dict[str, str]:
    """The server's own; modules are never loaded from the folder of a job."""
    path = os.pathsep.join(filter(None, [_PACKAGE, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def command_text(job: Job, command: tuple[str, ...], flags: tuple[str, ...] = ()) -> str:
    """The command line of a job, to be copied into a shell."""
    return f"cd {shlex.quote(job.folder)} && {shlex.join([*command, CONFIG, *flags])}"
