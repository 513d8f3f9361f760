"""Statistics of the values of a volume, as a text for series.csv; a sink that writes no file.

Of integers of up to 16 bits they are exact, by a histogram. Of others least, greatest, mean and deviation are exact;
percentiles of more than `KEPT` values are those of every second, third ... value of each row of frames, which the text
says. Colours have none.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from crawler.model import Frame, Product
from crawler.sinks.base import LayoutSubject, Order, Per, Target
from crawler.sinks.volume_base import NoOptions

KEPT = 1 << 23
"""Values that are kept for percentiles: 64 MB of float64, a volume of 512 x 512 x 32."""
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)


class StatisticsSink:
    """As `base.Sink` describes. `text` is there after `close`, and empty where nothing was counted."""

    per: ClassVar[Per] = "layout"
    order: ClassVar[Order] = "any"
    needs: ClassVar[tuple[str, ...]] = ()
    Options: ClassVar[type[Any]] = NoOptions
    extension = ""

    def __init__(self, options: Any = None) -> None:
        self.text = ""
        self._counts: npt.NDArray[np.int64] | None = None
        self._low = 0
        self._kept: list[npt.NDArray[Any]] = []
        self._range = (math.inf, -math.inf)
        self._moments = (0, 0.0, 0.0)  # count, mean, sum of squared deviations

    def open(self, target: Target, subject: LayoutSubject) -> None:
        """Begin; nothing is written to the target."""
        dtype = np.dtype(subject.dtype)
        self._counted = subject.photometric != "RGB"
        self._stride = max(1, math.ceil(math.prod(subject.layout.shape) / KEPT))
        if dtype.kind in "iu" and dtype.itemsize <= 2:
            self._low = int(np.iinfo(dtype).min)
            self._counts = np.zeros(1 << 8 * dtype.itemsize, np.int64)

    def put(self, index: tuple[int, ...], frame: Frame) -> None:
        """Count a frame's values."""
        if not self._counted:
            return
        values = frame.values.ravel()
        if self._counts is not None:
            places = np.subtract(values, self._low, dtype=np.intp)
            self._counts += np.bincount(places, minlength=self._counts.size)
            return
        if values.dtype.kind == "f":
            values = values[np.isfinite(values)]
        if values.size:
            self._range = min(self._range[0], float(values.min())), max(self._range[1], float(values.max()))
            self._moments = _joined(self._moments, values)
            self._kept.append(values[:: self._stride].copy())

    def close(self) -> list[Product]:
        """Make the text; there is no product."""
        if self._counts is not None and self._counts.any():
            self.text = _text(*_of_counts(self._counts, self._low))
        elif self._kept:
            percentiles = np.percentile(np.concatenate(self._kept), PERCENTILES)
            count, mean, squares = self._moments
            self.text = _text(self._range, percentiles, mean, math.sqrt(squares / count))
            if self._stride > 1:
                self.text += f" (percentiles of one in {self._stride} values)"
        self.abort()
        return []

    def abort(self) -> None:
        """Free the memory."""
        self._counts, self._kept = None, []


def _joined(moments: tuple[int, float, float], values: npt.NDArray[Any]) -> tuple[int, float, float]:
    """Count, mean and squares of what was counted and some more (Chan, Golub and LeVeque 1983): no cancellation."""
    count, mean, squares = moments
    more, its_mean = values.size, float(values.mean(dtype=np.float64))
    its_squares = float(np.square(values - np.float64(its_mean)).sum())
    total, delta = count + more, its_mean - mean
    return total, mean + delta * more / total, squares + its_squares + delta * delta * count * more / total


def _of_counts(
    counts: npt.NDArray[np.int64], low: int
) -> tuple[tuple[float, float], npt.NDArray[np.float64], float, float]:
    """Range, percentiles, mean and deviation of a histogram; percentiles as `numpy.percentile` has them."""
    places = np.flatnonzero(counts)
    numbers, values = counts[places], (places + low).astype(np.float64)
    total = int(numbers.sum())
    upto = np.cumsum(numbers)
    ranks = np.array(PERCENTILES) / 100 * (total - 1)
    below = values[np.searchsorted(upto, np.floor(ranks), side="right")]
    above = values[np.searchsorted(upto, np.ceil(ranks), side="right")]
    mean = float(values @ numbers / total)
    deviation = math.sqrt(float(np.square(values - mean) @ numbers / total))
    return (values[0], values[-1]), below + (above - below) * (ranks - np.floor(ranks)), mean, deviation


def _text(extremes: tuple[float, float], percentiles: npt.NDArray[np.float64], mean: float, deviation: float) -> str:
    names = ["median" if one == 50 else f"p{one}" for one in PERCENTILES]
    parts = [("min", extremes[0]), *zip(names, percentiles, strict=True), ("max", extremes[1])]
    parts += [("mean", mean), ("std", deviation)]
    return ", ".join(f"{name} {value:.6g}" for name, value in parts)
