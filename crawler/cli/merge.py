"""`dme merge CONFIG`: the shards of an output as one, when all of them are done."""

from __future__ import annotations

import argparse
import sys

from crawler.cli.common import account_lines, add_common, logging_to, program
from crawler.cluster.merge import Merged, merge
from crawler.config.loader import load_config
from crawler.disk import created_as
from crawler.ledger.summary import EXIT_FAILED_FILES, EXIT_STOPPED
from crawler.privacy.coverage import require_covered


def build_parser() -> argparse.ArgumentParser:
    """The parser of `dme merge`."""
    parser = argparse.ArgumentParser(
        prog=f"{program()} merge",
        description="Join rows, tables and accounts of all shards, and prove that all is there.",
    )
    parser.add_argument("config", metavar="CONFIG", help="the YAML file of the run")
    add_common(parser)
    return parser


def execute(options: argparse.Namespace) -> int:
    """Merge; or say which shards owe what, and how to run them."""
    config = load_config(options.config, retrieves=False)
    require_covered(config)
    log_path, private = config.own_path("run.log"), config.private_dir
    with created_as(config.output.mode), logging_to(log_path, config.roots, options, private):
        merged = merge(config)
    if merged.summary is None:
        print(owed_table(merged, options.config), file=sys.stderr)
        return EXIT_STOPPED
    if not options.quiet:
        print("\n".join([*account_lines(merged.summary), f"{merged.shards:,} shards, merged", *changed_lines(merged)]))
    return EXIT_FAILED_FILES if merged.gone else merged.summary.exit_code


def owed_table(merged: Merged, config_name: str) -> str:
    """A line a shard that is not done."""
    lines = [f"dme: nothing was merged: {len(merged.owed):,} of {merged.shards:,} shards are not done"]
    for one in merged.owed:
        what = f", {one.files:,} files" if one.files else ""
        where = f" in {one.folders:,} folders" if one.folders else ""
        lines.append(f"  shard {one.shard}: {one.reason}{what}{where}: {program()} {config_name} --shard {one.shard}")
    return "\n".join(lines)


def changed_lines(merged: Merged) -> list[str]:
    """What differs from the plan."""
    lines: list[str] = []
    if merged.changed:
        lines.append(
            f"{merged.changed:,} folders or archives changed between plan and run; they were done as they were"
        )
    if merged.gone:
        lines.append(f"{merged.gone:,} planned files were gone when their shard ran: plan again, or put them back")
    return lines
