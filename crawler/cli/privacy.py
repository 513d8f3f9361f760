"""`dme privacy key FILE`: a secret key for the section `privacy`."""

from __future__ import annotations

import argparse

from crawler.cli.common import program, shown
from crawler.ledger.summary import EXIT_OK
from crawler.privacy.keys import make_key


def build_parser() -> argparse.ArgumentParser:
    """The parser of `dme privacy`."""
    parser = argparse.ArgumentParser(
        prog=f"{program()} privacy", description="What the section `privacy` of a configuration needs."
    )
    commands = parser.add_subparsers(dest="what", required=True, metavar="COMMAND")
    key = commands.add_parser("key", help="write a new secret key, for you alone")
    key.add_argument("file", metavar="FILE", help="where; a file that is there is not written over")
    return parser


def execute(options: argparse.Namespace) -> int:
    """Do what was asked for."""
    make_key(options.file)
    print(f"{shown(options.file)}: keep it apart from the outputs; who has it can tell whose data they are")
    return EXIT_OK
