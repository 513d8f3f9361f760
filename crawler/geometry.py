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

ORIENTATION_TOLERANCE = 1e-4
"""Largest difference of a cosine between planes of one stack. Scanners print six digits (1e-6; highdicom compares at
1e-5); 1e-4 moves the far edge of a 500 mm field by 0.05 mm, half of `LINE_TOLERANCE`."""

PIXEL_SPACING_TOLERANCE = 1e-4
"""Largest relative difference of pixel spacing in one stack: the same 0.05 mm in 500 mm."""

POSITION_TOLERANCE = 5e-3
"""Planes closer than this along the normal (mm) are at one position. A coordinate that is printed with two decimals is
off by up to 0.005 mm; repeated acquisitions of one slice differ by some 1e-5 mm (imagedata issue on jitter); the finest
micro-CT steps are about 0.01 mm."""

SPACING_RELATIVE = 1e-2
"""A gap may differ from the mean gap by this share: highdicom `_DEFAULT_SPACING_RELATIVE_TOLERANCE`, IDC
relativeSliceTolerance."""

SPACING_ABSOLUTE = 1e-2
"""... or by this much (mm), but by no more than `SHARE` of the mean gap: two coordinates printed with two decimals.
dcm2niix accepts 0.2 mm (kSliceTolerance), too much for thin slices."""

LINE_TOLERANCE = 1e-1
"""A plane may lie this far (mm) from its place on the straight, even line from first to last, but no more than `SHARE`
of the mean gap: inPlaneTolerance of the IDC query. Gaps alone do not tell: 500 gaps of 0.99 mm and then 500 of
1.01 mm pass one by one, and displace the middle by 5 mm."""

SHARE = 0.1
"""Cap of the two tolerances in mm, as a share of the spacing, so that they hold for small animals too."""

COORDINATE_LIMIT = 1e6
"""Coordinates and spacings beyond a kilometre are damage, and would overflow sums of squares."""

_LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


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


def slots(along: Floats) -> Integers:
    """Number the distinct positions in increasing order.

    Parameters
    ----------
    along
        Shape (n,), mm, in any order.

    Returns
    -------
    ndarray
        Shape (n,): which position each belongs to, from 0. Neighbours within `POSITION_TOLERANCE` share one.
    """
    order = np.argsort(along, kind="stable")
    numbers = np.empty(len(along), dtype=np.intp)
    numbers[order] = np.concatenate([[0], np.cumsum(np.diff(along[order]) > POSITION_TOLERANCE)])
    return numbers


def mean_step(positions: Floats) -> Floats:
    """Vector (mm) from one plane to the next: first to last of (n, 3) positions, n > 1, by n - 1.

    The ends fix it, so that the rounding of single coordinates does not add up (as 3D Slicer and IDC do).
    """
    return np.asarray((positions[-1] - positions[0]) / (len(positions) - 1), dtype=np.float64)


def gap_tolerance(spacing: float) -> float:
    """Allowed deviation (mm) of a gap from a spacing (mm)."""
    return max(SPACING_RELATIVE * spacing, min(SPACING_ABSOLUTE, SHARE * spacing))


def line_tolerance(spacing: float) -> float:
    """Allowed distance (mm) of a plane from its place on the line."""
    return min(LINE_TOLERANCE, SHARE * spacing)


def line_deviations(positions: Floats) -> Floats:
    """Distance (mm) of each of (n, 3) ordered positions from its place on the even line from first to last."""
    places = positions[0] + np.arange(len(positions))[:, None] * mean_step(positions)
    return np.asarray(np.linalg.norm(positions - places, axis=1), dtype=np.float64)


def is_uniform(positions: Floats, direction: Floats) -> bool:
    """Tell whether ordered positions are one even line: `SPACING_RELATIVE` or `_ABSOLUTE`, and `LINE_TOLERANCE`.

    Parameters
    ----------
    positions
        Shape (n, 3), n > 1, mm, in order along `direction`, no two at one distance.
    direction
        The slice normal. The line need not be parallel to it: a tilted stack is uniform.
    """
    gaps = np.diff(distances(positions, direction))
    spacing = float(gaps.mean())
    even = np.abs(gaps - spacing).max() <= gap_tolerance(spacing)
    return bool(even and line_deviations(positions).max() <= line_tolerance(spacing))


def typical_gap(gaps: Floats) -> float:
    """Lower median (mm) of gaps: one that exists, whatever the outliers."""
    return float(np.partition(gaps, (len(gaps) - 1) // 2)[(len(gaps) - 1) // 2])


def missing_positions(gaps: Floats) -> int:
    """Count the positions that are absent from gaps that are whole multiples of the typical one."""
    spacing = typical_gap(gaps)
    multiples = np.rint(gaps / spacing)
    whole = np.abs(gaps - multiples * spacing) <= gap_tolerance(spacing) * multiples
    return int((multiples - 1)[whole & (multiples > 1)].sum())


def runs(positions: Floats, direction: Floats) -> list[tuple[int, int]]:
    """Cut an uneven stack into runs that are each uniform.

    Of two runs that could claim a plane, the longer has it, then the denser.

    Parameters
    ----------
    positions, direction
        As in `is_uniform`.

    Returns
    -------
    list of (start, stop)
        In order; every plane is in one of them. A run may be a single plane.
    """
    steps = np.diff(positions, axis=0)
    gaps = distances(steps, direction)
    # Each of two gaps may be off by its tolerance, so that they differ by twice as much; is_uniform has the last word.
    smaller = np.minimum(gaps[1:], gaps[:-1])
    along = np.maximum(SPACING_RELATIVE * smaller, np.minimum(SPACING_ABSOLUTE, SHARE * smaller))
    aside = np.minimum(LINE_TOLERANCE, SHARE * smaller)
    turns = (np.abs(np.diff(gaps)) > 2 * along) | (np.linalg.norm(np.diff(steps, axis=0), axis=1) > 4 * aside)
    edges = np.concatenate([[0], np.flatnonzero(turns) + 1, [len(steps)]]).tolist()
    # A block of steps first..last-1 spans the planes first..last, and shares the ends with its neighbours.
    blocks = sorted(pairwise(edges), key=lambda block: (block[0] - block[1], gaps[block[0]], block[0]))
    free = np.ones(len(positions), dtype=np.bool_)
    found: list[tuple[int, int]] = []
    for first, last in blocks:
        start, stop = first + int(not free[first]), last + int(free[last])
        if stop - start > 1:
            free[start:stop] = False
            found.extend(_uniform_parts(positions, direction, start, stop))
    found.extend((alone, alone + 1) for alone in np.flatnonzero(free).tolist())
    return sorted(found)


def _uniform_parts(positions: Floats, direction: Floats, start: int, stop: int) -> list[tuple[int, int]]:
    """Cut start..stop where it is farthest from a line until every part is uniform (slow drifts have no sharp turn)."""
    pending, parts = [(start, stop)], []
    while pending:
        start, stop = pending.pop()
        part = positions[start:stop]
        if stop - start < 3 or is_uniform(part, direction):
            parts.append((start, stop))
        else:
            cut = start + min(max(int(line_deviations(part).argmax()), 1), stop - start - 1)
            pending += [(start, cut), (cut, stop)]
    return parts


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
