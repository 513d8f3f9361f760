"""Whether a frame looks like an image worth keeping: a few measures, and what thresholds make of them.

Pure functions of values, and a tally over the frames of a file or the files of a series. Nothing here changes a pixel,
decodes one or knows a file: what a measure says is reported, never repaired.

The thresholds are those of seeds/000 for CT, MR and radiographs, with three differences. Exposure and inverted grey
are judged only where grey levels mean exposure, in radiographs: in CT, air around a head would be under-exposure, and
a small field of view inside a bright edge an inversion. An edge counts as inverted only if it is white besides being
brighter, since lungs are darker than shoulders. And only the plateau at the least value is background, not all that
lies below a share of the greatest value, which in CT would be fat and lungs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.display.colour import to_rgb
from crawler.display.grey_range import PERCENTILES, SAMPLED_VALUES, Range
from crawler.display.lut import Lut, rescaled
from crawler.model import Frame

Array = npt.NDArray[Any]

LUMA = (0.299, 0.587, 0.114)  # of red, green, blue: PS3.3 C.7.6.3.1.2
DYNAMIC = (0.02, 0.98)  # quantiles that a dynamic range lies between, as in seeds/000
EDGE = 0.1  # of the height and of the width on each side, as in seeds/000
END = 0.05  # of the span of levels: what is nearly black, or nearly white
WHITE = 0.8  # level from which an edge is white, as unattenuated beam is on a film
# Two tones: the outermost levels hold nearly everything, and each a fair share, whatever a lossy codec did to borders.
TONE, IN_TONES, OF_TONE = 0.02, 0.95, 0.05
MASK_VALUES = 1024  # fewer values than that can have few levels by chance


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a frame is judged by; the defaults cannot be crossed, so they judge nothing.

    Attributes
    ----------
    dynamic_range, contrast
        Least, in modality units (Hounsfield in CT).
    unique_ratio
        Least share of values that are distinct.
    under_exposure, over_exposure
        Greatest share of the content that is nearly black, or white.
    inverted
        How much brighter than the middle a white edge may be, as a share of the span of levels.
    mask_levels
        So many distinct values or fewer make a mask.
    """

    dynamic_range: float = 0.0
    contrast: float = 0.0
    unique_ratio: float = 0.0
    under_exposure: float = 1.0
    over_exposure: float = 1.0
    inverted: float = 1.0
    mask_levels: float = 0.0


_RADIOGRAPH = Thresholds(10, 3, 0.001, 0.6, 0.6, 0.1, 16)
_PROJECTION = Thresholds(10, 3, 0.001, mask_levels=16)  # uncalibrated as radiographs, but shutters and menus are black
DEFAULTS: dict[str, Thresholds] = {
    "CT": Thresholds(20, 5, 0.01, mask_levels=16),
    "MR": Thresholds(15, 5, 0.008, mask_levels=16),
    **dict.fromkeys(("CR", "DX", "DR", "MG"), _RADIOGRAPH),
    **dict.fromkeys(("IO", "PX", "RF", "US", "XA"), _PROJECTION),
    # A handful of counts is data, units of activity differ by powers of ten, and most tiles of a slide are bare glass.
    **dict.fromkeys(("NM", "PT", "SM"), Thresholds()),
}
OTHER = Thresholds(mask_levels=16)


@dataclass(frozen=True, slots=True)
class Measures:
    """What is measured of one frame, or the means over several.

    Levels go from 0, shown black, to 1, shown white, between `display.grey_range.PERCENTILES`. Content is every value
    but the plateau at the darkest one, which is background that was set to zero, or air that was clipped.

    Attributes
    ----------
    dynamic_range
        Between the 2 % and 98 % quantiles of the content, in modality units.
    contrast
        Standard deviation of the content, in modality units.
    unique_ratio
        Distinct values of the content, divided by their number; of at most some 65,536 sampled values.
    under_exposure, over_exposure
        Share of the content in the darkest, and in the brightest, twentieth of the levels.
    edge, middle
        Median level of the outer tenth on all sides, and of what it surrounds.
    two_tones
        1 where nearly every value is nearly black or white, as in a mask; of several frames the share.
    levels
        Distinct values, background included.
    """

    dynamic_range: float
    contrast: float
    unique_ratio: float
    under_exposure: float
    over_exposure: float
    edge: float
    middle: float
    two_tones: float
    levels: float


