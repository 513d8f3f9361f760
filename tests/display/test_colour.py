"""YBR in studio range against the equations of PS3.3 C.7.6.3.1.2, and what is no colour."""

from __future__ import annotations

import numpy as np
import pytest

from crawler.display.colour import to_rgb
from crawler.display.display import Display
from crawler.display.voi import Ramp
from crawler.errors import PixelError
from crawler.model import Frame


def partial(*colours: tuple[int, int, int]) -> list[list[int]]:
    found = to_rgb(Frame(0, np.array([colours], np.uint8), "YBR_PARTIAL_422"))
    assert found.dtype == np.uint8
    return [[int(sample) for sample in pixel] for pixel in found[0]]


def test_the_corners_of_studio_range() -> None:
    assert partial((16, 128, 128), (235, 128, 128), (126, 128, 128)) == [[0] * 3, [255] * 3, [128] * 3]
    red, green, blue = partial((81, 90, 240), (145, 54, 34), (41, 240, 110))  # ITU-R BT.601, 100 % bars
    np.testing.assert_allclose(red, [255, 0, 0], atol=1)
    np.testing.assert_allclose(green, [0, 255, 0], atol=1)
    np.testing.assert_allclose(blue, [0, 0, 255], atol=1)


def test_values_outside_of_studio_range_take_the_ends() -> None:
    assert partial((0, 128, 128), (255, 128, 128)) == [[0] * 3, [255] * 3]


def test_every_colour_is_that_of_the_equations() -> None:
    """Y = 0.2568 R + 0.5041 G + 0.0979 B + 16 and so on, the digits of the standard: inverted, they are off by 1."""
    forward = np.array([[0.2568, 0.5041, 0.0979], [-0.1482, -0.2910, 0.4392], [0.4392, -0.3678, -0.0714]])
    colours = np.random.default_rng(5).integers(16, 236, (500, 3))
    exact = (colours - np.array([16, 128, 128])) @ np.linalg.inv(forward).T
    found = np.array(partial(*(tuple(colour) for colour in colours.tolist())))
    np.testing.assert_allclose(found, np.clip(exact, 0, 255), atol=1)


@pytest.mark.parametrize(
    ("photometric", "dtype", "samples"),
    [
        *(("YBR_FULL", dtype, 3) for dtype in ("uint16", "int8")),
        *(("YBR_PARTIAL_422", "uint16", 3), ("RGB", "uint8", 4), ("RGB", "uint8", 2), ("YBR_ICT", "uint8", 3)),
    ],
)
def test_what_is_no_such_colour(photometric: str, dtype: str, samples: int) -> None:
    with pytest.raises(PixelError, match=f"{photometric}, {samples} samples of {dtype}"):
        to_rgb(Frame(0, np.zeros((2, 2, samples), dtype), photometric))
    with pytest.raises(PixelError, match=f"{photometric}, 1 samples of {dtype}"):
        to_rgb(Frame(0, np.zeros((2, 2), dtype), photometric))


@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422"])
def test_full_range(photometric: str) -> None:
    colours = np.array([[(0, 128, 128), (255, 128, 128), (76, 85, 255), (150, 44, 21), (29, 255, 107)]], np.uint8)
    found = to_rgb(Frame(0, colours, photometric))[0].astype(int)
    expected = [(0, 0, 0), (255, 255, 255), (254, 0, 0), (0, 255, 1), (0, 0, 254)]
    np.testing.assert_allclose(found, expected, atol=1)


@pytest.mark.parametrize(("stored", "shift"), [(8, 0), (9, 1), (12, 4), (16, 8), (0, 0)])
def test_deep_colour_keeps_its_upper_bits(stored: int, shift: int) -> None:
    values = np.array([[[(1 << 8 + shift) - 1, 1 << shift, 0]]], np.uint16)
    found = Display(bits_stored=stored).render(Frame(0, values, "RGB"))
    assert found.tolist() == [[[255, 1, 0]]]


def test_what_cannot_be_shown_is_refused() -> None:
    grey = np.zeros((2, 2), np.uint8)
    for display, photometric in ((Display(vois=(Ramp(0, 1),)), "RGB"), (Display(), "MONOCHROME2")):
        with pytest.raises(PixelError, match=f"unsupported photometric interpretation: {photometric}"):
            display.render(Frame(0, grey, photometric))
    with pytest.raises(PixelError, match="missing palette"):
        Display(vois=(Ramp(0, 1),)).render(Frame(0, grey, "PALETTE COLOR"))
