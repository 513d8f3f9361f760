"""When volumes and slices were acquired, where the headers leave no doubt; seconds.

Looks at what the layout and its planes say. It knows no format and takes no usual order of slices for granted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from crawler.geometry import Floats
from crawler.instance.vendor_acquisition import INTERLEAVED
from crawler.model import TRAITS, Coordinates
from crawler.sinks.base import LayoutSubject
from crawler.sinks.provenance import is_number, leading_axes

AXES = ("time", "trigger_time")
"""Along these, time goes by; echo and inversion times are times as well, but settings."""

SECONDS = {"s": 1.0, "ms": 1e-3}
"""Units of `Coordinates` that are times."""

CLOCK = 5e-3
"""How far two times may be from their places (s): Siemens counts in ticks of 2.5 ms, and each of the two is rounded."""

CLOCKS = (("AcquisitionTime", 1.0), ("TriggerTime", 1e-3), ("RTIATimer", 1.0), ("RTIATimer", 1e-4))
"""Elements that may hold the time of a slice, with their factor to s; that of GE's timer depends on the release."""

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


def slice_times(subject: LayoutSubject, vendor: Mapping[str, Any] | None = None) -> list[float] | None:
    """When each slice was acquired, from the start of its volume.

    Taken, in this order, from

    - (0008,0032) *Acquisition Time*, (0018,1060) *Trigger Time*, or GE's (0021,xx5E) of the single slices, if every
      volume of a series in time has the same pattern, which starts anew after each *Repetition Time* and fits into it.
      Elements that mean something else, such as the time of a whole series, cannot pass.
    - the acquisition times of the slices of a single volume of 2-D echo planar imaging, which are those of the slices,
      if they fit into the *Repetition Time*.
    - GE's protocol: the order of the slices, which follow each other evenly over the *Repetition Time*.

    Returns
    -------
    list of float or None
        Seconds, one a slice, in array order; None when this is not certain.
    """
    layout, axes = subject.layout, leading_axes(subject)
    repetition = _positive(subject.attributes.get("RepetitionTime"))
    if repetition is None or not layout.placement or sorted(axes) not in (["slice"], ["slice", "time"]):
        return None
    repetition *= 1e-3
    slices = axes.index("slice")
    shape = (layout.shape[1 - slices] if len(axes) == 2 else 1, layout.shape[slices])
    if shape[1] < 2 or len(layout.placement) != shape[0] * shape[1]:
        return None
    tables = [_table(subject, shape, keyword, scale) for keyword, scale in CLOCKS]
    if shape[0] > 1:
        for (keyword, _), times in zip(CLOCKS, tables, strict=True):
            # The first volume of GE's timer is often wrong (dcm2niix, GE, "Slice Timing").
            start = 1 if keyword == "RTIATimer" and shape[0] > 2 else 0
            pattern = _pattern(times[start:], repetition)
            if pattern is not None:
                return pattern
    elif _is_echo_planar(subject) and (pattern := _pattern(tables[0], repetition)) is not None:
        return pattern
    interleaved = (vendor or {}).get(INTERLEAVED)
    return _in_order(subject, shape, interleaved, repetition) if interleaved is not None else None


def _table(subject: LayoutSubject, shape: tuple[int, int], keyword: str, scale: float) -> Floats:
    """Times of an element in s, of (volumes, slices); NaN where there is none."""
    times, slices = np.full(shape, math.nan), leading_axes(subject).index("slice")
    further = subject.by_frame.get(keyword)
    for number, place in enumerate(subject.layout.placement):
        if keyword in TRAITS:
            value = _number(subject.scan.instances[place.instance].plane(place.frame).trait(keyword))
        else:
            value = _number(further[number]) if further is not None else None
        volume = place.index[1 - slices] if len(place.index) == 2 else 0
        times[volume, place.index[slices]] = math.nan if value is None else value * scale
    return times


def _is_echo_planar(subject: LayoutSubject) -> bool:
    """Whether slices are read out one after the other, each at once: 2-D echo planar imaging."""
    codes = subject.attributes.get("ScanningSequence")
    codes = codes if isinstance(codes, list) else [codes]
    return "EP" in codes and subject.attributes.get("MRAcquisitionType") == "2D"


def _in_order(
    subject: LayoutSubject, shape: tuple[int, int], interleaved: bool, repetition: float
) -> list[float] | None:
    """Times of slices that follow each other evenly, in the order of the instances, every second one first or not.

    None where the numbers of the instances are not in order along the slices in every volume.
    """
    numbers, slices = np.zeros(shape, dtype=np.int64), leading_axes(subject).index("slice")
    for place in subject.layout.placement:
        number = subject.scan.instances[place.instance].instance_number
        if number is None or len(subject.scan.instances[place.instance].planes) > 1:
            return None
        numbers[place.index[1 - slices] if len(place.index) == 2 else 0, place.index[slices]] = number
    steps = np.diff(numbers, axis=1)
    if not ((steps > 0).all() or (steps < 0).all()):
        return None
    count = shape[1]
    order = [*range(0, count, 2), *range(1, count, 2)] if interleaved else list(range(count))
    times = np.empty(count)
    times[order] = np.arange(count) * repetition / count
    found = times if (steps > 0).all() else times[::-1]
    return [float(f"{time:.9g}") for time in np.round(found, 6)]


def _pattern(times: Floats, repetition: float) -> list[float] | None:
    """Offsets within the repetition, of (volumes, slices); None when they are none."""
    if not np.isfinite(times).all():
        return None
    starts = times.min(axis=1)
    offsets = times - starts[:, None]
    first = offsets[0]
    tolerance = _tolerance(repetition)
    steady = np.abs(offsets - first).max() <= tolerance
    regular = len(starts) < 2 or np.abs(np.diff(starts) - repetition).max() <= tolerance
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
