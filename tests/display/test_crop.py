"""The rectangle of ultrasound regions, to the pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from support.factories import quick_dataset, save

from crawler.display.crop import Box, Cropped, us_region
from crawler.display.display import Display
from crawler.display.voi import Ramp
from crawler.errors import PixelError
from crawler.instance.header import read_instance
from crawler.model import File, Frame, Instance


def written(path: Path, *boxes: tuple[int, int, int, int]) -> Instance:
    """An image of 10 x 20 pixels with regions: first and last column, first and last row."""
    regions = []
    for left, right, top, bottom in boxes:
        region = Dataset()
        region.RegionLocationMinX0, region.RegionLocationMaxX1 = left, right
        region.RegionLocationMinY0, region.RegionLocationMaxY1 = top, bottom
        regions.append(region)
    dataset = quick_dataset(np.zeros((10, 20), np.uint8), SequenceOfUltrasoundRegions=Sequence(regions))
    save(dataset, path / "us.dcm")
    return read_instance(File(str(path), "us.dcm", (path / "us.dcm").stat().st_size, 0))


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([(0, 19, 0, 9)], Box(0, 10, 0, 20)),
        ([(0, 50, 0, 50)], Box(0, 10, 0, 20)),
        ([(2, 5, 1, 3), (7, 9, 2, 8)], Box(1, 9, 2, 10)),
        ([(4, 4, 3, 3)], Box(3, 4, 4, 5)),
        ([(19, 19, 9, 9)], Box(9, 10, 19, 20)),
    ],
)
def test_the_smallest_rectangle(tmp_path: Path, boxes: list[tuple[int, int, int, int]], expected: Box) -> None:
    assert us_region(written(tmp_path, *boxes)) == expected


@pytest.mark.parametrize("box", [(20, 25, 0, 9), (0, 19, 10, 12), (5, 4, 0, 9), (0, 19, 5, 4)])
def test_a_region_without_a_pixel(tmp_path: Path, box: tuple[int, int, int, int]) -> None:
    with pytest.raises(PixelError, match="none of 1 lies in the image"):
        us_region(written(tmp_path, box))


def test_no_regions_are_no_rectangle(tmp_path: Path) -> None:
    assert us_region(written(tmp_path)) is None


def test_a_part_is_shown_with_as_many_bits_as_are_asked_for() -> None:
    frame = Frame(0, np.arange(20, dtype=np.uint8).reshape(4, 5), "MONOCHROME2")
    cropped = Cropped(Display(vois=(Ramp(0, 255),)), Box(1, 3, 2, 5))
    assert cropped.render(frame).tolist() == [[7, 8, 9], [12, 13, 14]]
    assert cropped.render(frame, 16).tolist() == [[7 * 257, 8 * 257, 9 * 257], [12 * 257, 13 * 257, 14 * 257]]
    assert cropped.render(frame).flags.c_contiguous
