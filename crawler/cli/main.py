"""The entry points: `main` finds the command that was asked for and runs it, `run_crawler` is the earlier crawler's.

Each command is a module of this folder with `build_parser()` and `execute(options)`; the main job is `run.py`.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from importlib import import_module

gc.disable()  # modules that load make no garbage, and looking for some costs a tenth of the start

from crawler.cli import run  # noqa: E402
from crawler.cli.common import guarded  # noqa: E402

gc.freeze()  # nor will they ever be garbage: workers that are forked share them
gc.set_threshold(20_000)  # records are no circles: looking every 700 takes 3 % of 200,000 headers, this 10 MB
gc.enable()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments ask for, by default those of the process; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in run.COMMANDS:
        command = import_module(f"crawler.cli.{given[0]}")  # what the main job does not need is not loaded for it
        return guarded(lambda: command.execute(command.build_parser().parse_args(given[1:])))
    parser = run.build_parser()
    if given and (near := run.misspelt(given[0])):
        parser.error(f"{given[0]!r} is no command and no file; did you mean {near}?")
    return guarded(lambda: run.execute(parser.parse_args(given)))


def run_crawler(arguments: Sequence[str] | None = None) -> int:
    """The same for `run_crawler.py`."""
    from crawler.cli import run_crawler as command  # beside the main job, which does not need it

    return guarded(lambda: command.execute(command.build_parser().parse_args(arguments)))
