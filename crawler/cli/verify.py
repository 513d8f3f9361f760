"""`dme verify CONFIG`: every output against its record, and a sample against the source; changes nothing."""

from __future__ import annotations

import argparse

from crawler.cli.common import count, program, public_errors
from crawler.config.loader import load_config
from crawler.config.sizes import size_text
from crawler.errors import ConfigError
from crawler.ledger.summary import EXIT_FAILED_FILES, EXIT_OK
from crawler.paths import printable
from crawler.verify.output import SAMPLE, Verification, verify


def build_parser() -> argparse.ArgumentParser:
    """The parser of `dme verify`."""
    parser = argparse.ArgumentParser(
        prog=f"{program()} verify",
        description="Open every output, compare it with its record, and some with their source. Changes nothing.",
    )
    parser.add_argument("config", metavar="CONFIG", help="the YAML file of the run")
    parser.add_argument(
        "--sample",
        type=count,
        metavar="N",
        help=f"series to compare with their source; else {SAMPLE}",
    )
    return parser


def execute(options: argparse.Namespace) -> int:
    """Look, and print what is wrong; 3 when anything is."""
    config = load_config(options.config, retrieves=False)
    sample = SAMPLE if options.sample is None else options.sample
    if config.privacy is not None:  # what is exported again for it would have names of its own, or the originals'
        if options.sample:
            raise ConfigError(
                "privacy does not cover --sample yet: leave it out, and files are compared with their record"
            )
        sample = 0
    with public_errors(config.private_dir):
        found = verify(config, sample)
    print(verify_table(found))
    return EXIT_FAILED_FILES if found.findings else EXIT_OK


def verify_table(found: Verification) -> str:
    """A line a finding, and the counts."""
    lines = [printable(f"{path}: {problem}") for path, problem in found.findings]
    lines.append(f"{'checked':<12}{found.files:>10,} files   {size_text(found.size)}")
    lines.append(f"{'compared':<12}{found.compared:>10,} of them with what their source gives")
    if found.gone:
        lines.append(f"{'':<12}{found.gone:>10,} sampled series have no source to compare: gone, or in an archive")
    lines.append(f"{'wrong':<12}{len(found.findings):>10,}")
    return "\n".join(lines)
