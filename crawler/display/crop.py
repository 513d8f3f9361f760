"""Ultrasound cut to its regions: the smallest rectangle that holds them all, without the banner around it.

The rectangle is the header's word. Whether something is burnt in inside of it is not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crawler.dicom.values import read_values, tags_of
from crawler.display.renderer import Renderer
from crawler.errors import PixelError
from crawler.model import Frame, Instance

REGIONS = "SequenceOfUltrasoundRegions"
_LOCATION = ("RegionLocationMinY0", "RegionLocationMaxY1", "RegionLocationMinX0", "RegionLocationMaxX1")


class Box(NamedTuple):
    """Rows and columns of a rectangle; the ends are the first ones behind it."""

    top: int
    bottom: int
    left: int
    right: int


@dataclass(frozen=True, eq=False, slots=True)
class Cropped:
    """A display that shows a part of what another one shows."""

    display: Renderer
    box: Box

    def render(self, frame: Frame, bits: int = 8) -> npt.NDArray[np.generic]:
        """Return the part; arguments and errors as for `display.Display.render`."""
        top, bottom, left, right = self.box
        return np.ascontiguousarray(self.display.render(frame, bits)[top:bottom, left:right])


def us_region(instance: Instance) -> Box | None:
    """Return the rectangle that holds every region of (0018,6011) *Sequence of Ultrasound Regions*.

    A region is given by its first and last column and row, counted from 0 (PS3.3 C.8.5.5): real files reach from 0 to
    *Columns* - 1. What lies outside of the image is cut off.

    Returns
    -------
    Box or None
        None when the file has no regions.

    Raises
    ------
    PixelError
        "unusable ultrasound regions": the sequence cannot be read, or no pixel lies in it. The picture is not shown
        then, since what was to be cut off would be in it.
    """
    pixels = instance.pixels
    if pixels is None:
        return None
    try:
        values, _ = read_values(instance, tags_of(REGIONS), tags_of(*_LOCATION))
        sequence = values.get(REGIONS)
        if sequence is None:
            return None
        if sequence.error:
            raise ValueError
        regions = [[_one(region.numbers(keyword)) for keyword in _LOCATION] for region in sequence.items]
    except ValueError as error:
        raise PixelError("unusable ultrasound regions", "they cannot be read") from error
    if not regions:
        return None
    tops, bottoms, lefts, rights = zip(*regions, strict=True)
    box = Box(
        max(min(tops), 0), min(max(bottoms) + 1, pixels.rows), max(min(lefts), 0), min(max(rights) + 1, pixels.columns)
    )
    if box.top >= box.bottom or box.left >= box.right:
        raise PixelError("unusable ultrasound regions", f"none of {len(regions)} lies in the image")
    return box


def _one(numbers: list[int | float]) -> int:
    (number,) = numbers  # ValueError for none or several
    return int(number)
