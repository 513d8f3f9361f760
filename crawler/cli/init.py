"""`dme init [DIR]`: the sample configuration, every key explained, to begin from."""

from __future__ import annotations

import argparse
import os

from crawler.cli.common import program, shown
from crawler.config.packaged import packaged
from crawler.errors import StopError
from crawler.ledger.summary import EXIT_OK


def build_parser() -> argparse.ArgumentParser:
    """The parser of `dme init [DIR]`."""
    parser = argparse.ArgumentParser(
        prog=f"{program()} init",
        description="Write config.yml: every key with its default and a comment. A file of that name stays as it is.",
    )
    parser.add_argument("dir", metavar="DIR", nargs="?", default=".", help="folder; made when absent (default: here)")
    return parser


def execute(options: argparse.Namespace) -> int:
    """Write the file."""
    path = os.path.join(os.path.abspath(os.path.expanduser(options.dir)), "config.yml")
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "x", encoding="utf-8", newline="\n") as file:
            file.write(packaged("config.yml").read_text("utf-8"))
    except FileExistsError:
        raise StopError(f"{shown(path)} is there already, and stays") from None
    except OSError as error:
        raise StopError(f"{shown(path)} cannot be written: {error.strerror}") from None
    print(f"Written: {shown(path)}. Set dicom.dir in it, then: {program()} {shown(path)}")
    return EXIT_OK
