"""The console names of seeds/002, each for a `dme image` command: ``image_data``, ``image_list`` ... ``dicom_sort``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from crawler.cli.common import guarded
from crawler.cli.image import COMMANDS, add_arguments, execute


def run(command: str, name: str, arguments: Sequence[str] | None = None) -> int:
    """Run a command under another name; return its exit code."""
    line = COMMANDS[command]
    parser = argparse.ArgumentParser(prog=name, description=f"{line[0].upper()}{line[1:]}.")
    add_arguments(parser, command)
    given = list(sys.argv[1:] if arguments is None else arguments)

    def start() -> int:
        options = parser.parse_args(given)
        options.command = command
        return execute(options)

    return guarded(start)


def image_data(arguments: Sequence[str] | None = None) -> int:
    """``image_data OUT IN``: convert, or send."""
    return run("convert", "image_data", arguments)


def image_list(arguments: Sequence[str] | None = None) -> int:
    """``image_list PLACE``."""
    return run("list", "image_list", arguments)


def image_statistics(arguments: Sequence[str] | None = None) -> int:
    """``image_statistics IN``."""
    return run("statistics", "image_statistics", arguments)


def image_calculator(arguments: Sequence[str] | None = None) -> int:
    """``image_calculator OUT EXPRESSION IN...``."""
    return run("calculator", "image_calculator", arguments)


def image_show(arguments: Sequence[str] | None = None) -> int:
    """``image_show IN``."""
    return run("show", "image_show", arguments)


def timeline(arguments: Sequence[str] | None = None) -> int:
    """``timeline IN``."""
    return run("timeline", "timeline", arguments)


def dicom_dump(arguments: Sequence[str] | None = None) -> int:
    """``dicom_dump IN``."""
    return run("dump", "dicom_dump", arguments)


def dicom_sort(arguments: Sequence[str] | None = None) -> int:
    """``dicom_sort DEST IN...``."""
    return run("sort", "dicom_sort", arguments)
