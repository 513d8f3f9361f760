"""`run(config)`: bring the outputs of a configuration up to date with its input, and render the accounts."""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from crawler.config.loader import Config, load_config
from crawler.config.parts import SECTIONS
from crawler.config.rated import ratings_of
from crawler.config.sections import ImageSaveSection, VideoSaveSection
from crawler.disk import created_as
from crawler.engine.crawl import Engine, Part
from crawler.engine.free_space import FreeSpace
from crawler.engine.interrupts import interrupts
from crawler.engine.places import tell_places, tell_rows
from crawler.engine.privacy import agree, policy_of, show_held, take_answers, with_public_names
from crawler.engine.progress import Progress, Silent
from crawler.engine.progress_file import told_to_others
from crawler.engine.root_names import keep_names
from crawler.engine.survey import require_files
from crawler.errors import ConfigError, LedgerError
from crawler.ledger.live import live_path
from crawler.ledger.lost import make_again
from crawler.ledger.products import MERGED
from crawler.ledger.store import Store, disk_error, open_store
from crawler.ledger.summary import Summary, summarise
from crawler.paths import portable
from crawler.privacy.policy import Policy
from crawler.privacy.redact import redacted
from crawler.sources.directory import Root, roots_of
from crawler.tables import registry
from crawler.tables.base import replacing

if TYPE_CHECKING:
    from crawler.engine.packer import Packer
    from crawler.engine.remote_output import RemoteOutput
    from crawler.pacs.accounts import Counts

log = logging.getLogger("dme")


