"""Values as DICOM stores them: integers of 16 bits at most, with slope and intercept for all others.

Rounded, never cut; what is lost is counted. The slope is a number that a DS can hold (PS3.5 6.2: 16 characters), so
that what a reader computes is what was checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.series.errors import LossRefused, WriteNotImplemented

Array = npt.NDArray[Any]
STEPS = 65535
_DS_LENGTH = 16


@dataclass(frozen=True, eq=False, slots=True)
class Stored:
    """Stored values, and how they become values again.

    Attributes
    ----------
    values
        uint8, int8, uint16 or int16.
    rounding
        Largest difference to a value that was given.
    replaced
        How many were not finite.
    """

    values: Array
    slope: float = 1.0
    intercept: float = 0.0
    rounding: float = 0.0
    replaced: int = 0


def stored_as(values: Array, slope: float, intercept: float) -> Stored | None:
    """Values as an image of this slope and intercept stores them; None where any of them would change."""
    if values.dtype.kind not in "iuf" or not values.size or not slope or not np.isfinite(values).all():
        return None
    steps = np.rint((values.astype(np.float64) - intercept) / slope)
    low, high = steps.min(), steps.max()
    for kind in (np.uint16, np.int16):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            same = np.array_equal((steps * slope + intercept).astype(values.dtype), values)
            return Stored(steps.astype(kind), slope, intercept) if same else None
    return None


def stored_values(values: Array, nan: float | None = None, through_zero: bool = False) -> Stored:
    """Turn values into stored ones.

    Parameters
    ----------
    nan
        What stands for values that are not finite; None refuses them.
    through_zero
        The intercept has to be 0, as PET has it (PS3.3 C.8.9.4).

    Raises
    ------
    LossRefused
        Values that are not finite, and no `nan`.
    WriteNotImplemented
        Complex or other values.
    """
    kind = values.dtype.kind
    if kind == "b":
        return Stored(values.astype(np.uint8))
    if kind in "iu" and values.dtype.itemsize <= 2:
        return Stored(values)
    if kind not in "iuf":
        raise WriteNotImplemented(f"values of type {values.dtype} are no image: take np.abs, np.real or np.angle")
    replaced = 0
    if kind == "f":
        wrong = ~np.isfinite(values)
        replaced = int(np.count_nonzero(wrong))
        if replaced and nan is None:
            raise LossRefused(f"{replaced:,} values are not finite: say what stands for them (nan=0), or mask them")
        if replaced:
            values = np.where(wrong, np.asarray(nan, dtype=values.dtype), values)
    if not values.size:
        return Stored(values.astype(np.int16))
    whole = kind in "iu" or bool((values == np.rint(values)).all())
    low, high = values.min(), values.max()
    if whole:
        for small in (np.uint16, np.int16):
            if np.iinfo(small).min <= low and high <= np.iinfo(small).max:
                return Stored(values.astype(small), replaced=replaced)
    found = _signed(values) if through_zero else _scaled(values, float(low), float(high), whole)
    return Stored(found.values, found.slope, found.intercept, found.rounding, replaced)


def ds_text(value: float) -> str:
    """A number as the DS (PS3.5 6.2, 16 characters) that is nearest to it."""
    for digits in range(17, 0, -1):
        text = f"{value:.{digits}g}"
        if len(text) <= _DS_LENGTH:
            return text
    raise AssertionError("one digit and an exponent fit")


def as_ds(value: float, up: bool = False) -> float:
    """The number nearest to a value that a DS holds; with `up` not below it."""
    number = float(ds_text(value))
    step = abs(value) * 1e-15 if value else 0.0
    while up and number < value:
        number = float(ds_text(value + step))
        step *= 2
    return number


def _scaled(values: Array, low: float, high: float, whole: bool) -> Stored:
    intercept = as_ds(low)
    fits = whole and intercept == low and high - low <= STEPS  # whole numbers: nothing is lost in steps of 1
    slope = 1.0 if fits else as_ds(max(high - intercept, 0.0) / STEPS or 1.0, up=True)
    exact = values.astype(np.float64)
    stored = np.clip(np.rint((exact - intercept) / slope), 0, STEPS).astype(np.uint16)
    return Stored(stored, slope, intercept, _largest(exact, stored, slope, intercept))


def _signed(values: Array) -> Stored:
    exact = values.astype(np.float64)
    low, high = float(exact.min()), float(exact.max())
    if low >= 0:
        slope = as_ds(high / STEPS or 1.0, up=True)
        stored: Array = np.clip(np.rint(exact / slope), 0, STEPS).astype(np.uint16)
    else:
        slope = as_ds(max(high, -low) / 32767 or 1.0, up=True)
        stored = np.clip(np.rint(exact / slope), -32768, 32767).astype(np.int16)
    return Stored(stored, slope, 0.0, _largest(exact, stored, slope, 0.0))


def _largest(exact: Array, stored: Array, slope: float, intercept: float) -> float:
    return float(np.abs(stored * slope + intercept - exact).max())


def converted(values: Array, dtype: Any) -> Array:
    """Values in a type that a caller asks for.

    Raises
    ------
    LossRefused
        It does not hold them: they would wrap round or lose their fractions.
    """
    if dtype is None or np.dtype(dtype) == values.dtype:
        return values
    kind = np.dtype(dtype)
    if kind.kind in "iu" and values.dtype.kind in "iuf" and values.size:
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise LossRefused(f"values are not finite: {kind} cannot hold them")
        low, high = np.rint(values.min()), np.rint(values.max())
        if low < np.iinfo(kind).min or high > np.iinfo(kind).max:
            raise LossRefused(f"values from {values.min()} to {values.max()} do not fit {kind}")
        return np.rint(values).astype(kind) if values.dtype.kind == "f" else values.astype(kind)
    return values.astype(kind)
