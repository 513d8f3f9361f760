"""`dme init [DIR]`: a configuration to begin from, with every key explained, or a short one for a goal."""

from __future__ import annotations

import argparse
import os

from crawler.cli.common import program, shown
from crawler.cli.help_text import HelpText
from crawler.config.packaged import packaged
from crawler.config.starters import GOALS, starter
from crawler.errors import StopError
from crawler.ledger.summary import EXIT_OK

NAME = "config.yml"
CODES = """\
exit codes:
  0  written
  1  it is there already, or cannot be written
  2  wrong arguments
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of `dme init [DIR]`."""
    goals = "\n".join(f"  {name:<8}{line}" for name, line in GOALS.items())
    parser = argparse.ArgumentParser(
        prog=f"{program()} init",
        description=f"Write {NAME}: every key with its default and a comment. A file of that name stays as it is.",
        epilog=f"goals:\n{goals}\n\n{CODES}",
        formatter_class=HelpText,
    )
    parser.add_argument("dir", metavar="DIR", nargs="?", default=".", help="folder; made when absent (default: here)")
    parser.add_argument("--goal", choices=GOALS, metavar="GOAL", help=f"a short one in its place: {', '.join(GOALS)}")
    return parser


def execute(options: argparse.Namespace) -> int:
    """Write the file."""
    path = os.path.join(os.path.abspath(os.path.expanduser(options.dir)), NAME)
    text = starter(options.goal, NAME) if options.goal else packaged(NAME).read_text("utf-8")
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        raise StopError(f"{shown(path)} is there already, and stays") from None
    except OSError as error:
        raise StopError(f"{shown(path)} cannot be written: {error.strerror}") from None
    wanted = "the server and the query" if options.goal == "pacs" else "dicom.dir"
    print(f"Written: {shown(path)}. Set {wanted} in it, then: {program()} {shown(path)}")
    return EXIT_OK
