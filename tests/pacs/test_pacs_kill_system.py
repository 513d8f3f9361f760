"""`python dme.py config.yml` with a section pacs, killed ten times while it retrieves from Orthanc, then to the end."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.factories import quick_dataset
from support.pacs_servers import orthanc
from support.relay import relay

from crawler.pacs.model import Server

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
STUDIES, SERIES, INSTANCES, KILLS, ASSOCIATIONS = 5, 4, 25, 10, 3
TOTAL = STUDIES * SERIES * INSTANCES


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Orthanc with 500 small CT instances in 20 series."""
    with orthanc(tmp_path_factory.mktemp("orthanc")) as started:
        base = str(started.url).removesuffix("/dicom-web")
        for study in range(STUDIES):
            for series in range(SERIES):
                for number in range(INSTANCES):
                    dataset = quick_dataset(
                        SOPInstanceUID=f"2.25.{study + 1}.{series + 1}.{number + 1}",
                        SeriesInstanceUID=f"2.25.{study + 1}.{series + 1}",
                        StudyInstanceUID=f"2.25.{study + 1}",
                        PatientID=f"P{study}",
                        InstanceNumber=number + 1,
                        ImagePositionPatient=[0, 0, number],
                        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
                        PixelSpacing=[1, 1],
                    )
                    buffer = BytesIO()
                    dataset.save_as(buffer, enforce_file_format=True)
                    request = urllib.request.Request(f"{base}/instances", data=buffer.getvalue(), method="POST")
                    urllib.request.urlopen(request).close()
        yield started


def configuration(folder: Path, port: int, workers: int, rate: int | None) -> Path:
    document = {
        "num_workers": workers,
        "output": {"dir": "out"},
        "metadata": {},
        "volume": {},
        "pacs": {
            "host": "127.0.0.1",
            "port": port,
            "called_aet": "ORTHANC",
            "retrieve": "get",
            "query": {"PatientID": "P*"},
            "associations": ASSOCIATIONS,
            "rate": rate,
            "settle": 0,
        },
    }
    folder.mkdir(exist_ok=True)
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump(document))
    return path


def started(config: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "dme.py"), config.name],
        cwd=config.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finished(config: Path) -> None:
    process = started(config)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()[-2000:]


def in_place(folder: Path) -> set[str]:
    return {path.stem for path in (folder / "incoming").rglob("*.dcm")}


def outcome(folder: Path) -> dict[str, Any]:
    """All that two runs must agree in."""
    out = folder / "out"
    lines = (out / "metadata.jsonl").read_text("utf-8").splitlines()
    summary = json.loads((out / "summary.json").read_text("utf-8"))
    ours = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {
        "rows": sorted(json.dumps(json.loads(line), sort_keys=True) for line in lines),
        "received": {
            path.relative_to(folder).as_posix(): path.read_bytes() for path in (folder / "incoming").rglob("*.dcm")
        },
        "volumes": {path.relative_to(folder).as_posix(): path.read_bytes() for path in out.rglob("volumes/**/*.h5")},
        "counts": {name: summary[name] for name in ("found", "exported", "skipped", "failed", "retrieval")},
        "files": {name for name in ours if "/.dme-tmp/" not in name and not name.endswith(".log")},
    }


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the command, its children not: they have to notice by themselves."""
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it ended before it was killed"


@pytest.mark.parametrize("workers", [0, 1])
def test_killed_runs_end_as_an_uninterrupted_one(server: Server, workers: int, tmp_path: Path) -> None:
    """Equal outputs, and nothing that was in its place is ever sent again: no instance, and so no complete series."""
    rng = random.Random(1500 + workers)
    with relay(server.port) as between:
        config = configuration(tmp_path / "killed", between.port, workers, rate=150)
        there: set[str] = set()
        before, repeated = 0, []
        for _ in range(KILLS):
            process = started(config)
            goal = len(between.sent) + rng.randrange(1, TOTAL // (KILLS + 2))
            while process.poll() is None and len(between.sent) < goal:
                time.sleep(0.002)
            kill(process)
            repeated += [uid for uid in between.sent[before:] if uid in there]
            there, before = in_place(config.parent), len(between.sent)
        finished(configuration(tmp_path / "killed", between.port, workers, rate=None))
        repeated += [uid for uid in between.sent[before:] if uid in there]
        assert repeated == []
        transfers = Counter(between.sent)
    assert len(transfers) == TOTAL
    # What was on its way at a kill comes again: an instance that is being sent and one that waits to be put in place.
    assert transfers.total() - TOTAL <= KILLS * 2 * ASSOCIATIONS
    straight = configuration(tmp_path / "straight", server.port, workers, rate=None)
    finished(straight)
    ours, theirs = outcome(config.parent), outcome(straight.parent)
    for key in ours:
        assert ours[key] == theirs[key], key
    assert len(theirs["received"]) == TOTAL
    assert len(theirs["volumes"]) == STUDIES * SERIES


def helper_of(process: subprocess.Popen[bytes]) -> int:
    """The process that retrieves, by its command."""
    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        if b"overlap" in Path(f"/proc/{child}/cmdline").read_bytes():
            return int(child)
    raise AssertionError("there is no helper")


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the helper in proc(5)")
def test_a_helper_that_dies_ends_the_run_with_its_reason(server: Server, tmp_path: Path) -> None:
    """As where the system is out of memory: the run says so, and the next one goes on."""
    with relay(server.port) as between:
        config = configuration(tmp_path / "run", between.port, 1, rate=150)
        process = started(config)
        while process.poll() is None and len(between.sent) < 40:
            time.sleep(0.002)
        os.kill(helper_of(process), signal.SIGKILL)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 1
        [line] = [line for line in errors.decode().splitlines() if "ended too early" in line]
        assert "run again to go on" in line
        assert "Traceback" not in errors.decode()
        there, before = in_place(config.parent), len(between.sent)
        assert there
        finished(configuration(tmp_path / "run", between.port, 1, rate=None))
        assert not there & set(between.sent[before:])
    assert len(in_place(config.parent)) == TOTAL
