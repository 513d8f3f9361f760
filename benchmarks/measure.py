"""One process, timed from its start to its end, with the memory of the largest process in it.

Memory is what the kernel counted for the process and those it waited for (getrusage(2), ru_maxrss), so nothing is
missed between samples. `clock.py` starts the process and reads it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.trees import BenchmarkError

ROOT = Path(__file__).parents[1]
CLOCK = Path(__file__).with_name("clock.py")


@dataclass(slots=True)
class Runs:
    """What one contender took, round by round."""

    seconds: list[float] = field(default_factory=list)
    peak: int = 0
    size: int = 0

    @property
    def middle(self) -> float:
        """Median of the seconds."""
        return median(self.seconds)


def timed(command: Sequence[str], log: Path) -> tuple[float, int]:
    """Run a command to its end.

    Returns
    -------
    tuple
        Wall time in seconds; bytes resident in its largest process.

    Raises
    ------
    BenchmarkError
        It failed; with the last lines of what it said.
    """
    clock = [sys.executable, "-IS", str(CLOCK), str(log), *command]
    # As on a user's machine, where Python keeps what it compiled: the first round compiles, and the median forgets it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(clock, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    said = done.stdout.split()
    code, seconds, peak = int(said[0]), float(said[1]), int(said[2])
    if code:
        last = "\n".join(log.read_text("utf-8", "replace").splitlines()[-8:])
        raise BenchmarkError(f"{' '.join(command)} ended with {code}:\n{last}")
    return seconds, peak


def warm(folder: Path) -> None:
    """Read all files of a folder, so that they lie in the page cache."""
    for above, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(above, name), "rb", buffering=0) as file:
                while file.read(1 << 20):
                    pass


def settle() -> None:
    """Let what one run wrote reach the disk before the next one is timed."""
    os.sync()


def size_of(folder: Path, pattern: str) -> tuple[int, int]:
    """Number and bytes of the files below a folder whose names match."""
    sizes = [path.stat().st_size for path in folder.rglob(pattern)]
    return len(sizes), sum(sizes)
