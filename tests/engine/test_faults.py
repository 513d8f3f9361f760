"""An error or a kill at every call on files, one at a time: nothing is lost, and the next run makes up for it.

In `make test` a few calls of each run. ``DME_FAULTS`` is how many, "places" for one at each line of the project that
makes calls, or "all". Fewer than there are lines are spread over these, other ones in each test.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from support.calls import ALL, MINE, spread, struck
from support.factories import ct_series, multiframe, quick_dataset, save
from support.faults import Ended, Faults, in_child, in_first_worker, kill, name_of, raising
from support.runs import content, export, failures, rows

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks, and kills by POSIX signals")
WANTED = os.environ.get("DME_FAULTS", "2")
ALL_CALLS = WANTED == "all"
SHARE = int(WANTED) if WANTED.isdigit() else {"places": 0, "all": 10**6}[WANTED]  # calls that are struck
RECOVERIES = min(60, 1 + SHARE // 4) if SHARE else 12
KINDS = (errno.EIO, errno.ENOSPC, errno.EACCES)


class Scene:
    """A tree, the output of an earlier state of it, and what an undisturbed run makes of it now."""

    def __init__(self, folder: Path, group: str) -> None:
        self.tree, self.out, self.before, self.group = folder / "in", folder / "out", folder / "before", group
        ct_series(self.tree / "a", n=3, uid="1.2.3.1")
        ct_series(self.tree / "gone", n=2, uid="1.2.3.2")
        multiframe(self.tree / "cine.dcm", 2, 8, 8)
        (self.tree / "a" / "notes.txt").write_text("no DICOM")
        for name, data in MINE.items():
            (self.out / name).parent.mkdir(parents=True, exist_ok=True)
            (self.out / name).write_bytes(data)
        save(quick_dataset(SOPInstanceUID="1.2.7"), self.tree / "mine.dcm")
        self.empty = folder / "empty"
        shutil.copytree(self.out, self.empty)
        self.run()
        self.first = content(self.out)
        shutil.copytree(self.out, self.before)
        shutil.rmtree(self.tree / "gone")
        ct_series(self.tree / "a", n=4, uid="1.2.3.1")
        save(quick_dataset(SOPInstanceUID="1.2.9"), self.tree / "new" / "one.dcm")
        self.start(self.empty)
        self.run()
        self.whole = content(self.out)

    def run(self, workers: int = 0, **flags: bool) -> int:
        """One run; its exit code."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return export(self.tree, self.out, workers, dicom={"group": self.group}, **flags, **ALL).exit_code

    def count(self) -> int:
        """DICOM files of the tree."""
        return len(list(self.tree.rglob("*.dcm")))

    def start(self, state: Path) -> None:
        """Put an output in place."""
        shutil.rmtree(self.out, ignore_errors=True)
        shutil.copytree(state, self.out)

    def check(self) -> None:
        """What lies there is what an undisturbed run makes, and nothing else."""
        assert content(self.out) == self.whole
        left = [path for ending in (".building", ".compacted", "-journal") for path in self.out.rglob(f"*{ending}")]
        assert left == []
        for name, data in MINE.items():
            assert (self.out / name).read_bytes() == data


@pytest.fixture(scope="module", params=["folder", "tree"])
def scene(tmp_path_factory, request) -> Scene:
    return Scene(tmp_path_factory.mktemp(f"faults-{request.param}"), request.param)


RUNS: dict[str, tuple[str, dict[str, bool]]] = {
    "fresh": ("empty", {}),
    "changed": ("before", {}),  # with compaction, deletion of products, and views
    "rebuild": ("before", {"rebuild": True}),
}


def calls_of(scene: Scene, deed: Callable[[], int], state: Path, reads: bool = False) -> list[str]:
    """The calls that an undisturbed run makes."""
    scene.start(state)
    ended = in_child(deed, Faults(-1, kill, scene.out, reads))
    assert ended.code == 0, ended.text
    return ended.calls


@pytest.mark.parametrize("name", RUNS)
def test_killed_at_every_call_that_changes_a_file(scene, name, request):
    which, flags = RUNS[name]
    state, deed = getattr(scene, which), lambda: scene.run(**flags)
    calls = calls_of(scene, deed, state)
    assert len(calls) > 50
    for at in struck(calls, request.node.name, WANTED):
        scene.start(state)
        ended = in_child(deed, Faults(at, kill, scene.out))
        assert ended.code == -9 or len(ended.calls) <= at, (at, ended.text)  # fewer: a quicker machine
        again = in_child(scene.run)
        assert again.code == 0, (at, calls[at], again.text)
        scene.check()


