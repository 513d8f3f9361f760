"""Mutated real files through the whole engine: no crash of the run, no hang, every file counted, no unforeseen error.

`DME_FUZZ` is the number of files: 600 by default, 20,000 in CI. A failure names the seed of its batch, which makes the
same files again.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import pytest
from support.mutations import mutate
from support.runs import accounts_hold, export, failures

BATCH = 500
BATCHES = -(-int(os.environ.get("DME_FUZZ", "600")) // BATCH)
LARGEST = 150_000  # bytes: small files reach every branch that large ones do, and more of them fit a minute
# What only a mutation can explain: the worker was stopped at its limits, or a decoder crashed inside it.
CONTAINED = ("time limit", "memory limit", "crash")


@pytest.mark.parametrize("seed", range(BATCHES))
def test_mutated_files_cost_themselves_only(tmp_path: Path, dicom_files: list[Path], seed: int) -> None:
    rng = random.Random(seed)
    small = [path for path in dicom_files if path.stat().st_size <= LARGEST]
    for number in range(BATCH):
        path = tmp_path / "in" / f"{number % 20}" / f"{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(mutate(rng.choice(small).read_bytes(), rng))
    summary = export(
        tmp_path / "in",
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
