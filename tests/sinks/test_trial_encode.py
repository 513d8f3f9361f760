"""Writers' parameters are tried before any work: what no writer takes is refused in one line, nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.factories import multiframe, quick_dataset, save
from support.runs import export

import crawler
from crawler.sinks import trial_encode


def video(**keys: Any) -> dict[str, Any]:
    arguments = {name: keys.pop(name) for name in ("pix_fmt", "options", "bit_rate", "profile") if name in keys}
    return {"video": {"save_method_kwargs": {**keys, "encoding_args": arguments}}}


def image(extension: str, **parameters: Any) -> dict[str, Any]:
    return {"image": {"extension": extension, "save_method_kwargs": {"pil_writer_params": parameters}}}


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        (video(encoding_format="h2645"), r"video\.save_method_kwargs: encoding_format = h2645"),
        (video(options={"crff": "17"}), r"encoding_args\.options = \{'crff': '17'\}"),
        (video(options={"crf": "many"}), r"encoding_args\.options"),
        (video(pix_fmt="yuv421"), r"encoding_args\.pix_fmt = yuv421"),
        (video(profile="highest"), r"encoding_args\.profile = highest"),
        (image(".jpg", quality="best of all"), r"image\.save_method_kwargs\.pil_writer_params"),
        (image(".png", qualityy=5), r"pil_writer_params = \{'qualityy': 5\}"),
        (image(".webp", quality="much"), r"pil_writer_params"),
    ],
)
def test_what_no_writer_takes_is_refused_before_work(tmp_path: Path, sections: dict[str, Any], told: str) -> None:
    save(quick_dataset(), tmp_path / "in" / "a.dcm")
    with pytest.raises(crawler.ConfigError, match=told) as caught:
        export(tmp_path / "in", tmp_path / "out", metadata={}, **sections)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "sections",
    [
        video(encoding_format="hevc", options={"crf": "30"}),
        video(options={"crf": "0", "preset": "ultrafast"}, pix_fmt="yuv444p"),
        video(options={}, bit_rate=500_000),
        image(".jpg", quality=80, optimize=True),
        image(".tif", compression="tiff_lzw"),
        image(".jp2", irreversible=False),
    ],
)
def test_what_writers_take_works(tmp_path: Path, sections: dict[str, Any]) -> None:
    save(quick_dataset(), tmp_path / "in" / "a.dcm")
    multiframe(tmp_path / "in" / "b.dcm", 3, 40, 30)
    assert not export(tmp_path / "in", tmp_path / "out", metadata={}, **sections).failed


def test_defaults_are_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(trial_encode, "try_writers", never)
    save(quick_dataset(), tmp_path / "in" / "a.dcm")
    written = {"encoding_format": "h264", "encoding_args": {"pix_fmt": "yuv420p", "options": {"crf": 17}}}
    sections = {"image": {"save_method_kwargs": {"pil_writer_params": {}}}, "video": {"save_method_kwargs": written}}
    assert export(tmp_path / "in", tmp_path / "out", **sections).exported == 1
