"""Repeated positions: telling the planes apart that lie at one place (echoes, time points, b-values).

Returns groups in which every position occurs once; what becomes of the groups is for `layout.py`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any

import numpy as np

from crawler.geometry import Integers
from crawler.model import TRAITS, Plane

TraitKey = tuple[int, float, str]

MAX_FLOAT = sys.float_info.max


@dataclass(frozen=True, eq=False, slots=True)
class Separation:
    """Planes told apart.

    Attributes
    ----------
    groups
        Indices of planes; every position once in each; in order of the trait's value or of the repetition.
    traits
        The traits that did it; empty when the order of acquisition had to.
    """

    groups: tuple[Integers, ...]
    traits: tuple[str, ...]


def separate(slots: Integers, planes: Sequence[Plane], sequence: Integers) -> Separation:
    """Split planes so that no group holds a position twice.

    A trait, else a pair of traits (in the order of `TRAITS`), does it when it leaves no position twice in a
    group and makes as few groups as there can be: as many as the most repeated position has planes. When all
    positions are equally often there, the groups then hold equal positions. Second best is a trait that makes more
    groups of at least two planes. A trait that differs in every plane, as a time of acquisition does, is a
    clock and no dimension.

    Parameters
    ----------
    slots
        Shape (n,): position number of each plane.
    planes
        The n planes.
    sequence
        Shape (n,): rank of each plane in the order of acquisition; the k-th repetition is counted along it when
        no trait helps.
    """
    if len(np.unique(slots)) == len(slots):
        return Separation((np.arange(len(slots)),), ())
    fewest = int(np.bincount(slots).max())
    columns = {
        name: codes
        for number, name in enumerate(TRAITS)
        if (codes := trait_codes([plane.traits[number] for plane in planes])).max() > 0
    }
    spare: Separation | None = None
    for names in chain(combinations(columns, 1), combinations(columns, 2)):
        codes = _joined([columns[name] for name in names])
        sizes = np.bincount(codes)
        enough = len(sizes) == fewest or (spare is None and len(sizes) > fewest and sizes.min() > 1)
        if not enough or len(np.unique(codes * (slots.max() + 1) + slots)) < len(slots):
            continue
        separation = Separation(_groups(codes), names)
        if len(sizes) == fewest:
            return separation
        spare = separation
    return spare or Separation(_groups(repetitions(slots, sequence)), ())


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
        return (1, number, "") if math.isfinite(number) else (2, 0.0, str(number))
    return (2, 0.0, repr(value))


def _joined(columns: Sequence[Integers]) -> Integers:
    """One code a combination of codes, in lexicographic order."""
    codes = columns[0]
    for column in columns[1:]:
        codes = codes * (int(column.max()) + 1) + column
    return np.unique(codes, return_inverse=True)[1].reshape(-1)


def _groups(codes: Integers) -> tuple[Integers, ...]:
    """Indices of each code, from 0."""
    order = np.argsort(codes, kind="stable")
    return tuple(np.split(order, np.flatnonzero(np.diff(codes[order])) + 1))
