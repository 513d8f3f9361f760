"""Overlay planes (60xx,3000): one bit a pixel, drawn over the picture on request (PS3.3 C.9.2, C.9.3).

How a plane is drawn the standard leaves open; here it takes the brightest level. Planes in the unused bits of pixels,
retired in 2004, are not drawn: `pixels/frames.py` has removed those bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crawler.display.attributes import OVERLAY_GROUPS, DisplayAttributes
from crawler.errors import PixelError
from crawler.pixels.decoder_errors import decoder_errors

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False, slots=True)
class Overlay:
    """One overlay plane.

    Attributes
    ----------
    frames
        Bool, shape (frames, rows, columns).
    row, column
        Place of its first pixel in the image, from 0; may be negative.
    first
        Number of the image frame, from 0, that its first frame belongs to; None: its one frame belongs to all.
    """

    frames: Array
    row: int = 0
    column: int = 0
    first: int | None = None

    def draw(self, picture: Array, number: int, level: int) -> None:
        """Set the plane's pixels of frame `number` to `level`, in place; what lies outside of the picture is cut."""
        place = 0 if self.first is None else number - self.first
        if not 0 <= place < len(self.frames):
            return
        plane = self.frames[place]
        top, left = max(self.row, 0), max(self.column, 0)
        plane = plane[top - self.row :, left - self.column :]
        window = picture[top : top + plane.shape[0], left : left + plane.shape[1]]
        window[plane[: window.shape[0], : window.shape[1]]] = level


def overlays_of(attributes: DisplayAttributes) -> tuple[Overlay, ...]:
    """Return a file's overlay planes that hold data, by group.

    Raises
    ------
    PixelError
        "damaged pixel data": a plane holds fewer bits than it says.
    """
    found = (_overlay(attributes, group) for group in OVERLAY_GROUPS)
    return tuple(overlay for overlay in found if overlay is not None)


def _overlay(attributes: DisplayAttributes, group: int) -> Overlay | None:
    dataset = attributes.dataset
    if (group, 0x3000) not in dataset:
        return None
    try:
        data = dataset[group, 0x3000].value
        rows, columns = int(dataset[group, 0x0010].value), int(dataset[group, 0x0011].value)
        frames = max(int(_value(dataset, group, 0x0015) or 1), 1)
        origin = _value(dataset, group, 0x0050)
        row, column = (int(number) - 1 for number in origin) if origin else (0, 0)
        first = _value(dataset, group, 0x0051)
        if not attributes.little and dataset[group, 0x3000].VR == "OW":  # byte order applies to words (PS3.5 7.3)
            data = np.frombuffer(data, "u2").byteswap().tobytes()
        bits = np.unpackbits(np.frombuffer(data, "u1"), bitorder="little")  # first pixel lowest (PS3.5 8.1.2)
        plane = bits[: frames * rows * columns].reshape(frames, rows, columns).astype(bool)
    except decoder_errors() as error:
        raise PixelError("damaged pixel data", f"the overlay of group {group:04X} cannot be read") from error
    # One frame without an origin is meant for all frames of the image it lies on, as for a single image.
    return Overlay(plane, row, column, None if frames == 1 and first is None else int(first or 1) - 1)


def _value(dataset: Dataset, group: int, element: int) -> Any:
    return dataset[group, element].value if (group, element) in dataset else None