def run(
    config: Config | str | os.PathLike[str] | Mapping[str, Any],
    *,
    rebuild: bool | str | Iterable[str] = False,
    retry_failed: bool | str | Iterable[str] = False,
    retrieve: bool = True,
    progress: Progress | None = None,
) -> Summary:
    """Bring the outputs of a configuration up to date with its input.

    Parameters
    ----------
    config
        As `load_config` gives it, or what it takes: the path of a YAML file, or a mapping of what that would hold.
    rebuild
        True: forget all that was done, delete its products, and make everything anew. A section, or several ("volume",
        ["image", "video"]): make the outputs of these anew, and keep the others.
    retry_failed
        Try files again that failed before and did not change: True all of them, else those that failed for these
        reasons, each with its stage as the summary has it ("pixels: truncated pixel data").
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
        return _run(config, progress or Silent(), _sections(rebuild), retry_failed, retrieve)


def run_part(
    config: Config,
    part: Part,
    about: Mapping[str, Any],
    progress: Progress,
    *,
    rebuild: bool | str | Iterable[str],
    retry_failed: bool | str | Iterable[str],
    policy: Policy | None = None,
) -> Summary:
    """As `run`, for one shard: its share of the input, without a PACS, tables and the copy of the configuration.

    Parameters
    ----------
    config
        Of the shard: its ledger and rows lie apart, its products beside those of the others.
    about
        Kept in the ledger as ``shard``.
    policy
        Of the whole output.

    Raises
    ------
    StopError
        As of `run`.
    """
    began = time.monotonic()
    with created_as(config.output.mode):
        roots = roots_of(config.roots, config.dicom.readers, "dicom.dir")
        _try_writers(config)
        with open_store(config, _sections(rebuild)) as store, interrupts() as stop:
            store.ledger.put("shard", about)
            packer = _packer(store)
            agree(policy, store.ledger)
            take_answers(policy, store.ledger, config.private_dir)
            roots = with_public_names(policy, keep_names(store.ledger, roots))
            _retry(store, retry_failed)
            store.ledger.begin_survey()
            space = FreeSpace(config, stop)
            engine = Engine(store, roots, progress, space.stopped, part=part, policy=policy, patient=stop.is_patient)
            engine.run()
            summary = _summary(engine, 0, began, stop.is_set(), None)
            if packer is not None:
                packer.finish(index=False)
            _end(store, stop.is_set())
            space.require()
            return summary


def _sections(rebuild: bool | str | Iterable[str]) -> bool | frozenset[str]:
    """What to make anew; ConfigError for what is no section."""
    if isinstance(rebuild, bool):
        return rebuild
    names = frozenset([rebuild] if isinstance(rebuild, str) else rebuild)
    unknown = sorted(names.difference(SECTIONS))
    if unknown:
        raise ConfigError(f"rebuild: {unknown[0]} is no section with outputs; there are {', '.join(SECTIONS)}")
    return names


def _retry(store: Store, retry_failed: bool | str | Iterable[str], known: bool = False) -> None:
    """Have failed files tried again; with `known`, a reason for which none failed is refused."""
    if isinstance(retry_failed, bool):
        if retry_failed:
            store.ledger.forget_failed()
        return
    reasons = sorted({retry_failed} if isinstance(retry_failed, str) else {*retry_failed})
    accounts = store.ledger.accounts() if known and reasons else []
    there = [f"{stage}: {reason}" for outcome, stage, reason, _, _ in accounts if outcome == "failed"]
    for reason in reasons if known else ():
        if reason not in there:
            listed = f"; files failed for: {', '.join(there)}" if there else "; none failed"
            raise ConfigError(f"no file failed for the reason {reason!r}{listed}")
    if reasons:
        store.ledger.forget_failed(reasons)


def _run(
    config: Config,
    progress: Progress,
    rebuild: bool | frozenset[str],
    retry_failed: bool | Iterable[str],
    retrieve: bool,
) -> Summary:
    began = time.monotonic()
    if config.pacs_dir is not None:
        _make(config.pacs_dir)
    policy = policy_of(config)
    roots = roots_of(config.roots, config.dicom.readers, "dicom.dir")
    tell_places(config, roots)
    tell_rows(config)
    registry.check(config)
    _try_writers(config)
    if rebuild is True:
        received = os.path.realpath(config.pacs_dir or "")  # may be empty: it is filled anew
        require_files([root for root in roots if root.path != received], config.dicom.max_lost)
    with contextlib.ExitStack() as stack:
        remote = stack.enter_context(_remote_side(config))
        store, stop = stack.enter_context(open_store(config, rebuild)), stack.enter_context(interrupts())
        if remote is not None:
            remote.attach(store)
        _require_no_shards(store)
        packer = _packer(store, remote.fetch if remote is not None else None)
        store.own.claim([*own_files(config), live_path(config)], set_aside=rebuild is True)
        progress = stack.enter_context(told_to_others(progress, live_path(config)))
        agree(policy, store.ledger)
        take_answers(policy, store.ledger, config.private_dir)
        roots = with_public_names(policy, keep_names(store.ledger, roots))
        make_again(config, store.ledger)
        _retry(store, retry_failed, known=True)
        copy_config(store)
        retrieved, early = None, 0
        if config.pacs is not None and retrieve:
            retrieved, early = _retrieve(store, roots, progress, stop.is_set, policy)
        store.ledger.begin_survey()
        space = FreeSpace(config, stop)
        engine = Engine(store, roots, progress, space.stopped, policy=policy, patient=stop.is_patient)
        engine.run()
        summary = _summary(engine, early, began, stop.is_set(), retrieved)
        if packer is not None:
            packer.finish(index=True)
        if not stop.is_set():
            warn_of_scattered(store)
            warn_of_ratings(store, policy)
            registry.build(store.config, store.ledger, summary, store.cells, lambda: time.monotonic() - began, policy)
        show_held(policy, config.private_dir)
        _end(store, stop.is_set())
        if remote is not None:
            remote.finish(store)
        space.require()
        return replace(summary, seconds=round(time.monotonic() - began, 3))


def _packer(store: Store, fetch: Callable[[str], None] | None = None) -> Packer | None:
    """What packs the products of this output; None for one of single files."""
    if store.config.output.pack is None:
        return None
    from crawler.engine.packer import Packer  # loads what other runs do not need

    packer = Packer(store.config, store, fetch)
    packer.attach()
    return packer


@contextlib.contextmanager
def _remote_side(config: Config) -> Iterator[RemoteOutput | None]:
    """What uploads the outputs of an address; None for one of this machine."""
    if config.output_address is None:
        yield None
        return
    from crawler.engine.remote_output import RemoteOutput  # loads what other runs do not need

    remote = RemoteOutput(config)
    try:
        remote.begin()
        yield remote
    finally:
        remote.close()


def _summary(engine: Engine, early: int, began: float, stopped: bool, retrieved: Counts | None) -> Summary:
    return summarise(
        engine.ledger,
        handled=engine.handled + early,
        listed=engine.listed,
        seconds=time.monotonic() - began,
        interrupted=stopped,
        retrieval=retrieved,
        listed_bytes=engine.listed_bytes,
    )


def _require_no_shards(store: Store) -> None:
    """Refuse to begin where shards are at work and were not merged yet: their products would be a stranger's."""
    folder = store.config.shards_dir
    if store.ledger.get(MERGED) is None and glob.glob(os.path.join(glob.escape(folder), "*-of-*", "*.ledger")):
        raise LedgerError(
            f"{portable(store.config.output_dir)} is made in shards, and they were not merged: run `merge`, or"
            " a shard with --shard"
        )


