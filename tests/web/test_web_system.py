"""The page *System*: what runs, what lies where, whether the PACS answers; and the list of jobs, searched."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path

import pytest
from support.pacs_servers import free_port
from support.web import Web, serving

from crawler.web.monitor import Monitor, size_of

LONG = """
import signal, subprocess, sys, time
stop = []
signal.signal(signal.SIGINT, lambda *_: stop.append(1))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("long", flush=True)
while not stop:
    time.sleep(0.01)
child.kill()
child.wait()
sys.exit(130)
"""


def row(page: str, name: str) -> list[str]:
    """The cells of a row of a table, without marks."""
    [found] = [piece for piece in page.split("<tr") if re.search(rf">{re.escape(name)}</", piece)]
    return [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<td>(.*?)</td>", found)]


def test_jobs_by_state_lead_to_them(web: Web, done: str) -> None:
    page = web.get("/system").text
    [count] = re.findall(r'<a href="/\?state=finished">(\d+)</a>', page)
    listed = web.get("/?state=finished").text
    assert f"{count} jobs, the newest first" in listed
    assert done in listed
    assert done not in web.get("/?state=paused").text
    assert web.get("/?state=x").status == 400


def test_jobs_are_searched_by_title_and_no_address_holds_it(tmp_path: Path) -> None:
    with serving(tmp_path / "ws") as web:
        names = {}
        for title in ("Lungs <b>2024</b>", "knees"):
            made = web.post("/new", goal="tables", title=title, source="upload")
            names[title] = made.headers["location"].split("/")[2]
        found = web.post("/", q="LUNGS").text
        assert names["Lungs <b>2024</b>"] in found
        assert names["knees"] not in found
        assert "<b>2024</b>" not in found
        assert names["knees"] in web.post("/", q="draft").text
        assert names["knees"] not in web.post("/", q="knees", state="finished").text
        assert "0 jobs" in web.post("/", q="nothing like it").text


def test_folders_are_measured_when_asked_and_kept(web: Web, done: str) -> None:
    title = "a job"
    assert web.get("/system").status == 200
    assert web.post("/system", action="measure").headers["location"] == "/system"
    end = time.monotonic() + 60
    while "are being measured" in (page := web.get("/system").text):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert title in page
    folder = web.workspace / "jobs" / done
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert size_of(str(folder)) == (sum(path.stat().st_size for path in files), len(files))
    [line] = [piece for piece in page.split("<tr") if f'"/jobs/{done}"' in piece]
    assert f"<td>{len(files)}</td>" in line
    assert f'href="/jobs/{done}/log/file"' in line
    (folder / "input" / "more").write_bytes(b"x" * 10)
    [line] = [piece for piece in web.get("/system").text.split("<tr") if f'"/jobs/{done}"' in piece]
    assert f"<td>{len(files)}</td>" in line, "kept until it is measured again"
    assert web.post("/system", action="format").status == 400


def test_sizes_follow_no_link_and_count_a_file_once(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "other").write_bytes(b"x" * 1000)
    (tmp_path / "in" / "a").write_bytes(b"x" * 10)
    (tmp_path / "in" / "deep" / "b").write_bytes(b"x" * 5)
    os.link(tmp_path / "in" / "a", tmp_path / "in" / "deep" / "again")
    os.symlink(tmp_path, tmp_path / "in" / "loop")
    size, files = size_of(str(tmp_path / "in"))
    link = os.lstat(tmp_path / "in" / "loop").st_size
    assert (size, files) == (15 + link, 3)
    assert size_of(str(tmp_path / "gone")) == (0, 0)
    monitor = Monitor()
    for folder in ("in", "gone"):
        monitor.measure([str(tmp_path / folder)])
        monitor.wait()
        assert monitor.size(str(tmp_path / folder)) is not None
    assert monitor.size(str(tmp_path / "in")) is None, "what nobody asks for any more is forgotten"


@pytest.mark.skipif(sys.platform != "linux", reason="counts processes")
def test_a_run_is_told_with_its_processes(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text(LONG)
    with serving(tmp_path / "ws", command=(sys.executable, str(tmp_path / "long.py"))) as web:
        assert "Nothing runs." in web.get("/system").text
        job = web.new_job()
        (tmp_path / "ws" / "jobs" / job / "input" / "x").touch()
        web.post(f"/jobs/{job}", action="start")
        web.wait_log(job, "long")
        page = web.get("/system").text
        table = page.partition("<h2>Runs</h2>")[2].partition("</table>")[0]
        processes = int(row(table, "a job")[1])
        web.post(f"/jobs/{job}", action="cancel")
        web.wait(job, "cancelled")
        assert processes == 3, "who looks after it, the command, and its child"
        assert "Nothing runs." in web.get("/system").text


def test_a_pacs_is_asked_on_demand_alone(tmp_path: Path) -> None:
    port = free_port()
    with serving(tmp_path / "ws") as web:
        assert "No PACS is set" in web.get("/system").text
        web.post("/search/pacs", host="127.0.0.1", port=str(port), called_aet="ANY")
        page = web.get("/system").text
        assert f"127.0.0.1:{port}" in page
        assert "did not answer" not in page
        web.post("/system", action="pacs")
        assert "did not answer" in web.get("/system").text
