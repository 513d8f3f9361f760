"""Kills and errors at every system call that changes a file, those of SQLite and HDF5 included, in every kind of run.

Before the call, in the middle of a write, of all processes or of one. The next run makes up for each: it equals a run
that nobody disturbed, nothing of the user's is lost, and a third run has nothing to do.

In `make test` one call of each case. ``DME_CALLS`` is how many, "places" for the first of each kind of call on each
kind of file, or "all".
"""

from __future__ import annotations

import errno
import os
import shutil
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from support.calls import ALL, MINE, struck
from support.factories import ct_series, multiframe, quick_dataset, save
from support.faults import Ended, in_child
from support.runs import content, digest
from support.syscalls import SUPPORTED, traced

from crawler.cluster.merge import merge
from crawler.cluster.run_shard import run_shard
from crawler.config.loader import Config
from crawler.engine.run import run
from crawler.sinks.packs import members_of, read_packed
from crawler.verify.output import verify

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="system calls are counted on Linux on x86-64 only")
WANTED = os.environ.get("DME_CALLS", "few")
FEW = WANTED == "few"  # of `make test`
SHARE = "1" if FEW else WANTED
PLAIN = {name: ALL[name] for name in ("metadata", "image", "volume")}
LEFT = (".building", ".compacted", "-journal", ".dme-tmp")
Sections = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A run that is struck: what it makes, and what earlier runs left it.

    Attributes
    ----------
    sections, before
        The configuration, and that of the run before; None where there was none.
    changes
        Whether the input changes between the two.
    flags
        Of the run.
    shards
        Made in so many shards, and merged.
    deed
        What the user does to the output of the run before.
    spared
        The output is compared file by file, not pack by pack.
    """

    sections: Sections
    before: Sections | None = None
    changes: bool = True
    flags: dict[str, Any] = field(default_factory=dict)
    workers: int = 0
    shards: int = 0
    deed: Callable[[Scene], None] = lambda scene: None


def _of(sections: Sections, **more: Any) -> Sections:
    return {**sections, **more}


def _without_views(scene: Scene) -> None:
    for name in ("series.csv", "report.html", "named"):
        path = scene.out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()


TREE = _of(ALL, dicom={"group": "tree"})
PACKS = _of(PLAIN, output={"pack": {"format": "tar", "size": 3000}})
PRIVATE = _of(PLAIN, privacy={})  # private and key lie in the scene's folder
BIDS = _of({"metadata": {}, "volume": {"formats": ["nifti"]}}, output={"layout": "bids"})
RENAMED = _of(ALL, media={"name": "again/{SOPInstanceUID}"}, metadata={"tables": ["csv", "parquet", "xlsx"]})
CASES = {
    "fresh": Case(ALL),
    "changed": Case(ALL, ALL),  # with compaction, deletion of products, and views
    "rebuild": Case(ALL, ALL, flags={"rebuild": True}),
    "tree-fresh": Case(TREE),
    "tree-changed": Case(TREE, TREE),
    "tree-rebuild": Case(TREE, TREE, flags={"rebuild": True}),
    "one-section-rebuilt": Case(ALL, ALL, changes=False, flags={"rebuild": ("volume",)}),
    "views-changed": Case(RENAMED, ALL, changes=False),
    "views-lost": Case(ALL, ALL, changes=False, deed=_without_views),
    "section-added": Case(ALL, {"metadata": {}}, changes=False),
    "durable": Case(_of(PLAIN, output={"durable": True}), _of(PLAIN, output={"durable": True})),
    "packs": Case(PACKS),
    "packs-changed": Case(PACKS, PACKS),
    "packs-rebuilt": Case(PACKS, PACKS, flags={"rebuild": True}),
    "privacy": Case(PRIVATE, PRIVATE),
    "bids": Case(BIDS, BIDS),
    "shards": Case(PLAIN, shards=2),
    "shards-changed": Case(PLAIN, PLAIN, shards=2),
    "workers": Case(ALL, ALL, workers=2),
}
# What `make test` has time for: `test_faults.py` has the first runs.
SOME = ("changed", "tree-changed", "rebuild", "one-section-rebuilt", "views-changed", "views-lost", "packs-changed")
SOME += ("packs-rebuilt", "privacy", "bids", "shards-changed", "workers")


class Scene:
    """A tree, the output of an earlier state of it, and what an undisturbed run makes of it now."""

    def __init__(self, folder: Path, case: Case) -> None:
        self.folder, self.case = folder, case
        self.tree, self.work = folder / "in", folder / "work"
        self.out, self.before = self.work / "out", folder / "before"
        (folder / "key").write_text("6b" * 32)
        (folder / "key").chmod(0o600)
        ct_series(self.tree / "a", n=3, uid="1.2.3.1")
        ct_series(self.tree / "gone", n=2, uid="1.2.3.2")
        multiframe(self.tree / "cine.dcm", 2, 8, 8)
        self.archive(2)
        (self.tree / "a" / "notes.txt").write_text("no DICOM")
        for name, data in MINE.items():
            (self.out / name).parent.mkdir(parents=True, exist_ok=True)
            (self.out / name).write_bytes(data)
        empty = folder / "empty"
        shutil.copytree(self.work, empty)
        if case.before is not None:
            self.run(case.before)
        case.deed(self)
        shutil.copytree(self.work, self.before)
        if case.changes:
            shutil.rmtree(self.tree / "gone")
            ct_series(self.tree / "a", n=4, uid="1.2.3.1")
            self.archive(3)
            save(quick_dataset(SOPInstanceUID="1.2.9"), self.tree / "new" / "one.dcm")
        self.put(empty)
        self.run()
        self.whole = self.content()

    def archive(self, slices: int) -> None:
        """Put an archive of so many slices into the input."""
        with zipfile.ZipFile(self.tree / "packed.zip", "w") as archive:
            for path in ct_series(self.folder / "packed", n=slices, uid="1.2.5"):
                archive.write(path, f"inside/{path.name}")
        shutil.rmtree(self.folder / "packed")

    def config(self, sections: Sections) -> Config:
        """A configuration; what it names lies in the scene's folder."""
        given = {**sections}
        if "privacy" in given:
            given["privacy"] = {"private": str(self.work / "private"), "key": {"file": str(self.folder / "key")}}
        given["output"] = {"dir": str(self.out), **given.get("output", {})}
        given["dicom"] = {"dir": str(self.tree), **given.get("dicom", {})}
        return Config.from_mapping({"num_workers": self.case.workers, **given})

    def run(self, sections: Sections | None = None, **flags: Any) -> int:
        """What is struck, or its like; its exit code."""
        job = self.config(self.case.sections if sections is None else sections)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.case.shards:
                for number in range(self.case.shards, 0, -1):
                    run_shard(job, number, self.case.shards, retry_failed=flags.get("retry_failed", False))
                merge(job)
                return 0
            return run(job, **flags).exit_code

    def put(self, state: Path) -> None:
        """Put a state of the output in place."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(state, self.work)

    def content(self) -> dict[str, Any]:
        """What equal outputs share; of packs the members, wherever they lie; without the shards' own files."""
        found = {name: value for name, value in content(self.out).items() if not name.startswith("dme-shards/")}
        if not (self.out / "packs").is_dir():
            return found
        found = {name: value for name, value in found.items() if not name.startswith("packs/")}
        for pack in (self.out / "packs").glob("*.tar"):
            for member in members_of(str(pack)):
                data = read_packed(str(pack), member)
                assert f"packs/{member}" not in found, "a member lies in two packs"
                found[f"packs/{member}"] = digest(data if isinstance(data, bytes) else data.array.tobytes())
        return found

    @cached_property
    def calls(self) -> list[str]:
        """The calls that an undisturbed run makes."""
        self.put(self.before)
        ended = traced(lambda: self.run(**self.case.flags), self.work)
        assert ended.code == 0, ended.text
        self.check()
        assert len(ended.calls) > 50
        return ended.calls

    def check(self, thoroughly: bool = False) -> None:
        """What lies there is what an undisturbed run makes, and nothing else."""
        assert self.content() == self.whole
        assert [path for ending in LEFT for path in self.work.rglob(f"*{ending}")] == []
        for name, data in MINE.items():
            assert (self.out / name).read_bytes() == data
        if not thoroughly:
            return
        if not self.case.shards:
            job = self.config(self.case.sections)
            assert verify(job, 0).findings == []
            assert run(job).handled == 0
            assert self.content() == self.whole


