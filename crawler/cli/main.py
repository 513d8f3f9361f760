"""The entry points: `main` finds the command that was asked for and runs it, `run_crawler` is the earlier crawler's.

Each command is a module of this folder with `build_parser()` and `execute(options)`, loaded when it is asked for. The
main job is `run.py`; its arguments are in `arguments.py`.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from crawler.cli import arguments as main_job
from crawler.cli.common import guarded


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments ask for, by default those of the process; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in main_job.COMMANDS:
        command = _load(given[0])
        return guarded(lambda: command.execute(command.build_parser().parse_args(given[1:])))
    parser = main_job.build_parser()
    if given and (near := main_job.misspelt(given[0])):
        parser.error(f"{given[0]!r} is no command and no file; did you mean {near}?")
    return guarded(lambda: _run(parser.parse_args(main_job.joined(given))))


def run_crawler(arguments: Sequence[str] | None = None) -> int:
    """The same for `run_crawler.py`."""
    command = _load("run_crawler")
    return guarded(lambda: command.execute(command.build_parser().parse_args(arguments)))


def _run(options: argparse.Namespace) -> int:
    exit_code: int = _load("run").execute(options)
    return exit_code


def _load(name: str) -> ModuleType:
    """Load a command's module, and what it needs, with the garbage collector set for runs."""
    gc.disable()  # modules that load make no garbage, and looking for some costs a tenth of the start
    command = import_module(f"crawler.cli.{name}")
    gc.freeze()  # nor will they ever be garbage: workers that are forked share them
    gc.set_threshold(20_000)  # records are no circles: looking every 700 takes 3 % of 200,000 headers, this 10 MB
    gc.enable()
    return command