def warn_of_scattered(store: Store) -> None:
    """Say that series lie in several folders."""
    scattered = store.ledger.scattered()
    if scattered:
        log.warning("%d series lie in several folders: 'dicom.group: tree' brings them together", scattered)


def warn_of_ratings(store: Store, policy: Policy | None) -> None:
    """Say where the list of ratings and the input do not fit: rated series that are gone, series without rating."""
    ratings = ratings_of(store.config, policy.uid if policy else str)
    if ratings is not None:
        scans = ((name, str(verdict.get("SeriesInstanceUID") or "")) for name, verdict, _ in store.ledger.scans())
        for remark in ratings.remarks(scans):
            log.warning("select.list: %s", remark)


def _end(store: Store, stopped: bool) -> None:
    """Note how the run ended, and leave nothing unfinished behind."""
    if stopped:
        store.take_published()
    else:
        store.seal()
    store.commit()
    store.empty_trash()
    store.sweep()


def _retrieve(
    store: Store, roots: list[Root], progress: Progress, stopped: Callable[[], bool], policy: Policy | None
) -> tuple[Counts, int]:
    """Receive from the PACS what is not here yet, and export what is complete meanwhile; also return files handled.

    With workers it goes on in a process of its own. Views are stale when it changed anything.
    """
    from crawler.engine import overlap, retrieving  # load what runs without a PACS do not need

    early = 0
    if store.config.num_workers and store.config.dicom.group == "folder" and sys.platform != "win32":
        both = overlap.Overlap(store, roots, progress, stopped, policy)
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
    """Refuse formats that no installed package reads, and writers' parameters that no writer takes."""
    if config.dicom.readers:
        from crawler.sources.readers import require_readers  # few runs read other packages' formats

        require_readers(config.dicom.readers)
    saves = [section.save_method_kwargs for section in (config.image, config.video) if section is not None]
    usual = {".mp4", ".gif", "frames"}
    if any(save not in (ImageSaveSection(), VideoSaveSection()) for save in saves) or (
        config.video is not None and not usual.issuperset(config.video.formats)
    ):
        from crawler.sinks.trial_encode import try_writers  # loads writers, which runs without parameters do later

        bits = config.image.bits if config.image else 16
        try_writers(config.image, config.video, 16 if bits == "auto" else bits)


def _make(folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise disk_error(error, folder) from None


def own_files(config: Config) -> list[str]:
    """The files that a run writes beside its rows and products."""
    copy = [] if config.copy_path is None or _is_source(config, config.copy_path) else [config.copy_path]
    return [*copy, *registry.paths(config)]


def _is_source(config: Config, path: str) -> bool:
    return config.source is not None and os.path.realpath(path) == os.path.realpath(config.source)


def copy_config(store: Store) -> None:
    """Keep the configuration beside its outputs, byte for byte; under privacy without what it names."""
    config = store.config
    path, text = config.copy_path, redacted(config)
    if path is None or _is_source(config, path):
        return
    try:
        if os.path.exists(path):
            with open(path, "rb") as file:
                if file.read() == text.encode():
                    return
        store.own.begin([path])
        with replacing(path) as scratch, open(scratch, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        store.own.finish(path)
    except OSError as error:
        raise disk_error(error, path) from None
