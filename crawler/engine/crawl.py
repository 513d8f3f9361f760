"""`Engine`: survey the input, hand tasks to the workers, record what comes back.

The parent is the one writer of records. It never decodes and never holds more than small results; workers write files.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from crawler.disk import make_folders
from crawler.engine.large_folder import LargeFolder
from crawler.engine.needs import name_of, require_packages
from crawler.engine.own_outputs import own_outputs
from crawler.engine.plan import (
    FOLDER_FILES,
    ArchivePlan,
    FolderPlan,
    Planner,
    size_of,
    split,
    with_culprit,
)
from crawler.engine.pool import Done, Inline, Limits, Lost, Pool, start_method
from crawler.engine.preload import preload
from crawler.engine.progress import Progress
from crawler.engine.recorder import Recorder
from crawler.engine.share import Share
from crawler.engine.survey import Survey
from crawler.engine.tree import Segment, TreeGrouping
from crawler.errors import OutputError, SourceError
from crawler.export.result import ScanResult
from crawler.export.setup import setup_of
from crawler.export.tasks import ArchiveTask, FolderResult, FolderTask, IndexResult, IndexTask, Task, Worker
from crawler.ledger.database import FileRow
from crawler.ledger.store import Store, disk_error
from crawler.model import Outcome
from crawler.paths import TEMP
from crawler.privacy.policy import Policy
from crawler.sources.archive import Expanded
from crawler.sources.directory import Folder, Outputs, Root

log = logging.getLogger("dme")

COMMIT_SECONDS = 0.5  # results of so long share one transaction
# Reasons of an archive that say nothing of what it holds.
UNTOLD = ("cannot be read", "worker died", "time limit", "memory limit", "out of memory")
DEPTH = 6  # tasks kept ready for each worker, so that none waits while the parent writes


class Ticket(NamedTuple):
    """A task in the pool, and whom its answer is for."""

    task: Task
    plans: tuple[FolderPlan, ...] = ()
    large: LargeFolder | None = None
    archive: ArchivePlan | None = None
    segments: tuple[Segment, ...] = ()
    start: int = 0
    losses: int = 0


class Part(NamedTuple):
    """The part of the input that a shard's run is for, and what of all shards' outputs is never input."""

    share: Share
    outputs: Outputs


class Engine:
    """One run over an open store. `stopped` is asked whether the user wants it to end.

    With `gate`, a pass over what it lets through: what it hides is not taken for vanished, and nothing is compacted.
    With `part`, a shard's run. While it is `patient`, a stopped run finishes the tasks that workers are on.
    """

    def __init__(
        self,
        store: Store,
        roots: list[Root],
        progress: Progress,
        stopped: Callable[[], bool],
        gate: Outputs | None = None,
        part: Part | None = None,
        policy: Policy | None = None,
        patient: Callable[[], bool] = lambda: False,
    ) -> None:
        self.store, self.ledger, self.roots, self.progress = store, store.ledger, roots, progress
        self.stopped, self._patient = stopped, patient
        self._policy = policy
        self._part = part or Part(Share(), gate or own_outputs(store.config))
        self.outputs = self._part.outputs
        self._partial = gate is not None
        self.recorder = Recorder(store, progress)
        self.tree = store.config.dicom.group == "tree"
        self.listed = self.listed_bytes = 0
        self._archives = False  # some are to be opened
        self._tickets: dict[int, Ticket] = {}
        self._ready: deque[Ticket] = deque()
        self._feeds: deque[Iterator[Ticket]] = deque()  # tasks of large folders, made when there is room for them
        self._committed = time.monotonic()
        self._lost_some = False  # workers may have put files in place that nobody recorded

    @property
    def handled(self) -> int:
        """Files looked at in this run."""
        return self.recorder.handled

    def run(self) -> None:
        """Do all that is to be done, or stop early; raises StopError when it cannot go on."""
        share = self._part.share
        survey = Survey(self.store, self.roots, self.outputs, self.progress, self.stopped, self._partial, share)
        survey.run()
        self.listed, self.listed_bytes = survey.listed, survey.size
        self._archives = bool(survey.archives)
        if self.stopped():
            return
        if survey.vanished:
            self.store.make_room(self.ledger.vanished(survey.archives))  # what archives hold is known later
        if self.ledger.count("todo") or (self.tree and survey.vanished):
            self._crawl()
        if not self.stopped():
            if survey.vanished and self.ledger.forget_vanished():
                self.ledger.touch()
            if self._lost_some or self.store.some_left():
                self.store.take_published()
            self.store.commit()
            if self._partial:
                return
            self.store.compact()
            self.store.empty_trash()

    # -- what is to be done ----------------------------------------------------------------------------------------

    def _crawl(self) -> None:
        config = self.store.config
        require_packages(config)
        files, size = self.ledger.totals()
        self.ledger.touch()
        self.progress.start(files, size)
        token = os.path.join(self.store.temp, uuid.uuid4().hex[:8])
        spool = os.path.join(config.private_dir or config.output_dir, TEMP, token)  # it holds originals
        try:
            make_folders(spool)
        except OSError as error:
            raise disk_error(error, spool) from None
        worker, workers = Worker(setup_of(config, spool, token, self._policy)), config.num_workers
        if not (self.tree or self._archives):  # it is known how many files there are
            workers = min(workers, max(1, files))
        limits = Limits(config.limits.seconds, config.limits.memory)
        if workers and start_method() == "fork":
            preload(config)
        self.pool: Pool | Inline = Pool(workers, worker, limits) if workers else Inline(worker)
        self.depth = DEPTH * max(1, workers)
        bundle = files // (max(1, workers) * 8)
        self.planner = Planner(self.store, self.roots, self.outputs, self._part.share, spool, bundle)
        clean = False
        try:
            if self.tree:
                self._crawl_tree()
            else:
                self._loop(self._prepare(bundle) for bundle in self.planner.bundles())
            clean = not self.stopped()
        finally:
            if clean:
                self.pool.close()
            else:
                self.pool.terminate()
                self._lost_some = True
            self.progress.finish()
            with contextlib.suppress(OutputError):  # the disk may be full: what was committed before is kept
                self.store.commit()

    def _crawl_tree(self) -> None:
        """Three rounds: read what changed, read what shares a scan with that, export the scans."""
        self.grouping = TreeGrouping(self.ledger, self.roots, self.planner)
        self._loop(self._prepare(bundle) for bundle in self.planner.bundles())
        self.grouping.open_roots()
        if not self.stopped():
            rest = self.grouping.index_rest()
            self._loop([Ticket(task, segments=tuple(segments))] for task, segments in rest)
        if not self.stopped():
            self._loop([Ticket(task)] for task in self.grouping.scan_tasks())
        if not self.stopped():
            self.grouping.finish()

    def _loop(self, source: Iterator[list[Ticket]]) -> None:
        """Keep the pool busy until the source is dry and every answer is in."""
        dry = False
        while not self.stopped():
            idle = not self.pool.backlog
            while (self._feeds or not dry) and len(self._ready) + self.pool.backlog < self.depth:
                if self._feeds:
                    fed = next(self._feeds[0], None)
                    if fed is None:
                        self._feeds.popleft()
                    else:
                        self._ready.append(fed)
                else:
                    more = next(source, None)
                    dry = more is None
                    self._ready.extend(more or ())
                if idle and len(self._ready) >= self.depth // DEPTH:
                    break  # one for each worker: the others are prepared while these are done
            if self._ready and self.pool.backlog < self.depth // 2 + 1:
                self._commit()  # the ledger knows the targets before anyone writes them
                while self._ready and self.pool.backlog < self.depth:
                    ticket = self._ready.popleft()
                    self._tickets[self.pool.submit(ticket.task)] = ticket
            if dry and not (self._tickets or self._ready or self._feeds):
                return
            if idle and (self._feeds or not dry):
                continue
            for event in self.pool.events():
                ticket = self._tickets.pop(event.ticket)
                if isinstance(event, Done):
                    self._done(ticket, event.value)
                else:
                    self._lost(ticket, event)
            if time.monotonic() - self._committed > COMMIT_SECONDS:
                self._commit()
        self._finish_tasks()

    def _finish_tasks(self) -> None:
        """Take the answers of tasks that workers are on, while there is time; nothing new begins."""
        self._ready.clear()
        self._feeds.clear()
        for number in self.pool.forget_queue():
            del self._tickets[number]
        while self.pool.backlog and self._patient():
            for event in self.pool.events():
                ticket = self._tickets.pop(event.ticket)
                if isinstance(event, Done):
                    self._done(ticket, event.value)
            for number in self.pool.forget_queue():  # of a worker that died before it began
                del self._tickets[number]
        self._ready.clear()

    def _commit(self) -> None:
        self.store.commit()
        self._committed = time.monotonic()

    def _prepare(self, bundle: list[FolderPlan] | ArchivePlan) -> list[Ticket]:
        """The tasks of folders, or of an archive, taken in work."""
        if isinstance(bundle, ArchivePlan):
            bundle.spool = os.path.join(bundle.spool, uuid.uuid4().hex)
            try:
                os.mkdir(bundle.spool)
            except OSError as error:
                raise disk_error(error, bundle.spool) from None
            return [Ticket(bundle.task(), archive=bundle)]
        if self.tree:
            for plan in bundle:
                failed = sum(outcome.outcome == "failed" for _, outcome in plan.folder.faults)
                self.recorder.advance(len(plan.folder.faults), 0, failed)
            return [Ticket(task, segments=tuple(parts)) for task, parts in self.grouping.index(bundle)]
        if len(bundle) == 1 and len(bundle[0].files) > FOLDER_FILES:
            large = LargeFolder(bundle[0])
            self._feeds.append(Ticket(task, large=large, start=start) for start, task in large.index_tasks())
            return []
        return [Ticket(FolderTask(tuple(plan.job() for plan in bundle)), plans=tuple(bundle))]

    # -- what came back --------------------------------------------------------------------------------------------

    def _done(self, ticket: Ticket, answer: Any) -> None:
        if isinstance(ticket.task, ArchiveTask) and ticket.archive is not None:
            self._archive_done(ticket.archive, answer)
        elif isinstance(ticket.task, FolderTask):
            for plan, result in zip(ticket.plans, answer, strict=True):
                self._folder_done(plan, result)
        elif ticket.segments:
            ungrouped = self.grouping.take(ticket.segments, answer)
            self.recorder.advance(len(ungrouped), 0, sum(outcome.outcome == "failed" for outcome in ungrouped))
        elif ticket.large is not None and isinstance(answer, IndexResult):
            if ticket.large.take(ticket.start, answer):
                self._feeds.append(self._scan_tickets(ticket.large))
        else:
            for result in answer:
                self.recorder.scan(ticket.large.plan.key if ticket.large else self._root_of(result), result)
            if ticket.large is not None:
                ticket.large.counted += sum(len(result.files) for result in answer)
                ticket.large.waiting -= 1
                self._large_done(ticket.large)

    def _archive_done(self, archive: ArchivePlan, listed: Expanded) -> None:
        if listed.outcome.reason in UNTOLD and not listed.members and self._keep_archive(archive, listed.outcome):
            return
        self.listed += len(listed.members) + len(listed.faults) + 1
        for bundle in self.planner.open(archive, listed):
            self._ready.extend(self._prepare(bundle))

    def _keep_archive(self, archive: ArchivePlan, outcome: Outcome) -> bool:
        """Keep what is known of an archive that cannot be read now, for the next run to look again; False of a new one.

        Raises
        ------
        SourceError
            Its files may belong to any scan of a tree.
        """
        if not self.ledger.keep_folder(archive.key, below=True):
            return False
        if self.tree:
            raise SourceError(
                f"{archive.key} cannot be read now ({outcome.detail or outcome.reason}), and any scan may have files of"
                " it (dicom.group: tree); rows and outputs stay; put that right and run again"
            )
        told = outcome._replace(detail=f"what is known of it stays; {outcome.detail}")
        self.ledger.add_ungrouped([(archive.key, "", 0, 0, told)])
        self.listed += self.ledger.files_in_archive(archive.key)
        self.recorder.advance(1, 0, 1)
        log.warning("%s: %s, %s", archive.key, told.reason, told.detail)
        shutil.rmtree(archive.spool, ignore_errors=True)
        return True

    def _folder_done(self, plan: FolderPlan, result: FolderResult) -> None:
        for scan in result.scans:
            self.recorder.scan(plan.key, scan)
        ungrouped = [plan.row(file, outcome) for file, outcome in result.ungrouped] + plan.faults()
        names = [scan.scan_id for scan in result.scans] + list(result.kept)
        self._close_folder(plan, ungrouped, names, sum(len(scan.files) for scan in result.scans))

    def _scan_tickets(self, large: LargeFolder) -> Iterator[Ticket]:
        """The tasks of a large folder whose headers are read; it is done when there are none, or they are."""
        for task in large.scan_tasks():
            yield Ticket(task, large=large)
        self._large_done(large)

    def _large_done(self, large: LargeFolder) -> None:
        if not large.waiting:
            self._close_folder(large.plan, large.ungrouped(), large.scans, large.counted)

    def _close_folder(self, plan: FolderPlan, ungrouped: list[FileRow], scans: Iterable[str], counted: int) -> None:
        self.ledger.finish_folder(plan.key, "" if plan.is_archive else plan.digest, ungrouped, scans)
        self.recorder.advance(plan.folder.count - counted, 0, sum(row[-1].outcome == "failed" for row in ungrouped))
        archive = plan.archive
        if archive is not None:
            archive.waiting -= 1
            if not archive.waiting:  # it is done with its last folder
                self.ledger.set_digest(archive.key, archive.digest)
                shutil.rmtree(archive.spool, ignore_errors=True)

    def _root_of(self, result: ScanResult) -> str:
        """The folder that a tree's scan belongs to."""
        prefix = result.files[0][0].prefix
        return next(Folder(root, "", ()).key for root in self.roots if root.prefix == prefix)

    # -- what went wrong -------------------------------------------------------------------------------------------

    def _lost(self, ticket: Ticket, event: Lost) -> None:
        """A worker died, hung or grew: the culprit fails, the rest of its task runs again."""
        self._lost_some = True
        task = ticket.task
        outcome = Outcome("failed", event.stage, event.reason, event.detail)
        log.warning("%s: %s, %s; its neighbours run again", name_of(task, event.item), event.reason, event.detail)
        if event.item is not None and event.item not in task.culprits:
            self._ready.appendleft(ticket._replace(task=with_culprit(task, event.item, outcome), losses=0))
        elif size_of(task) > 1 and not isinstance(task, IndexTask | ArchiveTask):
            parts = split(task)
            if ticket.large is not None:
                ticket.large.waiting += len(parts) - 1
            for number, part in enumerate(parts):
                plans = ticket.plans[number : number + 1]
                self._ready.append(ticket._replace(task=part, plans=plans, losses=0))
        elif ticket.losses == 0:
            self._ready.append(ticket._replace(losses=1))
        else:
            self._give_up(ticket, outcome)

    def _give_up(self, ticket: Ticket, outcome: Outcome) -> None:
        """One folder, index, archive or scan that cannot be done, and no file to blame: all of its files fail."""
        task = ticket.task
        if isinstance(task, IndexTask):
            self._done(ticket, IndexResult((outcome,) * len(task.files)))
        elif isinstance(task, ArchiveTask):
            self._done(ticket, Expanded((), (), outcome))
        elif isinstance(task, FolderTask):
            self._done(ticket, [FolderResult(tuple((file, outcome) for file in task.jobs[0].files), (), ())])
        else:
            job = task.jobs[0]
            files = tuple((file, outcome) for file in job.files)
            self._done(ticket, [ScanResult(job.scan_id, "", "", files, (), {}, b"")])
