"""`run_shard`: bring one shard of an output up to date, beside the others and without a lock that they share."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from crawler.cluster.beats import Beating, read_beat
from crawler.cluster.plan import share_of
from crawler.cluster.shards import Shard, begun_shards, checked, shard_config, shard_dir, shards_dir
from crawler.config.loader import Config, load_config
from crawler.disk import is_absent, make_folders
from crawler.engine.crawl import Part
from crawler.engine.own_outputs import own_outputs
from crawler.engine.privacy import made_with, shared_policy
from crawler.engine.progress import Progress, Silent
from crawler.engine.run import run_part
from crawler.errors import ConfigError, LedgerError, StopError
from crawler.ledger.products import MERGED
from crawler.ledger.status import reading
from crawler.ledger.store import disk_error, ledger_of
from crawler.ledger.summary import Summary
from crawler.paths import portable

log = logging.getLogger("dme")

AGREED = "privacy.json"  # beside the shards: the policy that they share

# Seconds that a requeued task waits for the process of its earlier start. SLURM kills after KillWait (30 s), and a
# process in the kernel, at a slow disk, dies late; a node that is cut off keeps its locks for the 90 s of an NFS lease.
PATIENCE = 180.0


def run_shard(
    config: Config | str | os.PathLike[str] | Mapping[str, Any],
    number: int,
    of: int,
    *,
    rebuild: bool | str | Iterable[str] = False,
    retry_failed: bool | str | Iterable[str] = False,
    progress: Progress | None = None,
    job: str = "",
) -> Summary:
    """Bring one shard of an output up to date with its share of the input.

    Parameters
    ----------
    config
        As of `run`.
    number, of
        Which shard, from 1, of how many. By the plan of `make_plan`, or by a hash of each folder's name without one.
    rebuild, retry_failed, progress
        As of `run`, for this shard.
    job
        What a scheduler calls the task, for `status`. A scheduler that ends a task to start it again may start it
        before the first process has gone: a process of the same task is waited for, that of another is not.

    Returns
    -------
    Summary
        The accounts of the shard.

    Raises
    ------
    StopError
        As of `run`; also when another task works on this shard, or when the output was not made in shards.
    """
    if not isinstance(config, Config):
        config = load_config(config, retrieves=False)
    if config.output_address is not None:
        raise ConfigError("output.dir: shards need a folder that all of them reach; upload what `merge` makes")
    shard = checked(number, of)
    _require_shards(config, shard)
    folder = shard_dir(config, shard)
    try:
        make_folders(folder)
    except OSError as error:
        raise disk_error(error, folder) from None
    beating = Beating(progress or Silent(), folder, job)
    about = {"number": shard.number, "of": shard.of}
    policy = shared_policy(config)
    if policy is not None:
        _agree(config, made_with(policy), anew=rebuild is True)
    part = Part(share_of(config, shard, policy), own_outputs(config))
    state = "stopped"
    try:
        summary = _when_free(
            lambda: run_part(
                shard_config(config, shard),
                part,
                about,
                beating,
                rebuild=rebuild,
                retry_failed=retry_failed,
                policy=policy,
            ),
            config,
            shard,
            job,
        )
        state = "interrupted" if summary.interrupted else "finished"
        return summary
    except _Taken:
        state = ""
        raise
    finally:
        if state:
            beating.end(state)


class _Taken(LedgerError):
    """Another task works on the shard."""


def _when_free(work: Callable[[], Summary], config: Config, shard: Shard, job: str) -> Summary:
    """Do the work of a shard; while a process of an earlier start of this job has the ledger, wait for its end.

    Raises
    ------
    LedgerError
        The shard is another task's.
    """
    until = time.monotonic() + PATIENCE
    waits = False
    while True:
        try:
            return work()
        except LedgerError as error:
            if "in use" not in str(error):
                raise
        beat = read_beat(config, shard)
        earlier = job and beat is not None and beat.job == job
        if not earlier or time.monotonic() > until:
            whose = (
                f" (process {beat.process} on {beat.where}{f', job {beat.job}' if beat.job else ''})" if beat else ""
            )
            raise _Taken(f"shard {shard} is being done by another task{whose}: this one leaves")
        if not waits:
            log.warning("shard %s: the process of this task's earlier start is ending; this one waits for it", shard)
        waits = True


def _agree(config: Config, now: dict[str, str], *, anew: bool) -> None:
    """Note the policy beside the shards, or refuse one that differs from that of the others.

    Raises
    ------
    LedgerError
        Another key, or other rules.
    """
    path = os.path.join(shards_dir(config), AGREED)
    try:
        with open(path, "wb" if anew else "xb") as file:
            file.write(orjson.dumps(now))
        return
    except FileExistsError:
        pass
    except OSError as error:
        raise disk_error(error, path) from None
    try:
        with open(path, "rb") as file:
            known = orjson.loads(file.read())
    except (OSError, orjson.JSONDecodeError):  # another shard is writing it: `merge` compares all of them
        return
    if known != now:
        raise LedgerError(
            "privacy: other shards of this output were made with another key or other rules; set them back, choose"
            " another output.dir, or use --rebuild for every shard"
        )


def _require_shards(config: Config, shard: Shard) -> None:
    """Refuse another number of shards than the others have, and an output that one run made.

    Raises
    ------
    StopError
        What is there stays as it is.
    """
    other = next((one for one in begun_shards(config) if one.of != shard.of), None)
    if other is not None:
        raise StopError(
            f"shard {other} has begun: this output is made in {other.of} shards, not in {shard.of}; go on with these,"
            " or choose another output.dir"
        )
    require_merged(config)


def require_merged(config: Config) -> None:
    """Refuse an output of which runs without shards know more than the last merge.

    Raises
    ------
    StopError
        What is there stays as it is.
    """
    path = ledger_of(config)
    if is_absent(path) or not os.path.getsize(path):
        return
    with reading(path) as ledger:
        if ledger is None:
            raise LedgerError(f"{portable(path)} is in use: a merge, or a run without shards, works on this output")
        merged = ledger.get(MERGED)
        if merged is None and not ledger.count("folders"):  # of a merge that found shards missing
            return
        if merged is None or merged["revision"] != ledger.get("revision", 0):
            raise StopError(
                f"{portable(path)}: a run without shards made or changed this output; go on without shards, or choose"
                " another output.dir"
            )
