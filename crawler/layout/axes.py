"""Axes before the slices: which groups of planes are the steps of one array, and where along its axes they lie.

Takes what `repeats.py` told apart. Groups share an array when they hold the same positions and fill a grid; what does
not stays by itself. Knows nothing of affines or spacing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.dicom.dictionary import KeyStyle
from crawler.geometry import LINE_TOLERANCE, SHARE, Floats, Integers
from crawler.layout.columns import BY_ORDER, CUSTOM, axis_of, number_of, value_of
from crawler.layout.planes import PlaneSet, clusters
from crawler.layout.repeats import Separation
from crawler.layout.sequence import DAY
from crawler.model import TRAITS, Coordinates, Plane

ORDER = ("te", "echo", "ti", "fa", "b", "phase", "trigger_time", "time")
"""Of the axes in an array, outermost first: time lies next to the slices, as in NIfTI. A custom one comes before."""

UNITS = {"te": "ms", "ti": "ms", "fa": "degree", "b": "s/mm2", "phase": "%", "trigger_time": "ms"}


@dataclass(frozen=True, eq=False, slots=True)
class Stack:
    r"""Planes that may fill one array.

    Attributes
    ----------
    members
        Shape (\*steps, slices): indices of planes; slices in order of their slots.
    coordinates
        Of the axes before the slices.
    doubtful
        It holds the first of several planes that nothing tells apart.
    """

    members: Integers
    coordinates: tuple[Coordinates, ...] = ()
    doubtful: bool = False


def stacks(
    separation: Separation,
    of: PlaneSet,
    positions: Floats,
    order: str = "auto",
    keys: KeyStyle = "keyword",
    share: float = SHARE,
) -> list[Stack]:
    """Join groups into arrays.

    Parameters
    ----------
    separation
        Of these planes, by `repeats.separate`.
    of, positions
        The planes, and their positions, shape (n, 3), mm.
    order
        `volume.order`: "auto" makes an axis of every trait that can be one, "none" of none, else of that alone.
    keys
        Style of the records' keys.
    share
        `volume.tolerance`.

    Returns
    -------
    list of Stack
        In the order of the groups. Those with equal positions share an array where the traits, and all of their
        combinations, name one group each; where combinations are missing, the outermost axis gives way first.
    """
    names = [order if trait == CUSTOM else axis_of(trait) for trait in separation.traits]
    kept = [
        column
        for column in np.argsort([ORDER.index(name) if name in ORDER else -1 for name in names], kind="stable").tolist()
        if names[column] and order in ("auto", names[column])
    ]
    rest = [column for column in range(len(names)) if column not in kept]
    position_sets = _position_sets(separation.groups, of.slots, positions, LINE_TOLERANCE * share / SHARE)
    candidates: dict[tuple[int, ...], list[int]] = {}
    for number in range(len(separation.groups)):
        candidates.setdefault((position_sets[number], *separation.codes[number, rest].tolist()), []).append(number)
    found = [part for numbers in candidates.values() for part in _grids(np.array(numbers), separation.codes, kept)]
    found.sort(key=lambda part: int(part[0].min()))
    return [_stack(separation, numbers, columns, names, of, keys) for numbers, columns in found]


def axis_of_times(
    planes_of_steps: Sequence[Sequence[Plane]], keyword: str, values: Sequence[Any]
) -> tuple[tuple[Any, ...], str]:
    """Values and unit of an axis of time.

    Returns
    -------
    values, unit
        Seconds from the first step where (0054,1300) *Frame Reference Time* is what tells the steps apart, or where
        (0008,0032) *Acquisition Time* (its earliest in each step) goes up from step to step, also past midnight; else
        `values` as they are, without a unit.
    """
    if keyword == "FrameReferenceTime":
        means = [_mean([plane.trait(keyword) for plane in planes]) for planes in planes_of_steps]
        if None not in means:
            return tuple(round(mean * 1e-3, 6) for mean in means if mean is not None), "s"
    clock = [[number_of(plane.trait("AcquisitionTime")) for plane in planes] for planes in planes_of_steps]
    known = [[time for time in step if time is not None] for step in clock]
    if all(known):
        first = known[0][0]
        starts = [min((time - first + DAY / 2) % DAY for time in step) for step in known]  # past midnight too
        if all(earlier < later for earlier, later in pairwise(starts)):
            return tuple(round(start - starts[0], 6) for start in starts), "s"
    return tuple(values), ""


def _position_sets(groups: Sequence[Integers], slots: Integers, positions: Floats, allowed: float) -> list[int]:
    """Number groups so that those with the same slots, and no shift within the plane, have one number."""
    reference = np.zeros((int(slots.max()) + 1, 3))
    for group in reversed(groups):
        reference[slots[group]] = positions[group]
    sets: dict[bytes, int] = {}
    features = np.empty((len(groups), 4))
    for number, group in enumerate(groups):
        features[number, 0] = 10 * sets.setdefault(np.sort(slots[group]).tobytes(), len(sets))
        features[number, 1:] = (positions[group] - reference[slots[group]]).mean(axis=0) / allowed
    return [int(number) for number in clusters(features)]


def _grids(
    numbers: Integers, codes: npt.NDArray[np.intp], columns: Sequence[int]
) -> Iterator[tuple[Integers, list[int]]]:
    r"""Cut groups into full grids: their numbers, shape (\*steps,), and the column of each axis."""
    varying = [column for column in columns if len(np.unique(codes[numbers, column])) > 1]
    shape = [len(np.unique(codes[numbers, column])) for column in varying]
    if not varying:  # as of a single group
        yield from ((number.reshape(()), []) for number in numbers)
    elif int(np.prod(shape)) == len(numbers):
        order = np.lexsort([codes[numbers, column] for column in reversed(varying)])
        yield numbers[order].reshape(shape), varying
    else:
        outer = codes[numbers, varying[0]]
        for code in np.unique(outer):
            yield from _grids(numbers[outer == code], codes, varying[1:])


def _stack(
    separation: Separation,
    numbers: Integers,
    columns: Sequence[int],
    names: Sequence[str],
    of: PlaneSet,
    keys: KeyStyle,
) -> Stack:
    ordered = [group[np.argsort(of.slots[group])] for group in (separation.groups[number] for number in numbers.flat)]
    members = np.stack(ordered).reshape(*numbers.shape, -1)
    coordinates = tuple(
        _coordinates(names[column], separation.traits[column], np.moveaxis(members, axis, 0), of, keys)
        for axis, column in enumerate(columns)
    )
    return Stack(members, coordinates, not separation.doubtful.isdisjoint(numbers.ravel().tolist()))


def _coordinates(axis: str, trait: str, members: Integers, of: PlaneSet, keys: KeyStyle) -> Coordinates:
    """Where the steps of one axis lie; `members` has them along its first axis."""
    steps = [[of.planes[member] for member in step.flat] for step in members]
    if trait == BY_ORDER:
        values, unit = axis_of_times(steps, trait, range(len(steps)))
        return Coordinates(axis, values, "AcquisitionTime" if unit else "", unit)
    if trait == CUSTOM:
        return Coordinates(axis, tuple(step[0].custom for step in steps), axis)
    if trait not in TRAITS:
        records = [of.record_of(int(step.flat[0])) for step in members]
        return Coordinates(axis, tuple(value_of(record, trait, keys) for record in records), trait)
    first = tuple(step[0].trait(trait) for step in steps)
    if axis == "time":
        values, unit = axis_of_times(steps, trait, first)
        return Coordinates(axis, values, trait, unit)
    if axis == "trigger_time":  # runs on from slice to slice
        first = tuple(_mean([plane.trait(trait) for plane in step]) for step in steps)
    directions = tuple(_direction(step[0]) for step in steps) if axis == "b" else ()
    if axis == "b":
        first = _weightings(first, directions)
    return Coordinates(axis, first, trait, UNITS.get(axis, ""), directions)


def _weightings(values: Sequence[Any], directions: Sequence[Any]) -> tuple[Any, ...]:
    """The b-values of an axis: images without weighting that leave out theirs, as Toshiba's do, have 0.

    An image without direction is one of those where all others are weighted; beside explicit zeros it may be anything.
    """
    numbers = [number_of(value) for value in values]
    if any(number == 0 for number in numbers) or all(number is None for number in numbers):
        return tuple(values)
    pairs = zip(values, numbers, directions, strict=True)
    return tuple(0.0 if number is None and to is None else value for value, number, to in pairs)


def _direction(plane: Plane) -> tuple[float, float, float] | None:
    direction = plane.trait("DiffusionGradientOrientation")
    return direction if isinstance(direction, tuple) and len(direction) == 3 else None


def _mean(values: Sequence[Any]) -> float | None:
    numbers = [number for number in map(number_of, values) if number is not None]
    return round(float(np.mean(numbers)), 6) if len(numbers) == len(values) else None
