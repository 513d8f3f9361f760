"""When volumes and slices were acquired, where the headers leave no doubt; seconds.

Looks at what the layout and its planes say. It knows no format and takes no usual order of slices for granted.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from crawler.geometry import Floats
from crawler.model import Coordinates
from crawler.sinks.base import LayoutSubject
from crawler.sinks.provenance import is_number, leading_axes

AXES = ("time", "trigger_time")
"""Along these, time goes by; echo and inversion times are times as well, but settings."""

SECONDS = {"s": 1.0, "ms": 1e-3}
"""Units of `Coordinates` that are times."""

CLOCK = 5e-3
"""How far two times may be from their places (s): Siemens counts in ticks of 2.5 ms, and each of the two is rounded."""

SHARE = 0.1
"""... but no more than this share of the step, so that a fast series is held to a fitting measure."""


def period(subject: LayoutSubject) -> float | None:
    """Seconds from one volume to the next, where the last of the axes before the slices is one of time.

    Returns
    -------
    float or None
        The step of the axis's values when it is even, to the digits of (0018,0080) *Repetition Time* where both agree;
        that element when the axis has no values. None for an uneven axis, and without axis of time.
    """
    others = [axis for axis in leading_axes(subject) if axis != "slice"]
    axis = others[-1] if others else ""
    if axis not in AXES:
        return None
    repetition = _positive(subject.attributes.get("RepetitionTime"))
    repetition = None if repetition is None else repetition * 1e-3
    found = next((one for one in subject.layout.coordinates if one.axis == axis), None)
    times = _times(found)
    if times is None:
        return repetition if axis == "time" and (found is None or found.unit not in SECONDS) else None
    if len(times) < 2:
        return repetition if axis == "time" else None
    step = float(times[-1] - times[0]) / (len(times) - 1)
    even = times[0] + step * np.arange(len(times))
    if step <= 0 or np.abs(times - even).max() > _tolerance(step):
        return None
    agrees = repetition is not None and abs(step - repetition) <= _tolerance(step)
    return repetition if agrees else float(f"{step:.9g}")


def slice_times(subject: LayoutSubject) -> list[float] | None:
    """When each slice was acquired, from the start of its volume.

    Taken from (0008,0032) *Acquisition Time*, or (0018,1060) *Trigger Time*, of the single slices, and only if every
    volume of a series in time has the same pattern, which starts anew after each *Repetition Time*, and fits into it.
    Elements that mean something else, such as the time of a whole series, cannot pass.

    Returns
    -------
    list of float or None
        Seconds, one a slice, in array order; None when this is not certain.
    """
    layout = subject.layout
    repetition = _positive(subject.attributes.get("RepetitionTime"))
    if sorted(leading_axes(subject)) != ["slice", "time"] or repetition is None or not layout.placement:
        return None
    axis = layout.axes.index("slice")
    shape = (layout.shape[1 - axis], layout.shape[axis])
    if min(shape) < 2:
        return None
    for keyword, scale in (("AcquisitionTime", 1.0), ("TriggerTime", 1e-3)):
        times = np.full(shape, math.nan)
        for place in layout.placement:
            value = _number(subject.scan.instances[place.instance].plane(place.frame).trait(keyword))
            times[place.index[1 - axis], place.index[axis]] = math.nan if value is None else value * scale
        pattern = _pattern(times, repetition * 1e-3)
        if pattern is not None:
            return pattern
    return None


def _pattern(times: Floats, repetition: float) -> list[float] | None:
    """Offsets within the repetition, of (volumes, slices); None when they are none."""
    if not np.isfinite(times).all():
        return None
    starts = times.min(axis=1)
    offsets = times - starts[:, None]
    first = offsets[0]
    tolerance = _tolerance(repetition)
    steady = np.abs(offsets - first).max() <= tolerance
    regular = np.abs(np.diff(starts) - repetition).max() <= tolerance
    if not steady or not regular or not tolerance < first.max() < repetition:
        return None
    return [float(f"{offset:.9g}") for offset in np.round(first, 6)]


def _tolerance(step: float) -> float:
    return min(CLOCK, SHARE * step)


def _times(found: Coordinates | None) -> Floats | None:
    """Values of an axis of time in seconds, all of them known; else None."""
    if found is None or found.unit not in SECONDS:
        return None
    values = [_number(value) for value in found.values]
    known = [value for value in values if value is not None]
    return np.array(known, dtype=np.float64) * SECONDS[found.unit] if len(known) == len(values) else None


def _positive(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and number > 0 else None


def _number(value: Any) -> float | None:
    return float(value) if is_number(value) else None
