"""Two runs of one configuration, whatever their workers, differ in times and the ledger, and in nothing else."""

from __future__ import annotations

import json
from pathlib import Path

from support.runs import ALL, export
from support.samples import copy_sample

EVERYTHING = {
    **ALL,
    "metadata": {"tables": ["csv", "parquet", "xlsx"], "text": True},
    "video": {"extension": [".mp4", ".gif", "frames"], "series": True},
    "volume": {"formats": ["hdf5", "nifti", "npz", "metaimage", "mat"]},
    "preview": {},
    "quality": {},
}


def files(out: Path) -> dict[str, bytes]:
    """Every file by its bytes, but for what tells of one run: the ledger, the log, and the times in two accounts."""
    found = {}
    for path in sorted(out.rglob("*")):
        if path.is_dir() or path.suffix == ".ledger" or path.name == "run.log":
            continue
        data = path.read_bytes()
        if path.name == "summary.json":
            told = json.loads(data)
            del told["run"]
            data = json.dumps(told).encode()
        elif path.name == "report.html":
            data = b"\n".join(line for line in data.splitlines() if b'class="run"' not in line)
        found[path.relative_to(out).as_posix()] = data
    return found


def test_runs_with_one_worker_and_with_four(tmp_path):
    copy_sample(tmp_path / "in", broken=True)
    for workers in (1, 4):
        export(tmp_path / "in", tmp_path / str(workers), workers, **EVERYTHING)
    one, four = files(tmp_path / "1"), files(tmp_path / "4")
    assert one.keys() == four.keys()
    assert [name for name in one if one[name] != four[name]] == []
