"""Repeated positions: the planes at one place are told apart (echoes, time points, b-values).

Returns groups in which every position occurs once, and the codes that name each group; which groups become the steps
of one array is for `axes.py`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from crawler.geometry import Integers
from crawler.model import TRAITS, Plane

TraitKey = tuple[int, float, str]
Columns = dict[str, Integers]
"""Trait -> code of each plane, in increasing order of its values, from 0; traits without differences are left out."""

BY_ORDER = ""
"""Stands among traits for the repetition in the order of acquisition."""
CUSTOM = "custom"
"""Stands among traits for the element that `volume.order` names (`Plane.custom`)."""

MAX_FLOAT = sys.float_info.max
DIGITS = 6
"""Significant digits in which a trait's number counts: more than a DS of an echo time carries, fewer than a float32."""
DIRECTION_DECIMALS = 3
"""Decimals in which directions of gradients count; the finest schemes lie some degrees apart (0.05)."""

DIFFUSION = ("DiffusionBValue", "DiffusionGradientOrientation")
# What makes another image of one place, as against a later one.
CONTRASTS = ("EchoTime", "EchoNumbers", "InversionTime", "FlipAngle", "ImageType")
# Run on from plane to plane: only their order at one position means something.
CLOCKS = ("TriggerTime", "FrameReferenceTime")
TIMES = ("TemporalPositionIdentifier", *CLOCKS, "AcquisitionNumber", "AcquisitionTime")


@dataclass(frozen=True, eq=False, slots=True)
class Separation:
    """Planes told apart.

    Attributes
    ----------
    groups
        Indices of planes; every position at most once in each; in order of `codes`.
    traits
        What did it: names of `TRAITS`, `CUSTOM`, `BY_ORDER`; empty when no position is repeated.
    codes
        Shape (groups, traits): where the groups lie, in increasing order of each trait.
    """

    groups: tuple[Integers, ...]
    traits: tuple[str, ...]
    codes: npt.NDArray[np.intp]


def separate(slots: Integers, planes: Sequence[Plane], sequence: Integers, order: str = "auto") -> Separation:
    """Split planes so that no group holds a position twice.

    Tried in this order, and each only where the others fail:

    1. b-value and direction of the gradient, in the order of acquisition.
    2. One, two or three traits that make as few groups as can be: as many as the most repeated position has planes.
    3. Where all positions are equally often there: traits that make equal shares, and within these the order of a clock
       or of acquisition.
    4. Traits that make more groups, of at least two planes. One that differs in every plane is a clock and no
       dimension.
    5. The order of acquisition.

    Parameters
    ----------
    slots
        Shape (n,): position number of each plane, from 0 without gaps.
    planes
        The n planes.
    sequence
        Shape (n,): rank of each plane in the order of acquisition.
    order
        `volume.order`: its traits are tried before others.
    """
    if len(np.unique(slots)) == len(slots):
        return together(len(slots))
    columns = trait_columns(planes, order)
    counts = np.bincount(slots)
    if order in ("auto", "none", "b") and (found := _by_diffusion(columns, slots, sequence)):
        return found
    if found := _by_traits(columns, slots, int(counts.max())):
        return found
    if counts.min() == counts.max() and (found := _by_shares(columns, slots, sequence)):
        return found
    if found := _by_more(columns, slots, int(counts.max())):
        return found
    return separation_of({BY_ORDER: repetitions(slots, sequence)})


def together(count: int) -> Separation:
    """All planes in one group."""
    return Separation((np.arange(count),), (), np.zeros((1, 0), dtype=np.intp))


def separation_of(chosen: Columns) -> Separation:
    """Groups of planes with equal codes, in lexicographic order."""
    columns = np.stack(list(chosen.values()), axis=1)
    joined = _joined(list(chosen.values()))
    order = np.argsort(joined, kind="stable")
    groups = tuple(np.split(order, np.flatnonzero(np.diff(joined[order])) + 1))
    return Separation(groups, tuple(chosen), np.stack([columns[group[0]] for group in groups]))


def trait_columns(planes: Sequence[Plane], order: str = "auto") -> Columns:
    """Code the traits that differ; those of the axis `order` come first. A direction is part of its b-value."""
    traits = zip(*(plane.traits for plane in planes), strict=True)
    values: dict[str, Sequence[Any]] = dict(zip(TRAITS, traits, strict=True))
    b_values, directions = (values.pop(name) for name in DIFFUSION)
    if any(value != b_values[0] for value in b_values) or any(value != directions[0] for value in directions):
        values["DiffusionBValue"] = [(b, _rounded(to)) for b, to in zip(b_values, directions, strict=True)]
    if any(plane.custom is not None for plane in planes):
        values = {CUSTOM: [plane.custom for plane in planes], **values}
    wanted = [name for name in values if AXIS_OF.get(name) == order or name == CUSTOM]
    columns = {}
    for name in (*wanted, *(name for name in (*TRAITS, CUSTOM) if name in values and name not in wanted)):
        column = values[name]
        if any(value != column[0] for value in column):
            codes = trait_codes(column)
            if codes.max() > 0:
                columns[name] = codes
    return columns


AXIS_OF = {
    "EchoTime": "te",
    "EchoNumbers": "echo",
    "InversionTime": "ti",
    "FlipAngle": "fa",
    "DiffusionBValue": "b",
    "NominalPercentageOfCardiacPhase": "phase",
    "TriggerTime": "trigger_time",
    "TemporalPositionIdentifier": "time",
    "FrameReferenceTime": "time",
    "AcquisitionNumber": "time",
    "AcquisitionTime": "time",
    BY_ORDER: "time",
}
"""The axis that a trait runs along. *Image Type* and other *Dimension Index Values* run along none: they split."""