@pytest.fixture(scope="module", params=SOME if FEW else CASES)
def scene(tmp_path_factory, request) -> Scene:
    return Scene(tmp_path_factory.mktemp(request.param), CASES[request.param])


def told(what: str, scene: Scene, landed: int, tried: int, calls: int) -> None:
    """Print figures where more than a share was asked for."""
    if not FEW:
        print(f"\n{what} {scene.folder.name}: {landed} of {tried} landed, {calls} calls")


def made_up_for(scene: Scene, what: object, *, thoroughly: bool) -> None:
    """The next run brings all to what it should be."""
    again: Ended = in_child(lambda: scene.run(retry_failed=True))
    assert again.code == 0, (what, again.text)
    try:
        scene.check(thoroughly)
    except AssertionError as error:
        raise AssertionError(f"{what}: {error}") from error


@pytest.mark.parametrize("how", ["kill"] if FEW else ["kill", "torn"])
def test_killed_at_every_system_call_that_changes_a_file(scene, how, request):
    calls, landed = scene.calls, 0
    points = struck(calls, request.node.name, SHARE)
    for at in points:
        scene.put(scene.before)
        ended = traced(lambda: scene.run(**scene.case.flags), scene.work, at, how)
        assert ended.code == -9 or len(ended.calls) <= at, (at, calls[at], ended.text)  # fewer: a quicker machine
        landed += ended.code == -9
        made_up_for(scene, (at, calls[min(at, len(calls) - 1)]), thoroughly=at == points[-1])
    told(f"killed ({how})", scene, landed, len(points), len(calls))


