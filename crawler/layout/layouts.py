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
from crawler.dicom.dictionary import KeyStyle
from crawler.geometry import Floats, Integers
from crawler.layout.axes import Stack, stacks
from crawler.layout.columns import BY_ORDER, Records
from crawler.layout.draft import Draft, array_of
from crawler.layout.planes import RESULT_CLASSES, Planes, image, plane_set, planes_of
from crawler.layout.repeats import Separation, separate
from crawler.layout.series_parts import THICKNESS, part_of_series
from crawler.layout.unplaced import unplaced
from crawler.layout.verdict import (
    ASSUMED_STEP,
    COUNTED,
    IN_DOUBT,
    IN_ORDER,
    INCOMPLETE,
    MISSING,
    NO_SPACING,
    NOT_TOLD,
    OFF_LINE,
    ONE_POSITION,
    ONE_REFERENCE,
    PARTS,
    REPEATED,
    THICKNESS_STEP,
    TILTED,
    UNEQUAL,
    UNEVEN,
    UNTOLD,
    VOLUME_SPACE,
    join_reasons,
    scan_verdict,
)
from crawler.model import Affine, Layout, Pixels, Place, Plane, Scan, Verdict

OWN_STEP = 4
"""Planes of a stack whose step is a multiple of that of the series, from which on chance will not have made it: thick
slices beside thin ones."""

__all__ = ["layouts", "scan_verdict"]


