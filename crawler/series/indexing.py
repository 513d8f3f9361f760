"""What an index leaves of each axis: pure arithmetic on numpy's rules, without data.

Integers, slices, `...`, new axes, and one list or mask along one axis are followed. Anything else (several lists, masks
of several dimensions) is numpy's business alone, and the result has no axes.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Steps = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False, slots=True)
class Selection:
    """An index that is followed.

    Attributes
    ----------
    key
        For numpy.
    steps
        One an axis of the source: the step that an integer takes (the axis goes), or the steps that are left.
    order
        One an axis of the result: the axis of the source that it was; None for a new one.
    """

    key: tuple[Any, ...]
    steps: tuple[int | Steps, ...]
    order: tuple[int | None, ...]


def select(key: Any, shape: Sequence[int]) -> Selection | None:
    """Follow an index.

    Parameters
    ----------
    key
        As given between brackets.
    shape
        Of the source.

    Returns
    -------
    Selection or None
        None where the result's axes are not to be told.

    Raises
    ------
    IndexError
        As numpy raises it.
    """
    parts = [_part(part) for part in (key if isinstance(key, tuple) else (key,))]
    if any(isinstance(part, np.ndarray) and part.ndim != 1 for part in parts):
        return None
    if sum(isinstance(part, np.ndarray) for part in parts) > 1:
        return None
    used = sum(part is not None and part is not Ellipsis for part in parts)
    if used > len(shape):
        raise IndexError(f"too many indices: {used} for {len(shape)} axes")
    dots = [number for number, part in enumerate(parts) if part is Ellipsis]
    if len(dots) > 1:
        raise IndexError("an index can have a single ellipsis")
    at = dots[0] if dots else len(parts)
    filled = [*parts[:at], *[slice(None)] * (len(shape) - used), *parts[at + 1 :]]
    steps: list[int | Steps] = []
    order: list[int | None] = []
    fancy: list[int] = []  # places in `filled` of integers and lists
    listed: int | None = None
    landing = 0
    for place, part in enumerate(filled):
        if part is None:
            order.append(None)
            continue
        axis = len(steps)
        length = shape[axis]
        if isinstance(part, slice):
            steps.append(np.arange(length)[part])
            order.append(axis)
        elif isinstance(part, np.ndarray):
            fancy.append(place)
            listed, landing = axis, len(order)
            steps.append(_listed(part, length))
            order.append(axis)
        else:
            fancy.append(place)
            steps.append(_whole(part, length))
    if listed is not None and fancy[-1] - fancy[0] + 1 != len(fancy):
        order.pop(landing)  # numpy: lists and integers apart from each other come first
        order.insert(0, listed)
    return Selection(tuple(filled), tuple(steps), tuple(order))


def _part(part: Any) -> Any:
    if part is None or part is Ellipsis or isinstance(part, slice):
        return part
    if isinstance(part, (list, tuple)):
        part = np.asarray(part) if len(part) else np.zeros(0, np.intp)
    if hasattr(part, "__array__") and not isinstance(part, np.generic):
        part = np.asarray(part)
        return part[()] if part.ndim == 0 and part.dtype.kind in "iu" else part
    if isinstance(part, (bool, np.bool_)):
        return np.asarray(part)
    try:
        return operator.index(part)
    except TypeError:
        raise IndexError(f"an index is a number, a slice, a list, a mask, ... or a new axis, not {part!r}") from None


def _listed(part: npt.NDArray[Any], length: int) -> Steps:
    if part.dtype.kind == "b":
        if len(part) != length:
            raise IndexError(f"a mask of {len(part)} for an axis of {length}")
        return np.flatnonzero(part)
    if part.dtype.kind not in "iu":
        raise IndexError("a list of indices holds whole numbers")
    if len(part) and (part.min() < -length or part.max() >= length):
        raise IndexError(f"an index is out of bounds for an axis of {length}")
    return np.asarray(np.where(part < 0, part + length, part), dtype=np.intp)


def _whole(part: Any, length: int) -> int:
    number = operator.index(part)
    if not -length <= number < length:
        raise IndexError(f"index {number} is out of bounds for an axis of {length}")
    return number + length if number < 0 else number
