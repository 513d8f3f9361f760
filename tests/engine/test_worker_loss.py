"""Files that kill, hang or bloat a worker cost one file each, named, and the run finishes."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest
from support.factories import ct_series, multiframe, quick_dataset, save
from support.runs import ALL, accounts_hold, content, export, failures, rows

import crawler.export.scan
import crawler.export.tasks
from crawler.engine.pool import start_method
from crawler.export.heartbeat import Heartbeat
from crawler.export.tasks import read_instance
from crawler.pixels.frames import frames

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or start_method() != "fork", reason="plants the fault in forked workers"
)
LIMITS = {"seconds": 600, "memory": "700MB"}  # a busy machine takes no step for a hang


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hang() -> None:
    """Never return, and have been at it for an hour already, by the notes that the parent reads."""
    frame = sys._getframe()
    while frame is not None and not isinstance(heartbeat := _heartbeat_in(frame), Heartbeat):
        frame = frame.f_back
    heartbeat._slots[2] -= 3600
    time.sleep(3600)


def _heartbeat_in(frame):
    found = frame.f_locals.get("heartbeat")
    return found if found is not None else getattr(frame.f_locals.get("self"), "heartbeat", None)


def grow() -> None:
    bytearray(2 * 10**9)


def plant(monkeypatch, stage, deeds):
    """Have a deed done when a file of that name is read (stage header) or decoded (stage pixels)."""
    doors = {
        "header": ("crawler.export.tasks.read_instance",),
        "pixels": ("crawler.export.scan.frames", "crawler.export.media.frames"),
    }
    original = {"header": read_instance, "pixels": frames}[stage]

    def with_culprit(subject, *arguments, **options):
        file = subject if stage == "header" else subject.file
        if file.name in deeds:
            deeds[file.name]()
        return original(subject, *arguments, **options)

    for door in doors[stage]:
        monkeypatch.setattr(door, with_culprit)


@pytest.mark.parametrize("stage", ["header", "pixels"])
@pytest.mark.parametrize("large", [False, True])
def test_three_poison_files_cost_three_files(tmp_path, monkeypatch, stage, large):
    if large:
        monkeypatch.setattr("crawler.engine.plan.FOLDER_FILES", 4)
        monkeypatch.setattr("crawler.engine.crawl.FOLDER_FILES", 4)
        monkeypatch.setattr("crawler.engine.plan.INDEX_FILES", 5)
    paths = ct_series(tmp_path / "in", n=12)
    victims = dict(zip([path.name for path in paths[2:11:4]], (crash, hang, grow), strict=True))
    plant(monkeypatch, stage, victims)
    summary = export(tmp_path / "in", tmp_path / "out", 2, limits=LIMITS, **ALL)
    accounts_hold(summary, 12)
    found = failures(tmp_path / "out")
    assert set(found) == set(victims)
    assert {row["stage"] for row in found.values()} == {stage}
    reasons = [found[name]["reason"] for name in victims]
    assert reasons[:2] == ["worker died", "time limit"]
    assert reasons[2] == "out of memory"
    # The rest is what a tree without these files gives; a header that was read keeps its row.
    for name in victims:
        (tmp_path / "in" / name).unlink()
    monkeypatch.undo()
    export(tmp_path / "in", tmp_path / "clean")
    assert [len(rows(tmp_path / out)) for out in ("out", "clean")] == [12 if stage == "pixels" else 9, 9]
    volumes = [
        {name: value for name, value in content(tmp_path / out).items() if name.startswith("volumes/")}
        for out in ("out", "clean")
    ]
    assert {name: value[0] for name, value in volumes[0].items()} == {n: value[0] for n, value in volumes[1].items()}


def test_a_worker_that_dies_outside_any_file_does_not_stop_the_run(tmp_path, monkeypatch):
    """Nothing is noted when it dies: the bundle is split, and what dies again alone fails as a whole."""
    for number in range(6):
        save(quick_dataset(SOPInstanceUID=f"1.2.3.{number}"), tmp_path / "in" / f"f{number}" / "a.dcm")
    original = crawler.export.tasks.scan_members

    def with_culprit(folder, *arguments, **options):
        if folder == "f3":
            heartbeat_cleared()
            crash()
        return original(folder, *arguments, **options)

    def heartbeat_cleared():
        frame = sys._getframe(2)
        frame.f_locals["heartbeat"].clear()

    monkeypatch.setattr(crawler.export.tasks, "scan_members", with_culprit)
    summary = export(tmp_path / "in", tmp_path / "out", 2)
    accounts_hold(summary, 6)
    assert set(failures(tmp_path / "out")) == {"f3/a.dcm"}


def test_claims_of_many_pixels_are_refused_without_memory(tmp_path):
    for number, (rows_, bits) in enumerate([(65535, 8), (65535, 16), (40000, 8)]):
        dataset = quick_dataset(SOPInstanceUID=f"1.2.3.{number}")
        dataset.Rows = dataset.Columns = rows_
        dataset.BitsAllocated = dataset.BitsStored = bits
        dataset.HighBit = bits - 1
        save(dataset, tmp_path / "in" / f"{number}.dcm")
    summary = export(tmp_path / "in", tmp_path / "out", 1, limits={"memory": "400MB"}, **ALL)
    assert set(summary.failed) <= {"pixels: pixel data too large", "pixels: truncated pixel data"}
    assert sum(summary.failed.values()) == 3


def test_an_error_nobody_foresaw_is_the_files_and_quotes_nothing(tmp_path, monkeypatch):
    def fail():
        raise KeyError("Doe^Jane")

    paths = ct_series(tmp_path / "in", n=3)
    plant(monkeypatch, "header", {paths[1].name: fail})
    export(tmp_path / "in", tmp_path / "out")
    (row,) = failures(tmp_path / "out").values()
    assert (row["stage"], row["reason"]) == ("header", "internal error")
    assert row["detail"].startswith("KeyError at test_worker_loss.py:")
    assert "Doe" not in str(row)


def test_a_long_cine_is_no_hang(tmp_path, monkeypatch):
    """The limit is for one step: a file that makes progress may take longer in all."""
    multiframe(tmp_path / "in" / "cine.dcm", 8, 8, 8)

    def slow(*arguments, **options):
        for frame in frames(*arguments, **options):
            sys._getframe(1).f_locals["self"].heartbeat._slots[2] -= 700  # two such steps pass the limit
            yield frame

    for door in ("crawler.export.scan.frames", "crawler.export.media.frames"):
        monkeypatch.setattr(door, slow)
    summary = export(tmp_path / "in", tmp_path / "out", 1, limits={"seconds": 1000}, **ALL)
    assert summary.exit_code == 0


def test_an_image_of_a_kind_that_no_array_holds_costs_itself_alone(tmp_path):
    ct_series(tmp_path / "in", n=3)
    save(quick_dataset(BitsAllocated=77, SOPInstanceUID="1.2.9"), tmp_path / "in" / "odd.dcm")
    summary = export(tmp_path / "in", tmp_path / "out")
    assert set(failures(tmp_path / "out")) == {"odd.dcm"}
    assert summary.exported == 3


def test_an_error_nobody_foresaw_in_the_layout_costs_its_scan_alone(tmp_path, monkeypatch):
    ct_series(tmp_path / "in", n=3, uid="1.2.3.1")
    for path in ct_series(tmp_path / "more", n=2, uid="1.2.3.2"):
        path.rename(tmp_path / "in" / f"other-{path.name}")
    original = crawler.export.scan.scan_verdict

    def fail(plan, scan):
        if scan.series_uid == "1.2.3.2":
            raise ZeroDivisionError
        return original(plan, scan)

    monkeypatch.setattr(crawler.export.scan, "scan_verdict", fail)
    summary = export(tmp_path / "in", tmp_path / "out")
    assert summary.failed == {"layout: internal error": 2}
    assert len(rows(tmp_path / "out")) == 5
    assert len(list((tmp_path / "out" / "volumes").iterdir())) == 1
