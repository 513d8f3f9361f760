"""Videos in other containers than MP4: what ffmpeg reads back, and what a container cannot hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imageio_ffmpeg
import pytest
from support.cines import cine
from support.runs import export

from crawler.config.loader import load_config
from crawler.engine.run import run
from crawler.errors import ConfigError

WAY = {"encoding_format": "vp9", "encoding_args": {"options": {"crf": 30, "deadline": "realtime"}}}


@pytest.mark.parametrize(
    ("extension", "save"), [(".mov", {}), (".mkv", {}), (".avi", {"encoding_format": "mpeg4"}), (".webm", WAY)]
)
def test_a_cine_is_written_in_a_container(extension: str, save: dict[str, Any], tmp_path: Path) -> None:
    cine(tmp_path / "in" / "a.dcm", CineRate=20)
    video = {"extension": extension, "save_method_kwargs": save}
    outs = [tmp_path / "one", tmp_path / "two"]
    for out in outs:
        assert export(tmp_path / "in", out, metadata={}, video=video).exported == 1
    files = [out / "media" / f"a{extension}" for out in outs]
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(files[0]))
    assert (frames, seconds) == (9, pytest.approx(9 / 20, abs=0.06))
    assert files[0].read_bytes() == files[1].read_bytes(), "equal runs, equal bytes"


def test_webm_holds_no_h264() -> None:
    with pytest.raises(ConfigError, match="vp9"):
        load_config({"dicom": {"dir": "in"}, "video": {"extension": ".webm"}})


def test_what_a_container_refuses_is_told_before_work(tmp_path: Path) -> None:
    cine(tmp_path / "in" / "a.dcm")
    video = {"extension": ".avi", "save_method_kwargs": {"encoding_format": "nonsense"}}
    with pytest.raises(ConfigError, match="nonsense"):
        run({"dicom": {"dir": str(tmp_path / "in")}, "output": {"dir": str(tmp_path / "out")}, "video": video})
    assert not list((tmp_path / "out").rglob("*.avi"))
