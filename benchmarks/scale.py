"""Cost against the number of files, and against workers: whether both stay straight lines.

CT with whole headers and 64 x 64 pixels, to HDF5 with all headers, so that what is measured is what a file costs.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.jobs import Job, run
from benchmarks.measure import Runs
from benchmarks.peers import ours
from benchmarks.trees import Tree, ct_tree

FILES, WORKERS, SIDE = (1000, 4000, 16_000), (1, 2), 64


def trees(files: Sequence[int] = FILES) -> list[Tree]:
    """A tree for each number of files."""
    return [ct_tree(count, side=SIDE) for count in files]


def measure(
    folder: Path, repeats: int, tell: Callable[[str], None], files: Sequence[int] = FILES
) -> list[tuple[int, dict[str, Runs]]]:
    """Seconds and memory by number of files, then by workers."""
    volume = {"volume": {"formats": ["hdf5"]}}
    contenders = tuple(ours(volume, "s*.h5", count, f"{count} workers") for count in WORKERS)
    found = []
    for tree in trees(files):
        job = Job(f"scale-{tree.files}", "", tree, contenders)
        found.append((tree.files, run(job, folder, repeats, tell)))
        shutil.rmtree(folder / "out", ignore_errors=True)
    return found


def table(found: Sequence[tuple[int, dict[str, Runs]]]) -> str:
    """The measurement as Markdown."""
    rows = ["| files | workers | seconds | ms a file | largest process |", "| --- | --- | --- | --- | --- |"]
    rows += [
        f"| {files:,} | {workers} | {one.middle:.2f} | {1000 * one.middle / files:.2f} | {one.peak / 1e6:.0f} MB |"
        for files, runs in found
        for workers, one in zip(WORKERS, runs.values(), strict=True)
    ]
    return "\n".join(rows)