COLUMNS = tuple(field.name for field in fields(Measures))


def thresholds_for(modality: str, given: Mapping[str, Any] | None = None) -> Thresholds:
    """Return what a modality is judged by: the built-in thresholds, and over them those that are given and not None."""
    written = {name: value for name, value in (given or {}).items() if value is not None}
    return replace(DEFAULTS.get(modality, OTHER), **written)


def grey_of(frame: Frame, table: Lut | None = None, palette: Lut | None = None, pad: Range | None = None) -> Array:
    """Return what is measured of a frame: modality values, in colour the luma in whole steps, on a regular grid.

    Parameters
    ----------
    table
        The Modality LUT, which takes the place of slope and intercept.
    palette
        Of a PALETTE COLOR frame.
    pad
        Stored values, both ends included, that stand for no measurement.

    Returns
    -------
    ndarray, float64, shape (rows, columns)
        Every pixel, or every second, third ... row and column, so that they are some 65,536. NaN where there is no
        measurement.

    Raises
    ------
    PixelError
        "unsupported photometric interpretation".
    """
    rows, columns = frame.values.shape[:2]
    step = math.ceil(math.sqrt(rows * columns / SAMPLED_VALUES)) or 1
    stored = frame.values[::step, ::step]
    if stored.ndim == 3:
        return np.asarray(np.rint(to_rgb(replace(frame, values=stored)) @ np.array(LUMA)))
    if palette is not None:
        return np.asarray(np.rint(palette(stored) @ np.array(LUMA)))
    with np.errstate(over="ignore", invalid="ignore"):  # an absurd slope gives infinities, as IEEE 754 has it
        grey = rescaled(stored, frame.slope, frame.intercept, table)
    absent = ~np.isfinite(grey)
    if pad is not None:
        absent |= (stored >= pad[0]) & (stored <= pad[1])
    return np.where(absent, np.nan, grey) if absent.any() else np.asarray(grey)


def measure(grey: Array, inverse: bool = False) -> Measures | None:
    """Measure one frame.

    Parameters
    ----------
    grey
        As `grey_of` made it.
    inverse
        The smallest value is shown white.

    Returns
    -------
    Measures or None
        None when there is no value.
    """
    shown = -grey if inverse else grey
    ordered = np.sort(shown[np.isfinite(shown)])
    if not ordered.size:
        return None
    content = ordered[np.searchsorted(ordered, ordered[0], side="right") :]
    content = content if content.size else ordered
    low, high = (_quantile(ordered, percent / 100) for percent in PERCENTILES)
    if low == high:  # a few objects on an even ground
        low, high = float(ordered[0]), float(ordered[-1])
    span = (high - low) or 1.0
    levels = _distinct(ordered)
    with np.errstate(over="ignore", invalid="ignore"):
        edge, middle = (min(max((value - low) / span, 0.0), 1.0) for value in _edge_and_middle(shown))
        return Measures(
            dynamic_range=_quantile(content, DYNAMIC[1]) - _quantile(content, DYNAMIC[0]),
            contrast=float(content.std()),
            unique_ratio=_distinct(content) / content.size,
            under_exposure=_share_below(content, low + END * span) if high > low else 0.0,
            over_exposure=1 - _share_below(content, high - END * span) if high > low else 0.0,
            edge=edge,
            middle=middle,
            two_tones=float(_two_tones(ordered)),
            levels=levels,
        )


