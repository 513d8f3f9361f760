"""`dme status CONFIG`: what is done, as the ledger has it, of all shards where there are any; changes nothing."""

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
    from crawler.cli.shard_table import is_merged, shard_table  # most outputs have no shards
    from crawler.cluster.states import read_states

    config = load_config(options.config)
    states = read_states(config)
    if states:
        print(shard_table(states, f"{program()} {options.config}", f"{program()} merge {options.config}"))
    if not states or is_merged(config):
        print(status_table(read_status(config), f"{program()} {options.config}"))
    return EXIT_OK
