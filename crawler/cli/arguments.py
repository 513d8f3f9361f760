"""What `dme` takes on the command line: the commands, and the arguments of the main job.

It loads nothing of the run, so that `--help`, `--version` and a slip answer at once.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from crawler.cli.common import add_common, count, program
from crawler.cli.help_text import HelpText
from crawler.config.parts import SECTIONS
from crawler.config.starters import GOALS

# Modules of this folder, by name, with their line in --help.
COMMANDS = {
    "init": "write a configuration to begin from, every key explained, or one for a goal",
    "status": "what is done, as the ledger has it",
    "schema": "the configuration as a JSON Schema, for editors",
    "convert": "pictures, videos and texts of a file or a folder, without a configuration",
    "web": "search, start, watch and look at jobs in a browser, on this machine",
    "plan": "divide the input into shards, for a cluster or several machines",
    "merge": "join the shards, when all have run",
    "verify": "open every output, compare it with its record, and a sample with the source",
    "slurm": "run a job in shards on SLURM: plan, job array, merge",
    "dask": "run a job in shards on a Dask cluster, and merge them",
    "pacs": "find, retrieve, send and receive: echo, find, get, send, check, receive",
    "image": "series of images: convert, list, statistics, calculator, timeline, show, dump, sort, send",
    "privacy": "for the section privacy: key, audit, link (who is who), review (what is held back), dicom (write)",
    "sample": "write a small synthetic tree of DICOM files",
    "completion": "a script for bash or zsh that completes what you type",
}

EPILOG = """\
commands ({program} COMMAND --help explains each):
{commands}

examples:
  {program} config.yml                   export what the file describes; run it again to go on or to update
  {program} config.yml --dry-run         what there is, what would go wrong, how long it would take; writes nothing
  {program} init                         write config.yml, every key explained, to begin from
  {program} init study --goal ml         write study/config.yml, short, for a goal: {goals}
  {program} status config.yml            what is done, as the ledger has it; changes nothing
  {program} schema > dme.schema.json     the configuration as a JSON Schema, for editors
  {program} config.yml --workers 0       without worker processes, for debugging
  {program} config.yml --retry-failed    try files again that failed before
  {program} config.yml --rebuild         forget what was done and make everything anew
  {program} config.yml --rebuild volume  make the volumes anew, and keep everything else
  {program} plan config.yml --shards 4   divide the job; {program} config.yml --shard 1/4 does the first part
  {program} merge config.yml             join the shards when all have run
  {program} verify config.yml            whether every output is as it was written; exit code 3 when one is not
  {program} slurm config.yml --shards 4  plan, submit a job array, and merge when it has ended
  {program} dask config.yml --local 4    the same on a Dask cluster: --scheduler ADDRESS, --local or --slurm
  {program} convert scan.dcm -o out      pictures, videos and texts of a file or a folder; no configuration needed
  {program} pacs find config.yml         what a PACS holds; config.yml with a section pacs retrieves and exports it
  {program} completion bash              print a script that completes what you type; for zsh, too
  {program} web --root /data             pages in a browser: jobs, their series, a viewer
  {program} image show scan_folder       look at a series; image --help: convert it, list, statistics and more
  {program} privacy key study.key        write a secret key for the section privacy
  {program} privacy audit config.yml     search a finished output for what its originals say of persons
  {program} sample demo --broken         write a small sample tree with damaged files into demo/

exit codes:
  0    all well
  1    could not run
  2    wrong arguments
  3    finished, but some files failed (see unreadable_files.csv)
  130  interrupted
"""


def build_parser() -> argparse.ArgumentParser:
    """The parser of `dme CONFIG`."""
    commands = "\n".join(f"  {name:<12}{line}" for name, line in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog=program(),
        description="Turn folders of DICOM files into tables, media and volumes, with every file accounted for.",
        epilog=EPILOG.format(program=program(), commands=commands, goals=", ".join(GOALS)),
        formatter_class=HelpText,
    )
    parser.add_argument("config", metavar="CONFIG", help="YAML file that says what to do: config.yml explains each key")
    parser.add_argument("--workers", type=count, metavar="N", help="worker processes, in place of num_workers")
    parser.add_argument("--dry-run", action="store_true", help="say what a run would find and do, and write nothing")
    parser.add_argument(
        "--rebuild",
        nargs="?",
        const="",
        metavar="SECTION",
        help="delete what earlier runs made, and make it anew; with SECTION (image,video): outputs of these alone",
    )
    parser.add_argument("--retry-failed", action="store_true", help="try files again that failed and did not change")
    parser.add_argument(
        "--retry-reason",
        action="append",
        metavar="REASON",
        help="the same for files that failed for this reason, as the summary has it; may be repeated",
    )
    parser.add_argument("--no-retrieve", action="store_true", help="export what was received; ask no PACS")
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="one shard of N, from 1/N on; a task of a SLURM array is its own; all: the whole in such a task, too",
    )
    add_common(parser)
    return parser


def rebuilt(written: str | None) -> bool | list[str]:
    """What `--rebuild` asks for: nothing without it, everything, or sections."""
    return False if written is None else written.split(",") if written else True


def misspelt(word: str) -> str | None:
    """The command that a word is a slip of, when it is neither a file nor like a path."""
    if os.path.lexists(word) or not word.isalpha():
        return None
    import difflib  # for an error's text only

    near = difflib.get_close_matches(word.lower(), COMMANDS, n=1)
    return near[0] if near else None


def joined(given: Sequence[str]) -> list[str]:
    """The same, with the sections behind `--rebuild` joined to it: a configuration may follow there, too."""
    words: list[str] = []
    rest = list(given)
    while rest:
        word = rest.pop(0)
        if word == "--rebuild":
            sections = rest and all(part in SECTIONS for part in rest[0].split(","))
            word = f"--rebuild={rest.pop(0) if sections else ''}"
        words.append(word)
    return words