def judge(measures: Measures, thresholds: Thresholds) -> tuple[str, ...]:
    """Return what is wrong with a frame; nothing when it is good."""
    brighter = measures.edge - measures.middle if measures.edge >= WHITE else 0.0
    masked = thresholds.mask_levels > 0 and (measures.two_tones == 1 or 1 < measures.levels <= thresholds.mask_levels)
    found = {
        "low dynamic range": measures.dynamic_range < thresholds.dynamic_range,
        "low contrast": measures.contrast < thresholds.contrast,
        "low complexity": measures.unique_ratio < thresholds.unique_ratio,
        "under-exposed": measures.under_exposure > thresholds.under_exposure,
        "over-exposed": measures.over_exposure > thresholds.over_exposure,
        "inverted grey": brighter > thresholds.inverted,
        "likely mask": masked,
    }
    return tuple(reason for reason, holds in found.items() if holds)


class Tally:
    """Frames of a file, or files of a series, summed up in a few numbers however many there are.

    Parameters
    ----------
    share
        Low is what has more than this share of low parts.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.count = self.low = 0
        self._sums = np.zeros(len(COLUMNS))
        self._reasons: Counter[str] = Counter()

    def add(self, measures: Measures, reasons: Iterable[str]) -> None:
        """Count one part."""
        found = tuple(reasons)
        self.count += 1
        self.low += bool(found)
        self._sums += astuple(measures)
        self._reasons.update(found)

    @property
    def is_low(self) -> bool:
        """Whether too many parts are low."""
        return self.low > self.share * self.count

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is wrong with the low parts, the commonest first; nothing when they are few."""
        return tuple(reason for reason, _ in self._reasons.most_common()) if self.is_low else ()

    @property
    def mean(self) -> Measures:
        """The means over all parts, of which there is one at least."""
        return Measures(*(self._sums / self.count).tolist())

    def cells(self, parts: str) -> dict[str, Any]:
        """Return columns and JSON values.

        Parameters
        ----------
        parts
            What was counted, "frames" or "files".

        Returns
        -------
        dict
            All columns, whether or not anything was counted; six digits of a measure.
        """
        means = [_rounded(value) for value in astuple(self.mean)] if self.count else [None] * len(COLUMNS)
        return {
            "quality_low": self.is_low if self.count else None,
            "quality_reasons": list(self.reasons),
            f"quality_{parts}": self.count,
            f"quality_low_{parts}": self.low,
            **{f"quality_{name}": value for name, value in zip(COLUMNS, means, strict=True)},
        }


def _rounded(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _quantile(ordered: Array, share: float) -> float:
    """The value at a share of sorted values, without interpolation."""
    return float(ordered[round(share * (ordered.size - 1))])


def _distinct(ordered: Array) -> int:
    return 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1]))


def _share_below(ordered: Array, value: float) -> float:
    return float(np.searchsorted(ordered, value, side="right")) / ordered.size


def _edge_and_middle(shown: Array) -> tuple[float, float]:
    """Medians of the outer tenth and of the rest; of everything, where one of them is empty."""
    rows, columns = shown.shape
    inner = np.zeros(shown.shape, bool)
    high, wide = (max(round(EDGE * size), 1) for size in (rows, columns))
    inner[high : rows - high, wide : columns - wide] = True
    parts = [shown[where & np.isfinite(shown)] for where in (~inner, inner)]
    if not all(part.size for part in parts):
        parts = [shown[np.isfinite(shown)]] * 2
    return float(np.median(parts[0])), float(np.median(parts[1]))


def _two_tones(ordered: Array) -> bool:
    least, greatest = float(ordered[0]), float(ordered[-1])
    if ordered.size < MASK_VALUES or least == greatest:
        return False
    dark = _share_below(ordered, least + TONE * (greatest - least))
    bright = 1 - _share_below(ordered, greatest - TONE * (greatest - least))
    return min(dark, bright) >= OF_TONE and dark + bright >= IN_TONES
