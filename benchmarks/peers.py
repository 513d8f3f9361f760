"""Who is measured: this project with a configuration, and its peers with a command line and a version.

A peer that is not installed is named below the tables and left out of them. med-imagetools may lie in an environment
of its own (`--imgtools PATH`).
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

OURS = "dme"


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do a job.

    Attributes
    ----------
    command
        Given the tree and an empty folder for outputs, the command to run.
    product, folders
        Pattern of the files that it makes; whether one a folder or one a file of the tree must be there when it ends.
    about
        Its version; empty when it is not installed.
    """

    name: str
    command: Callable[[Path, Path], list[str]]
    product: str
    folders: bool = False
    about: str = ""


def ours(
    sections: Mapping[str, Any], product: str, workers: int = 2, name: str = OURS, folders: bool = False
) -> Contender:
    """This project, with all headers as rows and what `sections` add."""

    def command(tree: Path, out: Path) -> list[str]:
        settings = {
            "num_workers": workers,
            "output": {"dir": str(out)},
            "dicom": {"dir": str(tree)},
            "metadata": {"tables": []},
            **sections,
        }
        path = out.with_name(out.name + ".config.yml")  # JSON is YAML
        path.write_text(json.dumps(settings))
        return [sys.executable, str(Path(__file__).parents[1] / "dme.py"), str(path), "-q"]

    return Contender(name, command, product, folders, f"{version_of('dme') or 'this checkout'}")


def dcm2niix(*flags: str) -> Contender:
    """dcm2niix of this environment, or of the PATH."""
    beside = Path(sys.executable).with_name("dcm2niix")
    program = str(beside) if beside.is_file() else shutil.which("dcm2niix") or ""

    def command(tree: Path, out: Path) -> list[str]:
        return [program, *flags, "-f", "%s_%j", "-o", str(out), str(tree)]

    packed = "-z" in flags
    return Contender(
        " ".join(["dcm2niix", *flags]), command, "*.nii.gz" if packed else "*.nii", True, _says(program, "--version")
    )


def imgtools(program: str) -> Contender:
    """med-imagetools; `program` is its path, empty to look beside this Python and on the PATH."""
    beside = Path(sys.executable).with_name("imgtools")
    found = program or (str(beside) if beside.is_file() else shutil.which("imgtools") or "")

    def command(tree: Path, out: Path) -> list[str]:
        where = ["--dicom-dir", str(tree), "--output-dir", str(out)]
        return [found, "index", *where, "--dataset-name", "bench", "--n-jobs", "2", "--force"]

    return Contender("imgtools index", command, "*.csv", False, _says(found, "--version"))


def loop(task: str, name: str, product: str, needs: tuple[str, ...], folders: bool = False) -> Contender:
    """A plain loop of `loops.py`, where its packages are installed."""

    def command(tree: Path, out: Path) -> list[str]:
        return [sys.executable, "-m", "benchmarks.loops", task, str(tree), str(out)]

    there = all(find_spec(module) for module in needs)
    about = ", ".join(f"{package} {version_of(package)}" for package in map(_package, needs)) or "Python's own"
    return Contender(name, command, product, folders, about if there else "")


def version_of(package: str) -> str:
    """Version of an installed package, empty when it is not."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def machine() -> str:
    """Processor, number of cores, system, Python, and how busy it is, in one line."""
    processor = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).is_file():
        found = re.search(r"^model name\s*: (.+)$", info.read_text(), re.MULTILINE)
        processor = found[1] if found else processor
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{processor}, {cores()} cores, {system}, load {os.getloadavg()[0]:.1f} before"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _package(module: str) -> str:
    return {"PIL": "pillow"}.get(module, module)


def _says(program: str, flag: str) -> str:
    """The version number in what a program says; it may end with any code."""
    if not program:
        return ""
    said = subprocess.run([program, flag], capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+[\w.]*", said.stdout + said.stderr)
    return found[0] if found else "unknown version"
