"""`make_plan`: one walk of the input, divided; and how long a shard takes, from a trial run on a few files."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass

from crawler.cluster.plan import Plan, PlanWriter
from crawler.cluster.run_shard import require_merged
from crawler.cluster.shards import checked
from crawler.config.loader import Config
from crawler.disk import created_as
from crawler.dryrun.contained import ContainedReader
from crawler.dryrun.preflight import Span
from crawler.dryrun.survey import SPOOLED, survey
from crawler.dryrun.trial import trial
from crawler.errors import StopError
from crawler.sources.directory import roots_of


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
        Whether to run on a few files, as `--dry-run` does, to estimate the time.

    Raises
    ------
    StopError
        There is no input; shards of another number have begun; the plan cannot be written.
    """
    checked(1, shards)
    if config.dicom.group == "tree":
        raise StopError("dicom.group: tree cannot be divided into shards yet: choose folder, or run it without shards")
    require_merged(config)
    with (
        created_as(config.output.mode),
        tempfile.TemporaryDirectory(prefix="dme-plan-", ignore_cleanup_errors=True) as spool,
        ContainedReader(config, SPOOLED) as reader,
    ):
        writer = PlanWriter(config, shards)
        seen = survey(config, roots_of(config.roots), spool, reader if estimate else None, each=writer.add)
        plan = writer.write()
        tried = trial(config, seen, reader) if estimate else None
    workers = max(1, config.num_workers)
    if tried is None or not sum(plan.files):
        return Planned(plan, None, workers)
    by_files = max(plan.files) / tried.files
    by_size = max(plan.sizes) / max(1, tried.size)
    low, high = sorted((by_files, by_size))
    return Planned(plan, (low * tried.seconds / workers, high * tried.seconds / workers), workers)
