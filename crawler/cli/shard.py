"""`dme CONFIG --shard I/N`: one shard of the main job; its log lies with its ledger."""

from __future__ import annotations

import argparse
import logging
import os
import sys

from crawler.cli import batch_system
from crawler.cli.arguments import rebuilt
from crawler.cli.common import account_lines, logging_to, program
from crawler.cluster.run_shard import run_shard
from crawler.cluster.shards import Shard, shard_dir
from crawler.config.loader import Config
from crawler.disk import created_as
from crawler.engine.progress import make_progress
from crawler.privacy.coverage import require_covered

log = logging.getLogger("dme")


def execute(config: Config, shard: Shard, options: argparse.Namespace) -> int:
    """Run it; return its exit code."""
    require_covered(config)
    folder = shard_dir(config, shard)
    private = folder if config.privacy else None  # a log of each shard's own
    path = None if private else os.path.join(folder, "run.log")
    with created_as(config.output.mode), logging_to(path, config.roots, options, private):
        log.info("shard %s, %d workers", shard, config.num_workers)
        summary = run_shard(
            config,
            shard.number,
            shard.of,
            rebuild=rebuilt(options.rebuild),
            retry_failed=options.retry_failed or options.retry_reason or False,
            progress=make_progress(sys.stderr, quiet=options.quiet),
            job=batch_system.job_name(),
        )
        log.info("shard %s: found %d files, exported %d", shard, summary.found, summary.exported)
    if not options.quiet:
        lines = account_lines(summary)
        if summary.interrupted:
            lines.append(f"Interrupted: what is done is kept. To go on: {program()} {options.config} --shard {shard}")
        else:
            lines.append(f"Shard {shard} is done. When all are: {program()} merge {options.config}")
        print("\n".join(lines))
    return summary.exit_code