def layouts(
    scan: Scan,
    irregular: str = "split",
    order: str = "auto",
    tolerance: float = geometry.SHARE,
    keys: KeyStyle = "keyword",
    records: Records | None = None,
) -> list[Layout]:
    """Place the frames of a scan.

    Planes share an array when they agree in size, samples, photometric interpretation, type of stored values, frame of
    reference, stack, component (magnitude, phase, a derived map ...), orientation and pixel spacing. Slices are in
    order of their distance along the slice normal, row x column direction cosines. Repeated positions that repeat
    regularly become further axes (`axes.py`), others go to arrays of their own.

    Parameters
    ----------
    scan
        Instances in any order; those without an image, or with a number of frames beyond belief, are in no layout.
    irregular
        What becomes of slices that are not evenly spaced along a line: "split" into runs that are, "keep" in one array
        without affine, or "refuse".
    order
        The axis beside the slices: "auto" for every one that is found, "none" for none, or one of them, by its name
        ("time", "b", "te" ...) or by the keyword that `Plane.custom` holds; others then split.
    tolerance
        `volume.tolerance`: how far a slice may lie from its even place, as a share of the spacing.
    keys
        Style of the records' keys.
    records
        Give the whole record of an instance by its number; None for that which instances have.

    Returns
    -------
    list of Layout
        In order of their first files, named "" when there is one, else "1", "2", ... The order of the instances
        changes nothing but the indices in `Place.instance`.
    """
    with np.errstate(all="ignore"):  # headers may hold any numbers; results are checked, not trusted
        planes = planes_of(scan.instances, tolerance / geometry.SHARE, keys)
        common = Verdict(
            single_orientation=planes.single_orientation,
            consistent_size=_consistent_size(scan),
            reason=ONE_REFERENCE if planes.references_ignored else "",
        )
        drafts = list(unplaced(scan, planes, common, keys, records))
        for members in _groups(planes):
            drafts.extend(_Group(scan, planes, members, common, irregular, order, tolerance, keys, records).drafts())
    drafts.sort(key=attrgetter("order"))
    if len(drafts) == 1:
        return [drafts[0].layout]
    return [draft.layout._replace(name=str(number)) for number, draft in enumerate(drafts, start=1)]


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
    order: str
    tolerance: float
    keys: KeyStyle
    records: Records | None

    def drafts(self) -> Iterator[Draft]:
        """Tell repeated positions apart, join what repeats regularly, and give each stack its geometry."""
        orientation = self._orientation(self.members)
        direction = geometry.normal(orientation)
        if direction is None:  # planes_of lets no such orientation pass
            return
        along = geometry.distances(self.planes.position[self.members], direction)
        slots = geometry.slots(along, self._scale(), self.tolerance)
        repeated = len(slots) - int(slots.max()) - 1
        common = self.common._replace(
            obliquity_degrees=geometry.obliquity(direction),
            unique_positions=repeated == 0,
            duplicate_positions=repeated,
        )
        of = plane_set(self.scan.instances, self.planes, self.members, slots, self.records, self.keys)
        positions = self.planes.position[self.members]
        if repeated:
            separation = separate(of, self.order, self.keys)
            common = common._replace(reason=join_reasons(common.reason, _repetition(slots, separation)))
        else:
            separation = part_of_series(of, positions, direction, self.tolerance)
            told = PARTS + " and ".join(trait or IN_ORDER for trait in separation.traits) if separation.traits else ""
            common = common._replace(reason=join_reasons(common.reason, told))
        if separation.traits == (BY_ORDER,) and (self._is_result() or slots.max() == 0):
            # Segments or quantities, which counting repetitions would mix; or a scan whose positions say nothing.
            reason = UNTOLD if self._is_result() else ONE_POSITION
            yield self._unstacked(self.members, common._replace(reason=reason), 0)
            return
        whole = max((len(group) for group in separation.groups), default=0) == slots.max() + 1
        found = stacks(separation, of, positions, self.order, self.keys, self.tolerance)
        for number, stack in enumerate(found):
            lacking = 0
            if repeated or THICKNESS not in separation.traits:  # thick slices leave out the places of thin ones
                own = slots[stack.members.reshape(-1, stack.members.shape[-1])[0]]
                lacking = _lacking(own, slots, whole and repeated > 0)
            doubt = "" if not stack.doubtful else COUNTED if separation.counted else IN_DOUBT
            known = common._replace(reason=join_reasons(common.reason, doubt))
            stack = replace(stack, members=self.members[stack.members])
            for draft in self._stack(stack, direction, known, number):
                yield _incomplete(draft, lacking) if lacking else _irregular(draft) if stack.doubtful else draft
        verdict = common._replace(reason=join_reasons(common.reason, NOT_TOLD))
        for number, planes in enumerate(separation.second, start=len(found)):
            stack = Stack(self.members[planes[np.argsort(slots[planes])]])
            yield from map(_irregular, self._stack(stack, direction, verdict, number))
        for number, planes in enumerate(separation.untold, start=len(found) + len(separation.second)):
            yield self._unstacked(self.members[np.sort(planes)], verdict, number)

    def _stack(self, stack: Stack, direction: Floats, common: Verdict, number: int) -> Iterator[Draft]:
        """Make layouts of planes whose positions are unique and in order; the first step's stand for all."""
        ordered = stack.members.reshape(-1, stack.members.shape[-1])[0]
        positions = self.planes.position[ordered]
        if len(ordered) == 1:
            yield self._draft(stack, direction, common._replace(missing_positions=0), (number, 0))
            return
        gaps = np.diff(geometry.distances(positions, direction))
        uniform = geometry.is_uniform(positions, direction, self.tolerance)
        step = geometry.mean_step(positions)
        common = common._replace(
            uniform_spacing=uniform,
            spacing=float(gaps.mean()) if uniform else geometry.typical_gap(gaps),
            largest_gap=float(gaps.max()),
            missing_positions=0 if uniform else geometry.missing_positions(gaps, self.tolerance),
            tilt_degrees=geometry.tilt(direction, step),
        )
        if uniform:
            yield self._draft(stack, direction, common, (number, 0))
            return
        common = common._replace(
            reason=join_reasons(
                common.reason, _irregularity(geometry.is_evenly_spaced(positions, direction, self.tolerance), common)
            ),
        )
        if self.irregular in ("keep", "refuse"):
            common = common._replace(policy=self.irregular)
            refused = common.reason if self.irregular == "refuse" else ""
            yield self._layout(stack, None, common, (number, 0), refused)
            return
        common = common._replace(policy="split")
        for run, (start, stop) in enumerate(geometry.runs(positions, direction, self.tolerance)):
            yield self._draft(replace(stack, members=stack.members[..., start:stop]), direction, common, (number, run))

    def _draft(self, stack: Stack, direction: Floats, verdict: Verdict, order: tuple[int, int]) -> Draft:
        """One even line of planes, or a single one, with its affine."""
        ordered = stack.members.reshape(-1, stack.members.shape[-1])[0]
        positions = self.planes.position[ordered]
        if len(ordered) > 1:
            step = geometry.mean_step(positions)
            reason = TILTED if geometry.is_tilted(direction, positions) else ""
            verdict = verdict._replace(
                spacing=float(step @ direction),
                tilt_degrees=geometry.tilt(direction, step),
            )
        else:
            thickness = self._plane(ordered[0]).thickness
            thick = thickness is not None and 0 < thickness < geometry.COORDINATE_LIMIT
            step = direction * (thickness if thickness is not None and thick else 1.0)
            reason = THICKNESS_STEP if thick else ASSUMED_STEP
            verdict = verdict._replace(spacing=None, tilt_degrees=None)
        spacing = self.planes.spacing[ordered[0]]
        matrix = geometry.affine(self._orientation(stack.members.ravel()), positions[0], spacing, step)
        if self._plane(ordered[0]).of_volume:
            matrix = None
            verdict = verdict._replace(reason=join_reasons(verdict.reason, VOLUME_SPACE))
            return self._layout(stack, matrix, verdict, order)
        verdict = verdict._replace(
            regular_volume=matrix is not None and len(ordered) > 1,
            reason=join_reasons(verdict.reason, reason if matrix is not None else NO_SPACING),
        )
        return self._layout(stack, matrix, verdict, order)

    def _layout(
        self, stack: Stack, matrix: Floats | None, verdict: Verdict, order: tuple[int, int], refused: str = ""
    ) -> Draft:
        instances = self.planes.instance[stack.members]
        frames = self.planes.frame[stack.members]
        indices = np.ndindex(stack.members.shape)
        placement = tuple(
            Place(instance, frame, index)
            for instance, frame, index in zip(instances.ravel().tolist(), frames.ravel().tolist(), indices, strict=True)
        )
        affine: Affine | None = None if matrix is None else tuple(map(tuple, matrix.tolist()))
        axes = (*(steps.axis for steps in stack.coordinates), "slice")
        layout = array_of(self._pixels(), axes, stack.members.shape, placement, verdict)
        layout = layout._replace(affine=affine, refused=refused, coordinates=stack.coordinates)
        return Draft((*self._first(), *order), layout)

    def _unstacked(self, members: Integers, verdict: Verdict, number: int) -> Draft:
        """Frames in their order in the files, without an affine."""
        placement = tuple(
            Place(int(self.planes.instance[member]), int(self.planes.frame[member]), (index,))
            for index, member in enumerate(members)
        )
        layout = array_of(self._pixels(), ("frame",), (len(placement),), placement, verdict)
        return Draft((*self._first(), number, 0), layout)

    def _first(self) -> tuple[int, int]:
        """Rank of the group's first file, and its frame there."""
        first = self.members[0]
        return int(self.planes.rank[self.planes.instance[first]]), int(self.planes.frame[first])

    def _plane(self, member: int) -> Plane:
        instance = self.scan.instances[int(self.planes.instance[member])]
        return instance.plane(int(self.planes.frame[member]))

    def _orientation(self, members: Integers) -> Floats:
        """Direction cosines of planes that differ by rounding at most: their mean."""
        cosines = self.planes.orientation[members]
        return np.asarray(cosines[0] if (cosines == cosines[0]).all() else cosines.mean(axis=0), dtype=np.float64)

    def _scale(self) -> float | None:
        """Length (mm) of the order of a slice: the least thickness, else the least pixel spacing."""
        thickness = [self._plane(member).thickness or 0.0 for member in self.members]
        known = [one for one in thickness if 0 < one < geometry.COORDINATE_LIMIT]
        spacing = self.planes.spacing[self.members]
        return min(known) if known else None if np.isnan(spacing).all() else float(np.nanmin(spacing))

    def _pixels(self) -> Pixels:
        return image(self.scan.instances[self.planes.instance[self.members[0]]]) or Pixels()

    def _is_result(self) -> bool:
        return self.scan.instances[self.planes.instance[self.members[0]]].sop_class in RESULT_CLASSES


