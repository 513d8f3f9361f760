"""Jobs of the browser against Orthanc: stopped in the middle of retrieving, gone on with, nothing lost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pydicom
import pytest
from support.factories import ct_series
from support.pacs_servers import orthanc
from support.relay import relay
from support.web import Web, serving

from crawler.cli.main import main
from crawler.pacs.model import Server

pytestmark = pytest.mark.system

SERIES, INSTANCES, ASSOCIATIONS = 8, 25, 2
TOTAL = SERIES * INSTANCES


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Orthanc with 8 series of 25 instances."""
    folder = tmp_path_factory.mktemp("pacs")
    for number in range(SERIES):
        ct_series(folder / "in" / str(number), INSTANCES, uid=f"1.2.3.{number}")
    with orthanc(folder / "orthanc") as started:
        place = ["--host", started.host, "--port", str(started.port), "--called-aet", started.called_aet]
        assert main(["pacs", "send", *place, "-q", str(folder / "in")]) == 0
        yield started


def job_of(web: Web, server: Server, port: int, workers: int, retrieve: str, rate: int | None) -> str:
    """A job that asks for everything, at so many files a second."""
    job = web.new_job()
    web.post(f"/jobs/{job}/edit", yaml=configuration(server, port, workers, retrieve, rate))
    return job


def configuration(server: Server, port: int, workers: int, retrieve: str, rate: int | None) -> str:
    section = f"{{host: 127.0.0.1, port: {port}, called_aet: ORTHANC, calling_aet: DME, retrieve: {retrieve},"
    section += f" calling_port: {server.calling_port}, query: {{PatientID: QUICK}}, associations: {ASSOCIATIONS},"
    section += f" dir: input, settle: 0{f', rate: {rate}' if rate else ''}}}"
    return f"output: {{dir: output}}\nnum_workers: {workers}\nmetadata:\nvolume:\npacs: {section}\n"


def processes_of(folder: Path) -> list[psutil.Process]:
    """What works in the folder of a job: the run, its workers, what retrieves."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def received(folder: Path) -> set[str]:
    """Instances that are in their place, each read as a whole."""
    return {str(pydicom.dcmread(path).SOPInstanceUID) for path in (folder / "input").rglob("*.dcm")}


@pytest.mark.parametrize(
    ("action", "workers", "retrieve"),
    [("cancel", 0, "get"), ("cancel", 1, "get"), ("pause", 1, "get"), ("cancel", 1, "move")],
)
def test_stopped_in_the_middle_of_retrieving(
    server: Server, tmp_path: Path, action: str, workers: int, retrieve: str
) -> None:
    """It ends in order, keeps what came, tells how far it was, and asks for the rest alone when it goes on."""
    with relay(server.port) as between, serving(tmp_path / "ws") as web:
        job = job_of(web, server, between.port, workers, retrieve, rate=25)
        folder = web.workspace / "jobs" / job
        assert web.post(f"/jobs/{job}", action="start").headers["location"] == f"/jobs/{job}"
        end = time.monotonic() + 60
        while ((told := web.state(job))["received"] or 0) < 20:
            assert time.monotonic() < end, (told, web.get(f"/jobs/{job}/log/run").text)
            time.sleep(0.02)
        assert (told["state"], told["wanted"]) == ("running", TOTAL)
        web.post(f"/jobs/{job}", action=action)
        began = time.monotonic()
        web.wait(job, {"cancel": "cancelled", "pause": "paused"}[action], seconds=30)
        assert time.monotonic() - began < 15
        assert processes_of(folder) == []
        there, sent = received(folder), Counter(between.sent)
        assert 20 <= len(there) < TOTAL
        assert not list(folder.rglob("*.part"))
        page = web.get(f"/jobs/{job}").text
        assert "Go on" in page
        assert f'<a href="/jobs/{job}/requests">{TOTAL}</a>' in page
        assert f'<a href="/jobs/{job}/lacking">{TOTAL - len(there)}</a>' in page
        web.post(f"/jobs/{job}", action="start", yaml=configuration(server, between.port, workers, retrieve, None))
        web.wait(job, "finished", seconds=120)
        again = Counter(between.sent) - sent
        assert len(received(folder)) == TOTAL
        if retrieve == "get":  # the relay sees what comes on associations that we opened
            assert not there & set(again)
        assert f'<a href="/look/{job}/files?outcome=exported">{TOTAL}</a>' in web.get(f"/jobs/{job}").text


def test_a_pacs_that_answers_is_told(server: Server, tmp_path: Path) -> None:
    with serving(tmp_path / "ws") as web:
        web.post("/search/pacs", host=server.host, port=str(server.port), called_aet=server.called_aet)
        web.post("/system", action="pacs")
        page = web.get("/system").text
        assert "answered" in page
        assert "did not answer" not in page
        assert "C-ECHO" in page
