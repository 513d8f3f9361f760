"""`merge`: the shards of an output as one: rows, tables, failures, report, index, and the proof that all is there.

Ledgers of shards are copied into that of the whole, and their rows into its JSONL, in one transaction: a kill leaves
the state before or after it, and merging again ends the same. Products stay where they are. The shards are not changed,
and may go on later: the next merge takes in what changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from crawler.cluster.importing import import_shard
from crawler.cluster.plan import Unit, planned_units, read_plan
from crawler.cluster.run_shard import require_merged
from crawler.cluster.shards import (
    Shard,
    begun_shards,
    ledger_path_of,
    number_of,
    shard_config,
)
from crawler.config.loader import Config
from crawler.config.rated import ratings_digest
from crawler.disk import created_as
from crawler.engine.own_outputs import own_outputs
from crawler.engine.packer import write_index
from crawler.engine.plan import archive_digest, archives_of, without_archives
from crawler.engine.privacy import (
    ANSWERS,
    LEDGER_KEY,
    agree,
    answers_of,
    made_with,
    shared_policy,
    show_held,
    with_public_names,
)
from crawler.engine.root_names import keep_names
from crawler.engine.run import copy_config, own_files, warn_of_ratings, warn_of_scattered
from crawler.errors import ConfigError, LedgerError, StopError
from crawler.ledger.changed_config import RATINGS
from crawler.ledger.packed import TABLE as PACKED
from crawler.ledger.products import MERGED
from crawler.ledger.status import Reader, reading
from crawler.ledger.store import Store, open_store
from crawler.ledger.summary import Summary, summarise
from crawler.paths import native, portable
from crawler.privacy.policy import Policy
from crawler.sources.directory import Root, Visited, listing, roots_of, walk
from crawler.stores.access import is_absent
from crawler.tables import registry

log = logging.getLogger("dme")


@dataclass(frozen=True, slots=True)
class Owed:
    """What a shard has not done: why, and how many files and folders of it (0 when that is not known)."""

    shard: Shard
    reason: str
    files: int = 0
    folders: int = 0


@dataclass(frozen=True, slots=True)
class Merged:
    """What came of a merge.

    Attributes
    ----------
    owed
        By shard; when there is any, nothing was merged and `summary` is None.
    changed
        Folders and archives whose files are others now than when the plan was made, and that were done as they are.
    gone
        Planned files that had no outcome because they were gone.
    """

    shards: int
    owed: tuple[Owed, ...] = ()
    summary: Summary | None = None
    changed: int = 0
    gone: int = 0


def merge(config: Config) -> Merged:
    """Join the shards of an output, if all of them are done.

    Raises
    ------
    StopError
        There are no shards; one was made with another configuration; a run without shards changed the output.
    """
    began = time.monotonic()
    shards = _shards(config)
    require_merged(config)
    registry.check(config)
    policy = shared_policy(config)
    owed = [one for shard in shards if (one := _unfinished(config, shard, policy))]
    if owed:
        return Merged(len(shards), tuple(_counted(config, owed)))
    with created_as(config.output.mode), open_store(config) as store:
        store.own.claim(own_files(config))
        agree(policy, store.ledger)
        keep_names(store.ledger, roots_of(config.roots, config.dicom.readers))
        mark = _mark(config, shards)
        fresh = (store.ledger.get(MERGED) or {}).get("mark") != mark or not store.ledger.get("finished", False)
        if fresh:
            _import(store, config, shards)
        check = _Check(store, shards[0].of, policy)
        for _, units in itertools.groupby(_units(config, policy), key=lambda unit: unit.key):
            check.compare(list(units))
        if check.owed:
            return Merged(len(shards), tuple(check.owed.values()))  # closed without a commit
        if fresh:
            store.ledger.touch()
            store.ledger.put(MERGED, {"revision": store.ledger.get("revision"), "shards": len(shards), "mark": mark})
            store.commit()
        store.compact()
        copy_config(store)
        warn_of_scattered(store)
        warn_of_ratings(store, policy)
        count = store.ledger.count("files")
        summary = summarise(store.ledger, handled=0, listed=count, seconds=time.monotonic() - began, interrupted=False)
        registry.build(config, store.ledger, summary, policy=policy)
        show_held(policy, config.private_dir)
        if config.output.pack is not None:
            write_index(config, store)
        store.seal()
        store.commit()
        store.sweep()
        return Merged(len(shards), (), summary, check.changed, check.gone)


def _shards(config: Config) -> list[Shard]:
    """All shards of an output, begun or not."""
    plan, begun = read_plan(config), begun_shards(config)
    if plan is None and not begun:
        raise StopError("there are no shards: run them first, as in `--shard 1/4`, or make a plan")
    of = plan.shards if plan is not None else begun[0].of
    other = next((shard for shard in begun if shard.of != of), None)
    if other is not None:
        raise StopError(
            f"there are shards of {of} and of {other.of}: move away the folders of those that are not meant"
        )
    return [Shard(number, of) for number in range(1, of + 1)]


@contextlib.contextmanager
def _opened(config: Config, shard: Shard) -> Iterator[Reader | None]:
    """A shard's ledger, locked against its run while it is read; None while that is at work."""
    with reading(ledger_path_of(config, shard)) as ledger:
        yield ledger


def _unfinished(config: Config, shard: Shard, policy: Policy | None) -> Owed | None:
    """Why a shard cannot be merged now; None when it can."""
    if is_absent(ledger_path_of(config, shard)):
        return Owed(shard, "it never ran")
    try:
        with _opened(config, shard) as ledger:
            if ledger is None:
                return Owed(shard, "it is running")
            if not ledger.get("finished", False):
                return Owed(shard, "it was stopped before its end")
            _require_same(config, shard, ledger)
            if policy is not None and ledger.get(LEDGER_KEY) != made_with(policy):
                raise LedgerError(
                    f"privacy: shard {shard} was made with another key or other rules; run it again with --rebuild"
                )
            if policy is not None and (ledger.get(ANSWERS) or {}) != answers_of(policy):
                return Owed(shard, "answers to what was held back are new or changed")
    except LedgerError as error:
        if "a run was stopped before it began" not in str(error):
            raise
        return Owed(shard, "it was stopped before it began")
    return None


