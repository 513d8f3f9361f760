"""Mutated real files through the whole engine: no crash of the run, no hang, every file counted, no unforeseen error.

`DME_FUZZ` is the number of files: 600 by default, 20,000 in CI. `DME_FUZZ_COUNTS` is how many of them are exported with
0, 1, 2 and 4 workers, which must agree: 100 by default, 2,000 in CI; and a tenth as many mutated archives. A failure
names the seed of its batch, which makes the same files again. `DME_FUZZ_FIRST` is the first seed, 0 by default.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections import Counter
from pathlib import Path

import pytest
from support.faults import in_child
from support.mutations import archived, forge_fields, mutate
from support.runs import accounts_hold, content, export, failures

BATCH = 500
BATCHES = -(-int(os.environ.get("DME_FUZZ", "600")) // BATCH)
FIRST = int(os.environ.get("DME_FUZZ_FIRST", "0"))
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
        path.write_bytes(one_of(small, rng))
    return folder


def one_of(dicom_files: list[Path], rng: random.Random) -> bytes:
    """A file with faults at random places, or in elements that matter, or both."""
    content = rng.choice(dicom_files).read_bytes()
    way = rng.random()
    content = forge_fields(content, rng) if way < 0.5 else content
    return mutate(content, rng) if way > 0.4 else content


def mutated_archives(folder: Path, dicom_files: list[Path], seed: int, count: int) -> Path:
    """A tree of that many mutated archives, of three mutated files each."""
    rng = random.Random(seed)
    small = [path for path in dicom_files if path.stat().st_size <= LARGEST // 5]
    folder.mkdir()
    for number in range(count):
        ending, content = archived([one_of(small, rng) for _ in range(3)], rng)
        (folder / f"{number}{ending}").write_bytes(content)
    return folder


@pytest.mark.parametrize("seed", range(FIRST, FIRST + BATCHES))
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
@pytest.mark.parametrize("seed", range(FIRST + 1000, FIRST + 1000 + -(-COMPARED // BATCH)))
def test_worker_counts_agree_on_mutated_files(tmp_path: Path, dicom_files: list[Path], seed: int) -> None:
    """Rows, tables, pictures and volumes do not depend on which files a worker read before, or beside."""
    compare_counts(mutated(tmp_path / "in", dicom_files, seed, min(COMPARED, BATCH)), tmp_path, seed)


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize("seed", range(FIRST + 2000, FIRST + 2000 + -(-COMPARED // BATCH)))
def test_worker_counts_agree_on_mutated_archives(tmp_path: Path, dicom_files: list[Path], seed: int) -> None:
    count = min(COMPARED, BATCH) // 10
    tree = mutated_archives(tmp_path / "in", dicom_files, seed, count)
    compare_counts(tree, tmp_path, seed)
    text = (tmp_path / "out0" / "metadata.jsonl").read_text(encoding="utf-8")
    told = {json.loads(line)["dicom_file"] for line in text.split("\n")[:-1]}  # a value may hold U+0085
    told |= set(failures(tmp_path / "out0"))
    assert len({name.partition("/")[0] for name in told}) > count // 2, "nearly all archives should give something"


def compare_counts(tree: Path, tmp_path: Path, seed: int) -> None:
    """The same outputs with 0, 1, 2 and 4 workers, and no internal error."""

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
        accounts_hold(summary, summary.listed)
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
