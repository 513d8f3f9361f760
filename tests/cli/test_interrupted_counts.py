"""An interrupted run keeps the counts that it told before, and says what of them is not done."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from support.factories import ct_series
from support.runs import config

from crawler.cli.common import account_lines
from crawler.engine.progress import Silent
from crawler.engine.run import run
from crawler.ledger.summary import EXIT_INTERRUPTED, Summary


class Impatient(Silent):
    """Somebody who presses Ctrl-C as soon as the number of files is told."""

    def start(self, files: int, size: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)


def test_right_after_the_survey(tmp_path: Path) -> None:
    paths = [path for name in "ab" for path in ct_series(tmp_path / "in" / name, n=3, uid=f"1.2.{ord(name)}")]
    summary = run(config(tmp_path / "in", tmp_path / "out"), progress=Impatient())
    assert summary.exit_code == EXIT_INTERRUPTED
    assert (summary.listed, summary.found + summary.pending) == (6, 6)
    assert summary.listed_bytes == sum(path.stat().st_size for path in paths)
    text = "\n".join(account_lines(summary))
    assert re.search(r"^found +6 files", text, re.MULTILINE)
    assert re.search(rf"^not done +{summary.pending}$", text, re.MULTILINE)
    done = run(config(tmp_path / "in", tmp_path / "out"))
    assert (done.found, done.exported, done.pending) == (6, 6, 0)


def test_a_finished_run_says_nothing_of_it() -> None:
    text = "\n".join(account_lines(Summary(found=3, exported=3, listed=4)))
    assert "not done" not in text
    assert re.search(r"^found +3 files", text, re.MULTILINE)
