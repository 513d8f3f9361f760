"""Jobs on the disk: a folder each, with `config.yml`, what the user wants of it, and what became of its process.

The state of a job is worked out from what is there (its process, its exit code, its ledger), whoever started the server
and however it ended. It starts and ends no process: `queue.py` does.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

import psutil

from crawler.config.loader import Config, parse_config
from crawler.errors import StopError
from crawler.ledger.live import Live, live_path, read_live
from crawler.ledger.summary import EXIT_FAILED_FILES, EXIT_INTERRUPTED, EXIT_OK
from crawler.web.places import is_id
from crawler.web.refusals import Refused

JOBS = "jobs"
CONFIG, INPUT, LOG, EXIT = "config.yml", "input", "run.out", "exit.json"
DRY, DRY_EXIT = "dryrun.out", "dryrun.json"
_STATE = "job.json"
_SAME_SECOND = 2.0  # the kernel's clock ticks and ours differ in when they think a process began

# What the user wants of a job.
DRAFT, QUEUED, RUN, PAUSED, CANCELLED = "draft", "queued", "run", "paused", "cancelled"


@dataclass(slots=True)
class Job:
    """One job.

    Attributes
    ----------
    id
        Name of its folder; says when it was made, and nothing of its content.
    folder
        Absolute path.
    title
        What the user calls it.
    wanted
        draft, queued, run, paused or cancelled.
    flags
        Arguments of the next run behind the configuration's name, such as ``--retry-failed``.
    queued
        When it was put in the queue, seconds since the epoch.
    runs
        How often it was started.
    process, born
        Process that looks after the run, and when that process began, seconds since the epoch.
    """

    id: str
    folder: str
    title: str = ""
    wanted: str = DRAFT
    flags: list[str] = field(default_factory=list)
    queued: float = 0.0
    runs: int = 0
    process: int = 0
    born: float = 0.0

    def path(self, name: str) -> str:
        """Path of one of its files."""
        return os.path.join(self.folder, name)

    def save(self) -> None:
        """Write it down, whole or not at all."""
        values = {name: value for name, value in asdict(self).items() if name not in ("id", "folder")}
        write_whole(self.path(_STATE), json.dumps(values))

    @property
    def text(self) -> str:
        """Its configuration, as YAML."""
        with open(self.path(CONFIG), encoding="utf-8") as file:
            return file.read()

    def config(self) -> Config:
        """Its configuration, checked; relative paths lie in its folder.

        Raises
        ------
        ConfigError
            It is wrong.
        """
        return parse_config(self.text, CONFIG, self.folder)

    def is_alive(self) -> bool:
        """Whether the process that looks after its run is there."""
        return is_process(self.process, self.born)

    def exit(self) -> dict[str, Any]:
        """Exit code and time of the last run that ended; empty when none did since it was started."""
        try:
            with open(self.path(EXIT), encoding="utf-8") as file:
                told = json.load(file)
            return dict(told) if told["run"] == self.runs else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def live(self) -> Live | None:
        """What its run tells; None when none does."""
        try:
            state = os.stat(path := self.path(CONFIG))
            live = read_live(_live_path(path, state.st_mtime_ns, state.st_size))
        except (StopError, OSError, UnicodeDecodeError):
            return None
        return live if live is not None and is_process(live.process, 0.0, live.began) else None

    def state(self) -> str:
        """How it stands: draft, queued, running, stopping, finished, incomplete, failed, paused, cancelled, lost."""
        if self.is_alive() or self.live() is not None:
            return "stopping" if self.wanted in (PAUSED, CANCELLED) else "running"
        if self.wanted in (DRAFT, QUEUED, PAUSED, CANCELLED):
            return self.wanted
        code = self.exit().get("code")
        return {EXIT_OK: "finished", EXIT_FAILED_FILES: "incomplete", EXIT_INTERRUPTED: "lost", None: "lost"}.get(
            code, "failed"
        )


class Jobs:
    """The jobs of a workspace."""

    def __init__(self, workspace: str) -> None:
        self.folder = os.path.join(workspace, JOBS)
        os.makedirs(self.folder, exist_ok=True)

    def make(self, title: str, text: str) -> Job:
        """A new job, as a draft."""
        job = Job(name := new_id(), os.path.join(self.folder, name), title[:200])
        os.mkdir(job.folder, 0o700)
        os.mkdir(job.path(INPUT))
        write_whole(job.path(CONFIG), text)
        job.save()
        return job

    def get(self, name: str) -> Job:
        """The job of a name.

        Raises
        ------
        Refused
            There is none.
        """
        folder = os.path.join(self.folder, name)
        if is_id(name) and not os.path.islink(folder):
            with contextlib.suppress(OSError, ValueError, TypeError), open(os.path.join(folder, _STATE), "rb") as file:
                return Job(name, folder, **json.load(file))
        raise Refused(404, "there is no such job")

    def all(self) -> Iterator[Job]:
        """Every job, the newest first."""
        for name in sorted(os.listdir(self.folder), reverse=True):
            with contextlib.suppress(Refused):
                yield self.get(name)


@lru_cache(maxsize=1024)
def _live_path(path: str, changed: int, size: int) -> str:
    """Where a run of a configuration tells its progress; asked for every second, and as slow as YAML is."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return live_path(parse_config(text, CONFIG, os.path.dirname(path)))


def new_id() -> str:
    """A name for a job: when, and a random part."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"


def is_process(number: int, born: float, latest: float = 0.0) -> bool:
    """Whether a process is there and began at a time, or not after `latest`: its number may be another's by now."""
    if number <= 0:
        return False
    try:
        process = psutil.Process(number)
        began = process.create_time()
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
    except psutil.Error:
        return False
    return began <= latest + _SAME_SECOND if latest else abs(began - born) <= _SAME_SECOND


def write_whole(path: str, text: str) -> None:
    """Write a file and rename it into place."""
    scratch = f"{path}.{secrets.token_hex(4)}.new"
    with open(scratch, "x", encoding="utf-8", newline="") as file:
        file.write(text)
    os.replace(scratch, path)
