"""What is large: an upload of 1 GB, a volume of 2 GB, 20,000 series: constant memory; times are printed, not judged."""

from __future__ import annotations

import http.client
import json
import os
import shutil
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
        assert peak.bytes < MOST
        for step in (64, 1):  # both planes across, from coarse to fine
            began, answers, first = time.perf_counter(), 0, 0
            with Peak(process) as peak:
                while first < SLICES:
                    answer = web.get(f"{place}/across?row=200&column=300&first={first}&step={step}")
                    count = int(answer.headers["x-count"])
                    assert len(answer.body) == count * 2 * SIDE * 4
                    first, answers = first + count * step, answers + 1
            spent = time.perf_counter() - began
            print(f"across, every {step}th slice: {spent:.1f} s in {answers} pieces;", end=" ")
            print(f"server {peak.bytes / 1e6:.0f} MB")
            assert peak.bytes < MOST


SERIES = 20_000
_TYPED = """text => {
  const field = document.getElementById("search");
  const began = performance.now();
  field.value = text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  document.body.offsetHeight;
  return performance.now() - began;
}"""
_SORTED = """name => {
  const button = document.querySelector(`th[data-column=${name}] button`);
  const began = performance.now();
  button.click();
  document.body.offsetHeight;
  return performance.now() - began;
}"""


def test_a_table_of_20000_series_answers_each_key(tmp_path: Path) -> None:
    """Search, and sorting; the server's memory is that of the table."""
    chromium = shutil.which("chromium")
    api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    if chromium is None:
        pytest.skip("chromium is not installed")
    uid = "1.2.3.00000"
    path = save(quick_dataset(SeriesInstanceUID=uid, SeriesDescription="part 00000 axial"), tmp_path / "a.dcm")
    whole = path.read_bytes()
    assert whole.count(uid.encode()) == whole.count(b"part 00000") == 1
    for number in range(SERIES):
        folder = tmp_path / "data" / f"{number // 100:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        told = f"{number + 10_000:05d}".encode()
        body = whole.replace(uid.encode(), b"1.2.3." + told).replace(b"part 00000", b"part " + told)
        (folder / f"{number:05d}.dcm").write_bytes(body)
    with process_serving(tmp_path / "ws", tmp_path / "data") as (web, process):
        job = web.new_job(tmp_path / "data")
        text = f"output: {{dir: output}}\ndicom: {{dir: {tmp_path / 'data'}}}\nnum_workers: 2\nmetadata:\n"
        web.post(f"/jobs/{job}", action="start", yaml=text)
        web.wait(job, "finished", seconds=300)
        with Peak(process) as peak, api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_context(locale="en-US").new_page()
            page.goto(f"{web.origin}/open#{web.token}")
            page.wait_for_url(f"{web.origin}/")
            page.goto(f"{web.origin}/look/{job}")
            page.wait_for_selector("tbody tr")
            assert f"{SERIES:,} of {SERIES:,} series" in page.inner_text("#count")
            typed = [
                page.evaluate(_TYPED, word[: end + 1])
                for word in ("part 29999", "axial", "nine")
                for end in range(len(word))
            ]
            page.evaluate(_TYPED, "part 29999")
            assert f"1 of {SERIES:,} series" in page.inner_text("#count")
            page.evaluate(_TYPED, "")
            names = ("files", "verdict", "SeriesDescription", "SeriesDescription")  # twice: downwards
            order = [page.evaluate(_SORTED, name) for name in names]
            typed += [page.evaluate(_TYPED, word) for word in ("", "part", "")]  # of rows that are sorted
            assert "part 29999" in page.inner_text("tbody tr:first-child")
            browser.close()
        print(
            f"\nkey: {statistics.median(typed):.0f} ms, at most {max(typed):.0f}; sorted: {max(order):.0f} ms;", end=" "
        )
        print(f"server {peak.bytes / 1e6:.0f} MB")
        assert peak.bytes < MOST
