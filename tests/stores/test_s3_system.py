"""A bucket as input on a real server of s3://: outputs as from a disk, bytes counted on the server, kill and rerun."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.factories import ct_series
from support.headers import large_headers
from support.runs import ROOT, content, export
from support.s3_server import S3Server, s3_server
from support.shards import mixed_tree

needed = ("moto", "s3fs", "boto3")
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(any(importlib.util.find_spec(one) is None for one in needed), reason="requirements-system.txt"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]
ALL = "metadata:\nimage: {bits: 8}\nvolume: {formats: [hdf5, nifti]}\n"


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


def settings(folder: Path, address: str, sections: str, workers: int = 2) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "config.yml"
    path.write_text(f"num_workers: {workers}\noutput: {{dir: '{folder}/out'}}\ndicom: {{dir: '{address}'}}\n{sections}")
    return path


def dme(path: Path) -> int:
    return subprocess.run([sys.executable, str(ROOT / "dme.py"), str(path), "-q"], cwd=ROOT, check=False).returncode


def test_the_main_job_over_s3_equals_that_from_a_disk(tmp_path, server):
    tree = mixed_tree(tmp_path / "tree")
    sections = {"metadata": {}, "image": {"bits": 8}, "volume": {"formats": ["hdf5", "nifti"]}}
    export(tree, tmp_path / "disk", **sections)
    server.put_tree(tree, "main/tree")
    config = settings(tmp_path / "far", "s3://bucket/main/tree", ALL)
    assert dme(config) == 3  # of a damaged file, as from the disk
    far, disk = content(tmp_path / "far" / "out"), content(tmp_path / "disk")
    assert far == disk
    server.forget()
    assert dme(config) == 3
    assert not server.sent, "a second run reads nothing"


def test_headers_cost_at_most_a_fifth_more_than_their_bytes(tmp_path, server):
    headers = large_headers(tmp_path / "tree")
    server.put_tree(tmp_path / "tree", "headers")
    server.forget()
    assert dme(settings(tmp_path / "far", "s3://bucket/headers", "metadata:\n")) == 0
    sent = sum(server.sent.values())
    print(f"headers {headers:,} bytes, sent {sent:,} in {sum(server.gets.values())} requests")
    assert headers <= sent <= 1.2 * headers


def test_a_killed_run_goes_on_and_transfers_nothing_that_was_done(tmp_path, server):
    for number in range(12):
        ct_series(tmp_path / "tree" / f"{number:02}", n=8, size=(64, 64), uid=f"1.2.4.{number}")
    server.put_tree(tmp_path / "tree", "kill")
    config = settings(tmp_path / "far", "s3://bucket/kill", ALL, workers=1)
    server.forget()
    begun, seen = threading.Event(), set[str]()

    def late(key: str) -> None:  # one worker: who asks for the ninth folder has committed some of the first
        seen.add(os.path.dirname(key))
        if len(seen) == 9:
            begun.set()

    server.on_get = late
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "dme.py"), str(config), "-q"], cwd=ROOT, start_new_session=True
    )
    assert begun.wait(120)
    server.on_get = lambda key: None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = committed(tmp_path / "far" / "out" / "metadata.jsonl.ledger")
    server.forget()
    assert dme(config) == 0
    again = {os.path.dirname(key).rpartition("/")[2] for key in server.sent}
    assert not again & done
    assert again | done == {f"{number:02}" for number in range(12)}
    export(tmp_path / "tree", tmp_path / "disk", metadata={}, image={"bits": 8}, volume={"formats": ["hdf5", "nifti"]})
    assert content(tmp_path / "far" / "out") == content(tmp_path / "disk")


def committed(ledger: Path) -> set[str]:
    """Folders that a ledger has as done."""
    import sqlite3

    with sqlite3.connect(ledger) as opened:
        found = {path for (path,) in opened.execute("SELECT path FROM folders WHERE digest <> ''")}
    opened.close()
    return found
