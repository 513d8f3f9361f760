"""Two runs over one input give the same bytes, whatever the workers: rows and tables come in the order of paths."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.factories import ct_series, tiny
from support.runs import content, export, report_of
from support.samples import copy_sample

from crawler.ledger.database import Ledger
from crawler.ledger.rows import Rows

EVERYTHING: dict[str, Any] = {
    "metadata": {"tables": ["csv", "parquet", "xlsx"], "mr_clean": True},
    "image": {},
    "video": {"extension": [".gif", ".mp4"]},
    "volume": {"formats": ["hdf5", "nifti", "npz", "metaimage", "mat"]},
    "preview": {},
    "quality": {},
}


def every_byte(out: Path) -> dict[str, bytes]:
    """Content of all files but the ledger and the log; of the summary without what is of the run."""
    found: dict[str, bytes] = {}
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        if path.name in ("run.log", "metadata.jsonl.ledger"):
            continue
        data = path.read_bytes() if path.name != "report.html" else report_of(path)
        if path.name == "summary.json":
            data = json.dumps({key: value for key, value in json.loads(data).items() if key != "run"}).encode()
        found[path.relative_to(out).as_posix()] = data
    return found


def names(out: Path) -> list[str]:
    """Files of the rows, in their order."""
    return [json.loads(line)["dicom_file"] for line in (out / "metadata.jsonl").read_bytes().splitlines()]


def uneven(source: Path) -> None:
    """Folders that are done in another order than that of their names: the largest comes first."""
    for number, folder in enumerate(("b", "a", "c/d", "c")):
        ct_series(source / folder, n=3 + 2 * number, uid=f"1.2.3.{number}")


@pytest.mark.parametrize("group", ["folder", "tree"])
def test_workers_change_no_byte(tmp_path: Path, group: str) -> None:
    copy_sample(tmp_path / "in", broken=True)
    for workers in (0, 1, 3):
        export(tmp_path / "in", tmp_path / str(workers), workers, dicom={"group": group}, **EVERYTHING)
    first = every_byte(tmp_path / "0")
    for other in ("1", "3"):
        found = every_byte(tmp_path / other)
        assert sorted(found) == sorted(first)
        assert [name for name in first if found[name] != first[name]] == []


def test_rows_come_in_the_order_of_paths(tmp_path: Path) -> None:
    uneven(tmp_path / "in")
    export(tmp_path / "in", tmp_path / "out", 2, metadata={})
    assert names(tmp_path / "out") == sorted(names(tmp_path / "out"))
    assert len(names(tmp_path / "out")) == 24


def test_what_comes_later_is_put_in_its_place(tmp_path: Path) -> None:
    uneven(tmp_path / "in")
    export(tmp_path / "in", tmp_path / "out")
    ct_series(tmp_path / "in" / "aa", n=2, uid="1.2.4")
    export(tmp_path / "in", tmp_path / "out")
    assert names(tmp_path / "out") == sorted(names(tmp_path / "out"))
    export(tmp_path / "in", tmp_path / "fresh")
    assert every_byte(tmp_path / "out") == every_byte(tmp_path / "fresh")


def test_rows_of_one_series_stay_together(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(6):
        tiny(tmp_path / "in" / f"{number}.dcm", number, series=number % 2)
    export(tmp_path / "in", tmp_path / "out", metadata={})
    assert names(tmp_path / "out") == ["0.dcm", "2.dcm", "4.dcm", "1.dcm", "3.dcm", "5.dcm"]


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize(
    ("owner", "name", "after"),
    [
        (Rows, "write_compacted", True),
        (Ledger, "plan_spans", True),
        (Rows, "replace", False),
        (Rows, "replace", True),
        (Ledger, "move_spans", True),
    ],
)
def test_killed_while_rows_are_brought_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, after: bool, deleted: bool
) -> None:
    """The sorted file is as long as the other; what a user deletes in between is not taken for a step of ours."""
    uneven(tmp_path / "in")
    export(tmp_path / "in", tmp_path / "fresh", metadata={})
    original = getattr(owner, name)

    def kill(self: Any, *arguments: Any) -> None:
        if after:
            original(self, *arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, kill)
        with pytest.raises(Killed):
            export(tmp_path / "in", tmp_path / "out", metadata={})
    if deleted:
        (tmp_path / "out" / "metadata.jsonl.compacted").unlink(missing_ok=True)
    export(tmp_path / "in", tmp_path / "out", metadata={})
    assert every_byte(tmp_path / "out") == every_byte(tmp_path / "fresh")
    ct_series(tmp_path / "in" / "b", n=5, uid="1.2.3.0")  # the places of all rows are known: one of them moves
    export(tmp_path / "in", tmp_path / "out", metadata={})
    export(tmp_path / "in", tmp_path / "later", metadata={})
    assert content(tmp_path / "out") == content(tmp_path / "later")


def test_a_run_that_has_no_room_for_the_order_is_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    uneven(tmp_path / "in")

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Rows, "write_compacted", full)
        assert export(tmp_path / "in", tmp_path / "out", metadata={}).exit_code == 0
    assert "no room for a copy in the order of paths" in caplog.text
    assert len(names(tmp_path / "out")) == 24
    export(tmp_path / "in", tmp_path / "out", metadata={})
    assert names(tmp_path / "out") == sorted(names(tmp_path / "out"))
