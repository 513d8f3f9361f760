"""`run(config)`: bring the outputs of a configuration up to date with its input, and render the accounts."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from crawler.config.loader import Config, load_config
from crawler.config.sections import ImageSaveSection, VideoSaveSection
from crawler.disk import created_as
from crawler.engine.crawl import Engine
from crawler.engine.interrupts import interrupts
from crawler.engine.progress import Progress, Silent
from crawler.engine.survey import require_files
from crawler.ledger.store import Store, disk_error, open_store
from crawler.ledger.summary import Summary, summarise
from crawler.sources.directory import Root, roots_of
from crawler.tables import registry
from crawler.tables.base import replacing

if TYPE_CHECKING:
    from crawler.pacs.accounts import Counts

log = logging.getLogger("dme")


def run(
    config: Config | str | os.PathLike[str] | Mapping[str, Any],
    *,
    rebuild: bool = False,
    retry_failed: bool = False,
    retrieve: bool = True,
    progress: Progress | None = None,
) -> Summary:
    """Bring the outputs of a configuration up to date with its input.

    Parameters
    ----------
    config
        As `load_config` gives it, or what it takes: the path of a YAML file, or a mapping of what that would hold.
    rebuild
        Forget all that was done, delete its products, and make everything anew.
    retry_failed
        Try files again that failed before and did not change.
    retrieve
        Ask the PACS of a section `pacs`; without, what was received up to now is exported.
    progress
        Who is told how it goes on.

    Returns
    -------
    Summary
        The accounts of the whole output, and what this run did for them. An interrupted run returns too.

    Raises
    ------
    StopError
        The run cannot start or cannot go on; what was committed is kept.
    """
    if not isinstance(config, Config):
        config = load_config(config)
    with created_as(config.output.mode):
        return _run(config, progress or Silent(), rebuild, retry_failed, retrieve)


def _run(config: Config, progress: Progress, rebuild: bool, retry_failed: bool, retrieve: bool) -> Summary:
    began = time.monotonic()
    if config.pacs_dir is not None:
        _make(config.pacs_dir)
    roots = roots_of(config.roots)
    registry.check(config)
    _try_writers(config)
    if rebuild:
        received = os.path.realpath(config.pacs_dir or "")  # may be empty: it is filled anew
        require_files([root for root in roots if root.path != received], config.dicom.max_lost)
    with open_store(config, rebuild) as store, interrupts() as stop:
        store.own.claim(_own_files(config), set_aside=rebuild)
        if retry_failed:
            store.ledger.forget_digests(failed_only=True)
        _copy_config(store)
        retrieved, early = None, 0
        if config.pacs is not None and retrieve:
            retrieved, early = _retrieve(store, roots, progress, stop.is_set)
        store.ledger.begin_survey()
        engine = Engine(store, roots, progress, stop.is_set)
        engine.run()
        summary = summarise(
            store.ledger,
            handled=engine.handled + early,
            listed=engine.listed,
            seconds=time.monotonic() - began,
            interrupted=stop.is_set(),
            retrieval=retrieved,
        )
        if stop.is_set():
            store.take_published()
        else:
            scattered = store.ledger.scattered()
            if scattered:
                log.warning("%d series lie in several folders: 'dicom.group: tree' brings them together", scattered)
            registry.build(store.config, store.ledger, summary)
            store.ledger.put("finished", True)
        store.commit()
        store.empty_trash()
        store.sweep()
        return summary


def _retrieve(store: Store, roots: list[Root], progress: Progress, stopped: Callable[[], bool]) -> tuple[Counts, int]:
    """Receive from the PACS what is not here yet, and export what is complete meanwhile; also return files handled.

    With workers it goes on in a process of its own. Views are stale when it changed anything.
    """
    from crawler.engine import overlap, retrieving  # load what runs without a PACS do not need

    early = 0
    if store.config.num_workers and store.config.dicom.group == "folder" and sys.platform != "win32":
        both = overlap.Overlap(store, roots, progress, stopped)
        counts, fingerprint = both.run()
        early = both.handled
    else:
        counts, fingerprint = retrieving.retrieve(store.config, progress, stopped)
    if store.ledger.get("retrieval") != fingerprint:
        store.ledger.put("retrieval", fingerprint)
        store.ledger.touch()
        store.commit()
    return counts, early


def _try_writers(config: Config) -> None:
    """Refuse writers' parameters that no writer takes."""
    saves = [section.save_method_kwargs for section in (config.image, config.video) if section is not None]
    if any(save not in (ImageSaveSection(), VideoSaveSection()) for save in saves):
        from crawler.sinks.trial_encode import try_writers  # loads writers, which runs without parameters do later

        try_writers(config.image, config.video, config.image.bits if config.image else 16)


def _make(folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise disk_error(error, folder) from None


def _own_files(config: Config) -> list[str]:
    """The files that a run writes beside its rows and products."""
    copy = [] if config.copy_path is None or _is_source(config, config.copy_path) else [config.copy_path]
    return [*copy, *registry.paths(config)]


def _is_source(config: Config, path: str) -> bool:
    return config.source is not None and os.path.realpath(path) == os.path.realpath(config.source)


def _copy_config(store: Store) -> None:
    """Keep the configuration beside its outputs, byte for byte."""
    config = store.config
    path = config.copy_path
    if path is None or _is_source(config, path):
        return
    try:
        if os.path.exists(path):
            with open(path, "rb") as file:
                if file.read() == config.text.encode():
                    return
        store.own.begin([path])
        with replacing(path) as scratch, open(scratch, "w", encoding="utf-8", newline="") as file:
            file.write(config.text)
        store.own.finish(path)
    except OSError as error:
        raise disk_error(error, path) from None
