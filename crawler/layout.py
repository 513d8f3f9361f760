"""Layouts: which frame of a scan lands where, in arrays of how many shapes, and whether geometry holds.

Headers alone decide; no pixel is read, nothing is written, nothing is raised: what cannot be stacked gets a layout of
its own, and what was found is in the verdict. A matrix is given only where the positions make it true.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from operator import attrgetter

import numpy as np

from crawler import geometry
from crawler.geometry import Floats, Integers
from crawler.model import Affine, Layout, Pixels, Place, Plane, Scan, Verdict
from crawler.placing.planes import OWN_KIND, Planes, image, planes_of
from crawler.placing.repeats import Separation, separate
from crawler.placing.verdict import (
    ASSUMED_STEP,
    BY_ORDER,
    MISSING,
    NO_GEOMETRY,
    NO_SPACING,
    OFF_LINE,
    REPEATED,
    SHARED_PLANE,
    THICKNESS_STEP,
    TILTED,
    UNEQUAL,
    UNEVEN,
    UNTOLD,
    join_reasons,
    scan_verdict,
)

__all__ = ["layouts", "scan_verdict"]


@dataclass(frozen=True, slots=True)
class _Draft:
    """A layout before it is named, and its place in the order of layouts: first file, frame, group, run."""

    order: tuple[int, ...]
    layout: Layout


def layouts(scan: Scan, irregular: str = "split") -> list[Layout]:
    """Place the frames of a scan.

    Planes share an array when they agree in size, samples, photometric interpretation, type of stored values, frame of
    reference, orientation and pixel spacing. Repeated positions go to arrays of their own (`repeats.py`). Slices
    are in order of their distance along the slice normal, row x column direction cosines.

    Parameters
    ----------
    scan
        Instances in any order; those without an image, or with a number of frames beyond belief, are in no layout.
    irregular
        What becomes of slices that are not evenly spaced along a line: "split" into runs that are, "keep" in one array
        without affine, or "refuse".

    Returns
    -------
    list of Layout
        In order of their first files, named "" when there is one, else "1", "2", ... The order of the instances
        changes nothing but the indices in `Place.instance`.
    """
    with np.errstate(all="ignore"):  # headers may hold any numbers; results are checked, not trusted
        planes = planes_of(scan.instances)
        common = Verdict(
            single_orientation=planes.single_orientation,
            consistent_size=_consistent_size(scan),
        )
        drafts = list(_loose(scan, planes, common))
        for members in _groups(planes):
            drafts.extend(_Group(scan, planes, members, common, irregular).drafts())
    drafts.sort(key=attrgetter("order"))
    if len(drafts) == 1:
        return [drafts[0].layout]
    return [replace(draft.layout, name=str(number)) for number, draft in enumerate(drafts, start=1)]


def _groups(planes: Planes) -> Iterator[Integers]:
    """Indices of the planes of each kind, in order of files and frames."""
    order = np.argsort(planes.kind, kind="stable")
    if len(order):
        yield from np.split(order, np.flatnonzero(np.diff(planes.kind[order])) + 1)


@dataclass(frozen=True, eq=False, slots=True)
class _Group:
    """Planes of one kind: candidates for one volume."""

    scan: Scan
    planes: Planes
    members: Integers
    common: Verdict
    irregular: str

    def drafts(self) -> Iterator[_Draft]:
        """Separate repeated positions, then stack each group."""
        orientation = self.planes.orientation[self.members[0]]
        direction = geometry.normal(orientation)
        if direction is None:  # planes_of lets no such orientation pass
            return
        along = geometry.distances(self.planes.position[self.members], direction)
        slots = geometry.slots(along)
        repeated = len(slots) - int(slots.max()) - 1
        common = replace(
            self.common,
            obliquity_degrees=geometry.obliquity(direction),
            unique_positions=repeated == 0,
            duplicate_positions=repeated,
        )
        separation = separate(slots, self._planes(), self._sequence())
        if repeated and not separation.traits and self._own_kind():
            # Segments or quantities: counting repetitions would mix them.
            yield self._unstacked(common)
            return
        common = replace(common, reason=_repetition(slots, separation) if repeated else "")
        for number, group in enumerate(separation.groups):
            ordered = self.members[group[np.argsort(slots[group])]]
            yield from self._stack(ordered, direction, common, number)

    def _stack(self, ordered: Integers, direction: Floats, common: Verdict, number: int) -> Iterator[_Draft]:
        """Make layouts of planes whose positions are unique and in order.

        The place for a fourth axis: the groups of one separation that have equal positions.
        """
        positions = self.planes.position[ordered]
        if len(ordered) == 1:
            yield self._draft(ordered, direction, replace(common, missing_positions=0), (number, 0))
            return
        gaps = np.diff(geometry.distances(positions, direction))
        uniform = geometry.is_uniform(positions, direction)
        step = geometry.mean_step(positions)
        common = replace(
            common,
            uniform_spacing=uniform,
            spacing=float(gaps.mean()) if uniform else geometry.typical_gap(gaps),
            largest_gap=float(gaps.max()),
            missing_positions=0 if uniform else geometry.missing_positions(gaps),
            tilt_degrees=geometry.tilt(direction, step),
        )
        if uniform:
            yield self._draft(ordered, direction, common, (number, 0))
            return
        common = replace(common, reason=join_reasons(common.reason, _irregularity(gaps, common)))
        if self.irregular in ("keep", "refuse"):
            common = replace(common, policy=self.irregular)
            refused = common.reason if self.irregular == "refuse" else ""
            yield self._layout(ordered, None, common, (number, 0), refused)
            return
        common = replace(common, policy="split")
        for run, (start, stop) in enumerate(geometry.runs(positions, direction)):
            yield self._draft(ordered[start:stop], direction, common, (number, run))

    def _draft(self, ordered: Integers, direction: Floats, verdict: Verdict, order: tuple[int, int]) -> _Draft:
        """One even line of planes, or a single one, with its affine."""
        positions = self.planes.position[ordered]
        if len(ordered) > 1:
            step = geometry.mean_step(positions)
            reason = TILTED if geometry.is_tilted(direction, positions) else ""
            verdict = replace(
                verdict,
                spacing=float(step @ direction),
                tilt_degrees=geometry.tilt(direction, step),
            )
        else:
            thickness = self._plane(ordered[0]).thickness
            thick = thickness is not None and 0 < thickness < geometry.COORDINATE_LIMIT
            step = direction * (thickness if thickness is not None and thick else 1.0)
            reason = THICKNESS_STEP if thick else ASSUMED_STEP
            verdict = replace(verdict, spacing=None, tilt_degrees=None)
        spacing = self.planes.spacing[ordered[0]]
        matrix = geometry.affine(self.planes.orientation[ordered[0]], positions[0], spacing, step)
        verdict = replace(
            verdict,
            regular_volume=matrix is not None and len(ordered) > 1,
            reason=join_reasons(verdict.reason, reason if matrix is not None else NO_SPACING),
        )
        return self._layout(ordered, matrix, verdict, order)

    def _layout(
        self, ordered: Integers, matrix: Floats | None, verdict: Verdict, order: tuple[int, int], refused: str = ""
    ) -> _Draft:
        instances = self.planes.instance[ordered].tolist()
        frames = self.planes.frame[ordered].tolist()
        placement = tuple(
            Place(instance, frame, (index,))
            for index, (instance, frame) in enumerate(zip(instances, frames, strict=True))
        )
        affine: Affine | None = None if matrix is None else tuple(map(tuple, matrix.tolist()))
        layout = _array(self._pixels(), "slice", placement, affine, verdict, refused)
        return _Draft((*self._first(), *order), layout)

    def _unstacked(self, verdict: Verdict) -> _Draft:
        """All frames in their order in the files, without an affine."""
        placement = tuple(
            Place(int(self.planes.instance[member]), int(self.planes.frame[member]), (index,))
            for index, member in enumerate(self.members)
        )
        layout = _array(self._pixels(), "frame", placement, None, replace(verdict, reason=UNTOLD))
        return _Draft((*self._first(), 0, 0), layout)

    def _first(self) -> tuple[int, int]:
        """Rank of the group's first file, and its frame there."""
        first = self.members[0]
        return int(self.planes.rank[self.planes.instance[first]]), int(self.planes.frame[first])

    def _plane(self, member: int) -> Plane:
        instance = self.scan.instances[int(self.planes.instance[member])]
        return instance.plane(int(self.planes.frame[member]))

    def _planes(self) -> list[Plane]:
        instances, planes = self.scan.instances, self.planes
        places = zip(planes.instance[self.members].tolist(), planes.frame[self.members].tolist(), strict=True)
        return [instances[instance].plane(frame) for instance, frame in places]

    def _sequence(self) -> Integers:
        """Rank of each plane by (0020,0013) *Instance Number*, then file name, then frame."""
        numbers = [self.scan.instances[index].instance_number for index in self.planes.instance[self.members].tolist()]
        # Members are in order of file names and frames, which a stable sort keeps; numbers may exceed an int64.
        order = sorted(range(len(numbers)), key=lambda index: _number_key(numbers[index]))
        ranks = np.empty(len(order), dtype=np.intp)
        ranks[order] = np.arange(len(order))
        return ranks

    def _pixels(self) -> Pixels:
        return self.scan.instances[self.planes.instance[self.members[0]]].pixels or Pixels()

    def _own_kind(self) -> bool:
        return self.scan.instances[self.planes.instance[self.members[0]]].sop_class in OWN_KIND


