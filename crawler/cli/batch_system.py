"""What SLURM tells a job in its environment: which shard it is, how many workers and how much memory it may use.

This is the one place that reads such variables (sbatch(1), OUTPUT ENVIRONMENT VARIABLES).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from crawler.cluster.shards import Shard, parse_shard
from crawler.config.loader import Config
from crawler.errors import StopError

PARENT = 500 * 10**6  # bytes that the run's own process may take beside its workers
SHARE = 0.9  # of the job's memory: the rest is for what the system counts to the job, such as its page cache
LEAST = 256 * 10**6  # bytes of a worker with which it can do anything


def shard_of(written: str | None, environ: Mapping[str, str] = os.environ) -> Shard | None:
    """The shard that a run is for: as written ("2/4", or "all" for no shard), else as an array task's place.

    The first task of an array is shard 1, whatever numbers the array has.

    Raises
    ------
    StopError
        There is no such shard; or the numbers of the array do not say which place a task has.
    """
    if written is not None:
        return None if written.strip() == "all" else parse_shard(written)
    if "SLURM_ARRAY_TASK_ID" not in environ:
        return None
    task, first, last, count, step = (
        _number(environ, f"SLURM_ARRAY_TASK_{name}", default)
        for name, default in (("ID", 0), ("MIN", None), ("MAX", None), ("COUNT", None), ("STEP", 1))
    )
    place, rest = divmod(task - first, max(1, step))
    if rest or not 0 <= place < count or (last - first) != (count - 1) * max(1, step):
        raise StopError(
            f"the numbers of this array ({first} to {last}, {count} tasks) are not evenly spaced: task {task} does not"
            f" say which shard it is: add --shard, as in --shard $SLURM_ARRAY_TASK_ID/{count}"
        )
    return Shard(place + 1, count)


def with_resources(config: Config, workers: int | None, environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration with as many workers as the job has processors, and as much memory as there is for each.

    Parameters
    ----------
    workers
        As given on the command line; the job's number does not count then.
    """
    cpus = _number(environ, "SLURM_CPUS_PER_TASK", 0)
    if workers is not None:
        config = replace(config, num_workers=workers)
    elif cpus:
        config = replace(config, num_workers=cpus)
    megabytes = _number(environ, "SLURM_MEM_PER_NODE", 0) or _number(environ, "SLURM_MEM_PER_CPU", 0) * max(1, cpus)
    if megabytes:
        each = int(megabytes * 2**20 * SHARE - PARENT) // max(1, config.num_workers)
        limits = replace(config.limits, memory=max(LEAST, min(config.limits.memory, each)))
        config = replace(config, limits=limits)
    return config


def job_name(environ: Mapping[str, str] = os.environ) -> str:
    """What the scheduler calls this task; empty outside a job."""
    job = environ.get("SLURM_ARRAY_JOB_ID") or environ.get("SLURM_JOB_ID", "")
    task = environ.get("SLURM_ARRAY_TASK_ID")
    return f"{job}_{task}" if job and task else job


def _number(environ: Mapping[str, str], name: str, default: int | None) -> int:
    text = environ.get(name)
    if text is None and default is not None:
        return default
    try:
        return int(text or "")
    except ValueError:
        raise StopError(f"{name} is {text!r}, and no number: start the task with sbatch, or add --shard") from None
