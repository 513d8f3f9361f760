"""Real runs under a real server: cancelled in the middle of exporting, and a server that is killed; nothing is lost."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.factories import ct_series
from support.web import ROOT, Web, serving

pytestmark = pytest.mark.system

SERIES, SLICES = 30, 30
TOTAL = SERIES * SLICES


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 30 series of 30 slices."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(SERIES):
        ct_series(folder / f"{number:02d}", SLICES, size=(256, 256), uid=f"1.2.3.{number}")
    return folder


def started(web: Web, many: Path) -> str:
    """A job in the middle of exporting."""
    job = web.new_job(many)
    text = f"num_workers: 1\noutput: {{dir: output}}\ndicom: {{dir: {many}}}\nmetadata:\nvolume:\nimage:\npreview:\n"
    web.post(f"/jobs/{job}", action="start", yaml=text)
    end = time.monotonic() + 60
    while (web.state(job)["done"] or 0) < SLICES:
        assert time.monotonic() < end, web.get(f"/jobs/{job}/log/run").text
        time.sleep(0.02)
    assert web.state(job)["state"] == "running"
    return job


def is_whole(folder: Path) -> None:
    """Every file has one row and is exported, every series one volume, and nothing half is left."""
    with open(folder / "metadata.jsonl", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    assert len({row["dicom_file"] for row in rows}) == len(rows) == TOTAL
    assert {row["outcome"] for row in rows} == {"exported"}
    assert len(list((folder / "volumes").rglob("*.h5"))) == SERIES
    assert len(list((folder / "media").rglob("*.png"))) == TOTAL
    with open(folder / "series.csv", newline="", encoding="utf-8") as table:
        assert len(list(csv.DictReader(table))) == SERIES
    assert not [path for path in folder.rglob("*") if path.name.endswith((".partial", ".new"))]


def test_cancelled_in_the_middle_of_exporting(many: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "ws", many) as web:
        job = started(web, many)
        web.post(f"/jobs/{job}", action="cancel")
        web.wait(job, "cancelled", seconds=30)
        output = web.workspace / "jobs" / job / "output"
        kept = {path: path.stat().st_mtime_ns for path in (output / "volumes").rglob("*.h5")}
        assert 0 < len(kept) < SERIES
        page = web.get(f"/jobs/{job}").text
        assert "Go on" in page
        assert web.get(f"/look/{job}/series.json").status == 200
        web.post(f"/jobs/{job}", action="start")
        web.wait(job, "finished", seconds=120)
        is_whole(output)
        assert all(path.stat().st_mtime_ns == changed for path, changed in kept.items()), "what was done stays"


def test_a_server_that_is_killed_in_a_run(many: Path, tmp_path: Path) -> None:
    """kill -9 while a run exports: it goes on without a server, and the next one shows it to its end, once."""
    workspace = tmp_path / "ws"
    command = [sys.executable, str(ROOT / "dme.py"), "web", "--dir", str(workspace), "--port", "0", "--root", str(many)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address, _, token = server.stdout.readline().strip().partition("/open#")
        web = Web(int(address.rpartition(":")[2]), token, workspace)
        job = started(web, many)
        log = web.get(f"/jobs/{job}/log/run")
        done = web.state(job)["done"]
        server.send_signal(signal.SIGKILL)
    with serving(workspace, many) as web:
        told = web.state(job)
        assert told["state"] in ("running", "finished")
        assert told["runs"] == 1
        assert told["done"] is None or told["done"] >= done
        web.wait(job, "finished", seconds=120)
        rest = web.get(f"/jobs/{job}/log/run?from={log.headers['x-next']}")
        whole = (workspace / "jobs" / job / "run.out").read_text()
        assert log.text + rest.text == whole, "no line is lost, and none comes twice"
        assert whole.count("--- run ") == 1
        is_whole(workspace / "jobs" / job / "output")
