"""Stored values without what a mask blacks out: once, right behind the decoder, so that every output is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from crawler.errors import PixelError
from crawler.model import Frame, Instance, Mask

_CHROMA = 128  # YBR without colour (PS3.3 C.7.6.3.1.2)


def hidden(rows: int, columns: int, mask: Mask) -> npt.NDArray[np.bool_]:
    """Which pixels of a picture of a size a mask blacks out."""
    found = np.zeros((rows, columns), dtype=np.bool_)
    if mask.keep:
        found[:] = True
        for top, bottom, left, right in mask.keep:
            found[top:bottom, left:right] = False
    for top, bottom, left, right in mask.blank:
        found[top:bottom, left:right] = True
    return found


def masked_frames(instance: Instance, given: Iterator[Frame]) -> Iterator[Frame]:
    """Frames that another decoder gave, without what an instance's mask blacks out.

    Raises
    ------
    PixelError
        They are of another size than the header says, which the mask is for.
    """
    mask, pixels = instance.mask, instance.pixels
    for frame in given:
        if mask is None or not (mask.blank or mask.keep or mask.search):
            yield frame
            continue
        if mask.search or pixels is None or frame.values.shape[:2] != (pixels.rows, pixels.columns):
            raise PixelError("held by privacy", "a mask does not fit its frames")
        yield replace(frame, values=masked(frame.values, frame.photometric, mask))


def masked(values: npt.NDArray[np.generic], photometric: str, mask: Mask) -> npt.NDArray[np.generic]:
    """A copy of a frame, (rows, columns) or (rows, columns, samples), with rectangles set to 0, or to black in YBR."""
    black = hidden(values.shape[0], values.shape[1], mask)
    found = values.copy()
    found[black] = 0
    if photometric.startswith("YBR") and values.ndim == 3:
        found[black, 1:] = _CHROMA
    return found
