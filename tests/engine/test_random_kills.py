"""Random kills of the whole group, of the parent alone, of single workers: the next run makes up for each.

`DME_KILLS` is how many: 3 by default, 12 in CI. A kill that comes after the run's end does not count.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import psutil
import pytest
from support.factories import ct_series, multiframe
from support.runs import ROOT, content, count_files, kill_group, when_it_holds

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers that leave with their parent at once")
KILLS = int(os.environ.get("DME_KILLS", "3"))
VICTIMS = ("group", "parent", "worker")
SECTIONS = "metadata: {tables: [csv]}\nimage: {bits: 8}\nvideo:\nvolume: {formats: [hdf5, npz]}\npreview:\n"


def start(settings: Path, *flags: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(ROOT / "dme.py"), str(settings), "-q", *flags]
    return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def write_settings(tree: Path, out: Path) -> Path:
    settings = out.parent / f"{out.name}.yml"
    settings.write_text(f"num_workers: 2\noutput: {{dir: {out}}}\ndicom: {{dir: {tree}}}\n{SECTIONS}")
    return settings


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A tree, what an undisturbed run makes of it, and in how many files."""
    folder = tmp_path_factory.mktemp("kills")
    for path in ct_series(folder / "in" / "damaged", n=4, uid="1.2.4"):
        path.write_bytes(path.read_bytes()[:-100])
    for number in range(6):
        ct_series(folder / "in" / "ct" / f"{number}", n=8, uid=f"1.2.3.{number}")
    multiframe(folder / "in" / "cine.dcm", 30, 64, 64)
    process = start(write_settings(folder / "in", folder / "whole"))
    _, heard = process.communicate(timeout=600)
    assert process.returncode == 3, heard.decode()
    return folder / "in", content(folder / "whole"), count_files(folder / "whole")


def kill(process: subprocess.Popen[bytes], victim: str, chance: random.Random) -> bool:
    """Kill it; False when there is nothing left to be killed."""
    if victim == "group":
        kill_group(process)
        return True
    if victim == "parent":
        process.kill()
        return True
    try:
        chance.choice(psutil.Process(process.pid).children()).kill()
    except (psutil.NoSuchProcess, IndexError):
        return False
    return True


def test_random_kills_of_group_parent_and_workers(scene, tmp_path):
    tree, whole, files = scene
    chance = random.Random(os.environ.get("DME_KILL_SEED", "kills"))
    out = tmp_path / "out"
    settings = write_settings(tree, out)
    for number in range(KILLS):
        victim = VICTIMS[number % len(VICTIMS)]
        landed = False
        for _ in range(50):
            shutil.rmtree(out, ignore_errors=True)
            process = start(settings)
            landed = when_it_holds(process, out, chance.randrange(files), partial(kill, process, victim, chance))
            _, heard = process.communicate(timeout=600)
            landed &= victim == "worker" or process.returncode == -signal.SIGKILL  # else it had just ended by itself
            if landed:
                break
        assert landed
        assert victim != "worker" or process.returncode == 3, heard.decode()
        process = start(settings, "--retry-failed")
        _, heard = process.communicate(timeout=600)
        assert process.returncode == 3, (number, victim, heard.decode())
        assert content(out) == whole, (number, victim)
        assert not [path for ending in (".dme-tmp", "*.building", "*.compacted") for path in out.rglob(ending)]
