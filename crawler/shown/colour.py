"""Colour samples to RGB, by what `Frame.photometric` says they are now: hence exactly once, whatever a decoder did.

No ICC profile is applied. ARGB, CMYK and HSV, retired before 2004, are refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.errors import PixelError
from crawler.model import Frame

Array = npt.NDArray[Any]

# Studio range (ITU-R BT.601): 219 steps of luma above 16, 224 of chroma about 128 (PS3.3 C.7.6.3.1.2). R = Y + a Cr,
# B = Y + b Cb follow from Y = 0.299 R + 0.587 G + 0.114 B.
_PARTIAL = np.array([[1.0, 0.0, 1.402], [1.0, -0.114 * 1.772 / 0.587, -0.299 * 1.402 / 0.587], [1.0, 1.772, 0.0]])
_PARTIAL_SCALE = 255 / np.array([219.0, 224.0, 224.0])
_PARTIAL_ZERO = np.array([16.0, 128.0, 128.0])


def to_rgb(frame: Frame) -> Array:
    """Return a colour frame as RGB, shape (rows, columns, 3), in its stored dtype.

    Raises
    ------
    PixelError
        "unsupported photometric interpretation": not RGB, YBR_FULL, YBR_FULL_422 or YBR_PARTIAL_422; or YBR of more
        than 8 bits, which the standard does not have.
    """
    values = frame.values
    if values.ndim == 3 and values.shape[2] == 3:
        if frame.photometric == "RGB":
            return values
        if frame.photometric in ("YBR_FULL", "YBR_FULL_422") and values.dtype == np.uint8:
            from pydicom.pixels.processing import convert_color_space  # slow to load

            return np.asarray(convert_color_space(values, "YBR_FULL", "RGB"))
        if frame.photometric == "YBR_PARTIAL_422" and values.dtype == np.uint8:
            colours = ((values - _PARTIAL_ZERO) * _PARTIAL_SCALE) @ _PARTIAL.T
            return np.asarray(np.clip(np.rint(colours), 0, 255), dtype=np.uint8)
    kind = f"{frame.photometric}, {values.shape[2] if values.ndim == 3 else 1} samples of {values.dtype}"
    raise PixelError("unsupported photometric interpretation", kind)
