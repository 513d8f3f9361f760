"""A browser opens what we write. Skipped where Debian's `chromium` or the package playwright is not installed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import uid
from support.cines import cine
from support.runs import export
from support.videos import H264, clip, wrap

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PAGE = '<video id="v" src="{name}" muted></video>'
# The promise that the script makes is kept when the video has played to its end.
SCRIPT = """async () => {
  const video = document.getElementById("v");
  const ended = new Promise((done, failed) => {
    video.onended = done;
    video.onerror = () => failed(video.error.message);
  });
  await video.play();
  await ended;
  return [video.videoWidth, video.videoHeight, video.duration, video.currentTime];
}"""

pytestmark = [pytest.mark.system, pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")]


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


def played(page: Any, video: Path) -> list[float]:
    """Width, height, seconds, and the time at which playing has ended."""
    html = video.with_suffix(".html")
    html.write_text(PAGE.format(name=video.name))
    page.goto(html.as_uri())
    found: list[float] = page.evaluate(SCRIPT)
    return found


def test_a_cine_plays(tmp_path: Path, page: Any) -> None:
    cine(tmp_path / "in" / "a.dcm", 12, colour=True, size=(47, 63), CineRate=10)
    export(tmp_path / "in", tmp_path / "out", metadata={}, video={})
    end = pytest.approx(1.2, abs=0.01)
    assert played(page, tmp_path / "out" / "media" / "a.mp4") == [64, 48, end, end]


def test_a_rewrapped_video_plays(tmp_path: Path, page: Any) -> None:
    wrap(clip(tmp_path / "a.ts", *H264, sound="aac"), tmp_path / "in" / "a.dcm", uid.MPEG4HP41)
    export(tmp_path / "in", tmp_path / "out", metadata={}, video={})
    end = pytest.approx(0.48, abs=0.06)
    assert played(page, tmp_path / "out" / "media" / "a.mp4") == [64, 48, end, end]
