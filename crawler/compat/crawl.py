"""`crawl(request)`: the engine over a list of folders, and its work put together as the earlier crawler's three files.

The engine's own rows, ledger and volumes lie in a hidden work folder beside them. The three files are made from these
alone, each written aside and renamed, whenever something changed: a run that is killed in between is simply made up
for by the next one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from crawler.compat.catalogue import Catalogue
from crawler.compat.folders import InputFolder, InputFolders
from crawler.compat.scan_csv import write_metadata, write_unreadable
from crawler.compat.scan_h5 import write_pixels
from crawler.config.loader import Config
from crawler.disk import created_as
from crawler.engine.crawl import Engine
from crawler.engine.interrupts import interrupts
from crawler.engine.progress import Progress
from crawler.errors import ConfigError, OutputError, SourceError
from crawler.ledger.store import Store, open_store, output_root
from crawler.ledger.summary import EXIT_FAILED_FILES, EXIT_OK, Summary, summarise
from crawler.paths import portable
from crawler.sources.directory import Outputs, Root
from crawler.tables.base import replacing

log = logging.getLogger("dme")

_KNOWN, _MODE, _MADE = "crawl folders", "crawl stack", "crawl made"  # what the ledger keeps for us


@dataclass(frozen=True, slots=True)
class Request:
    """What a run of `run_crawler.py` shall do.

    Attributes
    ----------
    folders
        As given.
    storage
        Absolute native path of the folder of the three files.
    output_id
        Part of their names; may be empty.
    pixels
        Whether pixel data are stored.
    stack
        3D mode: a scan is a series. Otherwise it is a file.
    """

    folders: tuple[str, ...]
    storage: str
    output_id: str = ""
    workers: int = 1
    pixels: bool = False
    stack: bool = False
    retry_failed: bool = False
    rebuild: bool = False

    def _path(self, stem: str, extension: str) -> str:
        return os.path.join(self.storage, stem + (f"_{self.output_id}" if self.output_id else "") + extension)

    @property
    def metadata(self) -> str:
        """Table of all stored scans."""
        return self._path("metadata", ".csv")

    @property
    def pixel_data(self) -> str:
        """Their pixels."""
        return self._path("pixel_data", ".h5")

    @property
    def unreadable(self) -> str:
        """Table of all failed scans; it is there when there are any."""
        return self._path("unreadable_files", ".csv")

    @property
    def targets(self) -> tuple[str, str, str]:
        """The three files."""
        return self.metadata, self.pixel_data, self.unreadable

    @property
    def work(self) -> str:
        """Folder of the engine's own files."""
        return self._path(".crawler", "")

    def config(self) -> Config:
        """The engine's configuration: stored values, one array a series wherever its planes agree."""
        mapping: dict[str, object] = {
            "num_workers": self.workers,
            "output": {"dir": self.work},
            # The folders change from run to run and are given to the engine itself.
            "dicom": {"dir": os.path.abspath(os.sep), "recursive": False, "max_lost": 1},  # scripts count on removal
            "metadata": {"file": "rows.jsonl", "keys": "tag", "tables": []},
        }
        if self.pixels:
            # Uneven distances are kept in one array, as scripts for the earlier crawler expect; nothing claims a
            # spacing then, and the verdict among the dataset's attributes says so.
            mapping["volume"] = {"dir": "volumes", "values": "stored", "irregular": "keep"}
        return Config.from_mapping(mapping)


@dataclass(frozen=True, slots=True)
class CrawlResult:
    """What came of it: the engine's accounts of files, and ours of scans."""

    summary: Summary
    stored: int = 0
    failed: int = 0

    @property
    def exit_code(self) -> int:
        """As `dme.py`: 0 all well, 3 finished with failed scans, 130 interrupted."""
        if self.summary.interrupted or self.summary.failed:
            return self.summary.exit_code
        return EXIT_FAILED_FILES if self.failed else EXIT_OK


def crawl(request: Request, progress: Progress) -> CrawlResult:
    """Bring the three files up to date with the folders; scans of folders that are not named stay.

    Raises
    ------
    StopError
        The run cannot start or cannot go on; what was committed is kept.
    """
    config = request.config()
    with created_as(config.output.mode):
        return _crawl(request, config, progress)


