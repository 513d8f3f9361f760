"""The heart of a run: survey the input, hand out tasks, record what comes back.

The parent is the one writer of records. It never decodes and never holds more than small results; workers write files.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from crawler import views
from crawler.config import Config
from crawler.errors import OutputError
from crawler.ledger import ScanRow
from crawler.model import File, Outcome, Product
from crawler.plan import FOLDER_FILES, FolderPlan, LargeFolder, Planner, poisoned, size_of, split
from crawler.pool import Done, Inline, Limits, Lost, Pool
from crawler.progress import Progress
from crawler.result import TEMP, ScanResult, Setup
from crawler.sinks import LAYOUT_SINKS, media_sink, require
from crawler.sources.directory import Folder, Outputs, Root, walk
from crawler.store import SHARD, Store, disk_error, output_root, output_roots
from crawler.work import FolderResult, FolderTask, IndexResult, IndexTask, Task, Worker

log = logging.getLogger("dme")

COMMIT_SECONDS = 0.5  # results of so long share one transaction
UNFINISHED = ("-journal", ".compacted", ".building")  # what a killed run may leave beside a file of ours
DEPTH = 6  # tasks kept ready for each worker, so that none waits while the parent writes


@dataclass(slots=True)
class _Ticket:
    """A task in the pool, and whom its answer is for."""

    task: Task
    plans: list[FolderPlan] | None = None
    large: LargeFolder | None = None
    start: int = 0
    strikes: int = 0


class Engine:
    """One run over an open store. `stopped` is asked whether the user wants it to end."""

    def __init__(self, store: Store, roots: list[Root], progress: Progress, stopped: Callable[[], bool]) -> None:
        self.store, self.ledger, self.roots, self.progress = store, store.ledger, roots, progress
        self.stopped = stopped
        self.outputs = own_outputs(store)
        self.tickets: dict[int, _Ticket] = {}
        self.ready: deque[_Ticket] = deque()
        self.handled = self.listed = 0
        self.committed = time.monotonic()
        self.pool: Pool | Inline = Inline(self._nothing)

    @staticmethod
    def _nothing(task: Any, watch: Any) -> None:
        raise AssertionError("no pool is open")

    def run(self) -> None:
        """Do all that is to be done, or stop early; raises StopError when it cannot go on."""
        self._survey()
        if self.stopped():
            return
        if self.ledger.count("todo"):
            self._crawl()
        if not self.stopped():
            if self.ledger.count("seen") < self.ledger.count("folders") and self.ledger.forget_vanished():
                self.ledger.touch()
            self.store.commit()
            self.store.compact()
            self.store.empty_trash()

    # -- what is there ---------------------------------------------------------------------------------------------

    def _survey(self) -> None:
        """Walk the input and queue the folders whose listing is new or changed."""
        config, folders, size = self.store.config, 0, 0
        todo: list[tuple[int, bytes, int, int]] = []
        for number, root in enumerate(self.roots):
            for folder in walk(root, config.dicom.recursive, self.outputs):
                if not folder.count:
                    continue
                folders += 1
                self.listed += folder.count
                of_folder = folder.size
                size += of_folder
                if self.ledger.visit(folder.key) != folder.digest():
                    todo.append((number, os.fsencode(folder.path), folder.count, of_folder))
                if folders % 1000 == 0:
                    self.ledger.add_todo(todo)
                    todo = []
                    self.progress.survey(folders, self.listed, size)
                    if self.stopped():
                        return
        self.ledger.add_todo(todo)
        self.progress.survey(folders, self.listed, size)

    # -- what is to be done ----------------------------------------------------------------------------------------

    def _crawl(self) -> None:
        config = self.store.config
        _require_packages(config)
        files, size = self.ledger.totals()
        self.ledger.touch()
        self.progress.start(files, size)
        token = os.path.join(SHARD, uuid.uuid4().hex[:8])
        spool = os.path.join(config.output_dir, TEMP, token)
        try:
            os.makedirs(spool, exist_ok=True)
        except OSError as error:
            raise disk_error(error, spool) from None
        worker = Worker(setup_of(config, spool, token))
        workers = config.num_workers
        limits = Limits(config.limits.seconds, config.limits.memory)
        self.pool = Pool(workers, worker, limits) if workers else Inline(worker)
        bundles = Planner(self.store, self.roots, self.outputs, files // (max(1, workers) * 8)).folders()
        clean = False
        try:
            self._loop(bundles, DEPTH * max(1, workers))
            clean = not self.stopped()
        finally:
            if clean:
                self.pool.close()
            else:
                self.pool.terminate()
            self.progress.finish()
            with contextlib.suppress(OutputError):  # the disk may be full: what was committed before is kept
                self.store.commit()

    def _loop(self, bundles: Iterator[list[FolderPlan]], depth: int) -> None:
        exhausted = False
        while not self.stopped():
            while not exhausted and len(self.ready) + self.pool.backlog < depth:
                bundle = next(bundles, None)
                exhausted = bundle is None
                self._prepare(bundle or [])
            if self.ready and self.pool.backlog < depth // 2 + 1:
                self._commit()  # the ledger knows the targets before anyone writes them
                while self.ready and self.pool.backlog < depth:
                    ticket = self.ready.popleft()
                    self.tickets[self.pool.submit(ticket.task)] = ticket
            if not self.tickets and not self.ready:
                return
            for event in self.pool.events():
                ticket = self.tickets.pop(event.ticket)
                if isinstance(event, Done):
                    self._done(ticket, event.value)
                else:
                    self._lost(ticket, event)
            if time.monotonic() - self.committed > COMMIT_SECONDS:
                self._commit()

    def _commit(self) -> None:
        self.store.commit()
        self.committed = time.monotonic()

    def _prepare(self, bundle: list[FolderPlan]) -> None:
        if bundle and len(bundle[0].files) > FOLDER_FILES:
            large = LargeFolder(bundle[0])
            for start, task in large.index_tasks():
                self.ready.append(_Ticket(task, large=large, start=start))
        elif bundle:
            self.ready.append(_Ticket(FolderTask(tuple(plan.job() for plan in bundle)), plans=bundle))

    # -- what came back --------------------------------------------------------------------------------------------

    def _done(self, ticket: _Ticket, answer: Any) -> None:
        if isinstance(ticket.task, FolderTask):
            for plan, result in zip(ticket.plans or (), answer, strict=True):
                self._folder_done(plan, result)
        elif ticket.large is not None and isinstance(answer, IndexResult):
            if ticket.large.take(ticket.start, answer):
                for task in ticket.large.scan_tasks():
                    self.ready.append(_Ticket(task, large=ticket.large))
                if not ticket.large.waiting:
                    self._large_done(ticket.large)
        elif ticket.large is not None:
            for result in answer:
                self._scan_done(ticket.large.plan.folder, result)
                ticket.large.counted += len(result.files)
            ticket.large.waiting -= 1
            if not ticket.large.waiting:
                self._large_done(ticket.large)

    def _folder_done(self, plan: FolderPlan, result: FolderResult) -> None:
        for scan in result.scans:
            self._scan_done(plan.folder, scan)
        loose = [(file.name, file.size, file.mtime_ns, outcome) for file, outcome in result.loose] + plan.loose()
        names = [scan.scan_id for scan in result.scans] + list(result.kept)
        self._close_folder(plan.folder, loose, names, sum(len(scan.files) for scan in result.scans))

    def _large_done(self, large: LargeFolder) -> None:
        loose = large.loose()
        self._close_folder(large.plan.folder, loose, large.scans, large.counted)

    def _close_folder(self, folder: Folder, loose: list[Any], scans: list[str], counted: int) -> None:
        self.ledger.finish_folder(folder.key, folder.digest(), loose, scans)
        rest = folder.count - counted
        if rest:
            failed = sum(outcome.outcome == "failed" for *_, outcome in loose)
            self._advance(rest, 0, failed)

    def _scan_done(self, folder: Folder, result: ScanResult) -> None:
        try:
            span = self.store.rows.append(result.rows) if self.store.rows is not None else (0, 0)
        except OSError as error:
            raise disk_error(error, self.store.config.metadata_path or "") from None
        if isinstance(result.rows, str):
            os.unlink(result.rows)
        files = tuple((file.name, file.size, file.mtime_ns, outcome) for file, outcome in result.files)
        products = tuple(self._product_row(product) for product in result.products)
        self.ledger.put_scan(folder.key, ScanRow(result.scan_id, result.digest, result.verdict, span, files, products))
        failed = sum(outcome.outcome == "failed" for _, outcome in result.files)
        self._advance(len(files), sum(size for _, size, _, _ in files), failed)

    def _product_row(self, product: Product) -> tuple[str, bytes, str, int, str]:
        path = os.path.relpath(product.path, output_root(self.store.config, product.kind))
        return product.kind, os.fsencode(path), product.layout, product.size, product.checksum

    def _advance(self, files: int, size: int, failed: int) -> None:
        self.handled += files
        self.progress.advance(files, size, failed)

    # -- what went wrong -------------------------------------------------------------------------------------------

    def _lost(self, ticket: _Ticket, event: Lost) -> None:
        """A worker died, hung or grew: the culprit fails, the rest of its task runs again."""
        task = ticket.task
        outcome = Outcome("failed", event.stage, event.reason, event.detail)
        log.warning(
            "%s: %s, %s; other files of its task run again", _name(task, event.item), event.reason, event.detail
        )
        if event.item is not None and event.item not in task.poison:
            again = poisoned(task, event.item, outcome)
            self.ready.appendleft(_Ticket(again, ticket.plans, ticket.large, ticket.start))
        elif size_of(task) > 1 and not isinstance(task, IndexTask):
            parts = split(task)
            if ticket.large is not None:
                ticket.large.waiting += len(parts) - 1
            for number, part in enumerate(parts):
                plans = [ticket.plans[number]] if ticket.plans else None
                self.ready.append(_Ticket(part, plans, ticket.large, ticket.start))
        elif ticket.strikes == 0:
            self.ready.append(_Ticket(task, ticket.plans, ticket.large, ticket.start, strikes=1))
        else:
            self._give_up(ticket, outcome)

    def _give_up(self, ticket: _Ticket, outcome: Outcome) -> None:
        """One folder, index or scan that cannot be done at all, and no file to blame: all of its files fail."""
        task = ticket.task
        if isinstance(task, IndexTask):
            self._done(ticket, IndexResult((outcome,) * len(task.files)))
        elif isinstance(task, FolderTask):
            self._done(ticket, [FolderResult(tuple((file, outcome) for file in task.jobs[0].files), (), ())])
        else:
            job = task.jobs[0]
            files = tuple((file, outcome) for file in job.files)
            self._done(ticket, [ScanResult(job.scan_id, "", files, (), {}, b"")])


def _name(task: Task, item: int | None) -> str:
    """The culprit's name for the log: the user's own path."""
    files: list[File] = list(task.files) if isinstance(task, IndexTask) else [f for job in task.jobs for f in job.files]
    return files[item].key if item is not None else f"{files[0].key} or a neighbour" if files else "an empty folder"


def _require_packages(config: Config) -> None:
    """Stop before any work when an output needs a package that is not installed."""
    for name in config.volume.formats if config.volume else ():
        require(LAYOUT_SINKS[name])
    for section in (config.image, config.video):
        if section is not None:
            require(media_sink(section))


def setup_of(config: Config, spool: str, token: str) -> Setup:
    """What workers need of a configuration."""
    return Setup(
        keys=config.metadata.keys if config.metadata else "keyword",
        rows=config.metadata is not None,
        spool=spool,
        token=token,
        media_dir=config.media_dir,
        image=config.image,
        video=config.video,
        volume=config.volume,
        volume_dir=config.volume_dir,
        pixels=config.limits.pixels,
    )


def own_outputs(store: Store) -> Outputs:
    """Everything that is ours, so that it is never crawled when it lies inside the input."""
    config = store.config
    roots = set(config.roots)
    named = [config.media_dir, config.volume_dir, config.output_dir if config.output.dir else None]
    folders = [path for path in named if path and path not in roots]
    folders += [os.path.join(path, TEMP) for path in output_roots(config)]
    files = [store.ledger.path, os.path.join(config.output_dir, "run.log"), *views.paths(config)]
    files += [path for path in (config.metadata_path, config.copy_path, config.source) if path]
    return Outputs(folders, [file + ending for file in files for ending in ("", *UNFINISHED)])
