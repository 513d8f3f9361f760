"""Run the engine on a tree, and look at everything that it left behind."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from crawler.config.loader import Config
from crawler.engine.run import run
from crawler.ledger.summary import Summary

ROOT = Path(__file__).parents[2]
ALL = {"metadata": {}, "image": {}, "video": {}, "volume": {}}


def config(source: Path | list[Path], out: Path, workers: int = 0, **sections: Any) -> Config:
    """A configuration of `source` to `out`; without sections, every output is on."""
    roots = [str(root) for root in source] if isinstance(source, list) else str(source)
    dicom = {"dir": roots, **sections.pop("dicom", {})}
    return Config.from_mapping(
        {"num_workers": workers, "output": {"dir": str(out)}, "dicom": dicom, **(sections or ALL)}
    )


def export(source: Path | list[Path], out: Path, workers: int = 0, **options: Any) -> Summary:
    """Run, with `rebuild` and `retry_failed` passed on and the rest as sections."""
    flags = {name: options.pop(name) for name in ("rebuild", "retry_failed", "progress") if name in options}
    return run(config(source, out, workers, **options), **flags)


def rows(out: Path) -> dict[str, dict[str, Any]]:
    """Rows of the JSONL by file; fails on a repeated one."""
    found: dict[str, dict[str, Any]] = {}
    for line in (out / "metadata.jsonl").read_text(encoding="utf-8").split("\n")[:-1]:  # a value may hold U+0085
        row = json.loads(line)
        assert row["dicom_file"] not in found, "a file has two rows"
        found[row["dicom_file"]] = row
    return found


def failures(out: Path) -> dict[str, dict[str, str]]:
    """Rows of unreadable_files.csv by file."""
    with open(out / "unreadable_files.csv", newline="", encoding="utf-8") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def report_of(path: Path) -> bytes:
    """A report without what it says of its own run: times, and the link to a log, which a run from Python has not."""
    of_this_run = (b'class="run"', b'href="run.log"')
    lines = path.read_bytes().splitlines()
    return b"\n".join(line for line in lines if not any(mark in line for mark in of_this_run))


def content(out: Path) -> dict[str, Any]:
    """Everything that equal runs share (promise 7): rows, tables, decoded volumes with attributes, bytes of media.

    Digests stand for what is long: pytest lays out what differs, and took a gigabyte for two whole outputs.
    """
    found: dict[str, Any] = {}
    for path in sorted(out.rglob("*")):
        name = os.fsencode(path.relative_to(out)).decode("utf-8", "backslashreplace")
        if path.is_dir():
            assert not path.name.startswith(".dme-tmp"), "an unfinished folder was left behind"
            continue
        if path.name in ("run.log",) or path.suffix == ".ledger":
            continue
        if name == "metadata.jsonl" or path.suffix == ".csv":
            lines = sorted(path.read_bytes().splitlines())
            found[name] = (len(lines), digest(b"\n".join(lines)))
        elif name == "summary.json":
            found[name] = {key: value for key, value in json.loads(path.read_text()).items() if key != "run"}
        elif path.suffix == ".h5":
            found[name] = _volume(path)
        elif name == "report.html":
            found[name] = digest(report_of(path))
        else:
            found[name] = digest(path.read_bytes())
    return found


def digest(data: bytes) -> str:
    """What stands for bytes."""
    return hashlib.sha256(data).hexdigest()


def _volume(path: Path) -> Any:
    with h5py.File(path, "r") as file:
        if "image" not in file:  # the index
            links: list[str] = []
            file.visit_links(
                lambda name: links.append(f"{name} -> {getattr(file.get(name, getlink=True), 'filename', '')}")
            )
            return sorted(links)
        image = file["image"]
        attributes = {
            key: repr(np.asarray(value).tolist()) for key, value in image.attrs.items() if key != "DIMENSION_LIST"
        }
        provenance = digest(repr(file["provenance"][...].tolist()).encode())
        return digest(image[...].tobytes()), image.shape, str(image.dtype), attributes, provenance


def count_files(out: Path) -> int:
    """Files below an output, finished or not."""
    count = 0
    for _, _, names in os.walk(out):
        count += len(names)
    return count


def when_it_holds(process: subprocess.Popen[bytes], out: Path, files: int, deed: Callable[[], bool | None]) -> bool:
    """Do a deed (a kill) once a run has put so many files into its output.

    Returns
    -------
    bool
        Whether it was done before the run ended.
    """
    while process.poll() is None:
        if count_files(out) >= files:
            return deed() is not False
        time.sleep(0.002)
    return False


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it started."""
    os.killpg(process.pid, signal.SIGKILL)


def survives_kills(settings: Path, out: Path, whole: Path, seed: str, rounds: int = 3) -> None:
    """Kill the process group of a run twice at random, run it to its end, and compare with an undisturbed output."""
    command = [sys.executable, str(ROOT / "dme.py"), str(settings), "-q"]
    chance, files = random.Random(seed), count_files(whole)
    for _ in range(rounds):
        shutil.rmtree(out, ignore_errors=True)
        for _ in range(2):
            made = count_files(out)
            process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
            when_it_holds(process, out, made + chance.randrange(max(1, files - made)), partial(kill_group, process))
            process.wait()
        assert subprocess.run(command, cwd=ROOT, check=False).returncode == 3
        assert content(out) == content(whole)


def accounts_hold(summary: Summary, files: int) -> None:
    """found = exported + skipped + failed."""
    assert summary.found == files
    assert summary.exported + sum(summary.skipped.values()) + sum(summary.failed.values()) == files