@pytest.mark.parametrize("name", RUNS)
def test_killed_in_recovery_and_in_recovery_of_recovery(scene, name, request):
    """Kills at some calls, each followed by a kill at every call of the next run's start, and one more."""
    which, flags = RUNS[name]
    state, deed = getattr(scene, which), lambda: scene.run(**flags)
    calls = calls_of(scene, deed, state)
    late = [at for at, call in enumerate(calls) if name_of(call) in ("replace", "COMMIT", "unlink")]
    for first in spread(late, min(12, RECOVERIES), request.node.name):
        scene.start(state)
        in_child(deed, Faults(first, kill, scene.out))
        killed = scene.out.parent / "killed"
        shutil.rmtree(killed, ignore_errors=True)
        shutil.copytree(scene.out, killed)
        recovery = in_child(scene.run, Faults(-1, kill, scene.out))
        assert recovery.code == 0, (first, recovery.text)
        scene.check()
        for second in struck(recovery.calls, request.node.name, str(RECOVERIES)):
            scene.start(killed)
            in_child(scene.run, Faults(second, kill, scene.out))
            in_child(scene.run, Faults(second // 2, kill, scene.out))
            again = in_child(scene.run)
            assert again.code == 0, (first, second, again.text)
            scene.check()


@pytest.mark.parametrize("name", RUNS)
def test_an_error_at_every_call_on_files(scene, name, request):
    """The accounts hold or one line says why not, and the next run without the error equals a fresh one."""
    which, flags = RUNS[name]
    state, deed = getattr(scene, which), lambda: scene.run(**flags)
    calls = calls_of(scene, deed, state, reads=True)
    points = struck(calls, request.node.name, WANTED)
    kinds = [(at, number) for at in points for number in KINDS]
    for at, number in kinds if ALL_CALLS else zip(points, KINDS * len(points), strict=False):
        scene.start(state)
        ended = in_child(deed, Faults(at, raising(number), scene.out, reads=True))
        what = (at, calls[at], number, ended.text)
        assert well_ended(ended), what
        if ended.code in (0, 3):  # it came to its end: every file is counted, and none as an internal error
            table = scene.out / "unreadable_files.csv"
            assert not table.exists() or "internal error" not in table.read_text(), (*what, table.read_text())
            assert len(rows(scene.out)) == scene.count(), what
        again = in_child(lambda: scene.run(retry_failed=True))
        assert again.code == 0, (*what, again.text)
        scene.check()


@pytest.mark.skipif(sys.platform != "linux", reason="plants the kill in a forked worker")
@pytest.mark.parametrize("name", RUNS)
def test_a_worker_killed_at_every_step_of_its_tasks(scene, name, tmp_path, request):
    """It costs one file or none, by name; the next run has it."""
    which, flags = RUNS[name]
    state, log = getattr(scene, which), tmp_path / "calls"

    def deed(at: int) -> int:
        in_first_worker(Faults(at, kill, scene.out), log)
        return scene.run(1, **flags)

    scene.start(state)
    whole = in_child(lambda: deed(-1))
    assert whole.code == 0, whole.text
    calls = log.read_text().splitlines()
    assert sum(call.startswith("note:") for call in calls) > 20
    for at in struck(calls, request.node.name, WANTED):
        scene.start(state)
        ended = in_child(lambda at=at: deed(at))
        what = (at, calls[at], ended.text)
        assert ended.code in (0, 3), what
        lost = failures(scene.out) if ended.code == 3 else {}
        assert {row["reason"] for row in lost.values()} <= {"worker died"}, (*what, lost)
        assert len(lost) <= 1, (*what, lost)
        assert len(rows(scene.out)) + sum(row["stage"] == "header" for row in lost.values()) == scene.count(), what
        again = in_child(lambda: scene.run(retry_failed=True))
        assert again.code == 0, (*what, again.text)
        scene.check()


def well_ended(ended: Ended) -> bool:
    """All well, failed files, or one line that says why the run stopped; no traceback, no internal error."""
    if ended.code in (0, 3):
        return True
    return ended.code == 1 and "Traceback" not in ended.text and ended.text.startswith(("OutputError", "LedgerError"))
