"""Numbers about the values of a series: least, greatest, mean, deviation, median; of a mask alone perhaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from crawler.series.errors import GeometryMismatch


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of finite values; `count` of them."""

    count: int
    minimum: float
    maximum: float
    mean: float
    std: float
    median: float


def statistics(series: Any, mask: Any = None) -> Statistics:
    """Compute statistics of a series.

    Parameters
    ----------
    mask
        A series or an array of the same shape, or of that of the slices; where it is not 0 values count.

    Raises
    ------
    GeometryMismatch
        The mask has another shape, or lies elsewhere.
    """
    values = np.asarray(series)
    if mask is not None:
        if hasattr(mask, "description") and hasattr(series, "description"):
            series.description.require_same_place(mask.description)
        wanted = np.asarray(mask) != 0
        if wanted.shape != values.shape[values.ndim - wanted.ndim :]:
            raise GeometryMismatch(f"the mask has shape {wanted.shape}, the series {values.shape}")
        values = values[np.broadcast_to(wanted, values.shape)]
    finite = values[np.isfinite(values)] if values.dtype.kind in "fc" else values.ravel()
    if not finite.size:
        nan = float("nan")
        return Statistics(0, nan, nan, nan, nan, nan)
    return Statistics(
        int(finite.size),
        finite.min().item(),
        finite.max().item(),
        float(finite.mean(dtype=np.float64)),
        float(finite.std(dtype=np.float64)),
        float(np.median(finite)),
    )
