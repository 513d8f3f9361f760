"""`dme dask CONFIG`: the shards of a job on Dask, and the merge after them."""

from __future__ import annotations

import argparse
import os

from crawler.cli.common import add_common, count, program, public_errors, started_command
from crawler.cli.merge import execute as merge
from crawler.cli.plan import plan_table
from crawler.cluster.dask_shards import Ended, client_of, cpus_here, run_on
from crawler.cluster.making import make_plan
from crawler.cluster.plan import read_plan
from crawler.cluster.shards import Shard
from crawler.config.loader import load_config
from crawler.ledger.summary import EXIT_FAILED_FILES, EXIT_OK, EXIT_STOPPED
from crawler.privacy.coverage import require_covered

EACH = 4  # shards a worker: one that is lost costs little, and the last ones even out


def build_parser() -> argparse.ArgumentParser:
    """The parser of `dme dask`."""
    parser = argparse.ArgumentParser(
        prog=f"{program()} dask", description="Run a job in shards on a Dask cluster, and merge them."
    )
    parser.add_argument("config", metavar="CONFIG", help="the YAML file of the run")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--scheduler", metavar="ADDRESS", help="of a running cluster, such as tcp://node1:8786")
    where.add_argument("--local", type=count, metavar="N", help="N workers on this machine")
    where.add_argument("--slurm", type=count, metavar="N", help="N jobs of SLURM, a worker each (dask-jobqueue)")
    parser.add_argument("--shards", type=count, metavar="N", help=f"how many; else as planned, else {EACH} a worker")
    parser.add_argument("--cpus", type=count, metavar="N", help="worker processes of each shard")
    parser.add_argument("--mem", default="8GB", metavar="SIZE", help="with --slurm: memory of a job (8GB)")
    parser.add_argument("--time", default="24:00:00", metavar="TIME", help="with --slurm: time limit of a job (24 h)")
    parser.add_argument("--partition", metavar="NAME", help="with --slurm: as of sbatch")
    parser.add_argument("--extra", action="append", default=[], metavar="OPTION", help="with --slurm: option of sbatch")
    add_common(parser)
    return parser


def execute(options: argparse.Namespace) -> int:
    """Plan when there is no plan, run all shards, merge."""
    config = load_config(options.config, retrieves=False)
    require_covered(config)
    cpus = options.cpus or (max(1, cpus_here() // max(1, options.local)) if options.local else config.num_workers)
    slurm = None
    if options.slurm:
        slurm = {"jobs": options.slurm, "cores": max(1, cpus), "memory": options.mem, "walltime": options.time}
        slurm |= {"queue": options.partition, "job_extra_directives": options.extra}
    with client_of(options.scheduler, options.local, slurm) as client:
        plan = read_plan(config)
        wanted = options.shards or (plan.shards if plan else 0)
        wanted = wanted or EACH * max(1, options.local or options.slurm or _workers(client))
        if plan is None or plan.shards != wanted:
            with public_errors(config.private_dir):
                planned = make_plan(config, wanted, estimate=False)
            if not options.quiet:
                print(plan_table(planned))
        path = os.path.abspath(options.config)
        shards = [Shard(number, wanted) for number in range(1, wanted + 1)]

        def command(shard: Shard) -> list[str]:
            return [*started_command(), path, "--shard", str(shard), "--workers", str(cpus), "-q"]

        ended = run_on(client, shards, command, config.directory, (lambda one: None) if options.quiet else _tell)
    bad = [one for one in ended if one.code not in (EXIT_OK, EXIT_FAILED_FILES)]
    return EXIT_STOPPED if bad else merge(options)


def _workers(client: object) -> int:
    return len(client.scheduler_info(n_workers=-1)["workers"])  # type: ignore[attr-defined]


def _tell(ended: Ended) -> None:
    ends = {EXIT_OK: "done", EXIT_FAILED_FILES: "done, some files failed"}
    word = ends.get(ended.code, f"ended with {ended.code}: {ended.said}")
    print(f"shard {ended.shard}: {word}", flush=True)
