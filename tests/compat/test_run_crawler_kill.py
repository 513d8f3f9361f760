"""`run_crawler.py` killed anywhere, at each renaming too, and run again: as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import pytest
from support.factories import ct_series
from support.runs import count_files, kill_group, when_it_holds

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills process groups by POSIX signals")
ROOT = Path(__file__).parents[2]
ROUNDS = int(os.environ.get("DME_KILL_ROUNDS", "6"))
# Kills itself before (even) or after (odd) the n-th renaming of a finished file into place.
AT_RENAMING = """
import os, signal, sys
import crawler.cli.main
rename, seen, n = os.replace, [], {n}
def replace(source, target):
    if str(source).endswith(".building"):
        seen.append(target)
        if len(seen) == n // 2 + 1 and n % 2 == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)
    if len(seen) == n // 2 + 1 and str(source).endswith(".building"):
        os.kill(os.getpid(), signal.SIGKILL)
os.replace = replace
sys.exit(crawler.cli.main.run_crawler(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("front")
    for number in range(12):
        ct_series(folder / f"f{number % 6}" / "x", n=25, uid=f"1.2.{number}")
        for path in (folder / f"f{number % 6}" / "x").iterdir():
            path.rename(folder / f"f{number % 6}" / f"{number}-{path.name}")
    broken = folder / "f1" / "1-0003.dcm"
    broken.write_bytes(broken.read_bytes()[:-100])
    return folder


def start(tree: Path, out: Path, *before: str) -> subprocess.Popen[bytes]:
    folders = [str(tree / f"f{number}") for number in range(6)]
    arguments = ["--dicom_folders", str(folders), "--storage_folder", str(out), "--n_procs", "2", "-q"]
    return subprocess.Popen(
        [sys.executable, *(before or ["run_crawler.py"]), *arguments, "--write_pixeldata", "1", "--eval_3d_scans", "1"],
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def finish(tree: Path, out: Path) -> dict[str, Any]:
    """Run to the end and return everything that lies in the storage folder."""
    process = start(tree, out)
    heard, _ = process.communicate(timeout=600)
    assert process.returncode == 3, heard.decode()
    names = {"metadata.csv", "pixel_data.h5", "unreadable_files.csv"}
    assert set(os.listdir(out)) == {*names, ".crawler"}
    with h5py.File(out / "pixel_data.h5") as file:
        arrays = {name: (data.shape, data.dtype.str, data[...].tobytes()) for name, data in file.items()}
    return {"arrays": arrays, **{name: (out / name).read_bytes() for name in sorted(names) if name.endswith("csv")}}


@pytest.fixture(scope="module")
def undisturbed(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], int]:
    out = tmp_path_factory.mktemp("whole")
    whole = finish(tree, out)
    assert len(whole["arrays"]) == 11
    return whole, count_files(out)


def test_killed_anywhere_and_run_again(tree: Path, undisturbed: Any, tmp_path: Path) -> None:
    whole, files = undisturbed
    chance = random.Random(os.environ.get("DME_KILL_SEED", "front"))
    for number in range(ROUNDS):
        out = tmp_path / f"round{number}"
        for _ in range(chance.choice((1, 2))):
            made = count_files(out)
            process = start(tree, out)
            when_it_holds(process, out, made + chance.randrange(max(1, files - made)), partial(kill_group, process))
            process.communicate()
        assert finish(tree, out) == whole, f"round {number} differs"


@pytest.mark.parametrize("n", range(6))
def test_killed_while_the_files_are_put_together(tree: Path, undisturbed: Any, tmp_path: Path, n: int) -> None:
    process = start(tree, tmp_path / "out", "-c", AT_RENAMING.format(n=n))
    process.communicate(timeout=600)
    assert process.returncode == -signal.SIGKILL
    assert finish(tree, tmp_path / "out") == undisturbed[0]


def test_an_interrupt_keeps_what_is_done(tree: Path, undisturbed: Any, tmp_path: Path) -> None:
    process = start(tree, tmp_path / "out")
    while not (tmp_path / "out" / ".crawler" / "volumes").exists():
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=600)
    assert process.returncode == 130
    assert finish(tree, tmp_path / "out") == undisturbed[0]
