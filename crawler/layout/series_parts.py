"""Several volumes in one series without a repeated position: contrasts side by side, and acquisitions that interleave.

Only splits; repeated positions are for `repeats.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crawler import geometry
from crawler.geometry import Floats, Integers
from crawler.layout.repeats import Separation, number_of, separation_of, together, trait_columns
from crawler.model import Plane

CONTRASTS = ("EchoTime", "InversionTime", "DiffusionBValue")
CONTRAST_SHARE = 1e-2
"""Numbers of a contrast that differ by less than this share are one: scanners adjust an echo time by microseconds from
slice to slice (0.1 %), and two echoes lie a millisecond or more apart."""

ACQUISITIONS = ("AcquisitionNumber", "TemporalPositionIdentifier", "ImageType", "AcquisitionTime")


def part_of_series(slots: Integers, planes: Sequence[Plane], positions: Floats, direction: Floats) -> Separation:
    """Split planes at distinct positions where one stack would mix what does not belong together.

    Planes of two contrasts are never one volume, when each has two planes or more. Planes that are not evenly spaced
    are split by acquisition, when each acquisition, of two planes or more, is.

    Parameters
    ----------
    slots
        Shape (n,): position number of each plane; no two are equal.
    planes, positions
        The n planes, and their positions, shape (n, 3), mm.
    direction
        The slice normal.
    """
    contrast = {name: codes for name in CONTRASTS if (codes := _contrast(planes, name)).max() > 0}
    if contrast:
        separation = separation_of(contrast)
        if min(map(len, separation.groups)) > 1:
            return separation
    ordered = np.argsort(slots)
    if len(slots) > 2 and not geometry.is_uniform(positions[ordered], direction):
        columns = trait_columns(planes)
        for name in (name for name in ACQUISITIONS if name in columns):
            separation = separation_of({name: columns[name]})
            if all(_is_even(group[np.argsort(slots[group])], positions, direction) for group in separation.groups):
                return separation
    return together(len(slots))


def _is_even(ordered: Integers, positions: Floats, direction: Floats) -> bool:
    return len(ordered) > 1 and geometry.is_uniform(positions[ordered], direction)


def _contrast(planes: Sequence[Plane], name: str) -> Integers:
    """Code of each plane: numbers that are nearly equal share one, and so do all planes without a number."""
    values = [number_of(plane.trait(name)) for plane in planes]
    numbers = np.array([-1.0 if value is None else value for value in values], dtype=np.float64)
    distinct, inverse = np.unique(numbers, return_inverse=True)
    steps = np.diff(distinct) > CONTRAST_SHARE * np.abs(distinct[1:])
    return np.asarray(np.concatenate([[0], np.cumsum(steps)])[inverse.reshape(-1)], dtype=np.intp)