def _require_same(config: Config, shard: Shard, ledger: Reader) -> None:
    """Refuse a shard of another configuration."""
    wanted, found = shard_config(config, shard).shaping(), ledger.get("config") or {}
    changed = sorted(key for key in {*wanted, *found} if wanted.get(key) != found.get(key))
    if changed:
        raise ConfigError(
            f"{changed[0]} was {found.get(changed[0])!r} when shard {shard} ran and is {wanted.get(changed[0])!r} now;"
            f" set it back, or run the shard again with --rebuild"
        )
    if ledger.get(RATINGS) != ratings_digest(config):
        raise ConfigError(
            f"select.list was of other ratings when shard {shard} ran than it is now; put them back, or run the shard"
            " again with --rebuild"
        )


def _mark(config: Config, shards: list[Shard]) -> str:
    """Changes when any shard or the plan does."""
    digest = hashlib.blake2b(digest_size=16)
    for shard in shards:
        with _opened(config, shard) as ledger:
            if ledger is None:
                raise LedgerError(f"shard {shard} is running: merge when it has ended")
            state = [ledger.get(key, 0) for key in ("revision", "rows", "rows modified")]
            digest.update(f"{shard}{state}".encode())
    return digest.hexdigest()


def _import(store: Store, config: Config, shards: list[Shard]) -> None:
    """Replace all that the whole knows by what its shards know; nothing is committed yet."""
    store.ledger.execute(PACKED)
    for table in ("products", "scans", "files", "folders", "packed"):
        store.ledger.execute(f"DELETE FROM {table}")
    for shard in shards:
        with _opened(config, shard) as ledger:
            if ledger is None:
                raise LedgerError(f"shard {shard} is running: merge when it has ended")
            import_shard(store, ledger, shard_config(config, shard).metadata_path, str(shard))


def _units(config: Config, policy: Policy | None) -> Iterator[Unit]:
    """What must have been done: as planned, or as the input is now."""
    plan = read_plan(config)
    if plan is not None:
        yield from planned_units(config)
        return
    shards = begun_shards(config)[0].of
    roots, outputs = _named(config, policy), own_outputs(config)
    visited = Visited(roots)
    for number, root in enumerate(roots):
        for whole in walk(root, config.dicom.recursive, outputs, visited):
            folder = without_archives(whole)
            path = portable(folder.path)
            if folder.count:
                shard = number_of(folder.key, shards)
                yield Unit(number, path, "", folder.key, folder.count, folder.size, folder.digest(), (), shard)
            for file in archives_of(whole) if folder is not whole else ():
                shard = number_of(file.key, shards)
                yield Unit(number, path, file.name, file.key, 1, file.size, archive_digest(file), (), shard)


def _named(config: Config, policy: Policy | None) -> list[Root]:
    return with_public_names(policy, roots_of(config.roots, config.dicom.readers))


class _Check:
    """Holds what should be done against what the merged ledger has, before that is committed."""

    def __init__(self, store: Store, of: int, policy: Policy | None) -> None:
        self._ledger, self._of = store.ledger, of
        self._roots, self._outputs = _named(store.config, policy), own_outputs(store.config)
        self.owed: dict[int, Owed] = {}
        self.changed = self.gone = 0

    def compare(self, units: Sequence[Unit]) -> None:
        """Find out whether a folder, or an archive, is done: `units` are the parts of it that shards have."""
        key, files = units[0].key, sum(unit.files for unit in units)
        row = self._ledger.execute("SELECT id, digest FROM folders WHERE path = ?", (key,)).fetchone()
        if row is not None and row[1] == units[0].digest and not units[0].names:
            return
        if row is None and self._is_gone(units[0]):
            self.gone += files
            return
        if row is None or not row[1]:
            self._owe(units, "not done")
            return
        sql = "SELECT count(*) FROM files WHERE folder = ?"
        missing = max(0, files - int(self._ledger.execute(sql, (row[0],)).fetchone()[0]))
        if units[0].names:  # of a tree: what came after the plan is no shard's
            if missing or row[1] != units[0].digest:
                self._owe(units, "a folder of it changed after the plan, or is not done (plan again, then run)")
            return
        self.changed += 1
        self.gone += missing

    def _owe(self, units: Sequence[Unit], reason: str) -> None:
        for unit in units:
            before = self.owed.get(unit.shard, Owed(Shard(unit.shard, self._of), reason))
            self.owed[unit.shard] = Owed(before.shard, reason, before.files + unit.files, before.folders + 1)

    def _is_gone(self, unit: Unit) -> bool:
        """Whether nothing of a unit is there any more; asked of those alone that no shard knows."""
        root = self._roots[unit.root]
        if unit.archive:
            return is_absent(os.path.join(root.path, native(unit.path), native(unit.archive)))
        if root.is_file:
            return False
        folder = without_archives(listing(root, native(unit.path), self._outputs))
        unreadable = any(not name for name, _ in folder.faults)
        return is_absent(os.path.join(root.path, native(unit.path))) or not (folder.entries or unreadable)


def _counted(config: Config, owed: list[Owed]) -> Iterator[Owed]:
    """With the files that the plan gives to these shards."""
    plan = read_plan(config)
    for one in owed:
        yield Owed(one.shard, one.reason, plan.files[one.shard.number - 1] if plan else 0)
