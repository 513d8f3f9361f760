"""Lines of progress: what they count, pass after pass, and what becomes of a stream that is closed."""

from __future__ import annotations

from io import StringIO

from crawler.engine.progress import Lines
from crawler.pacs.retrieval import Standing


def test_each_pass_is_counted_from_its_beginning() -> None:
    """`pacs receive` exports again and again, and tells of each export by itself."""
    stream = StringIO()
    lines = Lines(stream)
    for files in (7, 8):
        lines.survey(1, 15, 30_000)
        lines.start(files, 1_000_000)
        lines.advance(files, 1_000_000, 1)
        lines.finish()
    told = [line for line in stream.getvalue().splitlines() if "files/s" in line]
    assert [line.partition(",")[0] for line in told] == ["dme: 7/7 files", "dme: 8/8 files"]
    assert all("1 failed, 0 s left" in line and "1.0/1.0 MB" in line for line in told)


def test_a_stream_that_is_closed_ends_no_retrieval() -> None:
    stream = StringIO()
    lines = Lines(stream)
    stream.close()
    lines.retrieving(Standing(over=True))
    lines.finish()
