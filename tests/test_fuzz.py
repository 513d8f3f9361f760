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

from tests.engine import accounts_hold, export, failures

BATCH = 500
BATCHES = -(-int(os.environ.get("DME_FUZZ", "600")) // BATCH)
LARGEST = 150_000  # bytes: small files reach every branch that large ones do, and more of them fit a minute
FORGED = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
# What only a mutation can explain: the worker was stopped at its limits, or a decoder crashed inside it.
CONTAINED = ("time limit", "memory limit", "crash")


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Bytes flipped, lengths forged, parts cut out or doubled, the end cut off; mostly in the header."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        end = len(data) if rng.random() < 0.4 else min(len(data), 2500)
        at = rng.randrange(0, max(end, 1))
        match rng.randrange(6):
            case 0 | 1:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 2:
                size = rng.choice((2, 4))
                data[at : at + size] = (rng.choice(FORGED) & (1 << 8 * size) - 1).to_bytes(size, "little")
            case 3:
                del data[at : at + rng.choice((1, 2, 8, 64))]
            case 4:
                data[at:at] = data[at : at + rng.choice((1, 2, 8, 64))]
            case 5 if rng.random() < 0.3:
                del data[rng.randrange(len(data) // 2, len(data) + 1) :]
    return bytes(data)


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
