"""Shards as an array on a real SLURM: equal to one run, whatever is cancelled, killed or requeued."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.factories import ct_series
from support.runs import ROOT, content
from support.shards import mixed_tree, without_shards
from support.slurm_server import ask, is_installed, slurm, wait_for

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not is_installed(), reason="needs SLURM and root: apt-get install slurmd slurmctld"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with slurm(tmp_path_factory.mktemp("slurm") / "s") as environ:
        yield environ


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    folder = mixed_tree(tmp_path_factory.mktemp("tree") / "in")
    for number in range(24):
        ct_series(folder / "more" / f"{number:02}", n=30, uid=f"1.2.9.{number}")
    return folder


def write(tree: Path, out: Path, workers: int = 1) -> Path:
    path = out.parent / f"{out.name}.yml"
    path.write_text(
        f"num_workers: {workers}\noutput: {{dir: {out}}}\ndicom: {{dir: {tree}}}\n"
        "metadata:\nimage: {bits: 8}\nvideo:\nvolume: {formats: [hdf5, nifti]}\n"
    )
    return path


def dme(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "dme.py"), *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, cwd=ROOT, timeout=900, check=False)


@pytest.fixture(scope="module")
def whole(tree, tmp_path_factory) -> dict[str, object]:
    out = tmp_path_factory.mktemp("whole") / "out"
    done = dme(dict(os.environ), str(write(tree, out, 2)), "-q")
    assert done.returncode == 3, done.stderr
    return content(out)


def submitted(done: subprocess.CompletedProcess[str]) -> tuple[str, str]:
    """Numbers of the array and of the merge."""
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("submitted"))
    return line.split()[2].rstrip(","), line.split()[5]


def wait_until_gone(environ: dict[str, str], *jobs: str) -> None:
    wait_for(
        lambda: (
            not ask(environ, "squeue", "-h", "-t", "all", "-o", "%T", "-j", ",".join(jobs))
            .replace("COMPLETED", "")
            .replace("FAILED", "")
            .replace("CANCELLED", "")
            .strip()
        )
    )


def test_an_array_equals_one_run(cluster, tree, whole, tmp_path):
    settings = write(tree, tmp_path / "out")
    wait_until_gone(cluster, *submitted(dme(cluster, "slurm", str(settings), "--shards", "4", "--no-estimate")))
    log = "".join(path.read_text() for path in (tmp_path / "out" / "dme-shards").glob("slurm-*-merge.log"))
    assert "4 shards, merged" in log
    assert without_shards(tmp_path / "out") == whole
    assert "4 done" in dme(cluster, "status", str(settings)).stdout


def process_of(out: Path, shard: str, since: float) -> int:
    """The process that works on a shard; waits until it has begun its work."""
    import json

    path = out / "dme-shards" / shard / "progress.json"

    def told():
        if not path.exists():
            return None
        beat = json.loads(path.read_text())
        return beat if beat["state"] == "running" and beat["began"] >= since else None

    wait_for(lambda: told() is not None)
    return int(told()["process"])


def test_cancelled_killed_and_requeued_tasks_are_named_and_go_on(cluster, tree, whole, tmp_path):
    out = tmp_path / "out"
    settings = write(tree, out)
    done = dme(cluster, "slurm", str(settings), "--shards", "3", "--no-estimate", "--script-only")
    assert done.returncode == 0, done.stderr
    array = str(out / "dme-shards" / "array.sbatch")

    def begin(task: int) -> tuple[str, int]:
        since = time.time()
        job = ask(cluster, "sbatch", "--parsable", f"--array={task}", array).strip()
        process = process_of(out, f"{task}-of-3", since)
        os.kill(process, signal.SIGSTOP)  # so that it is at work when it is ended; scancel and requeue wake it
        return job, process

    job, process = begin(1)  # killed
    os.kill(process, signal.SIGKILL)
    wait_until_gone(cluster, job)
    job, _ = begin(2)  # cancelled, which asks for a clean end
    second = dme(cluster, str(settings), "--shard", "2/3", "-q")
    assert (second.returncode, "this one leaves" in second.stderr) == (1, True)
    ask(cluster, "scancel", f"{job}_2")
    wait_until_gone(cluster, job)
    states = dme(cluster, "status", str(settings)).stdout
    assert "1/3       lost" in states
    assert "2/3       stopped" in states or "2/3       done" in states  # its last tasks may have been at hand
    refused = dme(cluster, "merge", str(settings))
    assert refused.returncode == 1
    assert "shard 3/3: it never ran" in refused.stderr
    assert "--shard 1/3" in refused.stderr
    assert not (out / "metadata.jsonl").exists()

    job, process = begin(1)  # requeued: SLURM ends it, and starts it again
    ask(cluster, "scontrol", "requeue", f"{job}_1")
    wait_for(lambda: "PENDING" in ask(cluster, "squeue", "-h", "-o", "%T", "-j", job))

    # It waits for two minutes, since a start in the second of the end is refused ("Job credential revoked"): five do.
    wait_for(lambda: not Path(f"/proc/{process}").exists())
    ask(cluster, "scontrol", "update", f"JobId={job}_1", "StartTime=now+5")
    wait_for(lambda: "PENDING" not in ask(cluster, "squeue", "-h", "-t", "all", "-o", "%T", "-j", job))
    rest = ask(cluster, "sbatch", "--parsable", "--array=2,3", array).strip()
    wait_until_gone(cluster, job, rest)
    joined = dme(cluster, "merge", str(settings))
    assert joined.returncode == 3, joined.stderr
    assert without_shards(out) == whole
