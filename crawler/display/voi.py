"""The values of interest: which grey values a person sees as black, as white and between (PS3.3 C.11.2).

Windows by the three functions of the standard and VOI LUTs, those that the file offers and the one that is chosen.
A range that is worked out from pixels comes from `grey_range.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from crawler.dicom.values import Values
from crawler.display.attributes import DisplayAttributes
from crawler.display.lut import Lut, modality_range, voi_luts
from crawler.errors import PixelError
from crawler.model import Instance

Array = npt.NDArray[Any]
Window = Literal["auto", "dicom", "full", "series"] | int | tuple[float, float]


@dataclass(frozen=True, slots=True)
class Ramp:
    """Values at or below `low` are black, those above `high` are white, a straight line lies between."""

    low: float
    high: float

    def __call__(self, values: Array) -> Array:
        """Map modality values to 0 ... 1."""
        if not self.high > self.low:  # a width of 1 is a threshold (C.11.2.1.2.1), a constant image is one value
            return np.where(np.isnan(values), np.nan, (values > self.low).astype(np.float64))
        return np.clip((values - self.low) / (self.high - self.low), 0, 1)


@dataclass(frozen=True, slots=True)
class Sigmoid:
    """The SIGMOID function of PS3.3 C.11.2.1.3.1."""

    center: float
    width: float

    def __call__(self, values: Array) -> Array:
        """Map modality values to 0 ... 1."""
        exponent = np.clip(-4 * (values - self.center) / self.width, -700, 700)  # exp overflows beyond 709
        return np.asarray(1 / (1 + np.exp(exponent)))


Voi = Ramp | Sigmoid | Lut
"""Modality values to 0 ... 1."""


def window_voi(center: float, width: float, function: str = "LINEAR") -> Voi:
    """Return a window's function: PS3.3 C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID), C.11.2.1.3.2 (LINEAR_EXACT).

    Parameters
    ----------
    center, width
        Modality units; the width is above zero.
    """
    function = function.strip().upper()
    if function == "SIGMOID":
        return Sigmoid(center, width)
    # LINEAR is not defined for widths below 1; float images that name it mean the exact ramp.
    if function == "LINEAR_EXACT" or width < 1:
        return Ramp(center - width / 2, center + width / 2)
    return Ramp(center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2)


def chosen_vois(
    instance: Instance, window: Window, attributes: DisplayAttributes, table: Lut | None = None
) -> tuple[Voi, ...]:
    """Return what the user or the file asks for.

    Parameters
    ----------
    window
        "auto" and "dicom": the first of the file's own. A number: that one of them, from 1, else the first. (center,
        width): that window. "full" and "series": none.
    table
        The Modality LUT that the display applies.

    Returns
    -------
    tuple of Voi
        One that all frames share, or one a frame (*Frame VOI LUT Sequence*, PS3.3 C.7.6.16.2.10); empty where the
        values have to decide. The file's own are its VOI LUTs, then its windows: alternatives (C.11.2.1.1,
        C.11.2.1.2), in the file's order.

    Raises
    ------
    PixelError
        "damaged pixel data": the windows of the frames cannot be read.
    """
    if isinstance(window, tuple):
        return (window_voi(float(window[0]), float(window[1])),)
    if window in ("full", "series"):
        return ()
    place = window - 1 if isinstance(window, int) else 0
    pixels = instance.pixels
    own: list[Voi] = []
    if pixels is not None and pixels.has_luts:
        own += voi_luts(attributes, attributes.values, modality_range(instance, table))
    if not own and len(instance.planes) > 1:
        inputs = modality_range(instance, table)
        of_frames = [_of_frame(item, attributes, inputs) for item in attributes.frame_items("FrameVOILUTSequence")]
        if of_frames and all(of_frames) and len(of_frames) in (1, len(instance.planes)):
            return tuple(_pick(some, place) for some in of_frames)
    own += [window_voi(center, width, instance.window_function) for center, width in instance.windows]
    return (_pick(own, place),) if own else ()


def _pick(own: Sequence[Voi], place: int) -> Voi:
    return own[place] if place < len(own) else own[0]


def _of_frame(item: Values, attributes: DisplayAttributes, inputs: tuple[float, float]) -> list[Voi]:
    """Alternatives that one item of *Frame VOI LUT Sequence* offers."""
    try:
        centers, widths = (item.numbers(keyword) for keyword in ("WindowCenter", "WindowWidth"))
    except ValueError as error:
        raise PixelError("damaged pixel data", "FrameVOILUTSequence cannot be read") from error
    function = str(item.json("VOILUTFunction") or "LINEAR")
    windows = [window_voi(*pair, function) for pair in zip(centers, widths, strict=False) if pair[1] > 0]
    return [*voi_luts(attributes, item, inputs), *windows]
