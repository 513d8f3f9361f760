"""Shards on Dask: each is one task, which runs the command of the shard on whatever worker takes it.

The workers need the same file system and the same Python, and nothing of ours beside the command. A task whose worker
is lost runs again elsewhere, and the shard goes on from its ledger.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from crawler.cluster import dask_task
from crawler.cluster.shards import Shard
from crawler.errors import StopError

NEEDS = "python -m pip install -r requirements-cluster.txt"
RETRIES = 2  # of a shard whose command could not be started, or whose worker was lost in the middle


@dataclass(frozen=True, slots=True)
class Ended:
    """How the command of a shard ended: its exit code, and the last line that it wrote on stderr."""

    shard: Shard
    code: int
    said: str


@contextlib.contextmanager
def client_of(scheduler: str | None, local: int | None, slurm: dict[str, Any] | None) -> Iterator[Any]:
    """A client of a running scheduler, of workers on this machine, or of workers that SLURM starts.

    Parameters
    ----------
    scheduler
        Its address.
    local
        So many workers here.
    slurm
        ``jobs``, and what else `dask_jobqueue.SLURMCluster` takes.

    Raises
    ------
    StopError
        A package is missing, or the scheduler does not answer.
    """
    try:
        from dask.distributed import Client, LocalCluster

        if slurm is not None:
            from dask_jobqueue import SLURMCluster
    except ImportError as error:
        raise StopError(f"dask needs {error.name}: install with `{NEEDS}`") from None
    with contextlib.ExitStack() as stack:
        if slurm is not None:
            jobs = slurm.pop("jobs")
            cluster = stack.enter_context(SLURMCluster(processes=1, **slurm))
            cluster.scale(jobs=jobs)
        elif scheduler is None:
            cluster = stack.enter_context(
                LocalCluster(n_workers=local, threads_per_worker=1, dashboard_address="127.0.0.1:0", memory_limit=0)
            )
        try:
            yield stack.enter_context(Client(scheduler if scheduler is not None else cluster, timeout=30))
        except (OSError, TimeoutError) as error:
            raise StopError(f"the scheduler of Dask does not answer ({type(error).__name__})") from None


def run_on(
    client: Any,
    shards: Sequence[Shard],
    command: Callable[[Shard], Sequence[str]],
    directory: str,
    told: Callable[[Ended], None] = lambda ended: None,
) -> list[Ended]:
    """Run shards on the workers of a client.

    Parameters
    ----------
    command
        What runs a shard.
    directory
        Where it runs.
    told
        Called when a shard has ended.

    Returns
    -------
    list
        In the order of the shards.
    """
    import cloudpickle
    from dask.distributed import as_completed

    cloudpickle.register_pickle_by_value(dask_task)  # workers may not have this package on their path
    futures = {
        client.submit(
            dask_task.run, list(command(shard)), directory, key=f"shard-{shard.name}", retries=RETRIES, pure=False
        ): shard
        for shard in shards
    }
    ended: dict[Shard, Ended] = {}
    for future in as_completed(list(futures)):
        shard = futures[future]
        error = future.exception()
        code, said = future.result() if error is None else (1, type(error).__name__)
        ended[shard] = Ended(shard, code, said)
        told(ended[shard])
    return [ended[shard] for shard in shards]


def cpus_here() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
