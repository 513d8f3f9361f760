"""What a name costs the parent process: time and memory of walk, plan, ledger, second run and merge, without any file.

    python -m benchmarks.names [--names 100000 1000000] [--folder 500] [--flat]

Names come from a generator in place of the disk, and the workers' answers from the names: rows of some 200 bytes, a
series for each folder (with --flat, where all names lie in one folder, for every 500 names). Everything else is what a
run does. Each phase is a process of its own, whose largest memory is told.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

from crawler.config.loader import Config
from crawler.engine import crawl, plan, share
from crawler.export.heartbeat import Heartbeat
from crawler.export.result import ScanResult
from crawler.export.setup import Setup
from crawler.export.tasks import FolderResult, FolderTask, IndexResult, IndexTask, ScanTask, Task
from crawler.layout.scan import SeriesKey, scan_members
from crawler.ledger.series_index import Spooled
from crawler.model import File, Outcome
from crawler.naming import scan_digest
from crawler.sources.directory import Folder, Outputs, Root, Visited

PHASES = ("run", "again", "plan", "shard", "merge")
SERIES = 500
EXPORTED = Outcome("exported")


class Names:
    """A tree that is made of numbers."""

    def __init__(self, count: int, per_folder: int) -> None:
        self.count, self.per_folder = count, per_folder

    def folder(self, root: Root, number: int) -> Folder:
        """The folder of that number."""
        first = number * self.per_folder
        last = min(first + self.per_folder, self.count)
        path = "" if self.per_folder >= self.count else f"patient{number // 100:05d}/series{number:07d}"
        entries = tuple((f"IM{name:09d}.dcm", 525_312, 1_700_000_000_000_000_000 + name) for name in range(first, last))
        return Folder(root, path, entries)

    def walk(
        self, root: Root, recursive: bool = True, outputs: Outputs | None = None, visited: Visited | None = None
    ) -> Iterator[Folder]:
        """As `sources.directory.walk`."""
        for number in range(-(-self.count // self.per_folder)):
            yield self.folder(root, number)

    def listing(self, root: Root, path: str, outputs: Outputs | None = None) -> Folder:
        """As `sources.directory.listing`."""
        return self.folder(root, int(path[-7:]) if path else 0)


class Worker:
    """Answers as a worker would whose files are what their names say."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def __call__(self, task: Task, heartbeat: Heartbeat) -> Any:
        """Do a task."""
        if isinstance(task, IndexTask):
            return IndexResult(tuple((self._key(file), Spooled("/spool", 0, (300, 200))) for file in task.files))
        if isinstance(task, FolderTask):
            return [self._folder(job.key, job.files) for job in task.jobs]
        assert isinstance(task, ScanTask), "there are no archives"
        return [self._scan(job.scan_id, job.files, job.stems) for job in task.jobs]

    def _folder(self, key: str, files: Sequence[File]) -> FolderResult:
        names = [os.path.basename(file.path) for file in files]
        scans = []
        for scan_id, members in scan_members(key, names, [self._key(file) for file in files]).items():
            mine = [files[member] for member in members]
            scans.append(self._scan(scan_id, mine, [names[member][: -len(".dcm")] for member in members]))
        return FolderResult((), tuple(scans), ())

    def _scan(self, scan_id: str, files: Sequence[File], stems: Sequence[str]) -> ScanResult:
        rows = b"".join(
            json.dumps({"dicom_file": file.key, "outcome": "exported", "scan_id": scan_id, "x": "x" * 60}).encode()
            + b"\n"
            for file in files
        )
        done = tuple((file, EXPORTED) for file in files)
        return ScanResult(scan_id, self._key(files[0]).uid, scan_digest(files, stems), done, (), {"n_files": 1}, rows)

    @staticmethod
    def _key(file: File) -> SeriesKey:
        return SeriesKey(f"1.2.3.{int(file.path[-13:-4]) // SERIES}", 1)


def phase(name: str, folder: str, count: int, per_folder: int) -> dict[str, float]:
    """Do one phase in this process; seconds, and the largest memory in MB."""
    from crawler.cluster import merge as merging
    from crawler.cluster import plan as planning
    from crawler.cluster.making import make_plan
    from crawler.cluster.run_shard import run_shard
    from crawler.dryrun import survey as surveying
    from crawler.engine.run import run

    names = Names(count, per_folder)
    for module in (share, planning, merging, surveying):
        vars(module)["walk"] = names.walk
    for module in (plan, planning, merging):
        vars(module)["listing"] = names.listing
    vars(planning)["is_absent"] = lambda path: False
    vars(crawl)["Worker"] = Worker
    source = os.path.join(folder, "in")
    os.makedirs(source, exist_ok=True)
    out = "whole" if name in ("run", "again") else "parts"
    config = Config.from_mapping(
        {
            "num_workers": 0,
            "output": {"dir": os.path.join(folder, out), "report": False},
            "dicom": {"dir": source},
            "metadata": {"tables": []},
        }
    )
    began = time.perf_counter()
    if name == "run":
        assert run(config).exported == count
    elif name == "again":
        assert run(config).handled == 0
    elif name == "plan":
        make_plan(config, 2, estimate=False)
    elif name == "shard":
        for number in (1, 2):
            run_shard(config, number, 2)
    else:
        merged = merging.merge(config)
        assert merged.summary is not None
        assert merged.summary.exported == count
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": time.perf_counter() - began, "peak": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--names", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--folder", type=int, default=500, help="names in a folder")
    parser.add_argument("--flat", action="store_true", help="all names in one folder: run and second run alone")
    parser.add_argument("--phase", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.phase:
        name, folder = options.phase
        print(json.dumps(phase(name, folder, options.names[0], options.folder)))
        return
    print("| names | in a folder | phase | seconds | us a name | largest memory, MB |")
    print("|---|---|---|---|---|---|")
    for count in options.names:
        per_folder = count if options.flat else options.folder
        folder = tempfile.mkdtemp()
        try:
            for name in PHASES[:2] if options.flat else PHASES:
                command = [sys.executable, "-m", "benchmarks.names", "--names", str(count), "--folder", str(per_folder)]
                done = subprocess.run([*command, "--phase", name, folder], capture_output=True, text=True, check=False)
                if done.returncode:
                    raise SystemExit(done.stderr)
                found = json.loads(done.stdout.splitlines()[-1])
                each = 1e6 * found["seconds"] / count
                cells = f"{found['seconds']:.1f} | {each:.1f} | {found['peak']:.0f}"
                print(f"| {count:,} | {per_folder:,} | {name} | {cells} |", flush=True)
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
