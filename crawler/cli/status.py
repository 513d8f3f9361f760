"""`dme status CONFIG`: what is done, as the ledger has it; changes nothing."""

from __future__ import annotations

import argparse

from crawler.cli.common import program
from crawler.cli.terminal import status_table
from crawler.config.loader import load_config
from crawler.ledger.status import read_status
from crawler.ledger.summary import EXIT_OK


def build_parser() -> argparse.ArgumentParser:
    """The parser of `dme status CONFIG`."""
    parser = argparse.ArgumentParser(prog=f"{program()} status", description="Say what is done; change nothing.")
    parser.add_argument("config", metavar="CONFIG", help="the YAML file of the run")
    return parser


def execute(options: argparse.Namespace) -> int:
    """Print the table."""
    print(status_table(read_status(load_config(options.config)), f"{program()} {options.config}"))
    return EXIT_OK
