"""`dme slurm CONFIG --shards N`: plan, scripts, submission to SLURM."""

from __future__ import annotations

import argparse

from crawler.cli.common import count, program, public_errors, shown, started_command
from crawler.cli.plan import plan_table
from crawler.cluster.making import make_plan
from crawler.cluster.slurm import Wishes, submit, write_scripts
from crawler.config.loader import load_config
from crawler.disk import created_as
from crawler.ledger.summary import EXIT_OK
from crawler.privacy.coverage import require_covered


def build_parser() -> argparse.ArgumentParser:
    """The parser of `dme slurm`."""
    parser = argparse.ArgumentParser(
        prog=f"{program()} slurm", description="Run a job in shards on SLURM: plan, job array, and a merge after it."
    )
    parser.add_argument("config", metavar="CONFIG", help="the YAML file of the run")
    parser.add_argument("--shards", type=count, required=True, metavar="N", help="how many tasks the array shall have")
    parser.add_argument("--partition", metavar="NAME", help="as of sbatch")
    parser.add_argument("--time", metavar="TIME", help="as of sbatch: time limit of a shard; it is queued again then")
    parser.add_argument("--cpus", type=count, metavar="N", help="processors and workers of a shard; else num_workers")
    parser.add_argument("--mem", metavar="SIZE", help="as of sbatch: memory of a shard, such as 16G")
    parser.add_argument(
        "--extra",
        action="append",
        default=[],
        metavar="OPTION",
        help="another option of sbatch, as in --extra=--qos=low",
    )
    parser.add_argument("--script-only", action="store_true", help="write plan and scripts, and submit nothing")
    parser.add_argument("--no-estimate", action="store_true", help="try no files to estimate the time")
    return parser


def execute(options: argparse.Namespace) -> int:
    """Plan, write, submit; say how to look on."""
    config = load_config(options.config, retrieves=False)
    require_covered(config)
    with public_errors(config.private_dir):
        print(plan_table(make_plan(config, options.shards, estimate=not options.no_estimate)))
    cpus = max(1, options.cpus or config.num_workers)
    wishes = Wishes(cpus, options.partition, options.time, options.mem, tuple(options.extra))
    with created_as(config.output.mode):
        scripts = write_scripts(config, options.shards, started_command(), options.config, wishes)
    print(f"{'scripts':<12}{shown(scripts.array)}, {shown(scripts.merge)}")
    if options.script_only:
        print(f"Nothing was submitted. To submit: sbatch {shown(scripts.array)}")
        return EXIT_OK
    array, merge = submit(scripts)
    print(f"{'submitted':<12}job {array}, and job {merge} for the merge")
    print(f"To look on: {program()} status {options.config}")
    return EXIT_OK
