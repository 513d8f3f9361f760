"""`dme schema`: the configuration as a JSON Schema."""

from __future__ import annotations

import argparse
import json

from crawler.cli.common import program
from crawler.config.schema import config_schema
from crawler.ledger.summary import EXIT_OK


def build_parser() -> argparse.ArgumentParser:
    """The parser of `dme schema`."""
    return argparse.ArgumentParser(
        prog=f"{program()} schema",
        description="Print a JSON Schema (draft 2020-12) of the configuration, for editors.",
    )


def execute(options: argparse.Namespace) -> int:
    """Print the schema."""
    print(json.dumps(config_schema(), indent=2))
    return EXIT_OK
