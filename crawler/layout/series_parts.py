"""Several volumes in one series without a repeated position: contrasts side by side, and acquisitions that interleave.

Only splits; repeated positions are for `repeats.py`.
"""

from __future__ import annotations

import numpy as np

from crawler import geometry
from crawler.geometry import Floats, Integers
from crawler.layout.columns import BY_ORDER, Columns, joined, nearly_equal, trait_codes, trait_columns
from crawler.layout.planes import PlaneSet
from crawler.layout.repeats import Separation, separation_of, together

CONTRASTS = ("EchoTime", "DiffusionBValue", "KVP", "ConvolutionKernel")
"""Differ in two volumes, and never within one."""
VARYING = ("InversionTime", "TemporalPositionIdentifier")
"""Differ in two volumes; where they differ from plane to plane they may do so within one."""
COUNTED = 4
"""Planes, from which on a value of its own for each is taken for a count of planes."""

OVERLAP = 1.5
"""Slices are thicker than their distance by this factor, and those of each acquisition are not: two acquisitions that
happen to lie evenly between each other, as of a table that was moved in between."""

THICKNESS = "SliceThickness"
"""Thin and thick slices of one series are two reconstructions, if each are evenly spaced."""
ACQUISITIONS = ("AcquisitionNumber", "TemporalPositionIdentifier", "ImageType", "AcquisitionTime")


def part_of_series(
    of: PlaneSet,
    positions: Floats,
    direction: Floats,
    share: float = geometry.SHARE,
) -> Separation:
    """Split planes at distinct positions where one stack would mix what does not belong together.

    Planes of two contrasts are never one volume. A single plane that does not tell its contrast splits nothing. Planes
    that are not evenly spaced are split by acquisition, when each acquisition, of two planes or more, is.

    Parameters
    ----------
    of, positions
        The n planes, no two in one slot, and their positions, shape (n, 3), mm.
    direction
        The slice normal.
    share
        `volume.tolerance`.
    """
    contrast: Columns = {}
    for name in (*CONTRASTS, *VARYING):
        values = [plane.trait(name) for plane in of.planes]
        codes = trait_codes(values) if name == "ConvolutionKernel" else nearly_equal(values)
        sizes = np.bincount(codes)
        lost = min(sizes) == 1 and values[int(np.flatnonzero(codes == sizes.argmin())[0])] is None
        counts = len(sizes) == len(values) >= COUNTED
        told = name in CONTRASTS or (name == "TemporalPositionIdentifier" and not counts)
        if len(sizes) > 1 and (min(sizes) > 1 or (told and not lost)):
            contrast[name] = codes
    if contrast:
        return separation_of(_needed(contrast))
    thickness = nearly_equal([plane.thickness for plane in of.planes])
    uniform = len(of.slots) < 3 or geometry.is_uniform(positions[np.argsort(of.slots)], direction, share)
    if uniform and thickness.max() == 0 and (found := _overlapping(of, positions, direction, share)):
        return found
    if uniform and (thickness.max() == 0 or not _interleaved(thickness, of.slots)):
        return together(len(of.slots))
    columns = {THICKNESS: thickness} if thickness.max() else {}
    if not uniform:
        columns |= {name: codes for name, codes in trait_columns(of.planes).items() if name in ACQUISITIONS}
    for name in (name for name in (THICKNESS, *ACQUISITIONS) if name in columns):
        separation = separation_of({name: columns[name]})
        parts = [positions[group[np.argsort(of.slots[group])]] for group in separation.groups]
        if all(_is_even(part, direction, share) for part in parts):
            return separation
    return together(len(of.slots))


def _overlapping(of: PlaneSet, positions: Floats, direction: Floats, share: float) -> Separation | None:
    """Acquisitions, by their numbers or by those of the instances, whose slices overlap only those of another one.

    Instances that are numbered along the stack are one acquisition, whichever slices were acquired first.
    """
    thickness, count = of.planes[0].thickness, len(of.slots)
    if thickness is None or count < 4:
        return None
    step = float(geometry.mean_step(positions[np.argsort(of.slots)]) @ direction)
    if step * OVERLAP >= thickness:
        return None
    columns = {name: codes for name, codes in trait_columns(of.planes).items() if name == "AcquisitionNumber"}
    turns = round(thickness / step)
    if (
        count % turns == 0 and len(np.unique(of.numbers[np.isfinite(of.numbers)])) == count
    ):  # one acquisition after the other
        columns[BY_ORDER] = np.empty_like(of.slots)
        columns[BY_ORDER][np.argsort(of.numbers)] = np.repeat(np.arange(turns), count // turns)
    for name, codes in columns.items():
        separation = separation_of({name: codes})
        parts = [positions[group[np.argsort(of.slots[group])]] for group in separation.groups]
        if all(_is_even(part, direction, share) for part in parts):
            apart = min(float(geometry.mean_step(part) @ direction) for part in parts)
            if thickness <= apart * (1 + share):
                return separation
    return None


def _interleaved(codes: Integers, slots: Integers) -> bool:
    """Whether planes of one code lie between planes of another on both sides, more often than a change of code does."""
    ordered = codes[np.argsort(slots)]
    return int(np.count_nonzero(np.diff(ordered))) > int(codes.max())


def _needed(columns: Columns) -> Columns:
    """Columns without those that make no more groups than the ones before them."""
    found: Columns = {}
    for name, codes in columns.items():
        if not found or joined([*found.values(), codes]).max() > joined(list(found.values())).max():
            found[name] = codes
    return found


def _is_even(positions: Floats, direction: Floats, share: float) -> bool:
    return len(positions) > 1 and geometry.is_uniform(positions, direction, share)
