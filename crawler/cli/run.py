"""`dme CONFIG`: the main job, and `--dry-run`."""

from __future__ import annotations

import argparse
import csv
import logging
import os
import sys
import warnings
from itertools import islice
from typing import TYPE_CHECKING

from crawler.cli import batch_system
from crawler.cli.arguments import rebuilt
from crawler.cli.common import account_lines, logging_to, program, shown
from crawler.cli.terminal import reasons, time_text
from crawler.config.loader import Config, load_config
from crawler.config.sizes import size_text
from crawler.config.starters import GOALS
from crawler.disk import created_as
from crawler.engine.progress import make_progress
from crawler.engine.run import run
from crawler.errors import StopError
from crawler.ledger.summary import EXIT_OK, Summary
from crawler.privacy.coverage import refuse, require_covered
from crawler.sources.archive import is_archive

if TYPE_CHECKING:
    from crawler.engine.foreseen import Found

log = logging.getLogger("dme")

LOGGED = 10_000  # failed files in a log: unreadable_files.csv has them all


def execute(options: argparse.Namespace) -> int:
    """Run the main job; return its exit code."""
    _refuse_input(options.config)
    shard = batch_system.shard_of(options.shard)
    config = load_config(options.config, retrieves=not options.no_retrieve and shard is None)
    config = batch_system.with_resources(config, options.workers)
    if options.dry_run:
        refuse(config, "--dry-run")
        return _dry_run(config, options.config)
    if shard is not None:
        from crawler.cli import shard as of_shard  # a run without shards needs nothing of it

        return of_shard.execute(config, shard, options)
    if not (config.metadata or config.media or config.volume or config.preview):
        log.warning("no section switches an output on: files are only read and counted")
    require_covered(config)
    log_path = config.own_path("run.log")
    with created_as(config.output.mode), logging_to(log_path, config.roots, options, config.private_dir):
        progress = make_progress(sys.stderr, quiet=options.quiet)
        summary = run(
            config,
            rebuild=rebuilt(options.rebuild),
            retry_failed=options.retry_failed or options.retry_reason or False,
            retrieve=not options.no_retrieve,
            progress=progress,
        )
        counts = {**summary.skipped, **summary.failed}
        told = "; ".join(f"{reason}: {count:,}" for reason, count in counts.items())
        found = summary.found + summary.pending
        log.info("found %d files, exported %d%s", found, summary.exported, f"; {told}" if told else "")
        _log_failures(config.own_path("unreadable_files.csv"), summary)
        closing = closing_table(summary, config, options.config)
        for line in closing.splitlines() if not options.quiet else ():
            log.debug("%s", line)  # what the screen says, for run.log
    if not options.quiet:
        print(closing)
    return summary.exit_code


def _log_failures(path: str, summary: Summary) -> None:
    """Each failed file with stage and reason: in run.log, and with -v on the screen."""
    if not summary.failed or summary.interrupted:
        return
    try:
        with open(path, newline="", encoding="utf-8") as file:
            for name, stage, reason, detail in islice(csv.reader(file), 1, LOGGED + 1):
                log.info("failed: %s: %s: %s%s", name, stage, reason, f", {detail}" if detail else "")
    except (OSError, ValueError):  # it is a list for people, which somebody may have moved already
        return
    beyond = sum(summary.failed.values()) - LOGGED
    if beyond > 0:
        log.info("and %d more, in %s", beyond, shown(path))


def _is_dicom(path: str) -> bool:
    """Whether a file begins as PS3.10 7.1 has it: 128 bytes of preamble, then DICM."""
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False  # `load_config` says why it cannot be read


def _refuse_input(path: str) -> None:
    """Tell of the way to go when DICOM is given in place of a configuration.

    Raises
    ------
    StopError
        It is a folder, or a file that no configuration is.
    """
    if os.path.isdir(path):
        what = "a folder"
    elif os.path.isfile(path) and (_is_dicom(path) or is_archive(path)):
        what = "an archive" if is_archive(path) else "a DICOM file"
    else:
        return
    raise StopError(
        f"{shown(path)} is {what}, and CONFIG is a YAML file. Pictures, videos and texts of it:"
        f" {program()} convert {shown(path)}. For tables and volumes write a configuration, and name it there in"
        f" dicom.dir: {program()} init --goal GOAL ({', '.join(GOALS)})"
    )


def closing_table(summary: Summary, config: Config, config_name: str) -> str:
    """What a run did, and what to do next."""
    lines = account_lines(summary)
    if summary.interrupted:
        lines.append(f"Interrupted: what is done is kept. To go on: {program()} {config_name}")
    elif summary.listed != summary.found:
        lines.append(f"The input changed during the run: {program()} {config_name} brings the outputs up to date")
    elif summary.failed:
        listed = shown(config.own_path("unreadable_files.csv"))
        lines.append(f"Next: {listed} says why, file by file. {_advice(summary)}")
    elif not summary.found:
        lines.append("Nothing was found: check dicom.dir and dicom.recursive")
    elif config.metadata is not None and config.metadata_path:
        series = shown(config.own_path("series.csv"))
        lines.append(f"Next: crawler.read_metadata({shown(config.metadata_path)!r}) in Python, or {series}")
    return "\n".join(lines)


def _advice(summary: Summary) -> str:
    """What to do about failures, by the stages that they are of."""
    stages = {reason.partition(":")[0] for reason in summary.failed}
    if stages == {"write"}:
        return "The files are read, but some outputs cannot be written: mend the cause, then run with --retry-failed"
    if stages == {"layout"}:
        return "volume.irregular refuses them: 'split' or 'keep' makes volumes of them, with --rebuild"
    return "Files that are mended are read by the next run; --retry-failed tries the others again, too"


def _asked(config: Config) -> list[str]:
    """What a PACS says that a retrieval would find, and a guess at bytes and time by a few instances."""
    from crawler.engine.foreseen import survey  # a PACS: few configurations have one

    found = survey(config)
    return [
        f"{'in PACS':<17}  {found.instances:,} instances of {found.series:,} series, {found.studies:,} studies;"
        f" {found.here:,} of them are here",
        f"{'to fetch':<17}  {found.missing:,} instances, {_expense(found)}",
        f"{'requests':<17}  {found.requests:,}" + reasons(found.unanswered).replace("\n", "\n       "),
    ]


def _expense(found: Found) -> str:
    """Bytes and time of what is to be fetched, and how that is known."""
    estimate = found.estimate
    if estimate.bytes is None or estimate.seconds is None:
        return f"of unknown size and time ({estimate.reason})"
    if not found.missing:
        return "nothing to transfer"
    probes = f"{estimate.probes} instance{'s' if estimate.probes > 1 else ''}"
    return f"about {size_text(estimate.bytes)} and {time_text(estimate.seconds)}, by a probe of {probes}"


def _dry_run(config: Config, config_name: str) -> int:
    """Print the table; the trial run has no log, since it is no run of the user's."""
    from crawler.cli.terminal import preflight_table  # these load what a run does not need
    from crawler.dryrun.preflight import preflight

    warnings.simplefilter("ignore")
    silence = logging.NullHandler()
    log.addHandler(silence)  # without any handler, logging prints warnings itself
    try:
        if config.pacs is not None:
            print("\n".join(_asked(config)))
            if not os.path.isdir(config.pacs_dir or ""):
                print(f"Nothing was received yet, and nothing was written. To run: {program()} {config_name}")
                return EXIT_OK
        print(preflight_table(preflight(config), f"{program()} {config_name}"))
    finally:
        log.removeHandler(silence)
    return EXIT_OK
