"""The rate of a cine: the first one that can be meant."""

from __future__ import annotations

from typing import Any

import pytest

from crawler.dicom.attributes import Attributes
from crawler.errors import ConfigError
from crawler.instance.frame_rate import frame_rate, is_absurd
from crawler.sinks.video_base import check_rate, rate_of

RECOMMENDED, CINE, TIME, VECTOR = "RecommendedDisplayFrameRate", "CineRate", "FrameTime", "FrameTimeVector"


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({}, None),
        ({RECOMMENDED: 12, CINE: 20, TIME: 50.0}, 12),
        ({CINE: 20, TIME: 25.0}, 20),
        ({TIME: 50.0, VECTOR: [0, 10, 10]}, 20),
        ({VECTOR: [0, 30, 50]}, 25),
        ({VECTOR: [0, None, 40]}, 25),
        ({VECTOR: [40]}, None),
        ({VECTOR: [0]}, None),
        ({RECOMMENDED: "15.5"}, 15.5),
        ({RECOMMENDED: " 29.97 "}, 29.97),
        ({TIME: "62,5"}, 16),
        ({TIME: "about 40", CINE: "n/a"}, None),
        ({CINE: 0, TIME: 50.0}, 20),
        ({CINE: -5, TIME: -40.0}, None),
        ({CINE: True}, None),
        ({CINE: float("nan"), RECOMMENDED: float("inf")}, None),
        ({CINE: [10, 20]}, None),
        ({CINE: 100_000, TIME: 40.0}, 25),  # one of them can be meant
        ({TIME: 0.5, VECTOR: [0, 40]}, 25),
        ({CINE: 100_000, RECOMMENDED: 50_000}, 50_000),  # none of them can
        ({CINE: 1000}, 1000),
        ({TIME: 1e6}, 0.001),
    ],
)
def test_rates(record: dict[str, Any], expected: float | None) -> None:
    found = frame_rate(Attributes(record, "keyword"))
    assert found == (expected if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("rate", "absurd"),
    [(0.0009, True), (0.001, False), (1000, False), (1001, True), (0, True), (-30, True), (float("nan"), True)],
)
def test_what_can_be_meant(rate: float, absurd: bool) -> None:
    assert is_absurd(rate) is absurd


@pytest.mark.parametrize(
    ("fps", "of_file", "most", "expected"),
    [
        ("auto", None, 1e5, 30),
        ("auto", 12.5, 1e5, 12.5),
        ("auto", 30303, 1e5, 30),
        ("auto", float("nan"), 1e5, 30),
        (20_000, 5.0, 1e5, 20_000),  # who asks for it gets it
        (20_000, 5.0, 50, 50),
        ("auto", 200.0, 50, 50),
        (0.001, None, 1e5, 0.001),
    ],
)
def test_rate_of_a_video(fps: float | str, of_file: float | None, most: float, expected: float) -> None:
    found = rate_of(fps, of_file, most)
    assert float(found) == pytest.approx(expected)
    assert found.denominator <= 1001


@pytest.mark.parametrize("fps", [0.0009, 100_001, "fast", None])
def test_rates_that_no_file_has_are_refused(fps: Any) -> None:
    for good in ("auto", 0.001, 100_000):
        check_rate(good)
    with pytest.raises(ConfigError, match=r"video\.fps"):
        check_rate(fps)
