"""`crawler/paths.py`: what a person reads stays on its line and does not steer the terminal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import runs
from support.factories import tiny

from crawler.paths import native, portable, printable, readable

NAME = "a\x1b[31m\r\n2026-01-01 ERROR forged \u202e\x9b"


@given(st.text(st.characters(codec=None)))
def test_nothing_unseen_is_left(text: str) -> None:
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    assert not any(ord(mark) < 32 or 0x7F <= ord(mark) < 0xA0 or mark in "\u202e\u2066\u2028" for mark in shown)
    shown.encode("utf-8")
    assert printable(shown) == shown


@pytest.mark.parametrize("text", ["plain", "\u00e9\u4e2d \u00a0", "C:\\x", ""])
def test_what_can_be_read_stays(text: str) -> None:
    assert printable(text) == text


def test_keys_stay_reversible() -> None:
    assert native(portable(NAME)) == NAME
    assert readable(NAME) != portable(NAME)


def test_log_and_terminal_cannot_be_forged(tmp_path: Path) -> None:
    source, out = tmp_path / NAME, tmp_path / "out"
    source.mkdir()
    tiny(source / NAME, 1)
    for name in ("1", "2"):
        (source / f"{NAME}{name}").symlink_to(source)
    settings = tmp_path / "c.yml"
    settings.write_text(f'dicom: {{dir: "{_escaped(source)}"}}\noutput: {{dir: "{out}"}}\nmetadata: {{}}\n')
    done = subprocess.run(
        [sys.executable, str(runs.ROOT / "dme.py"), str(settings), "-v"], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    log = (out / "run.log").read_bytes()
    for text in (log, done.stdout, done.stderr):
        assert b"\x1b" not in text
        assert b"\r" not in text
        assert not any(line.startswith(b"2026-01-01 ERROR") for line in text.splitlines())
    assert b"forged" in log
    (row,) = runs.rows(out).values()
    assert row["dicom_file"] == NAME  # data stay as they are


def test_a_refusal_cannot_be_forged(tmp_path: Path) -> None:
    settings = tmp_path / "c.yml"
    settings.write_text(f'dicom: {{dir: "{_escaped(tmp_path / NAME)}"}}\nmetadata: {{}}\n')
    done = subprocess.run(
        [sys.executable, str(runs.ROOT / "dme.py"), str(settings)],
        capture_output=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert b"\x1b" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def _escaped(path: Path) -> str:
    """As YAML writes it between double quotes."""
    return "".join(mark if mark.isprintable() and mark not in '"\\' else f"\\u{ord(mark):04x}" for mark in str(path))
