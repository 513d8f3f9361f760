"""Mutated real files through the whole engine: no crash of the run, no hang, every file counted, no unforeseen error.

`DME_FUZZ` is the number of files: 600 by default, 20,000 in CI. `DME_FUZZ_COUNTS` is how many of them are exported with
0, 1, 2 and 4 workers, which must agree: 100 by default, 2,000 in CI. A failure names the seed of its batch, which makes
the same files again.
"""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from pathlib import Path

import pytest
from support.faults import in_child
from support.mutations import mutate
from support.runs import accounts_hold, content, export, failures

BATCH = 500
BATCHES = -(-int(os.environ.get("DME_FUZZ", "600")) // BATCH)
COMPARED = int(os.environ.get("DME_FUZZ_COUNTS", "100"))
LARGEST = 150_000  # bytes: small files reach every branch that large ones do, and more of them fit a minute
# What only a mutation can explain: the worker was stopped at its limits, or a decoder crashed inside it.
CONTAINED = ("time limit", "memory limit", "crash")


def mutated(folder: Path, dicom_files: list[Path], seed: int, count: int) -> Path:
    """A tree of that many mutated files."""
    rng = random.Random(seed)
    small = [path for path in dicom_files if path.stat().st_size <= LARGEST]
    for number in range(count):
        path = folder / f"{number % 20}" / f"{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mutate(rng.choice(small).read_bytes(), rng))
    return folder


@pytest.mark.parametrize("seed", range(BATCHES))
def test_mutated_files_cost_themselves_only(tmp_path: Path, dicom_files: list[Path], seed: int) -> None:
    summary = export(
        mutated(tmp_path / "in", dicom_files, seed, BATCH),
        tmp_path / "out",
        workers=2,
        limits={"seconds": 20, "memory": "2GB", "pixels": "100MB"},
        metadata={},
        image={"bits": 8},
        video={},
        volume={},
    )
    accounts_hold(summary, BATCH)
    reasons = Counter(row["reason"] for row in failures(tmp_path / "out").values())
    assert reasons.total() == sum(summary.failed.values())
    unforeseen = [row["detail"] for row in failures(tmp_path / "out").values() if row["reason"] == "internal error"]
    assert not unforeseen, f"seed {seed}: {unforeseen}"
    assert sum(count for name, count in reasons.items() if name in CONTAINED) <= BATCH // 100


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize("seed", range(1000, 1000 + -(-COMPARED // BATCH)))
def test_worker_counts_agree_on_mutated_files(tmp_path: Path, dicom_files: list[Path], seed: int) -> None:
    """Rows, tables, pictures and volumes do not depend on which files a worker read before, or beside."""
    count = min(COMPARED, BATCH)
    tree = mutated(tmp_path / "in", dicom_files, seed, count)

    def run(workers: int) -> int:
        summary = export(
            tree,
            tmp_path / f"out{workers}",
            workers,
            limits={"seconds": 600, "memory": "2GB", "pixels": "100MB"},  # a busy machine takes no step for a hang
            metadata={"tables": ["csv"]},
            image={"bits": 8},
            video={"extension": "frames"},
            volume={},
        )
        accounts_hold(summary, count)
        return summary.exit_code

    ended = {
        workers: in_child(lambda workers=workers: run(workers)) for workers in (0, 1, 2, 4)
    }  # a crash is a child's
    assert {one.code for one in ended.values()} == {3}, {
        workers: (one.code, one.text) for workers, one in ended.items()
    }
    first = failures(tmp_path / "out0")
    for workers in (1, 2, 4):
        assert failures(tmp_path / f"out{workers}") == first, f"seed {seed}, {workers} workers"
        assert content(tmp_path / f"out{workers}") == content(tmp_path / "out0"), f"seed {seed}, {workers} workers"
    assert not [row for row in first.values() if row["reason"] == "internal error"]
