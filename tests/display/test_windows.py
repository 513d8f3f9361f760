"""Windows by the three functions of PS3.3 C.11.2.1.2 and C.11.2.1.3, of a file and of single frames."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from support.factories import quick_dataset, save

from crawler.display.display import ScanDisplay, display_for
from crawler.display.voi import Ramp, Sigmoid, window_voi
from crawler.instance.header import read_instance
from crawler.model import File, Frame, Instance
from crawler.pixels.frames import frames

ROUNDING = 0.5 + 1e-6
RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def linear(value: float, center: float, width: float) -> float:
    """C.11.2.1.2.1, for black 0 and white 1."""
    if value <= center - 0.5 - (width - 1) / 2:
        return 0.0
    if value > center - 0.5 + (width - 1) / 2:
        return 1.0
    return (value - (center - 0.5)) / (width - 1) + 0.5


def linear_exact(value: float, center: float, width: float) -> float:
    """C.11.2.1.3.2."""
    if value <= center - width / 2:
        return 0.0
    if value > center + width / 2:
        return 1.0
    return (value - center) / width + 0.5


def sigmoid(value: float, center: float, width: float) -> float:
    """C.11.2.1.3.1."""
    return 1 / (1 + math.exp(min(-4 * (value - center) / width, 700)))  # exp overflows beyond


FUNCTIONS: dict[str, Callable[[float, float, float], float]] = {
    "LINEAR": linear,
    "LINEAR_EXACT": linear_exact,
    "SIGMOID": sigmoid,
}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(("center", "width"), [(0, 1), (0, 2), (40, 400), (-3.5, 2.5), (10, 1.5), (1000, 4096)])
def test_functions_are_those_of_the_standard(function: str, center: float, width: float) -> None:
    values = np.arange(-2048, 2049) / 4
    expected = [FUNCTIONS[function](value, center, width) for value in values.tolist()]
    np.testing.assert_allclose(window_voi(center, width, function)(values), expected, atol=1e-12)


@pytest.mark.parametrize("width", [0.5, 0.999, 1e-3])
def test_linear_of_a_width_below_one_is_exact(width: float) -> None:
    """LINEAR is not defined there (C.11.2.1.2.1: the width shall be 1 or more); float images mean the exact ramp."""
    values = 7 + np.linspace(-1, 1, 101) * width
    expected = [linear_exact(value, 7, width) for value in values.tolist()]
    np.testing.assert_allclose(window_voi(7, width)(values), expected, atol=1e-9)
    assert window_voi(7, width) == Ramp(7 - width / 2, 7 + width / 2)


def test_a_width_of_one_is_a_threshold() -> None:
    assert window_voi(7, 1)(np.array([6.0, 6.5, 6.6, 7.0, np.nan])).tolist()[:4] == [0, 0, 1, 1]
    assert np.isnan(window_voi(7, 1)(np.array([np.nan])))[0]
    assert window_voi(7, 1) == Ramp(6.5, 6.5)
    assert Ramp(3, 2)(np.array([2.5, 3.0, 3.5])).tolist() == [0, 0, 1]


def test_a_sigmoid_far_from_its_center_has_ends() -> None:
    found = Sigmoid(0, 1e-3)(np.array([-1e9, 0, 1e9]))
    np.testing.assert_allclose(found, [0, 0.5, 1], atol=1e-300)
    assert window_voi(1, 2, "SIGMOID") == window_voi(1, 2, "sigmoid ") == Sigmoid(1, 2)


# -- of files and frames


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Instance]:
    def write(pixels: np.ndarray = RAMP, **keywords: Any) -> Instance:
        described = {"BitsStored": 12, "HighBit": 11} | keywords
        path = save(quick_dataset(pixels, **described), tmp_path / "image.dcm")
        status = path.stat()
        return read_instance(File(str(tmp_path), path.name, status.st_size, status.st_mtime_ns))

    return write


def groups(*windows: dict[str, Any]) -> Sequence:
    items = []
    for window in windows:
        voi, group = Dataset(), Dataset()
        for keyword, value in window.items():
            setattr(voi, keyword, value)
        group.FrameVOILUTSequence = Sequence([voi])
        items.append(group)
    return Sequence(items)


def bare(count: int) -> Sequence:
    """Functional groups that say nothing of the display."""
    items = []
    for number in range(count):
        content, group = Dataset(), Dataset()
        content.FrameAcquisitionNumber = number
        group.FrameContentSequence = Sequence([content])
        items.append(group)
    return Sequence(items)


def shown(instance: Instance, window: Any = "auto") -> list[np.ndarray]:
    display = display_for(instance, window)
    return [display.render(frame, 16).reshape(-1) for frame in frames(instance)]


def levels(function: str, center: float, width: float) -> np.ndarray:
    """Exact levels, which one rounding may move by a half."""
    return np.array([FUNCTIONS[function](value, center, width) * 65535 for value in range(4096)])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_in_the_windows_of_frames(written: Callable[..., Instance], function: str) -> None:
    windows = [(500, 300), (2000, 1000)]
    items = [{"WindowCenter": c, "WindowWidth": w, "VOILUTFunction": function} for c, w in windows]
    instance = written(np.stack([RAMP, RAMP]), PerFrameFunctionalGroupsSequence=groups(*items))
    for found, (center, width) in zip(shown(instance), windows, strict=True):
        np.testing.assert_allclose(found, levels(function, center, width), atol=ROUNDING)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_one_item_is_the_window_of_all_frames(written: Callable[..., Instance], function: str) -> None:
    item = {"WindowCenter": 2000, "WindowWidth": 1000, "VOILUTFunction": function}
    instance = written(
        np.stack([RAMP, RAMP, RAMP]),
        SharedFunctionalGroupsSequence=groups(item),
        PerFrameFunctionalGroupsSequence=bare(3),
    )
    for found in shown(instance):
        np.testing.assert_allclose(found, levels(function, 2000, 1000), atol=ROUNDING)


def test_windows_for_a_part_of_the_frames_are_not_used(written: Callable[..., Instance]) -> None:
    item = {"WindowCenter": 2000, "WindowWidth": 1000}
    per_frame = groups(item, item, item)
    del per_frame[1].FrameVOILUTSequence
    per_frame[1].FrameContentSequence = bare(1)[0].FrameContentSequence
    instance = written(np.stack([RAMP] * 3), PerFrameFunctionalGroupsSequence=per_frame)
    first, second, _ = shown(instance)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("centers", "widths", "expected"),
    [([500, 2000], 300, (500, 300)), (500, [300, 1000], (500, 300)), ([500, 2000], [300], (500, 300))],
)
def test_unequal_numbers_of_centers_and_widths(
    written: Callable[..., Instance], centers: Any, widths: Any, expected: tuple[float, float]
) -> None:
    """What has no partner is no window (C.11.2.1.2: there are as many of one as of the other)."""
    window = {"WindowCenter": centers, "WindowWidth": widths}
    for number in ("auto", 1, 2):
        (found,) = shown(written(**window), number)
        np.testing.assert_allclose(found, levels("LINEAR", *expected), atol=ROUNDING)
    instance = written(np.stack([RAMP, RAMP]), PerFrameFunctionalGroupsSequence=groups(window, window))
    for number in ("auto", 1, 2):
        for found in shown(instance, number):
            np.testing.assert_allclose(found, levels("LINEAR", *expected), atol=ROUNDING)


@pytest.mark.parametrize("width", [0, -5])
def test_a_window_without_width_is_none(written: Callable[..., Instance], width: float) -> None:
    window = {"WindowCenter": [500, 2000], "WindowWidth": [width, 1000]}
    (found,) = shown(written(**window))
    np.testing.assert_allclose(found, levels("LINEAR", 2000, 1000), atol=ROUNDING)
    instance = written(np.stack([RAMP, RAMP]), PerFrameFunctionalGroupsSequence=groups(window, window))
    for found in shown(instance):
        np.testing.assert_allclose(found, levels("LINEAR", 2000, 1000), atol=ROUNDING)


@pytest.mark.parametrize("missing", ["WindowCenter", "WindowWidth"])
def test_half_a_window_is_none(written: Callable[..., Instance], missing: str) -> None:
    window = {"WindowCenter": 2000, "WindowWidth": 1000}
    half = {keyword: value for keyword, value in window.items() if keyword != missing}
    (plain,) = shown(written())
    np.testing.assert_array_equal(shown(written(**half))[0], plain)
    both = np.stack([RAMP, RAMP])
    plain, _ = shown(written(both))
    for found in shown(written(both, PerFrameFunctionalGroupsSequence=groups(half, half))):
        np.testing.assert_array_equal(found, plain)


def test_function_defaults_to_linear(written: Callable[..., Instance]) -> None:
    for function in ("", None, "LINEAR"):
        (found,) = shown(written(WindowCenter=2000, WindowWidth=1000, VOILUTFunction=function))
        np.testing.assert_allclose(found, levels("LINEAR", 2000, 1000), atol=ROUNDING)


@pytest.mark.parametrize("window", [(2000, 1000), (2000.5, 0.5)])
def test_the_users_window_is_linear(written: Callable[..., Instance], window: tuple[float, float]) -> None:
    instance = written(WindowCenter=9, WindowWidth=9, VOILUTFunction="SIGMOID")
    expected = levels("LINEAR" if window[1] >= 1 else "LINEAR_EXACT", *window)
    np.testing.assert_allclose(shown(instance, window)[0], expected, atol=ROUNDING)


def test_narrow_windows_of_frames(written: Callable[..., Instance]) -> None:
    windows = [(2000, 1), (1000, 0.5)]
    items = [{"WindowCenter": center, "WindowWidth": width} for center, width in windows]
    instance = written(np.stack([RAMP, RAMP]), PerFrameFunctionalGroupsSequence=groups(*items))
    first, second = shown(instance)
    np.testing.assert_allclose(first, levels("LINEAR", 2000, 1), atol=ROUNDING)
    np.testing.assert_allclose(second, levels("LINEAR_EXACT", 1000, 0.5), atol=ROUNDING)


def table(*entries: int) -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), 0, 8])
    item.add_new("LUTData", "OW", np.array(entries, "<u2").tobytes())
    return Sequence([item])


def test_a_table_of_all_frames_goes_before_their_windows(written: Callable[..., Instance]) -> None:
    item = {"WindowCenter": 2000, "WindowWidth": 1000}
    instance = written(
        np.stack([RAMP, RAMP]),
        VOILUTSequence=table(255, 0),
        PerFrameFunctionalGroupsSequence=groups(item, item),
    )
    for found in shown(instance):
        assert (found[0], set(found[1:].tolist())) == (65535, {0})


def test_a_table_in_the_shared_groups(written: Callable[..., Instance]) -> None:
    shared = groups({"VOILUTSequence": table(255, 0)})
    instance = written(
        np.stack([RAMP, RAMP]),
        VOILUTSequence=Sequence([]),
        SharedFunctionalGroupsSequence=shared,
        PerFrameFunctionalGroupsSequence=bare(2),
    )
    for found in shown(instance):
        assert (found[0], set(found[1:].tolist())) == (65535, {0})


def test_tables_of_single_frames(written: Callable[..., Instance]) -> None:
    per_frame = groups({"VOILUTSequence": table(255, 0)}, {"VOILUTSequence": table(0, 255)})
    first, second = shown(written(np.stack([RAMP, RAMP]), PerFrameFunctionalGroupsSequence=per_frame))
    assert (first[0], first[1], second[0], second[1]) == (65535, 0, 0, 65535)


@pytest.mark.parametrize(("stored", "shift"), [(8, 0), (12, 4), (0, 8), (16, 8)])
def test_colour_of_more_than_eight_bits(written: Callable[..., Instance], stored: int, shift: int) -> None:
    values = np.array([[[200, 7, 0]]], np.uint16) << np.uint16(shift)
    instance = written(values, BitsStored=stored or None, HighBit=(stored or 16) - 1)
    (frame,) = frames(instance)
    assert display_for(instance).render(frame).tolist() == [[[200, 7, 0]]]


def test_only_single_grey_frames_share_a_range(tmp_path: Path) -> None:
    """A cine has one of its own, which its frames tell: two of them are no single frame."""
    many = np.stack([RAMP // 8, RAMP // 8])
    instances = []
    for number, pixels in enumerate((RAMP, many)):
        path = save(quick_dataset(pixels), tmp_path / f"{number}.dcm")
        instances.append(read_instance(File(str(tmp_path), path.name, path.stat().st_size, 0)))
    asked: list[int] = []

    def decode(number: int) -> Frame:
        asked.append(number)
        return next(frames(instances[number], [0]))

    scan = ScanDisplay(instances, decode)
    for number in (0, 1):
        found = scan.of(number).render(next(frames(instances[number], [0])))
        assert (found.min(), found.max()) == (0, 255)
    assert asked == [0]


def test_bits_that_are_not_told_are_not_eight(written: Callable[..., Instance]) -> None:
    """Between percentiles, as for any image of more than eight bits stored."""
    instance = written(RAMP, BitsStored=None, HighBit=None)
    (found,) = shown(instance)
    (expected,) = shown(written(RAMP, BitsStored=16, HighBit=15))
    np.testing.assert_array_equal(found, expected)
    assert np.count_nonzero(found == 0) > 15, "half a percent is black"


@pytest.mark.parametrize(("stored", "whole"), [(1, True), (2, True), (8, True), (9, False)])
def test_up_to_eight_bits_are_shown_whole(written: Callable[..., Instance], stored: int, whole: bool) -> None:
    top = (1 << stored) - 1
    values = (RAMP * top // 4095).astype(np.uint16)
    values[:, :8] = top // 2  # an even ground, so that both percentiles differ from the ends
    (found,) = shown(written(values, BitsStored=stored, HighBit=stored - 1))
    linear_levels = np.rint(values.reshape(-1) * (65535 / top))
    assert np.array_equal(found, linear_levels) == whole
