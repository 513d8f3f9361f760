"""Jobs: made, checked, run, stopped, gone on with, found again after the server was killed, removed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from support.factories import ct_series, quick_dataset, save
from support.web import ROOT, Web, serving

from crawler.ledger.live import Live
from crawler.web.facts import facts
from crawler.web.jobs import Jobs, is_process

# A run that goes on until it is told to end, or for ever: what a long export is to the server.
LONG = """
import signal, sys, time
stop = []
signal.signal(signal.SIGINT, lambda *_: stop.append(1))
print("long", *sys.argv[1:], flush=True)
while not stop:
    time.sleep(0.01)
print("stopped in order", flush=True)
sys.exit(130)
"""


@pytest.fixture
def long(tmp_path: Path) -> tuple[str, ...]:
    """A command in the place of dme."""
    (tmp_path / "long.py").write_text(LONG)
    return (sys.executable, str(tmp_path / "long.py"))


def test_a_job_is_a_folder_and_a_command(web: Web, done: str, data: Path) -> None:
    """What the browser did can be done again in a shell, with the same result."""
    folder = web.workspace / "jobs" / done
    page = web.get(f"/jobs/{done}").text
    assert "finished" in page
    assert f"cd {folder} &amp;&amp; {sys.executable} {ROOT}/dme.py config.yml" in page
    before = (folder / "output" / "metadata.jsonl").read_bytes()
    ran = subprocess.run(
        [sys.executable, str(ROOT / "dme.py"), "config.yml"], cwd=folder, capture_output=True, text=True
    )
    assert ran.returncode == 0
    assert "0 files handled now" in ran.stdout
    assert (folder / "output" / "metadata.jsonl").read_bytes() == before


def test_counts_are_links_to_the_lists_behind_them(web: Web, done: str) -> None:
    page = web.get(f"/jobs/{done}").text
    assert f'<a href="/look/{done}/files?outcome=exported">3</a>' in page
    exported = web.get(f"/look/{done}/files?outcome=exported").text
    assert exported.count("/s/") == 3
    skipped = web.get(f"/look/{done}/files?outcome=skipped&reason=not%20DICOM").text
    assert "notes.txt" in skipped


def test_failed_files_are_told_by_reason_and_tried_again(web: Web, tmp_path: Path) -> None:
    job = web.new_job()
    save(quick_dataset(), tmp_path / "a.dcm")
    body = (tmp_path / "a.dcm").read_bytes()[:-10]
    headers: dict[str, str | None] = {"x-name": "cut.dcm", "x-offset": "0", "x-size": str(len(body))}
    assert web.ask("PUT", f"/jobs/{job}/input", body, headers).json["done"]
    text = "output: {dir: output}\ndicom: {dir: input}\nmetadata:\nvolume:\nnum_workers: 0\n"
    web.post(f"/jobs/{job}", action="start", yaml=text)
    web.wait(job, "incomplete")
    page = web.get(f"/jobs/{job}").text
    assert "pixels: truncated pixel data" in page
    assert "stage=pixels&amp;reason=truncated%20pixel%20data" in page
    assert "cut.dcm" in web.get(f"/look/{job}/files?outcome=failed&stage=pixels&reason=truncated%20pixel%20data").text
    web.post(f"/jobs/{job}", action="retry")
    web.wait(job, "incomplete")
    assert web.get(f"/jobs/{job}/log/run").text.count("--- run ") == 2


def test_files_of_one_reason_are_tried_again(web: Web, tmp_path: Path) -> None:
    """The button of a reason: what failed for another one is left, and a reason that there is not is refused."""
    job = web.new_job()
    save(quick_dataset(), tmp_path / "a.dcm")
    body = (tmp_path / "a.dcm").read_bytes()
    for name, content in (("cut.dcm", body[:-10]), ("torn.dcm", body[:200])):
        headers: dict[str, str | None] = {"x-name": name, "x-offset": "0", "x-size": str(len(content))}
        assert web.ask("PUT", f"/jobs/{job}/input", content, headers).json["done"]
    text = "output: {dir: output}\ndicom: {dir: input}\nmetadata:\nvolume:\nnum_workers: 0\n"
    web.post(f"/jobs/{job}", action="start", yaml=text)
    web.wait(job, "incomplete")
    page = web.get(f"/jobs/{job}").text
    reasons = re.findall(r'name="reason" value="([^"]*)"', page)
    assert len(reasons) == 2
    assert "pixels: truncated pixel data" in reasons
    assert page.count("Try again only these") == 4  # text and label of each
    listed = web.get(f"/look/{job}/files?outcome=failed&stage=pixels&reason=truncated%20pixel%20data").text
    assert 'name="reason" value="pixels: truncated pixel data"' in listed
    web.post(f"/jobs/{job}", action="retry", reason="pixels: truncated pixel data")
    web.wait(job, "incomplete")
    assert "--- run 2" in web.get(f"/jobs/{job}/log/run").text
    kept = json.loads((web.workspace / "jobs" / job / "job.json").read_text())
    assert kept["flags"] == ["--retry-reason=pixels: truncated pixel data"]
    web.post(f"/jobs/{job}", action="retry", reason="pixels: ; touch x")
    web.wait(job, "failed")
    assert "no file failed for the reason 'pixels: ; touch x'" in web.get(f"/jobs/{job}/log/run").text
    web.post(f"/jobs/{job}", action="start")
    web.wait(job, "incomplete")


def test_dry_run_writes_nothing(web: Web, data: Path) -> None:
    job = web.new_job(data, "everything")
    assert web.post(f"/jobs/{job}", action="dry").headers["location"] == f"/jobs/{job}/edit#dry"
    folder = web.workspace / "jobs" / job
    end = time.monotonic() + 120
    while not (folder / "dryrun.json").exists():
        assert time.monotonic() < end, web.get(f"/jobs/{job}/log/dry").text
        time.sleep(0.05)
    assert json.loads((folder / "dryrun.json").read_text())["code"] == 0
    assert "4 files" in web.get(f"/jobs/{job}/log/dry").text
    assert not (folder / "output").exists()
    assert web.state(job)["state"] == "draft"


def test_one_at_a_time_the_others_wait(tmp_path: Path, long: tuple[str, ...]) -> None:
    with serving(tmp_path / "ws", command=long) as web:
        first, second = web.new_job(), web.new_job()
        (tmp_path / "ws" / "jobs" / first / "input" / "x").touch()
        for job in (first, second):
            assert web.post(f"/jobs/{job}", action="start").headers["location"] == f"/jobs/{job}"
        web.wait_log(first, "long config.yml")
        assert web.state(second)["state"] == "queued"
        assert web.post(f"/jobs/{first}", action="remove", sure=first).status == 409
        assert web.post(f"/jobs/{first}", action="start").status == 409
        assert web.post(f"/jobs/{first}/edit", yaml="x").status == 409
        web.post(f"/jobs/{first}", action="pause")
        web.wait(first, "paused")
        web.wait_log(second, "long config.yml")
        web.post(f"/jobs/{second}", action="cancel")
        web.wait(second, "cancelled")
        assert "stopped in order" in web.get(f"/jobs/{second}/log/run").text
        web.post(f"/jobs/{first}", action="start")
        assert web.wait_log(first, "--- run 2").count("--- run ") == 2
        web.post(f"/jobs/{first}", action="cancel")
        web.wait(first, "cancelled")


def test_a_waiting_job_is_cancelled_without_a_run(tmp_path: Path, long: tuple[str, ...]) -> None:
    with serving(tmp_path / "ws", command=long) as web:
        first, second = web.new_job(), web.new_job()
        for job in (first, second):
            web.post(f"/jobs/{job}", action="start")
        web.wait(first, "running")
        web.post(f"/jobs/{second}", action="cancel")
        assert web.state(second)["state"] == "cancelled"
        web.post(f"/jobs/{first}", action="cancel")
        web.wait(first, "cancelled")
        assert web.state(second)["runs"] == 0


SERVER = """
import sys
from crawler.web.server import serve
from crawler.web.settings import Settings
settings = Settings(workspace=sys.argv[1], port=int(sys.argv[2]), command=tuple(sys.argv[3:]))
serve(settings, lambda token, port: print(port, flush=True))
"""


def test_a_job_outlives_a_server_that_is_killed(tmp_path: Path, long: tuple[str, ...]) -> None:
    """kill -9 in a run: the next server finds the run, loses no line of its log and starts nothing twice."""
    workspace = tmp_path / "ws"
    with serving(workspace, command=long) as web:
        job = web.new_job()
    command = [sys.executable, "-c", SERVER, str(workspace.resolve()), "0", *long]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        web = Web(int(server.stdout.readline()), web.token, workspace)
        web.post(f"/jobs/{job}", action="start")
        web.wait(job, "running")
        web.wait_log(job, "long config.yml")
        log = web.get(f"/jobs/{job}/log/run")
        server.kill()
        server.wait()
    begun = json.loads((workspace / "jobs" / job / "job.json").read_text())
    assert is_process(begun["process"], begun["born"]), "the run goes on"
    with serving(workspace, command=long) as web:
        assert web.wait(job, "running")["runs"] == 1
        web.post(f"/jobs/{job}", action="cancel")
        web.wait(job, "cancelled")
        rest = web.get(f"/jobs/{job}/log/run?from={log.headers['x-next']}")
        whole = (workspace / "jobs" / job / "run.out").read_text()
        assert log.text + rest.text == whole
        assert [line for line in whole.splitlines() if not line.startswith("---")] == [
            "long config.yml",
            "stopped in order",
        ]


def test_second_server_on_a_workspace_is_refused(tmp_path: Path, long: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", SERVER, str(tmp_path.resolve()), "0", *long]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        first.stdout.readline()
        second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        first.send_signal(signal.SIGINT)
    assert "another server works on" in second.stderr


def test_a_run_whose_end_nobody_saw_is_lost_and_goes_on(tmp_path: Path, long: tuple[str, ...]) -> None:
    with serving(tmp_path / "ws", command=long) as web:
        job = web.new_job()
        web.post(f"/jobs/{job}", action="start")
        web.wait(job, "running")
        process = psutil.Process(json.loads((tmp_path / "ws" / "jobs" / job / "job.json").read_text())["process"])
        for one in (process, *process.children()):
            one.kill()
        web.wait(job, "lost")
        web.post(f"/jobs/{job}", action="start")
        web.wait(job, "running")
        web.post(f"/jobs/{job}", action="cancel")
        web.wait(job, "cancelled")


def test_a_run_of_a_shell_shows_up(web: Web, tmp_path: Path) -> None:
    """By the progress that it tells, and by its ledger when it has ended."""
    job = web.new_job()
    folder = web.workspace / "jobs" / job
    ct_series(folder / "input", 2)
    subprocess.run([sys.executable, str(ROOT / "dme.py"), "config.yml", "-q"], cwd=folder, check=True)
    assert "Look at 1 series" in web.get(f"/jobs/{job}").text
    live = Live("running", 0.0, 0.0, 0.0, to_do=4, done=1, process=os.getpid())
    live.began = live.since = live.told = psutil.Process().create_time() + 5
    place = folder / "output" / "metadata.jsonl.progress.json"
    place.write_text(json.dumps({name: getattr(live, name) for name in Live.__slots__}))
    told = web.state(job)
    assert (told["state"], told["done"], told["to_do"], told["percent"]) == ("running", 1, 4, 25.0)
    place.unlink()


def test_outputs_of_shells_are_found(tmp_path: Path) -> None:
    source, out = tmp_path / "root" / "in", tmp_path / "root" / "out"
    ct_series(source, 2)
    (tmp_path / "c.yml").write_text(f"num_workers: 0\noutput: {{dir: {out}}}\ndicom: {{dir: {source}}}\nmetadata:\n")
    subprocess.run([sys.executable, str(ROOT / "dme.py"), str(tmp_path / "c.yml"), "-q"], check=True)
    with serving(tmp_path / "ws", tmp_path / "root") as web:
        page = web.get("/outputs").text
        address = page.partition('<li><a href="')[2].partition('"')[0]
        assert str(out) in page
        assert "out" not in address
        assert len(web.get(f"{address}/series.json").json["rows"]) == 1


def test_remove_asks_and_takes_the_folder(web: Web) -> None:
    job = web.new_job()
    answer = web.post(f"/jobs/{job}", action="remove")
    assert answer.status == 200
    assert "Delete for good" in answer.text
    assert (web.workspace / "jobs" / job).exists()
    assert web.post(f"/jobs/{job}", action="remove", sure="other").status == 200
    assert web.post(f"/jobs/{job}", action="remove", sure=job).status == 303
    assert not list((web.workspace / "jobs").glob(f"{job}*"))
    assert web.get(f"/jobs/{job}").status == 404


def test_unknown_actions(web: Web) -> None:
    job = web.new_job()
    assert web.post(f"/jobs/{job}", action="explode").status == 400
    assert web.post(f"/jobs/{job}", action="pause").status == 409


def test_upload_goes_on_where_it_was_cut_off(web: Web) -> None:
    job, body = web.new_job(), bytes(range(256)) * 5000
    size = str(len(body))
    name = {"name": "folder/ä.dcm", "size": len(body)}
    headers: dict[str, str | None] = {"x-name": "folder/%C3%A4.dcm", "x-size": size}
    half = body[: len(body) // 2]
    told = web.ask("PUT", f"/jobs/{job}/input", half, {**headers, "x-offset": "0"})
    assert told.json == {"offset": len(half), "done": False}
    assert not (web.workspace / "jobs" / job / "input" / "folder").exists()
    assert web.send(f"/jobs/{job}/input", name).json == {"offset": len(half), "done": False}
    assert web.ask("PUT", f"/jobs/{job}/input", b"x", {**headers, "x-offset": "999999"}).status == 409
    told = web.ask("PUT", f"/jobs/{job}/input", body[len(half) :], {**headers, "x-offset": str(len(half))})
    assert told.json["done"]
    assert (web.workspace / "jobs" / job / "input" / "folder" / "ä.dcm").read_bytes() == body
    assert web.send(f"/jobs/{job}/input", name).json["done"]
    assert web.ask("PUT", f"/jobs/{job}/input", b"x", {**headers, "x-offset": "0"}).status == 409, "it stays"
    assert web.ask("PUT", f"/jobs/{job}/input", b"xy", {"x-name": "b", "x-offset": "0", "x-size": "1"}).status == 413


def test_upload_is_bound_by_the_disk(web: Web) -> None:
    job = web.new_job()
    size = str(shutil.disk_usage(web.workspace).free)
    assert web.ask("PUT", f"/jobs/{job}/input", b"x", {"x-name": "a", "x-offset": "0", "x-size": size}).status == 507


def test_events_tell_states_and_the_plain_get_the_same(web: Web, done: str) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=30)
    connection.request("GET", "/events", headers={"Cookie": web.cookie})
    answer = connection.getresponse()
    assert answer.getheader("content-type", "").startswith("text/event-stream")
    assert answer.readline() == b"event: jobs\n"
    told = json.loads(answer.readline().removeprefix(b"data: "))
    connection.close()
    assert told == web.get("/jobs.json").json
    assert next(one["state"] for one in told if one["id"] == done) == "finished"


def test_a_process_is_known_by_its_beginning() -> None:
    me = psutil.Process()
    assert is_process(me.pid, me.create_time())
    assert not is_process(me.pid, me.create_time() - 1000), "another had its number"
    assert not is_process(me.pid, 0.0, me.create_time() - 1000)
    assert not is_process(0, 0.0)


def test_nothing_is_made_up(tmp_path: Path) -> None:
    job = Jobs(str(tmp_path)).make("x", "dicom: {dir: input}\n")
    told = facts(job, lambda text, **values: text)
    assert (told["percent"], told["left"], told["rate"], told["done"]) == (None, None, None, None)