def _loose(scan: Scan, planes: Planes, common: Verdict) -> Iterator[_Draft]:
    """One layout a file for the frames without geometry of their own."""
    for index, frames in planes.loose:
        instance = scan.instances[index]
        shared = len(frames) > 1 and len(instance.planes) == 1
        placement = tuple(Place(index, frame, (place,)) for place, frame in enumerate(frames))
        verdict = replace(common, reason=SHARED_PLANE if shared else NO_GEOMETRY)
        axis = "frame" if len(frames) > 1 else "slice"
        layout = _array(instance.pixels or Pixels(), axis, placement, None, verdict)
        yield _Draft((int(planes.rank[index]), frames[0], 0, 0), layout)


def _array(
    pixels: Pixels,
    axis: str,
    placement: tuple[Place, ...],
    affine: Affine | None,
    verdict: Verdict,
    refused: str = "",
) -> Layout:
    """A layout of planes along one axis."""
    colour = pixels.samples > 1
    return Layout(
        name="",
        shape=(len(placement), pixels.rows, pixels.columns, *((pixels.samples,) if colour else ())),
        axes=(axis, "row", "column", *(("sample",) if colour else ())),
        placement=placement,
        affine=affine,
        verdict=verdict,
        refused=refused,
    )


def _consistent_size(scan: Scan) -> bool | None:
    """All images of the scan have one size; None without images."""
    sizes = {(pixels.rows, pixels.columns) for instance in scan.instances if (pixels := image(instance))}
    return len(sizes) == 1 if sizes else None


def _repetition(slots: Integers, separation: Separation) -> str:
    """How repeated positions were told apart, and whether that is in doubt."""
    told = REPEATED + (" and ".join(separation.traits) or BY_ORDER)
    counts = np.bincount(slots)
    return join_reasons(told, UNEQUAL if counts.min() != counts.max() else "")


def _irregularity(gaps: Floats, verdict: Verdict) -> str:
    """Why an ordered stack is not one even line."""
    if np.abs(gaps - gaps.mean()).max() <= geometry.gap_tolerance(float(gaps.mean())):
        return OFF_LINE
    return join_reasons(UNEVEN, MISSING if verdict.missing_positions else "")


def _number_key(number: int | None) -> tuple[bool, int]:
    """Sort key of an instance number: absent ones last."""
    return (number is None, number or 0)