def _consistent_size(scan: Scan) -> bool | None:
    """All images of the scan have one size; None without images."""
    sizes = {(pixels.rows, pixels.columns) for instance in scan.instances if (pixels := image(instance))}
    return len(sizes) == 1 if sizes else None


def _repetition(slots: Integers, separation: Separation) -> str:
    """How repeated positions were told apart, and whether that is in doubt."""
    told = REPEATED + " and ".join(trait or IN_ORDER for trait in separation.traits)
    counts = np.bincount(slots)
    return join_reasons(
        told if separation.groups and separation.traits else "", UNEQUAL if counts.min() != counts.max() else ""
    )


def _lacking(own: Integers, slots: Integers, whole: bool) -> int:
    """How many of the series' positions a stack lacks: of all where another stack is whole, else between its ends.

    A stack of `OWN_STEP` planes or more with one step all through is thought to be made so.
    """
    inside = int(own[-1] - own[0]) + 1 - len(own)
    if len(own) >= OWN_STEP and inside and (np.diff(own) == own[1] - own[0]).all():
        return 0
    return int(slots.max()) + 1 - len(own) if whole else inside


def _irregular(draft: Draft) -> Draft:
    """A layout that is not called a regular volume."""
    verdict = draft.layout.verdict._replace(regular_volume=False)
    return draft._replace(layout=draft.layout._replace(verdict=verdict))


def _incomplete(draft: Draft, lacking: int) -> Draft:
    """A layout that lacks positions which other volumes of the series have."""
    verdict = draft.layout.verdict
    verdict = verdict._replace(missing_positions=lacking, reason=join_reasons(verdict.reason, INCOMPLETE))
    return _irregular(draft._replace(layout=draft.layout._replace(verdict=verdict)))


def _irregularity(evenly_spaced: bool, verdict: Verdict) -> str:
    """Why an ordered stack is not one even line."""
    if evenly_spaced:
        return OFF_LINE
    return join_reasons(UNEVEN, MISSING if verdict.missing_positions else "")