def repetitions(slots: Integers, sequence: Integers) -> Integers:
    """Count, for each plane, the planes at its position that come before it in `sequence`."""
    order = np.lexsort((sequence, slots))
    ordered = slots[order]
    counts = np.empty(len(slots), dtype=np.intp)
    counts[order] = np.arange(len(slots)) - np.searchsorted(ordered, ordered)
    return counts


def trait_codes(values: Sequence[Any]) -> Integers:
    """Number the values of a trait in increasing order, from 0; equal numbers are equal, whatever their type."""
    keys = [trait_key(value) for value in values]
    numbers = {key: number for number, key in enumerate(sorted(set(keys)))}
    return np.array([numbers[key] for key in keys], dtype=np.intp)


def trait_key(value: Any) -> TraitKey:
    """Make any JSON value sortable among others: absent, then numbers, then the rest by their text."""
    if value is None:
        return (0, 0.0, "")
    if isinstance(value, int) and abs(value) > MAX_FLOAT:
        return (2, 0.0, hex(value))  # str refuses very long integers
    if isinstance(value, int | float):
        number = float(value)
        return (1, float(f"{number:.{DIGITS}g}"), "") if math.isfinite(number) else (2, 0.0, str(number))
    if isinstance(value, tuple) and value and isinstance(value[0], int | float):  # a b-value before its direction
        return (1, trait_key(value[0])[1], repr(value[1:]))
    return (2, 0.0, repr(value))


def number_of(value: Any) -> float | None:
    """A trait as a finite number, if it is one."""
    key = trait_key(value)
    return float(value) if key[0] == 1 and not isinstance(value, tuple) else None


def _rounded(direction: Any) -> Any:
    if not isinstance(direction, tuple) or not all(isinstance(cosine, int | float) for cosine in direction):
        return direction
    return tuple(round(float(cosine), DIRECTION_DECIMALS) + 0.0 for cosine in direction)


def _by_diffusion(columns: Columns, slots: Integers, sequence: Integers) -> Separation | None:
    """Volumes of a diffusion series in the order of acquisition, repeated ones among them."""
    weighting = columns.get("DiffusionBValue")
    if weighting is None or any(name in columns for name in (*CONTRASTS, CUSTOM)):
        return None
    for first in (np.zeros_like(weighting), weighting):  # a series that is sorted by b-value, slice by slice
        ranks = np.empty_like(slots)
        ranks[np.lexsort((sequence, first))] = np.arange(len(slots))
        volume = repetitions(slots, ranks)
        if len(np.unique(_joined([volume, weighting]))) == volume.max() + 1:
            return separation_of({"DiffusionBValue": volume})
    return None


def _by_traits(columns: Columns, slots: Integers, fewest: int) -> Separation | None:
    """As few groups as can be."""
    able = {name: codes for name, codes in columns.items() if codes.max() < fewest}
    for chosen in _choices(able, 1, 3):
        codes = _joined(list(chosen.values()))
        if codes.max() + 1 == fewest and _apart(codes, slots):
            return separation_of(chosen)
    return None


def _by_shares(columns: Columns, slots: Integers, sequence: Integers) -> Separation | None:
    """Equal shares by traits, and in each the order of a clock or of acquisition."""
    able = {name: codes for name, codes in columns.items() if name not in TIMES}
    best: dict[str, Integers] | None = None
    shares = 0
    for chosen in _choices(able, 0, 2):
        codes = _joined(list(chosen.values())) if chosen else np.zeros_like(slots)
        found = int(codes.max()) + 1
        counts = np.bincount(codes * (int(slots.max()) + 1) + slots, minlength=found * (int(slots.max()) + 1))
        if found > shares and counts.min() == counts.max() > 1:
            best, shares = chosen, found
    if best is None:
        return None
    cells = _joined([*best.values(), slots])
    for name in CLOCKS:
        if name in columns and _apart(columns[name], cells):
            return separation_of({**best, name: repetitions(cells, columns[name])})
    return separation_of({**best, BY_ORDER: repetitions(cells, sequence)})


def _by_more(columns: Columns, slots: Integers, fewest: int) -> Separation | None:
    """More groups than need be, of two planes at least."""
    for chosen in _choices(columns, 1, 2):
        codes = _joined(list(chosen.values()))
        sizes = np.bincount(codes)
        if len(sizes) > fewest and sizes.min() > 1 and _apart(codes, slots):
            return separation_of(chosen)
    return None


def _choices(columns: Columns, fewest: int, most: int) -> Iterator[Columns]:
    """Some of the columns at a time, few before many, in their order."""
    sizes = range(fewest, min(most, len(columns)) + 1)
    for names in chain.from_iterable(combinations(columns, size) for size in sizes):
        yield {name: columns[name] for name in names}


def _apart(codes: Integers, slots: Integers) -> bool:
    """Whether no two planes share code and slot."""
    return len(np.unique(codes * (int(slots.max()) + 1) + slots)) == len(slots)


def _joined(columns: Sequence[Integers]) -> Integers:
    """One code a combination of codes, in lexicographic order."""
    codes = columns[0]
    for column in columns[1:]:
        codes = np.unique(codes * (int(column.max()) + 1) + column, return_inverse=True)[1].reshape(-1)
    return codes
