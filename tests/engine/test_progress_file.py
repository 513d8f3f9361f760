"""The progress that a run tells to others: what the file holds at each stage, how often it is written, when it goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.factories import ct_series
from support.runs import config, export

from crawler.cli.terminal import status_table
from crawler.engine import progress_file
from crawler.engine.progress import Silent
from crawler.engine.progress_file import ProgressFile, told_to_others
from crawler.engine.run import run
from crawler.errors import OutputError
from crawler.ledger.live import Live, live_path, read_live
from crawler.ledger.status import Status
from crawler.pacs.retrieval import Standing


class Clock:
    """In the place of the module `time`: it stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress_file, "time", clock)
    return clock


def test_each_stage_is_told_with_its_rate(tmp_path: Path, clock: Clock) -> None:
    path = str(tmp_path / "progress.json")
    file = ProgressFile(Silent(), path)
    clock.now += 1
    file.survey(2, 30, 9_000)
    live = read_live(path)
    assert live is not None
    assert (live.state, live.to_do, live.size) == ("survey", 30, 9_000)
    file.start(20, 6_000)
    clock.now += 4
    file.advance(8, 2_000, 1)
    live = read_live(path)
    assert live is not None
    assert (live.state, live.done, live.done_size, live.failed) == ("running", 8, 2_000, 1)
    assert (live.rate, live.seconds_left) == (2.0, 6.0)
    file.finish()
    live = read_live(path)
    assert live is not None
    assert (live.state, live.done, live.seconds_left) == ("finishing", 8, None)


def test_a_retrieval_is_told_in_counts(tmp_path: Path, clock: Clock) -> None:
    path = str(tmp_path / "progress.json")
    file = ProgressFile(Silent(), path)
    clock.now += 1
    file.retrieving(Standing(wanted=50, received=20, seconds=2.0))
    live = read_live(path)
    assert live is not None
    assert (live.state, live.retrieval["wanted"], live.retrieval["received"]) == ("retrieving", 50, 20)


def test_it_is_written_twice_a_second_at_most(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "progress.json"
    file = ProgressFile(Silent(), str(path))
    file.start(1000, 1000)
    states = set()
    for _ in range(100):
        clock.now += 0.01
        file.advance(1, 1, 0)
        states.add(path.read_text("utf-8"))
    assert len(states) <= 3
    assert not Path(f"{path}.building").exists()


def test_a_run_tells_and_leaves_nothing(tmp_path: Path) -> None:
    ct_series(tmp_path / "in", 3)
    told: list[Live | None] = []
    settings = config(tmp_path / "in", tmp_path / "out", metadata={})

    class Looking(Silent):
        def advance(self, files: int, size: int, failed: int) -> None:
            told.append(read_live(live_path(settings)))

    run(settings, progress=Looking())
    assert [live.state for live in told if live] == ["running"] * len(told)
    assert told
    assert not Path(live_path(settings)).exists()
    # What a killed run left is ours: the next one writes over it, and it is never input.
    Path(live_path(settings)).write_text("{}")
    assert export(tmp_path / "in", tmp_path / "out", metadata={}).found == 3
    assert not Path(live_path(settings)).exists()


def test_a_foreign_file_at_its_place_stays(tmp_path: Path) -> None:
    ct_series(tmp_path / "in", 1)
    place = Path(live_path(config(tmp_path / "in", tmp_path / "out", metadata={})))
    place.parent.mkdir()
    place.write_text("mine")
    with pytest.raises(OutputError, match="not touched"):
        export(tmp_path / "in", tmp_path / "out", metadata={})
    assert place.read_text() == "mine"


def test_a_full_disk_ends_no_run(tmp_path: Path) -> None:
    with told_to_others(Silent(), str(tmp_path / "gone" / "progress.json")) as file:
        file.start(1, 1)
        file.advance(1, 1, 0)


@pytest.mark.parametrize("text", ["", "[]", '{"state": "running"}', "no JSON", '{"state": 1, "extra": 2}'])
def test_what_is_no_state_of_ours_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.json").write_text(text)
    assert read_live(str(tmp_path / "p.json")) is None


def test_values_of_another_type_are_none(tmp_path: Path) -> None:
    values = {"state": "running", "began": "x", "since": "y", "told": "z", "done": 1}
    (tmp_path / "p.json").write_text(json.dumps(values))
    assert read_live(str(tmp_path / "p.json")) is None


def test_status_shows_it() -> None:
    live = Live("running", 0.0, 10.0, 20.0, to_do=300, size=9_000_000, done=100, done_size=3_000_000, failed=2)
    lines = status_table(Status("out/metadata.jsonl.ledger", 0.0, running=True, live=live), "dme c.yml").splitlines()
    assert "state              a run is going on" in lines
    assert "stage              exporting" in lines
    assert "done               100 of 300 files   3.0 MB of 9.0 MB   2 failed" in lines
    assert "rate               10 files/s, 20 s left" in lines
