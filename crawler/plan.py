"""Folders to tasks: small folders are bundled, large ones are indexed first and then exported scan by scan.

Before a folder's first task goes out, the ledger notes what already lies in its output folders: from then on what is
new there is ours, whatever kills the run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from crawler.ledger import FileRow
from crawler.model import File, Outcome, portable
from crawler.naming import media_stems, scan_digest
from crawler.scan import SeriesKey, scan_members
from crawler.sources.directory import Folder, Outputs, Root, listing
from crawler.store import Store, output_root
from crawler.work import FolderJob, FolderTask, IndexResult, IndexTask, Poison, ScanJob, ScanTask, Spooled, Task

FOLDER_FILES = 512  # a folder of up to so many files is one task: its headers fit in memory, each file is read once
INDEX_FILES = 256
BUNDLE_FILES = 64  # tiny folders and scans share a task up to here, which keeps the pipe quiet
KINDS = {"media": "image", "volume": "volume"}


@dataclass(frozen=True, slots=True)
class FolderPlan:
    """A folder taken in work: its listing, and what lies in its output folders that is not ours."""

    folder: Folder
    files: tuple[File, ...]
    found: frozenset[str]
    known: dict[str, str]

    def job(self) -> FolderJob:
        """The folder as work for one worker."""
        return FolderJob(self.folder.key, self.folder.mirror, self.files, self.known, self.found)

    def loose(self) -> list[FileRow]:
        """Faults of the listing as outcomes."""
        rows: list[FileRow] = []
        for name, reason, detail in self.folder.faults:
            outcome = "skipped" if reason == "not a regular file" else "failed"
            rows.append((portable(name), 0, 0, Outcome(outcome, "find", reason, detail)))  # type: ignore[arg-type]
        return rows


@dataclass(slots=True)
class LargeFolder:
    """A folder that goes through the pool in parts."""

    plan: FolderPlan
    entries: dict[int, tuple[SeriesKey, Spooled] | Outcome] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    scans: list[str] = field(default_factory=list)
    waiting: int = 0
    counted: int = 0

    def index_tasks(self) -> list[tuple[int, IndexTask]]:
        """Tasks that read all headers, with the number of their first file."""
        files = self.plan.files
        return [(at, IndexTask(files[at : at + INDEX_FILES])) for at in range(0, len(files), INDEX_FILES)]

    def take(self, start: int, result: IndexResult) -> bool:
        """Keep an index task's answer; True when it was the last."""
        self.entries.update(enumerate(result.entries, start))
        return len(self.entries) == len(self.plan.files)

    def scan_tasks(self) -> list[ScanTask]:
        """Group what was read: tasks that export each scan that changed, the largest first, tiny ones bundled."""
        plan = self.plan
        all_names = [os.path.basename(file.path) for file in plan.files]
        stems = media_stems(all_names)
        read = [number for number, entry in sorted(self.entries.items()) if not isinstance(entry, Outcome)]
        names = [all_names[number] for number in read]
        found = {number: entry for number, entry in self.entries.items() if not isinstance(entry, Outcome)}
        jobs: list[ScanJob] = []
        for scan_id, members in scan_members(plan.folder.key, names, [found[number][0] for number in read]).items():
            files = tuple(plan.files[read[member]] for member in members)
            mine = tuple(stems[names[member]] for member in members)
            self.scans.append(scan_id)
            if plan.known.get(scan_id) == scan_digest(files, mine):
                self.kept.append(scan_id)
                continue
            spooled = tuple(found[read[member]][1] for member in members)
            jobs.append(ScanJob(scan_id, plan.folder.mirror, files, mine, spooled, plan.found))
        jobs.sort(key=lambda job: -sum(file.size for file in job.files))
        tasks: list[ScanTask] = []
        bundle: list[ScanJob] = []
        for job in jobs:
            bundle.append(job)
            if sum(len(one.files) for one in bundle) >= BUNDLE_FILES:
                tasks.append(ScanTask(tuple(bundle)))
                bundle = []
        if bundle:
            tasks.append(ScanTask(tuple(bundle)))
        self.waiting = len(tasks)
        return tasks

    def loose(self) -> list[FileRow]:
        """Files outside scans."""
        rows = [
            (file.name, file.size, file.mtime_ns, entry)
            for number, file in enumerate(self.plan.files)
            if isinstance(entry := self.entries[number], Outcome)
        ]
        return rows + self.plan.loose()


class Planner:
    """Takes queued folders in work, in order."""

    def __init__(self, store: Store, roots: list[Root], outputs: Outputs, bundle: int) -> None:
        self._store, self._roots, self._outputs = store, roots, outputs
        self._bundle = max(1, min(BUNDLE_FILES, bundle))

    def folders(self) -> Iterator[list[FolderPlan]]:
        """Bundles of small folders, or single large ones."""
        bundle: list[FolderPlan] = []
        for root, path in self._store.ledger.todo():
            plan = self._take(listing(self._roots[root], os.fsdecode(path), self._outputs))
            if len(plan.files) > FOLDER_FILES:
                yield [plan]
                continue
            bundle.append(plan)
            if sum(len(one.files) + 1 for one in bundle) > self._bundle:
                yield bundle
                bundle = []
        if bundle:
            yield bundle

    def _take(self, folder: Folder) -> FolderPlan:
        ledger, key = self._store.ledger, folder.key
        known = ledger.known_scans(key)
        found = ledger.open_folder(key, self._found(folder))
        return FolderPlan(folder, tuple(folder.files()), found, known)

    def _found(self, folder: Folder) -> set[str]:
        """What lies in the folder's output folders and is not ours."""
        config = self._store.config
        if config.media is not None and config.media.overwrite:
            return set()
        ours: set[tuple[str, bytes]] | None = None
        found: set[str] = set()
        for slot, kind in KINDS.items():
            if (config.media if slot == "media" else config.volume) is None:
                continue
            try:
                names = os.listdir(os.path.join(output_root(config, kind), folder.mirror))
            except (FileNotFoundError, NotADirectoryError):
                continue
            if ours is None:
                ours = self._store.ledger.products_in(folder.key)
            for name in names:
                path = os.fsencode(os.path.join(folder.mirror, name))
                if not any((of, path) in ours for of in ("image", "video", "volume", "sidecar")):
                    found.add(f"{slot}/{name}")
        return found


def poisoned(task: Task, item: int, outcome: Outcome) -> Task:
    """The same task, with one item marked as not to be touched at that stage again."""
    marked: Poison = {**task.poison, item: outcome}
    return replace(task, poison=marked)


def size_of(task: Task) -> int:
    """Units that a task can be split in."""
    return 1 if isinstance(task, IndexTask) else len(task.jobs)


def split(task: FolderTask | ScanTask) -> list[Task]:
    """One task for each unit of a bundle, with its share of the poison."""
    parts: list[Task] = []
    base = 0
    for job in task.jobs:
        mine = {item - base: outcome for item, outcome in task.poison.items() if 0 <= item - base < len(job.files)}
        parts.append(FolderTask((job,), mine) if isinstance(job, FolderJob) else ScanTask((job,), mine))
        base += len(job.files)
    return parts