def _crawl(request: Request, config: Config, progress: Progress) -> CrawlResult:
    began = time.monotonic()
    _require_folders(request)
    with _open(request, config) as store:
        folders = _claim_targets(request, store)
        named = [folders.take(given) for given in request.folders if os.path.isdir(given)]
        store.ledger.put(_KNOWN, folders.rows())
        store.own.claim(request.targets, set_aside=request.rebuild)
        if request.retry_failed:
            store.ledger.forget_failed()
        store.commit()
        with interrupts() as stop:
            engine = Engine(store, _roots(store, folders, named), progress, stop.is_set)
            engine.outputs = Outputs(files=[name + end for name in request.targets for end in ("", ".building")])
            engine.run()
            seconds = time.monotonic() - began
            summary = summarise(
                store.ledger,
                handled=engine.handled,
                listed=engine.listed,
                seconds=seconds,
                interrupted=stop.is_set(),
            )
        if summary.interrupted:
            store.commit()
            return CrawlResult(summary)
        store.commit()
        stored, failed = _assemble(request, store, folders)
        store.sweep()
        return CrawlResult(summary, stored, failed)


def _require_folders(request: Request) -> None:
    """Name the folders that are not there, and stop when none is left."""
    missing = [portable(given) for given in request.folders if not os.path.isdir(given)]
    if len(missing) == len(request.folders):
        raise SourceError(f"--dicom_folders: {', '.join(missing)}: no such folder; correct the path or mount the disk")
    for given in missing:
        log.warning("%s is no folder and is left out", given)


@contextlib.contextmanager
def _open(request: Request, config: Config) -> Iterator[Store]:
    """Open the work folder; the flag of pixel data is all that may differ from the run before."""
    with contextlib.ExitStack() as stack:
        dropped = ConfigError(
            f"{portable(request.pixel_data)} was made with --write_pixeldata True: set it again, choose another"
            " --output_id, or make everything anew with --rebuild"
        )
        try:
            store = stack.enter_context(open_store(config, request.rebuild))
        except ConfigError:
            raise dropped from None
        made = store.ledger.get(_MADE)
        if made and made[0][1] and not (request.pixels or request.rebuild):  # the engine would keep what is there
            raise dropped
        yield store


def _claim_targets(request: Request, store: Store) -> InputFolders:
    """Take the three files for ours when the ledger says so or none is there yet; return the folders known so far."""
    known = store.ledger.get(_KNOWN)
    if known is None and not request.rebuild:
        for path in filter(os.path.exists, request.targets):
            raise OutputError(
                f"{portable(path)} exists and was not made here (there is no {os.path.basename(request.work)} that"
                " names it): it is not touched; move it away, choose another --output_id, or use --rebuild"
            )
    mode = store.ledger.get(_MODE, request.stack)
    if mode != request.stack:
        raise ConfigError(
            f"{portable(request.metadata)} was made with --eval_3d_scans {mode}: set it again, choose another"
            " --output_id, or make everything anew with --rebuild"
        )
    store.ledger.put(_MODE, mode)
    return InputFolders(tuple(row) for row in known or ())


def _roots(store: Store, folders: InputFolders, named: list[InputFolder]) -> list[Root]:
    """What the engine shall look at: what is named, and what an earlier run did not finish. The rest stays as it is."""
    roots: list[Root] = []
    for folder in folders.known:
        if folder not in named:
            digest = store.ledger.visit(folder.prefix)
            if digest or not os.path.isdir(folder.path):
                store.ledger.visit_archive(folder.prefix, digest)  # for the ledger all in it is still there
                continue
        roots.append(Root(folder.path, folder.prefix))
    return roots


def _assemble(request: Request, store: Store, folders: InputFolders) -> tuple[int, int]:
    """Make the three files when something changed; return how many scans are stored, and how many failed."""
    ledger = store.ledger
    state = [ledger.get("revision", 0), request.pixels, len(folders.known)]
    before, stored, failed = ledger.get(_MADE, (None, 0, 0))
    expected = (True, request.pixels, failed > 0)
    there = [os.path.exists(path) for path, want in zip(request.targets, expected, strict=True) if want]
    if before == state and all(there):
        return int(stored), int(failed)
    rows = store.config.metadata_path or ""
    wanted = tuple(path for path in request.targets if request.pixels or path != request.pixel_data)
    store.own.begin(wanted)
    with contextlib.closing(Catalogue(ledger, rows, folders, pixels=request.pixels, stack=request.stack)) as catalogue:
        several: dict[str, list[str]] = {}
        if request.pixels:
            with replacing(request.pixel_data) as scratch:
                several = write_pixels(catalogue, output_root(store.config, "volume"), scratch, stack=request.stack)
        with replacing(request.metadata) as scratch:
            write_metadata(catalogue, scratch, several)
        stored, failed = catalogue.count_stored(), catalogue.count_failed()
        with replacing(request.unreadable) as scratch:
            write_unreadable(catalogue, scratch)
        if not failed:
            os.unlink(request.unreadable)  # its presence says that there are failures, as users of the flags know it
    for path in wanted:
        store.own.finish(path)
    ledger.put(_MADE, [state, stored, failed])
    store.commit()
    return stored, failed
