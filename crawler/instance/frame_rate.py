"""The rate at which the frames of an instance are meant to be shown, from what its header offers.

PS3.3 C.7.6.5 (Cine) and C.7.6.6 (Multi-frame). Nothing is shown here; what an instance without a rate gets, the sinks
say.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from crawler.dicom.attributes import Attributes

# What a header can mean. Ultrasound elastography records up to some 10,000 frames a second, but no file asks to be
# shown at more than a few hundred; above lie times in seconds that were meant in ms (C.7.6.5.1.1), and placeholders.
SLOWEST, FASTEST = 0.001, 1000.0


def is_absurd(rate: float) -> bool:
    """Whether a header cannot mean such a rate."""
    return not SLOWEST <= rate <= FASTEST  # NaN too


def frame_rate(fields: Attributes) -> float | None:
    """Return frames a second: the first that can be meant, else the first positive one; None where there is none."""
    rates = list(_rates(fields))
    return next((rate for rate in rates if not is_absurd(rate)), rates[0] if rates else None)


def _rates(fields: Attributes) -> Iterator[float]:
    """Every positive rate, those that are meant for display first."""
    for keyword in ("RecommendedDisplayFrameRate", "CineRate"):
        rate = _number(fields.value(keyword))
        if rate > 0:
            yield rate
    for milliseconds in (_number(fields.value("FrameTime")), _mean_step(fields)):
        if milliseconds > 0:
            yield 1000 / milliseconds


def _mean_step(fields: Attributes) -> float:
    """Mean of (0018,1065) *Frame Time Vector*, whose first value is always 0; 0 without one."""
    steps = [step for step in fields.each("FrameTimeVector")[1:] if step is not None]
    return sum(steps) / len(steps) if steps else 0.0


def _number(value: Any) -> float:
    """A single number, also one whose VR has no decimals ("15.5" in an IS) or that has a comma for a point; else 0."""
    if isinstance(value, str):
        try:
            value = float(value.strip().replace(",", "."))
        except ValueError:
            return 0.0
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return 0.0
    return float(value)
