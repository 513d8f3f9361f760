"""Shards as a SLURM job array: the two scripts, readable and for resubmission by hand, and their submission.

It knows `sbatch` (SLURM 20.11 and later) and nothing of accounting, which many clusters have switched off: what is done
is in the ledgers.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from crawler.cluster.shards import shards_dir
from crawler.config.loader import Config
from crawler.disk import make_folders
from crawler.errors import StopError
from crawler.ledger.store import disk_error
from crawler.paths import portable, readable

SECONDS = (
    120  # before the time limit the job hears of it: more than a run waits for tasks at hand (GRACE, interrupts.py)
)
ARRAY, MERGE = "array.sbatch", "merge.sbatch"

_ARRAY = """\
#!/bin/bash
# One shard a task. To run some again:  sbatch --array=2,7 {script}
{options}

cd {directory} || exit 1

# SIGUSR1 comes {seconds} s before the time limit: the run finishes what it is on, and SLURM queues the rest again.
# SIGTERM (scancel) ends the run in the same way, for good.
near_limit= signal= run=
hand_on() {{ [ -n "$signal" ] && [ -n "$run" ] && kill "-$signal" "$run" 2>/dev/null && signal=; }}
trap 'near_limit=yes; signal=USR1; hand_on' USR1
trap 'signal=TERM; hand_on' TERM

{command} {config} --shard "$SLURM_ARRAY_TASK_ID/{shards}" &
run=$!
hand_on # a signal may have come before the run had a number
while [ -n "$(jobs -r)" ]; do wait "$run"; done # a signal ends one wait before the run ends
wait "$run"
code=$?
if [ -n "$near_limit" ] && [ "$code" -eq 130 ]; then
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
fi
exit "$code"
"""
_MERGE = """\
#!/bin/bash
# Joins the shards when all tasks of the array have ended; says which are missing, if any are.
{options}

cd {directory} || exit 1
exec {command} merge {config}
"""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the job asks of SLURM; None and empty leave it to the cluster's defaults.

    Attributes
    ----------
    cpus
        Of a task: as many workers it has.
    extra
        Further options of sbatch, as written after ``#SBATCH``.
    """

    cpus: int
    partition: str | None = None
    time: str | None = None
    memory: str | None = None
    extra: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Scripts:
    """Paths of the scripts."""

    array: str
    merge: str


def write_scripts(config: Config, shards: int, command: Sequence[str], config_path: str, wishes: Wishes) -> Scripts:
    """Write the scripts of a job array and of the merge after it.

    Parameters
    ----------
    command
        What starts dme on a node: program and first arguments.
    config_path
        The YAML file.

    Raises
    ------
    OutputError
        They cannot be written.
    """
    folder = shards_dir(config)
    scripts = Scripts(os.path.join(folder, ARRAY), os.path.join(folder, MERGE))
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", os.path.splitext(os.path.basename(config_path))[0])
    log = portable(folder).replace("%", "%%")
    common = [f"--{key}={value}" for key, value in (("partition", wishes.partition),) if value]
    mine = [
        f"--job-name=dme-{name}",
        f"--array=1-{shards}",
        "--ntasks=1",
        f"--cpus-per-task={wishes.cpus}",
        *(f"--{key}={value}" for key, value in (("mem", wishes.memory), ("time", wishes.time)) if value),
        *common,
        f"--signal=B:USR1@{SECONDS}",
        "--requeue",
        "--open-mode=append",
        f"--output={log}/slurm-%A_%a.log",
        *wishes.extra,
    ]
    merge = [f"--job-name=dme-{name}-merge", "--ntasks=1", *common, f"--output={log}/slurm-%j-merge.log", *wishes.extra]
    values = {
        "directory": shlex.quote(config.directory),
        "command": shlex.join(command),
        "config": shlex.quote(os.path.abspath(config_path)),
        "script": shlex.quote(scripts.array),
        "shards": shards,
        "seconds": SECONDS,
    }
    try:
        make_folders(folder)
        for path, text, options in ((scripts.array, _ARRAY, mine), (scripts.merge, _MERGE, merge)):
            lines = "\n".join(f"#SBATCH {_directive(option)}" for option in options)
            with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
                file.write(text.format(options=lines, **values))
    except OSError as error:
        raise disk_error(error, folder) from None
    return scripts


def _directive(option: str) -> str:
    """An option as sbatch reads it from a script: split at spaces, but for those in quotes."""
    key, equals, value = option.partition("=")
    return f'{key}{equals}"{value}"' if " " in value and '"' not in value else option


def submit(scripts: Scripts) -> tuple[str, str]:
    """Submit the array, and the merge for when it has ended; return the numbers of both jobs.

    Raises
    ------
    StopError
        There is no sbatch here, or it refused.
    """
    array = _sbatch("--parsable", scripts.array)
    # Any end: with failed files a task ends with 3. The merge itself looks whether all is there.
    return array, _sbatch("--parsable", f"--dependency=afterany:{array}", scripts.merge)


def _sbatch(*arguments: str) -> str:
    program = shutil.which("sbatch")
    if program is None:
        raise StopError(
            f"there is no sbatch here; the scripts are written, to be submitted by hand: {readable(arguments[-1])}"
        )
    done = subprocess.run(
        [program, *arguments], capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        why = (done.stderr or done.stdout).strip().splitlines()
        raise StopError(f"sbatch refused {readable(arguments[-1])}: {why[-1] if why else 'it says nothing'}")
    return done.stdout.strip().partition(";")[0]  # with the cluster's name behind it, where there are several
