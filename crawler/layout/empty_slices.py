"""Segmentations whose empty frames were left out: one volume a segment, in which the slices without a frame are zero.

A segment needs no frame where it is nowhere (PS3.3 C.8.20.2.3; writers leave such frames out): a gap in the positions
of a segment is no missing slice. That holds for segmentations alone. How far apart slices lie is told by the frames of
all segments together, or by the thickness, and must hold for every frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from crawler import geometry
from crawler.geometry import Floats
from crawler.layout.planes import SEGMENTATIONS
from crawler.layout.verdict import join_reasons
from crawler.model import Instance, Layout, Plane

MOST_SLICES = 2**14
"""More are not believed: a step that makes so many of one segment is none."""

RESTORED = "empty slices restored"


class _Grid(NamedTuple):
    """Where the slices of a segmentation may lie: multiples of a step (mm) from a distance along the normal."""

    direction: Floats
    start: float
    step: float


def with_empty_slices(plan: Sequence[Layout], instances: Sequence[Instance]) -> list[Layout]:
    """Join the parts of a segment that only its empty slices keep apart.

    Parameters
    ----------
    plan
        Layouts of a scan, whose instances these are.

    Returns
    -------
    list of Layout
        In the order of the plan, numbered anew where there are fewer. A segment whose positions fit no even grid stays
        as it was.
    """
    groups: dict[object, list[int]] = {}
    for number, layout in enumerate(plan):
        key = _segment(layout, instances)
        groups.setdefault(number if key is None else key, []).append(number)
    grids: dict[int, _Grid | None] = {}
    made: dict[int, Layout] = {}
    for numbers in groups.values():
        parts = [plan[number] for number in numbers]
        joined = parts[0]
        if _segment(parts[0], instances) is not None:
            source = parts[0].placement[0].instance
            if source not in grids:
                grids[source] = _grid(instances[source].planes)
            if len(parts) > 1 or not _fits(parts[0], grids[source]):
                joined = _joined(parts, instances[source], grids[source]) or joined
        if joined is parts[0] and len(parts) > 1:
            made |= dict(zip(numbers, parts, strict=True))
        else:
            made[numbers[0]] = joined
    layouts = [made[number] for number in sorted(made)]
    if len(layouts) == len(plan):
        return layouts
    if len(layouts) == 1:
        return [layouts[0]._replace(name="")]
    return [layout._replace(name=str(number)) for number, layout in enumerate(layouts, start=1)]


def _fits(part: Layout, grid: _Grid | None) -> bool:
    """Whether a layout has a slice at every place of the grid between its first and its last."""
    spacing = part.verdict.spacing
    if grid is None or spacing is None:
        return False
    return part.verdict.regular_volume and abs(spacing - grid.step) <= geometry.line_tolerance(grid.step)


def _segment(layout: Layout, instances: Sequence[Instance]) -> object | None:
    """What the parts of one segment share; None for a layout that is no stack of one segment of one object."""
    places = layout.placement
    if not places or len({place.instance for place in places}) > 1 or len(layout.axes) != 3:
        return None
    instance = instances[places[0].instance]
    if instance.sop_class not in SEGMENTATIONS:
        return None
    told = {_identity(instance.plane(place.frame)) for place in places}
    return (places[0].instance, layout.shape[1:], told.pop()) if len(told) == 1 else None


def _identity(plane: Plane) -> object | None:
    if plane.position is None or plane.orientation is None or plane.spacing is None:
        return None
    return (plane.orientation, plane.spacing, plane.stack, plane.trait("DimensionIndexValues"))


def _grid(planes: Iterable[Plane]) -> _Grid | None:
    """The grid of all frames of an object; None where they fit none."""
    placed = [plane for plane in planes if plane.position is not None and plane.orientation is not None]
    if not placed or len({plane.orientation for plane in placed}) != 1:
        return None
    direction = geometry.normal(placed[0].orientation)
    if direction is None:
        return None
    positions = np.array([plane.position for plane in placed], dtype=np.float64)
    along = geometry.distances(positions, direction)
    across = positions - np.outer(along, direction)
    distinct = np.unique(np.round(along, 6))
    gaps = np.diff(distinct)
    apart = gaps[gaps > geometry.POSITION_TOLERANCE]
    # Positions are printed with few digits: the median of the smallest gaps, and then the ends, tell the step best.
    steps = [float(np.median(apart[apart < 1.5 * apart.min()]))] if len(apart) else []
    steps += [plane.thickness for plane in placed[:1] if plane.thickness is not None and plane.thickness > 0]
    span = float(along.max() - along.min())
    for guess in steps:
        step = span / max(1, round(span / guess)) if span > 0 else guess
        if np.abs(across - across[0]).max() > geometry.line_tolerance(step):
            return None  # a tilted stack: which slice lies where is not told by distances
        places = (along - along.min()) / step
        even = np.abs(places - np.round(places)).max() * step <= geometry.line_tolerance(step)
        if even and places.max() < MOST_SLICES:
            return _Grid(direction, float(along.min()), step)
    return None


def _joined(parts: Sequence[Layout], instance: Instance, grid: _Grid | None) -> Layout | None:
    """One layout of all parts; None where two frames lie at one place, or there is no grid or matrix."""
    if grid is None:
        return None
    places = [place for part in parts for place in part.placement]
    planes = [instance.plane(place.frame) for place in places]
    if any(plane.position is None or plane.orientation is None or plane.spacing is None for plane in planes):
        return None
    positions = np.array([plane.position for plane in planes], dtype=np.float64)
    slots = np.round((geometry.distances(positions, grid.direction) - grid.start) / grid.step).astype(np.int64)
    first, count = int(slots.min()), int(slots.max() - slots.min()) + 1
    if len(set(slots.tolist())) < len(places):
        return None
    plane, order = planes[int(np.argmin(slots))], np.argsort(slots)
    assert plane.orientation is not None
    assert plane.position is not None
    assert plane.spacing is not None
    matrix = geometry.affine(plane.orientation, plane.position, plane.spacing, grid.direction * grid.step)
    if matrix is None:
        return None
    placement = tuple(replace(places[number], index=(int(slots[number]) - first,)) for number in order)
    verdict = parts[0].verdict._replace(
        unique_positions=True,
        uniform_spacing=True,
        spacing=grid.step,
        largest_gap=grid.step,
        missing_positions=0,
        duplicate_positions=0,
        tilt_degrees=0.0,
        regular_volume=count > 1,
        policy="",
        reason=join_reasons("", RESTORED) if count > len(places) else "",
    )
    return Layout(
        parts[0].name,
        (count, *parts[0].shape[1:]),
        parts[0].axes,
        placement,
        tuple(tuple(float(number) for number in row) for row in matrix),
        verdict,
    )