@pytest.mark.parametrize("scene", ["changed", "packs-changed"] if FEW else CASES, indirect=True)
def test_killed_in_recovery_and_in_its_recovery(scene, request):
    """After a kill at a call that puts something in place, kills at the next run's calls, and in the run after that."""
    calls, landed, tried = scene.calls, 0, 0
    late = [at for at, call in enumerate(calls) if call.startswith(("rename", "unlink", "fdatasync", "ftruncate"))]
    firsts = struck([calls[at] for at in late], request.node.name, SHARE if SHARE.isdigit() else "12")
    for first in (late[number] for number in firsts[:12]):
        scene.put(scene.before)
        traced(lambda: scene.run(**scene.case.flags), scene.work, first)
        killed = scene.folder / "killed"
        shutil.rmtree(killed, ignore_errors=True)
        shutil.copytree(scene.work, killed, symlinks=True)
        recovery = traced(scene.run, scene.work)
        assert recovery.code == 0, (first, recovery.text)
        scene.check()
        for second in struck(recovery.calls, request.node.name, SHARE if SHARE != "all" else "60"):
            tried += 2
            scene.put(killed)
            landed += traced(scene.run, scene.work, second).code == -9
            landed += traced(scene.run, scene.work, second // 2).code == -9
            made_up_for(scene, (first, calls[first], second), thoroughly=False)
    told("killed in recovery", scene, landed, tried, len(calls))


def test_an_error_at_every_system_call_that_changes_a_file(scene, request):
    """It ends in one line or in accounts; the next run without the error equals a fresh one."""
    calls = scene.calls
    points = struck(calls, request.node.name, SHARE)
    for number, at in enumerate(points):
        kind = (errno.EIO, errno.ENOSPC, errno.EACCES, errno.EROFS)[number % 4]
        scene.put(scene.before)
        ended = traced(lambda: scene.run(**scene.case.flags), scene.work, at, kind)
        what = (at, calls[min(at, len(calls) - 1)], errno.errorcode[kind], ended.text)
        assert ended.code in (0, 1, 3), what
        assert ended.code != 1 or ("Traceback" not in ended.text and "Error: " in ended.text), what
        if ended.code == 3 and (scene.out / "unreadable_files.csv").exists():
            assert "internal error" not in (scene.out / "unreadable_files.csv").read_text(), what
        made_up_for(scene, what, thoroughly=False)
    told("errors", scene, len(points), len(points), len(calls))


@pytest.mark.parametrize("scene", ["workers"], indirect=True)
def test_one_process_killed_at_every_system_call(scene, request):
    """A worker, mostly: the run goes on, or the next one does."""
    calls, landed = scene.calls, 0
    points = struck(calls, request.node.name, SHARE)
    for at in points:
        scene.put(scene.before)
        ended = traced(scene.run, scene.work, at, "one")
        assert ended.code in (0, 3, -9), (at, ended.text)
        landed += len(ended.calls) > at
        made_up_for(scene, (at, ended.calls[-1]), thoroughly=False)
    told("one process killed", scene, landed, len(points), len(calls))
