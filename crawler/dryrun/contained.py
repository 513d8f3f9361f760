"""The dry run's reading, by the workers of a run and within its limits: a file that kills its reader costs itself.

It reads headers, lists archives and copies members, and knows nothing of what is done with them.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import TracebackType
from typing import Any

from crawler.archives.quota import Quota
from crawler.config.loader import Config
from crawler.dicom.attributes import Name
from crawler.dicom.files import open_file
from crawler.engine.pool import Done, Inline, Limits, Pool
from crawler.error_boundary import ErrorBoundary
from crawler.errors import NotDicom
from crawler.export.heartbeat import Heartbeat
from crawler.instance.header import read_instance
from crawler.model import File, Instance, Outcome
from crawler.sources.archive import Expanded, expand

CHUNK = 32  # files of a task


@dataclass(frozen=True, slots=True)
class _Task:
    """Files to be read (or the one archive to be listed, or files to be copied to `targets`), without `culprits`."""

    kind: str
    files: tuple[File, ...]
    targets: tuple[str, ...] = ()
    culprits: dict[int, Outcome] = field(default_factory=dict)


class _Work:
    """What a worker does with a task."""

    def __init__(self, custom: Name, spooled: int, readers: tuple[str, ...]) -> None:
        self._custom, self._spooled, self._readers = custom, spooled, readers

    def __call__(self, task: _Task, heartbeat: Heartbeat) -> list[Any]:
        """One answer for each file."""
        answers: list[Any] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # libraries' warnings quote values
            for item, file in enumerate(task.files):
                if item in task.culprits:
                    answers.append(task.culprits[item])
                    continue
                stage = "header" if task.kind == "header" else "find"
                heartbeat.note(item, stage)
                failed: list[Outcome] = []
                with ErrorBoundary(stage, failed.append):
                    answers.append(self._do(task, item, file, heartbeat))
                answers += failed
        return answers

    def _do(self, task: _Task, item: int, file: File, heartbeat: Heartbeat) -> Any:
        if task.kind == "archive":
            note, quota = partial(heartbeat.note, item, "find"), Quota(spooled=self._spooled)
            return expand(file, task.targets[0], quota, note, self._readers)
        if task.kind == "copy":
            with open_file(file) as stream, open(task.targets[item], "wb") as copy:
                shutil.copyfileobj(stream, copy)
            return None
        try:
            return read_instance(file, custom=self._custom)._replace(record={})
        except NotDicom:
            return Outcome("skipped", "", "not DICOM")


class ContainedReader:
    """Workers that read for the dry run. A context: they end with it.

    Parameters
    ----------
    spooled
        Most bytes that the members of one archive may take in the temporary folder.
    """

    def __init__(self, config: Config, spooled: int) -> None:
        custom = config.volume.element if config.volume else ""
        self._work = _Work(custom, spooled, config.dicom.readers)
        self._workers = min(config.num_workers, os.cpu_count() or 1)
        self._limits = Limits(config.limits.seconds, config.limits.memory)
        self._pool: Pool | Inline | None = None

    def __enter__(self) -> ContainedReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.terminate()

    def headers(self, files: Sequence[File]) -> list[Instance | Outcome]:
        """Each file's header without its record, or what will become of the file."""
        tasks = [_Task("header", tuple(files[at : at + CHUNK])) for at in range(0, len(files), CHUNK)]
        return [answer for answers in self._run(tasks) for answer in answers]

    def expand(self, file: File, spool: str) -> Expanded:
        """The members of an archive."""
        (answer,) = self._run([_Task("archive", (file,), (spool,))])[0]
        return Expanded((), (), answer) if isinstance(answer, Outcome) else answer

    def copy(self, files: Sequence[File], targets: Sequence[str]) -> list[Outcome | None]:
        """Copy files; None for each that was copied, else why it was not."""
        tasks = [_Task("copy", (file,), (target,)) for file, target in zip(files, targets, strict=True)]
        return [answer for answers in self._run(tasks) for answer in answers]

    def _run(self, tasks: Sequence[_Task]) -> list[list[Any]]:
        """The answers to tasks, in their order."""
        if self._pool is None:
            self._pool = Pool(self._workers, self._work, self._limits) if self._workers else Inline(self._work)
        answers: dict[int, list[Any]] = {}
        waiting = {self._pool.submit(task): (number, task, 0) for number, task in enumerate(tasks)}
        while waiting:
            for event in self._pool.events():
                number, task, losses = waiting.pop(event.ticket)
                if isinstance(event, Done):
                    answers[number] = event.value
                    continue
                outcome = Outcome("failed", event.stage, event.reason, event.detail)
                item = event.item
                if item is not None and item not in task.culprits:
                    task = replace(task, culprits={**task.culprits, item: outcome})
                elif losses:  # again, and no file to blame
                    answers[number] = [outcome] * len(task.files)
                    continue
                waiting[self._pool.submit(task)] = (number, task, 0 if item is not None else losses + 1)
        return [answers[number] for number in range(len(tasks))]
