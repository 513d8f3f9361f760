"""Stored values without what a mask blacks out: once, right behind the decoder, so that every output is made of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crawler.model import Mask

_CHROMA = 128  # YBR without colour (PS3.3 C.7.6.3.1.2)


def masked(values: npt.NDArray[np.generic], photometric: str, mask: Mask) -> npt.NDArray[np.generic]:
    """A copy of a frame, (rows, columns) or (rows, columns, samples), with rectangles set to 0, or to black in YBR."""
    rows, columns = values.shape[:2]
    hidden = np.zeros((rows, columns), dtype=bool)
    if mask.keep:
        hidden[:] = True
        for top, bottom, left, right in mask.keep:
            hidden[top:bottom, left:right] = False
    for top, bottom, left, right in mask.blank:
        hidden[top:bottom, left:right] = True
    found = values.copy()
    found[hidden] = 0
    if photometric.startswith("YBR") and values.ndim == 3:
        found[hidden, 1:] = _CHROMA
    return found
