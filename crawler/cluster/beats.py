"""How far a running shard is: a small file beside its ledger, which the run's lock keeps others from reading.

The shard writes it every few seconds; `status.py` reads it. It is no record: the ledger alone says what is done.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from dataclasses import asdict, dataclass

from crawler.cluster.shards import Shard, shard_dir
from crawler.config.loader import Config
from crawler.engine.progress import Progress

EVERY = 5.0  # seconds between two states: a hundred shards write some 20 small files a second
NAME = "progress.json"


@dataclass(slots=True)
class Beat:
    """The state of a shard's run.

    Attributes
    ----------
    state
        survey, running, finished, interrupted or stopped.
    began, told
        Seconds since the epoch: start of the run, and of this state.
    to_do, size
        Files and bytes that this run has to do.
    done, done_size, failed
        Those that are done.
    where, process, job
        Host, process id, and SLURM's number of the task, if any.
    """

    state: str
    began: float
    told: float
    to_do: int = 0
    size: int = 0
    done: int = 0
    done_size: int = 0
    failed: int = 0
    where: str = ""
    process: int = 0
    job: str = ""


def read_beat(config: Config, shard: Shard) -> Beat | None:
    """The last state that a shard told; None when there is none."""
    try:
        with open(os.path.join(shard_dir(config, shard), NAME), encoding="utf-8") as file:
            return Beat(**json.load(file))
    except (OSError, ValueError, TypeError):  # not there, or of another version
        return None


class Beating:
    """Passes progress on, and writes it down now and then."""

    def __init__(self, progress: Progress, folder: str, job: str = "") -> None:
        self._progress = progress
        self._path = os.path.join(folder, NAME)
        now = time.time()
        self._beat = Beat("survey", now, now, where=socket.gethostname(), process=os.getpid(), job=job)
        self._told = float("-inf")

    def retrieving(self, standing: object) -> None:
        """No shard retrieves."""

    def survey(self, folders: int, files: int, size: int) -> None:
        """So much was found up to now; the first word comes when the ledger is locked."""
        self._progress.survey(folders, files, size)
        self._tell()

    def start(self, files: int, size: int) -> None:
        """So much is to be done."""
        self._progress.start(files, size)
        self._beat.state, self._beat.to_do, self._beat.size = "running", files, size
        self._tell(at_once=True)

    def advance(self, files: int, size: int, failed: int) -> None:
        """So much more is done."""
        self._progress.advance(files, size, failed)
        self._beat.done += files
        self._beat.done_size += size
        self._beat.failed += failed
        self._tell()

    def finish(self) -> None:
        """Nothing more follows."""
        self._progress.finish()

    def end(self, state: str) -> None:
        """The run ended so."""
        self._beat.state = state
        self._tell(at_once=True)

    def _tell(self, at_once: bool = False) -> None:
        if not at_once and time.monotonic() - self._told < EVERY:
            return
        self._told, self._beat.told = time.monotonic(), time.time()
        with contextlib.suppress(OSError):  # a full disk ends the run elsewhere
            with open(self._path + ".new", "w", encoding="utf-8") as file:
                json.dump(asdict(self._beat), file)
            os.replace(self._path + ".new", self._path)
