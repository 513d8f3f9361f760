"""What a run says: of places before it begins, and how it goes on."""

from __future__ import annotations

import io

from support.factories import ct_series
from support.runs import export

from crawler.engine.progress import Lines


def test_outputs_inside_the_input_and_outputs_as_input_are_said(tmp_path, caplog):
    ct_series(tmp_path / "in" / "ct", n=2)
    export(tmp_path / "in", tmp_path / "in" / "out", metadata={})
    assert "output.dir lies inside the input" in caplog.text
    caplog.clear()
    export(tmp_path / "in" / "ct", tmp_path / "other", metadata={})
    assert "output" not in caplog.text
    export(tmp_path / "other", tmp_path / "third", metadata={})
    assert "holds outputs of another run" in caplog.text


def test_lines_of_archives_count_no_more_than_there_is():
    """An archive counts as one file until it is opened."""
    stream = io.StringIO()
    progress = Lines(stream)
    progress.survey(1, 0, 100)
    progress.start(1, 100)
    progress.advance(52, 5_000_000, 0)
    progress.finish()
    first, last = stream.getvalue().splitlines()
    assert first == "dme: 1 files found, 1 of them (0.0 MB) to do"
    assert last.startswith("dme: 52 files, 5.0 MB, ")
    assert "left" not in last


def test_lines_of_folders_tell_what_is_left():
    stream = io.StringIO()
    progress = Lines(stream)
    progress.survey(1, 10, 100)
    progress.start(10, 100)
    progress.advance(4, 40, 1)
    progress.finish()
    last = stream.getvalue().splitlines()[-1]
    assert last.startswith("dme: 4/10 files, 0.0/0.0 MB, ")
    assert "1 failed" in last
    assert last.endswith(" s left")
