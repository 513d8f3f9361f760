"""Shards on a real Dask cluster: equal to one run, also when a worker is killed in the middle."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.factories import ct_series
from support.runs import ROOT, config, content, export
from support.shards import mixed_tree, without_shards

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="needs requirements-cluster.txt"),
]
SECTIONS = {"metadata": {}, "image": {"bits": 8}, "volume": {"formats": ["hdf5", "nifti"]}}

# Kills the worker of shard 1 when its command has begun; prints how every shard ended.
KILLS = """
import json, os, signal, sys, time
from dask.distributed import Client, LocalCluster
from crawler.cluster.dask_shards import run_on
from crawler.cluster.shards import Shard

def main():
    settings, beat = sys.argv[1:]
    shards = [Shard(1, 2), Shard(2, 2)]
    command = lambda shard: [sys.executable, "dme.py", settings, "--shard", str(shard), "--workers", "1", "-q"]
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        with Client(cluster) as client:
            import threading
            def kill():
                while not os.path.exists(beat):
                    time.sleep(0.02)
                for address, tasks in client.processing().items():
                    if any("shard-1-of-2" in str(task) for task in tasks):
                        process = pids[address]
                        os.kill(process, signal.SIGKILL)
            pids = client.run(os.getpid)
            thread = threading.Thread(target=kill)
            thread.start()
            print(json.dumps([one.code for one in run_on(client, shards, command, os.getcwd())]))
            thread.join()

if __name__ == "__main__":
    main()
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    folder = mixed_tree(tmp_path_factory.mktemp("tree") / "in")
    for number in range(8):
        ct_series(folder / "more" / f"{number:02}", n=20, uid=f"1.2.9.{number}")
    return folder


@pytest.fixture(scope="module")
def whole(tree, tmp_path_factory) -> dict[str, object]:
    out = tmp_path_factory.mktemp("whole") / "out"
    export(tree, out, **SECTIONS)
    return content(out)


def write(tree: Path, out: Path) -> Path:
    path = out.parent / "config.yml"
    path.write_text(config(tree, out, 1, **SECTIONS).text)
    return path


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=280, check=False
    )


def test_dask_equals_one_run(tree, whole, tmp_path):
    done = python("dme.py", "dask", str(write(tree, tmp_path / "out")), "--local", "2", "--shards", "3")
    assert done.returncode == 3, done.stderr
    assert "3 shards, merged" in done.stdout
    assert without_shards(tmp_path / "out") == whole


def test_a_shard_of_a_worker_that_is_killed_runs_again(tree, whole, tmp_path):
    out, script = tmp_path / "out", tmp_path / "kills.py"
    script.write_text(KILLS)
    settings = write(tree, out)
    beat = out / "dme-shards" / "1-of-2" / "progress.json"
    done = subprocess.run(
        [sys.executable, str(script), str(settings), str(beat)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=280,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("[3, 3]", "[3, 0]", "[0, 3]"), done.stderr
    log = (out / "dme-shards" / "1-of-2" / "run.log").read_text()
    assert log.count("shard 1/2, 1 workers") == 2, "it began twice"
    assert python("dme.py", "merge", str(settings)).returncode == 3
    assert without_shards(out) == whole
