"""The range to show where no header tells it: between two percentiles of a sample of the values.

The sample is spread over what is to look alike: the frames of a cine, or the files of a series, so that one range
serves them all and nothing flickers. Padding counts as no value. Decoding is the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.display.attributes import DisplayAttributes
from crawler.display.lut import Lut, rescaled
from crawler.model import Frame, Pixels

Array = npt.NDArray[Any]
Range = tuple[float, float]

SAMPLED_FRAMES = 16  # of a cine or a series
# Values taken of each sampled frame: the standard error of a 0.5 % quantile of 65,536 values is 0.03 %.
SAMPLED_VALUES = 1 << 16
# Leaves out dead pixels, burnt-in text and metal; ImageJ's "Enhance Contrast" leaves out 0.35 % by default.
PERCENTILES = (0.5, 99.5)


def spread_numbers(count: int) -> list[int]:
    """Numbers of the frames or files to sample out of `count`: the first, the last, and some between."""
    wanted = np.linspace(0, count - 1, min(count, SAMPLED_FRAMES)).astype(int)
    return [int(number) for number in np.unique(wanted)]


def padding(attributes: DisplayAttributes, pixels: Pixels) -> Range | None:
    """Return the stored values, both ends included, that stand for no measurement; None where there are none.

    (0028,0120) *Pixel Padding Value* up to (0028,0121) *Pixel Padding Range Limit*, in either order (PS3.3
    C.7.5.1.1.2); for float pixels their namesakes (0028,0122) to (0028,0125).
    """
    kind = pixels.keyword.removesuffix("PixelData")
    value, limit = (attributes.values.json(f"{kind}PixelPadding{end}") for end in ("Value", "RangeLimit"))
    if not isinstance(value, int | float):
        return None
    numbers = [float(end) for end in (value, limit) if isinstance(end, int | float)]
    if pixels.signed:  # some writers say US for a signed value (VR US or SS, by Pixel Representation)
        half = 1 << max(pixels.bits_allocated, 1) - 1
        numbers = [number - 2 * half if number >= half else number for number in numbers]
    return min(numbers), max(numbers)


def values_of(frame: Frame, modality: Lut | None, pad: Range | None, every: bool = False) -> Array:
    """Return modality values of a frame, one dimension, finite ones only: a regular sample, or `every` one."""
    flat = frame.values.reshape(-1)
    # A step that has no factor in common with the columns would be better still; an odd one does not fall into the
    # same columns of images whose width is a power of two.
    sample = flat if every else flat[:: flat.size // SAMPLED_VALUES | 1]
    if pad is not None:
        sample = sample[(sample < pad[0]) | (sample > pad[1])]
    values = rescaled(sample, frame.slope, frame.intercept, modality)
    return np.asarray(values[np.isfinite(values)])


def range_of(parts: Iterable[Array], whole: bool = False) -> Range:
    """Return the two values that what is shown lies between.

    Parameters
    ----------
    parts
        Of `values_of`.
    whole
        The least and the greatest value, in place of percentiles.
    """
    arrays = list(parts)
    values = np.concatenate(arrays) if arrays else np.zeros(0)
    if not values.size:
        return 0.0, 0.0
    low, high = np.percentile(values, PERCENTILES)
    # A few objects on an even ground: both percentiles lie on the ground.
    if whole or low == high:
        low, high = values.min(), values.max()
    return float(low), float(high)
