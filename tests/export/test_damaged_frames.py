"""A frame that cannot be decoded costs its cine that frame: the others are shown, the outcome names what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from support.factories import quick_dataset, save
from support.runs import export, failures, rows
from support.videos import facts

from crawler.errors import PixelError
from crawler.instance.header import read_instance
from crawler.model import File
from crawler.pixels.frames import DamagedFrames, frames

JPEG = "1.2.840.10008.1.2.4.50"


def damaged_cine(path: Path, count: int = 6, short: tuple[int, ...] = (), junk: tuple[int, ...] = ()) -> Path:
    """Frames of the level 10 n for frame n, from 1; some are coded smaller, some are no codestream."""
    values = [np.full((16, 32), 10 * number, np.uint8) for number in range(1, count + 1)]
    sources = [
        b"\xff\xd8 no picture \xff\xd9" if number in junk
        else imagecodecs.jpeg8_encode(np.ascontiguousarray(one[:, :8]) if number in short else one, level=95)
        for number, one in enumerate(values, 1)
    ]  # fmt: skip
    description = {"TransferSyntaxUID": JPEG, "PixelData": encapsulate(sources)}
    return save(quick_dataset(np.stack(values), **description), path)


@pytest.mark.parametrize("volume", [{}, {"volume": {}}])
def test_good_frames_come_out_under_their_numbers(tmp_path: Path, volume: dict[str, Any]) -> None:
    damaged_cine(tmp_path / "in" / "a.dcm", short=(4,), junk=(1,))
    video = {"extension": [".mp4", ".gif", "frames"]}
    summary = export(tmp_path / "in", tmp_path / "out", metadata={}, video=video, image={"bits": 8}, **volume)
    row, media = rows(tmp_path / "out")["a.dcm"], tmp_path / "out" / "media"
    assert (summary.exported, row["outcome"], row["stage"]) == (0, "failed", "pixels")
    assert row["reason"] == "damaged pixel data"
    assert failures(tmp_path / "out")["a.dcm"]["detail"].startswith("frames 1, 4 of 6: ")
    numbers = [2, 3, 5, 6]
    names = [f"a.frames/{number:04}.png" for number in numbers]
    assert row["media_files"] == ["a.mp4", "a.gif", *names]
    assert facts(media / "a.mp4")["frames"] == 4
    levels = [int(np.median(np.asarray(Image.open(media / name)))) for name in names]
    np.testing.assert_allclose(levels, [10 * number for number in numbers], atol=1)
    assert row["volume_files"] == []
    assert not list((tmp_path / "out" / "volumes").rglob("*.h5"))


def test_a_cine_without_a_good_frame_has_no_media(tmp_path: Path) -> None:
    damaged_cine(tmp_path / "in" / "a.dcm", 3, short=(1, 2, 3))
    export(tmp_path / "in", tmp_path / "out", metadata={}, video={}, image={})
    row = rows(tmp_path / "out")["a.dcm"]
    assert (row["outcome"], row["media_files"]) == ("failed", [])
    assert failures(tmp_path / "out")["a.dcm"]["detail"].startswith("frames 1-3 of 3: ")
    assert not list((tmp_path / "out" / "media").rglob("*.*"))


def test_other_files_of_the_scan_stay_in_their_volume(tmp_path: Path) -> None:
    damaged_cine(tmp_path / "in" / "a.dcm", short=(2,))
    damaged_cine(tmp_path / "in" / "b.dcm")
    export(tmp_path / "in", tmp_path / "out", metadata={}, volume={})
    found = rows(tmp_path / "out")
    assert found["a.dcm"]["outcome"] == "failed"
    assert found["a.dcm"]["volume_files"] == []
    assert (found["b.dcm"]["outcome"], len(found["b.dcm"]["volume_files"])) == ("exported", 1)


@pytest.fixture
def taken(tmp_path: Path) -> Callable[..., tuple[list[int], str]]:
    def take(go_on: bool, cut: int = 0, **faults: Any) -> tuple[list[int], str]:
        path = damaged_cine(tmp_path / "a.dcm", **faults)
        path.write_bytes(path.read_bytes()[: -cut or None])
        status = path.stat()
        instance = read_instance(File(str(tmp_path), path.name, status.st_size, status.st_mtime_ns))
        numbers = []
        try:
            for frame in frames(instance, go_on=go_on):
                assert abs(int(frame.values[0, 0]) - 10 * (frame.number + 1)) <= 1
                numbers.append(frame.number + 1)
        except PixelError as error:
            return numbers, str(error)
        return numbers, ""

    return take


def test_frames_go_on_only_when_asked_to(taken: Callable[..., tuple[list[int], str]]) -> None:
    words = "the codestream is 16 x 8, the header says 16 x 32"
    assert taken(False, short=(3, 5)) == ([1, 2], f"damaged pixel data: frame 3 of 6: {words}")
    assert taken(True, short=(3, 5)) == ([1, 2, 4, 6], f"damaged pixel data: frames 3, 5 of 6: {words}")
    assert taken(True) == ([1, 2, 3, 4, 5, 6], "")


def test_a_single_frame_keeps_its_words(taken: Callable[..., tuple[list[int], str]]) -> None:
    for go_on in (False, True):
        found = taken(go_on, count=1, short=(1,))
        assert found == ([], "damaged pixel data: the codestream is 16 x 8, the header says 16 x 32")


def test_a_file_that_ends_behind_a_damaged_frame_tells_both(taken: Callable[..., tuple[list[int], str]]) -> None:
    numbers, words = taken(True, cut=20, short=(2,))
    assert numbers == [1, 3, 4, 5]
    assert words.startswith("truncated pixel data: ")
    assert "; damaged before it: frame 2 of 6: " in words


def test_an_error_names_ten_ranges() -> None:
    damaged = DamagedFrames(100)
    assert not damaged
    for number in [*range(0, 40, 4), 1]:
        damaged.add(number, PixelError("damaged pixel data", "words"))
    assert damaged
    assert damaged.error().detail == "frames 1-2, 5, 9, 13, 17, 21, 25, 29, 33, 37 of 100: words"
    damaged.add(99, PixelError("damaged pixel data", "other words"))
    detail = damaged.error().detail
    assert detail == "frames 1-2, 5, 9, 13, 17, 21, 25, 29, 33, 37 and others, 12 in all, of 100: words"
    damaged.add(50, PixelError("frame missing", "holds 50"))
    assert (damaged.error().reason, damaged.error().detail) == (
        "frame missing",
        f"holds 50; damaged before it: {detail}",
    )


@pytest.mark.parametrize(
    ("fps", "time", "notes", "rate"),
    [
        ("auto", 0.033, ["its rate of 30303 frames a second cannot be meant: shown at 30"], 30.0),
        ("auto", 50.0, None, 20.0),
        (12, 0.033, None, 12.0),
    ],
)
def test_a_rate_that_cannot_be_meant_is_refused_and_said(
    tmp_path: Path, fps: Any, time: float, notes: list[str] | None, rate: float
) -> None:
    save(quick_dataset(np.zeros((3, 16, 16), np.uint8), FrameTime=time), tmp_path / "in" / "a.dcm")
    export(tmp_path / "in", tmp_path / "out", metadata={}, video={"fps": fps})
    row = rows(tmp_path / "out")["a.dcm"]
    assert (row["outcome"], row["media_notes"]) == ("exported", notes)
    found = facts(tmp_path / "out" / "media" / "a.mp4")
    assert found["frames"] / found["seconds"] == pytest.approx(rate, rel=0.01)
