"""`make_plan`: one walk of the input, divided; and how long a shard takes, from a trial run on a few files."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial

from crawler.cluster.plan import Plan, PlanWriter
from crawler.cluster.run_shard import require_merged
from crawler.cluster.shards import checked
from crawler.config.loader import Config
from crawler.disk import created_as
from crawler.dryrun.contained import ContainedReader
from crawler.dryrun.preflight import Span
from crawler.dryrun.survey import SPOOLED, survey
from crawler.dryrun.trial import trial
from crawler.engine.plan import without_archives
from crawler.engine.privacy import shared_policy, with_public_names
from crawler.errors import StopError
from crawler.layout.scan import HASH_DIGITS, series_hash
from crawler.model import File, Instance, Outcome
from crawler.privacy.policy import Policy
from crawler.sources.directory import Folder, roots_of


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and the seconds that its largest shard takes with so many workers; None when nothing was tried."""

    plan: Plan
    seconds: Span | None
    workers: int


def make_plan(config: Config, shards: int, *, estimate: bool = True) -> Planned:
    """Divide the input of a configuration into shards, and write the plan.

    Parameters
    ----------
    estimate
        Whether to run on a few files, as `--dry-run` does, to estimate the time; not under privacy.

    Raises
    ------
    StopError
        There is no input; shards of another number have begun; the plan cannot be written.
    """
    checked(1, shards)
    require_merged(config)
    policy = shared_policy(config)
    roots = with_public_names(policy, roots_of(config.roots, config.dicom.readers))
    estimate = estimate and policy is None  # a trial leaves originals in temporary files
    with (
        created_as(config.output.mode),
        tempfile.TemporaryDirectory(prefix="dme-plan-", dir=config.private_dir, ignore_cleanup_errors=True) as spool,
        ContainedReader(config, SPOOLED) as reader,
    ):
        writer = PlanWriter(config, shards)
        each = partial(_add_series, writer, reader, policy) if config.dicom.group == "tree" else writer.add
        seen = survey(config, roots, spool, reader if estimate else None, each=each)
        plan = writer.write()
        tried = trial(config, seen, reader) if estimate else None
    workers = max(1, config.num_workers)
    if tried is None or not sum(plan.files):
        return Planned(plan, None, workers)
    by_files = max(plan.files) / tried.files
    by_size = max(plan.sizes) / max(1, tried.size)
    low, high = sorted((by_files, by_size))
    return Planned(plan, (low * tried.seconds / workers, high * tried.seconds / workers), workers)


def _add_series(
    writer: PlanWriter, reader: ContainedReader, policy: Policy | None, number: int, folder: Folder
) -> None:
    """Read the headers of a folder of a tree, and give the plan its files by series."""
    if without_archives(folder) is not folder:
        raise StopError(
            f"{folder.key or '.'} holds an archive, and the series in it (dicom.group: tree) cannot be divided:"
            " unpack it, or run without shards"
        )
    files = folder.files()
    found = [_series_of(file, header, policy) for file, header in zip(files, reader.headers(files), strict=True)]
    found += [_bucket(series_hash("", f"{folder.key}/{name}")) for name, _ in folder.faults]
    if found:
        writer.add_shared(number, folder, found)


def _series_of(file: File, header: Instance | Outcome, policy: Policy | None) -> int:
    uid = header.series_uid if isinstance(header, Instance) else ""
    uid = uid if policy is None else policy.uid(uid)
    return _bucket(series_hash(uid, "" if uid else file.key))


def _bucket(digits: str) -> int:
    """Series that share these digits are named together, so they go to one shard."""
    return int(digits[:HASH_DIGITS], 16)
