"""What is large: an upload of 1 GB and a volume of 2 GB, at a server's constant memory. Marked `system`: minutes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from support.factories import ct_series, quick_dataset, save
from support.web import ROOT, Web

pytestmark = pytest.mark.system

UPLOAD = 1 << 30
SLICES, SIDE = 4096, 512  # 2.1 GB of pixels, 4.3 GB as values in HU
MOST = 300e6  # bytes of the server, whatever it serves


@contextmanager
def process_serving(workspace: Path, *roots: Path) -> Iterator[tuple[Web, psutil.Process]]:
    """A server in a process of its own, whose memory is its own."""
    command = [sys.executable, str(ROOT / "dme.py"), "web", "--dir", str(workspace), "--port", "0"]
    for root in roots:
        command += ["--root", str(root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address, _, token = process.stdout.readline().strip().partition("/open#")
    try:
        yield Web(int(address.rpartition(":")[2]), token, workspace), psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


class Peak(threading.Thread):
    """The greatest resident size of a process while it is watched."""

    def __init__(self, process: psutil.Process) -> None:
        super().__init__(daemon=True)
        self._process, self._ended = process, threading.Event()
        self.bytes = 0

    def run(self) -> None:
        while not self._ended.wait(0.01):
            self.bytes = max(self.bytes, self._process.memory_info().rss)

    def __enter__(self) -> Peak:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self.join()


def test_an_archive_of_1_gb_is_uploaded_at_constant_memory(tmp_path: Path) -> None:
    save(quick_dataset(), tmp_path / "a.dcm")
    path = tmp_path / "large.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.write(tmp_path / "a.dcm", "a.dcm")
        with archive.open("notes.txt", "w", force_zip64=True) as member:
            for _ in range(UPLOAD >> 20):
                member.write(os.urandom(1 << 20))
    size = path.stat().st_size
    with process_serving(tmp_path / "ws") as (web, process):
        job = web.new_job()
        before = process.memory_info().rss
        with Peak(process) as peak, path.open("rb") as body:
            connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=300)
            headers = {"Cookie": web.cookie, "Origin": web.origin, "Content-Length": str(size)}
            headers |= {"x-name": "large.zip", "x-offset": "0", "x-size": str(size)}
            connection.request("PUT", f"/jobs/{job}/input", body, headers)
            answer = connection.getresponse()
            assert json.loads(answer.read()) == {"offset": size, "done": True}
            connection.close()
        print(f"\nupload: {before / 1e6:.0f} MB before, {peak.bytes / 1e6:.0f} MB at most")
        assert peak.bytes - before < 60e6
        text = "output: {dir: output}\ndicom: {dir: input}\nmetadata:\nnum_workers: 0\n"
        web.post(f"/jobs/{job}", action="start", yaml=text)
        web.wait(job, "finished", seconds=120)
        assert "1 files handled" in web.get(f"/jobs/{job}/log/run").text or web.get(f"/look/{job}").status == 200


def test_the_next_slice_of_a_volume_of_2_gb(tmp_path: Path) -> None:
    paths = ct_series(tmp_path / "data" / "ct", SLICES, size=(SIDE, SIDE), spacing=0.5)
    assert sum(path.stat().st_size for path in paths) > 2e9
    with process_serving(tmp_path / "ws", tmp_path / "data") as (web, process):
        job = web.new_job(tmp_path / "data", "training")
        text = f"output: {{dir: output}}\ndicom: {{dir: {tmp_path / 'data'}}}\nnum_workers: 2\nmetadata:\nvolume:\n"
        web.post(f"/jobs/{job}", action="start", yaml=text)
        web.wait(job, "finished", seconds=300)
        told = web.get(f"/look/{job}/series.json").json
        number = told["rows"][0][told["columns"].index("id")]
        checksum = web.get(f"/look/{job}/s/{number}").text.partition('data-volume="')[2].partition('"')[0]
        place = f"/look/{job}/s/{number}/v/{checksum}"
        assert web.get(place).status == 200
        rng = np.random.default_rng(19)
        seconds = []
        with Peak(process) as peak:
            for index in rng.integers(0, SLICES, 60):
                began = time.perf_counter()
                answer = web.get(f"{place}/plane?at={index},-,-")
                seconds.append(time.perf_counter() - began)
                assert (answer.status, len(answer.body)) == (200, SIDE * SIDE * 4)
        print(f"\nslice: {1000 * statistics.median(seconds):.1f} ms, at most {1000 * max(seconds):.1f};", end=" ")
        print(f"server {peak.bytes / 1e6:.0f} MB")
        assert statistics.median(seconds) < 0.05
        assert peak.bytes < MOST
