"""Diffusion gradients as FSL has them: ``.bval`` and ``.bvec``, which accompany a NIfTI image.

It turns what a layout says of its axis "b" into two texts; where they come from is the layout's business, and no
direction is made up: without a true affine there is no ``.bvec``.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from crawler.geometry import Floats
from crawler.model import Coordinates, Layout, Vector
from crawler.sinks.provenance import is_number

DIGITS = 8
"""Significant digits of a component: those of a float32, in which makers keep directions; FSL reads any number."""


def bval(layout: Layout) -> str | None:
    """The diffusion weighting of every volume, in s/mm2, in the order in which NIfTI holds them.

    Returns
    -------
    str or None
        One line, a number a volume; None when the layout has no axis "b", or not every b-value is known.
    """
    weights = _axis(layout)
    if weights is None:
        return None
    return _line(weights.values[step] for step in _steps(layout))


def bvec(layout: Layout) -> str | None:
    """The direction of every volume's gradient, in the order in which NIfTI holds them.

    Returns
    -------
    str or None
        Three lines, x, y and z, a number a volume; 0 0 0 where there is no direction (b = 0, or an average over
        directions). None without affine or without any direction.
    """
    weights = _axis(layout)
    if weights is None or layout.affine is None or not any(weights.directions):
        return None
    vectors = to_fsl(np.asarray(layout.affine, dtype=np.float64), weights.directions)
    return "".join(_line(component) for component in vectors[_steps(layout)].T)


def to_fsl(affine: Floats, directions: tuple[Vector | None, ...]) -> Floats:
    """Turn directions from patient space into FSL's frame of an image.

    That frame has the axes of the image, column, row and slice; where they are right-handed in patient space (the
    determinant of the matrix of NIfTI is positive) the first is reversed, for FSL thinks of images in radiological
    order (FSL wiki, FAQ of FDT, on the conventions of bvecs). Lengths stay as they are. A tilted gantry does not
    tilt the frame: its third axis is the slice normal.

    Parameters
    ----------
    affine
        Shape (4, 4), index (slice, row, column) to LPS. RAS differs from it in two signs, and has the same determinant.
    directions
        In patient LPS, None for no direction.

    Returns
    -------
    ndarray
        Shape (n, 3); zeros for no direction.
    """
    step, down, along = affine[:3, :3].T
    column = along / np.linalg.norm(along)
    # Cosines of few digits are not quite orthogonal; a frame that is not would change lengths.
    row = down - (down @ column) * column
    row /= np.linalg.norm(row)
    normal = np.cross(column, row)
    right_handed = bool(step @ normal > 0)
    frame = np.array([-column, row, normal]) if right_handed else np.array([column, row, -normal])
    given = np.array([direction or (0.0, 0.0, 0.0) for direction in directions], dtype=np.float64)
    return np.asarray(given.reshape(-1, 3) @ frame.T, dtype=np.float64)


def _axis(layout: Layout) -> Coordinates | None:
    """Coordinates of the axis "b" when each of them is a number."""
    found = next((one for one in layout.coordinates if one.axis == "b"), None)
    return found if found is not None and all(map(is_number, found.values)) else None


def _steps(layout: Layout) -> list[int]:
    """The step along "b" of each volume of the file: the last axis before the slices counts fastest."""
    axes = [axis for axis in layout.axes[: layout.axes.index("row")] if axis != "slice"]
    counts = [range(layout.shape[layout.axes.index(axis)]) for axis in axes]
    return [steps[axes.index("b")] for steps in product(*counts)]


def _line(numbers: Any) -> str:
    return " ".join(f"{round(float(number), DIGITS) + 0.0:.{DIGITS}g}" for number in numbers) + "\n"
