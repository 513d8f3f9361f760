"""Kill the whole process group anywhere, run again: the result equals an uninterrupted run. And Ctrl-C."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from support.factories import ct_series, multiframe
from support.runs import content, count_files, kill_group, rows, when_it_holds
from support.samples import copy_sample

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills process groups by POSIX signals")
ROOT = Path(__file__).parents[2]
ROUNDS = int(os.environ.get("DME_KILL_ROUNDS", "6"))


@pytest.fixture(scope="session")
def tree(tmp_path_factory) -> Path:
    """More than 500 files: many scans, a large folder, cines, damaged files."""
    folder = tmp_path_factory.mktemp("tree")
    for copy in range(3):
        copy_sample(folder / f"sample{copy}", broken=True)
    for number in range(12):
        ct_series(folder / "ct" / f"{number:02}", n=20, uid=f"1.2.3.{number}")
    for number in range(4):
        for path in ct_series(folder / "part", n=40, uid=f"1.2.4.{number}"):
            (folder / "flat").mkdir(exist_ok=True)
            shutil.move(path, folder / "flat" / f"{number}-{path.name}")
    (folder / "part").rmdir()
    for number in range(3):
        multiframe(folder / "cine" / f"{number}.dcm", 30, 64, 64)
    assert sum(path.is_file() for path in folder.rglob("*")) >= 500
    return folder


def start(tree: Path, out: Path, workers: int = 2) -> subprocess.Popen[bytes]:
    out.mkdir(exist_ok=True)
    settings = out.parent / f"{out.name}.yml"
    sections = "metadata:\nimage: {bits: 8}\nvideo:\nvolume:\n"
    settings.write_text(f"num_workers: {workers}\noutput: {{dir: {out}}}\ndicom: {{dir: {tree}}}\n{sections}")
    # A large folder is one of more than 64 files here, so that its longer way is killed too.
    code = (
        "import sys; from crawler.cli.main import main; from crawler.engine import crawl, plan;"
        "plan.FOLDER_FILES = crawl.FOLDER_FILES = 64; plan.INDEX_FILES = 32;"
        f"sys.exit(main([{str(settings)!r}, '-q']))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


@pytest.fixture(scope="session")
def undisturbed(tree, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    process = start(tree, out)
    heard, _ = process.communicate(timeout=600)
    assert process.returncode == 3, heard.decode()
    return content(out), count_files(out)


def test_killed_anywhere_and_run_again(tree, undisturbed, tmp_path):
    whole, files = undisturbed
    chance = random.Random(os.environ.get("DME_KILL_SEED", "dme"))
    landed = 0
    for number in range(ROUNDS):
        out = tmp_path / f"round{number}"
        for _ in range(chance.choice((1, 1, 2))):
            made = count_files(out)
            process = start(tree, out)
            when_it_holds(process, out, made + chance.randrange(max(1, files - made)), partial(kill_group, process))
            process.communicate()
            landed += process.returncode == -signal.SIGKILL
        process = start(tree, out)
        heard, _ = process.communicate(timeout=600)
        assert process.returncode == 3, heard.decode()
        assert content(out) == whole, f"round {number} differs"
        assert not list(out.rglob(".dme-tmp")) + list(out.rglob("*.building")) + list(out.rglob("*.compacted"))
        shutil.rmtree(out)
    assert landed >= ROUNDS // 2, "most kills came after the end of the run"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_cleanly_and_keeps_what_is_done(tree, undisturbed, tmp_path, number):
    whole, _ = undisturbed
    process = start(tree, tmp_path / "out", workers=1)
    written = tmp_path / "out" / "metadata.jsonl"
    while not (written.exists() and written.stat().st_size):  # the first half second's results are there
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
    heard, _ = process.communicate(timeout=60)
    assert process.returncode == 130, heard.decode()
    kept = len(rows(tmp_path / "out"))
    process = start(tree, tmp_path / "out")
    process.communicate(timeout=300)
    assert content(tmp_path / "out") == whole
    assert kept <= len(rows(tmp_path / "out"))
