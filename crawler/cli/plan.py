"""`dme plan CONFIG --shards N`: divide the input into shards, and say how evenly, and how long they take."""

from __future__ import annotations

import argparse

from crawler.cli.common import count, program, public_errors
from crawler.cli.terminal import span_text, time_text
from crawler.cluster.making import Planned, make_plan
from crawler.cluster.plan import plan_path
from crawler.config.loader import load_config
from crawler.config.sizes import size_text
from crawler.ledger.summary import EXIT_OK
from crawler.paths import readable
from crawler.privacy.coverage import require_covered


def build_parser() -> argparse.ArgumentParser:
    """The parser of `dme plan`."""
    parser = argparse.ArgumentParser(
        prog=f"{program()} plan", description="Divide the input into shards of whole folders, by their bytes."
    )
    parser.add_argument("config", metavar="CONFIG", help="the YAML file of the run")
    parser.add_argument("--shards", type=count, required=True, metavar="N", help="how many shards there shall be")
    parser.add_argument("--no-estimate", action="store_true", help="try no files to estimate the time")
    return parser


def execute(options: argparse.Namespace) -> int:
    """Write the plan and print what is in it."""
    config = load_config(options.config, retrieves=False)
    require_covered(config)
    with public_errors(config.private_dir):
        planned = make_plan(config, options.shards, estimate=not options.no_estimate)
    print(plan_table(planned))
    print(
        f"The plan is {readable(plan_path(config))}. Each shard by hand: "
        f"{program()} {options.config} --shard 1/{options.shards}"
    )
    print(f"When all have run: {program()} merge {options.config}")
    return EXIT_OK


def plan_table(planned: Planned) -> str:
    """What a plan came to."""
    plan = planned.plan
    lines = [
        f"{'found':<12}{sum(plan.files):,} files   {size_text(sum(plan.sizes))}   in {plan.units:,} folders, archives",
        f"{'shards':<12}{plan.shards:,}   {size_text(min(plan.sizes))} to {size_text(max(plan.sizes))}, the largest "
        f"{plan.spread:.2f} times the mean",
    ]
    if plan.largest * plan.shards > 1.2 * sum(plan.sizes):
        lines.append(f"{'':<12}one folder holds {size_text(plan.largest)}, and a folder is not divided")
    if planned.seconds is not None:
        lines.append(
            f"{'estimate':<12}{span_text(planned.seconds, time_text)} for the largest, {planned.workers} workers each"
        )
    return "\n".join(lines)
