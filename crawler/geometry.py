"""Planes in patient space: normal, order, spacing, affine. Pure numpy, LPS, mm.

Knows nothing of files or instances, and decides no policy: `layout/layouts.py` decides what becomes of an uneven stack.
Coordinates follow PS3.3 C.7.6.2.1.1. An orientation that is none is answered by None or False, never by an exception.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]
Booleans = npt.NDArray[np.bool_]

UNIT_TOLERANCE = 1e-2
"""How far direction cosines may be from unit length, and their dot product from zero: orientationTolerance of the IDC
query behind idc-index `volume_geometry_index`. Cosines that are printed with two or three decimals pass."""

SHARE = 0.1
"""How far a plane may lie from its even place, as a share of the spacing: `volume.tolerance`. A missing plane moves its
neighbours by half a spacing, so that a tenth cannot hide one. highdicom and the IDC query allow a gap 1 %, which
positions printed to 0.1 mm do not keep; dcm2niix allows 0.2 mm. The other tolerances grow and shrink with it."""

LINE_TOLERANCE = 1e-1
"""... but no farther than this (mm), for thick slices: inPlaneTolerance of the IDC query behind idc-index."""

POSITION_TOLERANCE = 5e-2
"""Planes that are nearer to each other along the normal (mm) are at one position, if that is less than `SHARE` of the
slice thickness, or without one of the pixel spacing: repeated acquisitions of one slice differ by some 1e-5 mm
(imagedata issue on jitter), and by 0.01 mm where they were printed with two decimals."""

UNSCALED_POSITION_TOLERANCE = 5e-3
"""The same (mm) where neither thickness nor pixel spacing is known: a coordinate printed with two decimals."""

PRINTED = 0.4
"""Coordinates that all end at the first, second or third decimal were rounded. Each may then be off by a unit of that
decimal, against a line whose ends were rounded too, but a plane by no more than this share of the spacing."""

ORIENTATION_TOLERANCE = 2e-3
"""Largest difference of a cosine between planes of one stack, 0.1 degrees: cosines printed with three decimals differ
by 1e-3. Planes that are meant to be turned differ by a degree or more."""

PIXEL_SPACING_TOLERANCE = 1e-3
"""Largest relative difference of pixel spacing in one stack: half a pixel at the far edge of 512."""

COORDINATE_LIMIT = 1e6
"""Coordinates and spacings beyond a kilometre are damage, and would overflow sums of squares."""

_LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


PRINTED_EXACTLY = 1e-9
"""mm: what is left of a decimal number after the arithmetic of floats."""

FINEST = 1e-5
"""mm: no stack has a step as fine as this, and repeated positions differ by as much."""


def finite(values: Floats) -> Booleans:
    """Tell which rows of an (n, m) array hold plausible numbers only: finite, below `COORDINATE_LIMIT`."""
    with np.errstate(invalid="ignore"):
        return np.asarray((np.abs(values) < COORDINATE_LIMIT).all(axis=-1), dtype=np.bool_)


def valid_orientations(orientations: Floats) -> Booleans:
    """Tell which orientations are two orthogonal unit vectors, within `UNIT_TOLERANCE`.

    Parameters
    ----------
    orientations
        Shape (n, 6), direction cosines as in (0020,0037) *Image Orientation (Patient)*; NaN where absent.

    Returns
    -------
    ndarray
        Shape (n,).
    """
    usable = finite(orientations)
    along, down = np.where(usable[:, None], orientations, 0.0).reshape(-1, 2, 3).transpose(1, 0, 2)
    unit = [np.abs(np.linalg.norm(vectors, axis=1) - 1.0) <= UNIT_TOLERANCE for vectors in (along, down)]
    orthogonal = np.abs(np.einsum("ij,ij->i", along, down)) <= UNIT_TOLERANCE
    return np.asarray(usable & unit[0] & unit[1] & orthogonal, dtype=np.bool_)


def normal(orientation: Sequence[float] | Floats | None) -> Floats | None:
    """Slice normal: unit vector, row x column direction cosines.

    Returns
    -------
    ndarray or None
        Shape (3,); None for anything but a valid orientation.
    """
    if orientation is None or len(orientation) != 6:
        return None
    cosines = np.asarray(orientation, dtype=np.float64)
    if not valid_orientations(cosines[None])[0]:
        return None
    cross = np.cross(cosines[:3], cosines[3:])
    return np.asarray(cross / np.linalg.norm(cross), dtype=np.float64)


def distances(positions: Floats, direction: Floats) -> Floats:
    """Distance (mm) from the origin of patient space of each of (n, 3) positions along a unit vector."""
    return np.asarray(positions @ direction, dtype=np.float64)


def slots(along: Floats, scale: float | None = None, share: float = SHARE) -> Integers:
    """Number the distinct positions in increasing order.

    Parameters
    ----------
    along
        Shape (n,), mm, in any order.
    scale
        Thickness of the slices, or another length (mm) of their order; None when none is known.
    share
        `volume.tolerance`.

    Returns
    -------
    ndarray
        Shape (n,): which position each belongs to, from 0. Neighbours within the tolerance share one, unless they are
        so many that a whole stack would.
    """
    order = np.argsort(along, kind="stable")
    ordered, gaps = along[order], np.diff(along[order])
    limit = UNSCALED_POSITION_TOLERANCE if scale is None else min(POSITION_TOLERANCE, SHARE * scale)
    widest = tolerance = limit * share / SHARE
    while (part := np.concatenate([[0], np.cumsum(gaps > tolerance)]))[-1] < len(gaps):
        firsts = np.flatnonzero(np.diff(part, prepend=-1))
        extents = np.maximum.reduceat(ordered, firsts) - ordered[firsts]
        if extents.max() <= 2 * widest:
            break
        tolerance /= 2
        if tolerance < FINEST:
            part = np.concatenate([[0], np.cumsum(gaps > widest)])
            break
    numbers = np.empty(len(along), dtype=np.intp)
    numbers[order] = part
    return numbers


def mean_step(positions: Floats) -> Floats:
    """Vector (mm) from one plane to the next: first to last of (n, 3) positions, n > 1, by n - 1.

    The ends fix it, so that the rounding of single coordinates does not add up (as 3D Slicer and IDC do).
    """
    return np.asarray((positions[-1] - positions[0]) / (len(positions) - 1), dtype=np.float64)


def line_tolerance(spacing: float, share: float = SHARE) -> float:
    """Allowed distance (mm) of a plane from its place on the line."""
    return min(LINE_TOLERANCE * share / SHARE, share * spacing)


def printed_unit(positions: Floats) -> float:
    """Unit (mm) of the last decimal that (n, 3) positions have, of the first three; 0 where they have more."""
    for decimals in (1, 2, 3):
        if np.abs(positions - np.round(positions, decimals)).max() < PRINTED_EXACTLY:
            return float(10.0**-decimals)
    return 0.0


def line_deviations(positions: Floats) -> Floats:
    """Way (mm) from the place of each of (n, 3) ordered positions on the even line from first to last; shape (n, 3)."""
    places = positions[0] + np.arange(len(positions))[:, None] * mean_step(positions)
    return np.asarray(positions - places, dtype=np.float64)


def is_uniform(positions: Floats, direction: Floats, share: float = SHARE) -> bool:
    """Tell whether ordered positions are one even line, each within `line_tolerance` of its place or rounded there.

    Places count, and not gaps: 500 gaps of 0.99 mm and then 500 of 1.01 mm pass one by one, and displace the middle by
    5 mm; and two planes that are off by a hundredth each make gaps that are off by twice as much.

    Parameters
    ----------
    positions
        Shape (n, 3), n > 1, mm, in order along `direction`, no two at one distance.
    direction
        The slice normal. The line need not be parallel to it: a tilted stack is uniform.
    share
        `volume.tolerance`.
    """
    along = distances(positions, direction)
    spacing, deviations = float(along[-1] - along[0]) / (len(along) - 1), line_deviations(positions)
    lengths = np.linalg.norm(deviations, axis=1)
    rounded = np.abs(deviations).max(axis=1) <= printed_unit(positions) + PRINTED_EXACTLY
    placed = (lengths <= line_tolerance(spacing, share)) | (rounded & (lengths <= PRINTED * spacing))
    return bool(np.diff(along).min() > 0 and placed.all())


def is_evenly_spaced(positions: Floats, direction: Floats, share: float = SHARE) -> bool:
    """As `is_uniform`, for distances along the normal alone: planes may lie aside of the line."""
    return is_uniform(np.outer(distances(positions, direction), direction), direction, share)


def typical_gap(gaps: Floats) -> float:
    """Lower median (mm) of gaps: one that exists, whatever the outliers."""
    return float(np.partition(gaps, (len(gaps) - 1) // 2)[(len(gaps) - 1) // 2])


def missing_positions(gaps: Floats, share: float = SHARE) -> int:
    """Count the positions that are absent from gaps that are whole multiples of the typical one.

    None are, where fewer than half of the gaps are as the typical one: then nothing says what the step should be.
    """
    spacing = typical_gap(gaps)
    multiples = np.rint(gaps / spacing)
    whole = np.abs(gaps - multiples * spacing) <= 2 * line_tolerance(spacing, share)
    if 2 * np.count_nonzero(whole & (multiples == 1)) < len(gaps):
        return 0
    return int((multiples - 1)[whole & (multiples > 1)].sum())


def runs(positions: Floats, direction: Floats, share: float = SHARE) -> list[tuple[int, int]]:
    """Cut an uneven stack into runs that are each uniform.

    Of two runs that could claim a plane, the longer has it, then the denser.

    Parameters
    ----------
    positions, direction, share
        As in `is_uniform`.

    Returns
    -------
    list of (start, stop)
        In order; every plane is in one of them. A run may be a single plane.
    """
    steps = np.diff(positions, axis=0)
    gaps = distances(steps, direction)
    # Each of two planes may be off by its tolerance, so that two gaps differ by up to four of them; is_uniform has the
    # last word.
    smaller = np.minimum(gaps[1:], gaps[:-1])
    allowed = np.minimum(LINE_TOLERANCE * share / SHARE, share * smaller)
    turns = np.linalg.norm(np.diff(steps, axis=0), axis=1) > 4 * allowed
    edges = np.concatenate([[0], np.flatnonzero(turns) + 1, [len(steps)]]).tolist()
    # A block of steps first..last-1 spans the planes first..last, and shares the ends with its neighbours.
    blocks = sorted(pairwise(edges), key=lambda block: (block[0] - block[1], gaps[block[0]], block[0]))
    free = np.ones(len(positions), dtype=np.bool_)
    found: list[tuple[int, int]] = []
    for first, last in blocks:
        start, stop = first + int(not free[first]), last + int(free[last])
        if stop - start > 1:
            free[start:stop] = False
            found.extend(_uniform_parts(positions, direction, start, stop, share))
    found.extend((alone, alone + 1) for alone in np.flatnonzero(free).tolist())
    return sorted(found)


def _uniform_parts(positions: Floats, direction: Floats, start: int, stop: int, share: float) -> list[tuple[int, int]]:
    """Cut start..stop where it is farthest from a line until every part is uniform (slow drifts have no sharp turn)."""
    pending, parts = [(start, stop)], []
    while pending:
        start, stop = pending.pop()
        part = positions[start:stop]
        if stop - start < 3 or is_uniform(part, direction, share):
            parts.append((start, stop))
        else:
            cut = start + min(max(int(np.linalg.norm(line_deviations(part), axis=1).argmax()), 1), stop - start - 1)
            pending += [(start, cut), (cut, stop)]
    joined: list[tuple[int, int]] = []
    for first, last in sorted(parts):  # a cut may fall beside the gap
        if joined and last - joined[-1][0] > 2 and is_uniform(positions[joined[-1][0] : last], direction, share):
            first, _ = joined.pop()
        joined.append((first, last))
    return joined


def affine(
    orientation: Sequence[float] | Floats,
    position: Sequence[float] | Floats,
    spacing: Sequence[float] | Floats,
    step: Sequence[float] | Floats,
) -> Floats | None:
    """Matrix from array index to patient space: ``affine @ (slice, row, column, 1) = (x, y, z, 1)``, LPS mm.

    PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1, with the columns in array order.

    Parameters
    ----------
    orientation
        Six direction cosines: of increasing column index, then of increasing row index.
    position
        Centre of the first pixel of the first slice, mm.
    spacing
        Between rows, between columns, mm; as in (0028,0030) *Pixel Spacing*.
    step
        From a slice to the next, mm. Not along the normal in a tilted stack: the matrix is then sheared.

    Returns
    -------
    ndarray or None
        Shape (4, 4); None when the arguments do not make an invertible matrix.
    """
    numbers = np.concatenate([np.asarray(values, dtype=np.float64) for values in (position, spacing, step)])
    direction = normal(orientation)
    if direction is None or len(numbers) != 8 or not finite(numbers) or min(numbers[3:5]) <= 0:
        return None
    if abs(float(numbers[5:] @ direction)) == 0.0:
        return None
    cosines = np.asarray(orientation, dtype=np.float64)
    matrix = np.eye(4)
    matrix[:3, 0] = step
    matrix[:3, 1] = cosines[3:] * numbers[3]
    matrix[:3, 2] = cosines[:3] * numbers[4]
    matrix[:3, 3] = numbers[:3]
    return matrix + 0.0  # -0.0 becomes 0.0


def lps_to_ras(matrix: Floats) -> Floats:
    """Turn an index-to-LPS affine into index-to-RAS (NIfTI): x and y change sign."""
    return np.asarray(_LPS_RAS @ matrix, dtype=np.float64)


def ras_to_lps(matrix: Floats) -> Floats:
    """Turn an index-to-RAS affine into index-to-LPS; the inverse of `lps_to_ras`."""
    return np.asarray(_LPS_RAS @ matrix, dtype=np.float64)


def obliquity(direction: Floats) -> float:
    """Angle (degrees) between a unit normal and the nearest patient axis; 0 for axial, sagittal, coronal."""
    axis = np.zeros(3)
    axis[np.abs(direction).argmax()] = 1.0
    return _angle(direction, axis)


def tilt(direction: Floats, step: Floats) -> float:
    """Angle (degrees) between the slice normal and the line of positions, as a tilted gantry makes it."""
    return _angle(direction, step)


def is_tilted(direction: Floats, positions: Floats) -> bool:
    """Tell whether the line of (n, 3) positions leaves the normal by more than `LINE_TOLERANCE` over the stack.

    A displacement, not an angle: cosines that are printed with three digits tilt any stack by some 0.03 degrees.
    """
    whole = positions[-1] - positions[0]
    return bool(np.linalg.norm(whole - (whole @ direction) * direction) > LINE_TOLERANCE)


def _angle(first: Floats, second: Floats) -> float:
    """Angle between two undirected lines, degrees, exact near 0 (an arc cosine is not)."""
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(first, second)), abs(float(first @ second)))))
