"""Where the voxels of an array lie in the patient: an origin and one step vector for each of slice, row and column.

Kept by the names of axes, so that the order of the axes does not matter. Patient LPS, mm (PS3.3 C.7.6.2.1.1). What does
not lie on an even grid is answered by None, never by something near it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from crawler.geometry import LINE_TOLERANCE
from crawler.series.axis import SPATIAL

NOT_PLACED = "Positions are array indices: the array had no place in a patient."
"""(0020,4000) *Image Comments* of what is written without one; a DICOM image has to have positions."""
Floats = npt.NDArray[np.float64]

FLIP_ZYX = np.fliplr(np.eye(3))


@dataclass(frozen=True, eq=False, slots=True)
class Grid:
    """Positions of voxels.

    Attributes
    ----------
    origin
        Shape (3,): centre of the voxel at index 0 of every axis, also of those that an index has taken away.
    vectors
        Axis name -> shape (3,): way from a voxel to the next.
    frame_of_reference
        (0020,0052) *Frame of Reference UID*; empty where none is known, or it is not one for all.
    assumed
        Names of axes whose vector is a thickness, or a guess of 1 mm, because there is a single step.
    placed
        False for an array that was made of numbers: its "positions" are its indices, and no claim about a patient.
    """

    origin: Floats
    vectors: Mapping[str, Floats]
    frame_of_reference: str = ""
    assumed: frozenset[str] = frozenset()
    placed: bool = True

    @classmethod
    def of(
        cls, matrix: npt.ArrayLike, frame_of_reference: str = "", assumed: frozenset[str] = frozenset()
    ) -> Grid | None:
        """From a 4 x 4 matrix (slice, row, column) -> LPS; None where it cannot be inverted."""
        values = np.asarray(matrix, dtype=np.float64)
        if values.shape != (4, 4) or not np.isfinite(values).all() or abs(np.linalg.det(values[:3, :3])) < 1e-12:
            return None
        vectors = {name: values[:3, number].copy() for number, name in enumerate(SPATIAL)}
        return cls(values[:3, 3].copy(), vectors, frame_of_reference, assumed)

    @classmethod
    def of_indices(cls) -> Grid:
        """Of an array without a place: x, y and z are the indices of column, row and slice."""
        vectors = {name: np.eye(3)[2 - number] for number, name in enumerate(SPATIAL)}
        return cls(np.zeros(3), vectors, placed=False)

    @property
    def matrix(self) -> Floats:
        """Shape (4, 4): (slice, row, column) -> LPS, mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.stack([self.vectors[name] for name in SPATIAL], axis=1)
        matrix[:3, 3] = self.origin
        return matrix

    @property
    def spacing(self) -> Floats:
        """Shape (3,): distance between neighbours along slice, row, column, mm."""
        return np.array([float(np.linalg.norm(self.vectors[name])) for name in SPATIAL])

    @property
    def normal(self) -> Floats:
        """Unit vector across row and column (column index direction x row index direction)."""
        cross = np.cross(self.vectors["column"], self.vectors["row"])
        return np.asarray(cross / np.linalg.norm(cross), dtype=np.float64)

    @property
    def orientation(self) -> Floats:
        """(0020,0037) *Image Orientation (Patient)*: directions of increasing column, then of increasing row index."""
        along = [self.vectors[name] / np.linalg.norm(self.vectors[name]) for name in ("column", "row")]
        return np.concatenate(along)

    def position(self, **index: float) -> Floats:
        """LPS of the voxel at an index by axis name; 0 where not given."""
        place = self.origin.copy()
        for name, number in index.items():
            place += number * self.vectors[name]
        return place

    def taken(self, name: str, steps: npt.NDArray[np.intp]) -> Grid | None:
        """The grid after an axis was indexed.

        Parameters
        ----------
        steps
            The steps that are left, in their new order.
        """
        if name not in self.vectors or len(steps) == 0:
            return self
        vector, assumed = self.vectors[name], self.assumed
        if len(steps) > 1:
            gaps = np.diff(steps)
            if gaps[0] == 0 or (gaps != gaps[0]).any():
                return None
            vector, assumed = gaps[0] * vector, assumed - {name}
        return replace(
            self,
            origin=self.origin + int(steps[0]) * self.vectors[name],
            vectors={**self.vectors, name: vector},
            assumed=assumed,
        )

    def moved(self, name: str, steps: float) -> Grid:
        """The grid with its origin moved along an axis."""
        return replace(self, origin=self.origin + steps * self.vectors[name])

    def with_vector(self, name: str, vector: Floats) -> Grid:
        """The grid with another step along an axis."""
        return replace(self, vectors={**self.vectors, name: vector}, assumed=self.assumed - {name})

    def differs(self, other: Grid, shape: Mapping[str, int]) -> float:
        """Largest distance (mm) between corresponding corners of two grids, of as many voxels as `shape` says."""
        worst = 0.0
        for corner in range(8):
            index = {name: (shape.get(name, 1) - 1) * (corner >> number & 1) for number, name in enumerate(SPATIAL)}
            worst = max(worst, float(np.linalg.norm(self.position(**index) - other.position(**index))))
        return worst

    def agrees(self, other: Grid, shape: Mapping[str, int]) -> bool:
        """Whether voxels lie at the same places, within a tenth of a voxel and 0.1 mm."""
        limit = min(LINE_TOLERANCE, 0.1 * float(min(self.spacing.min(), other.spacing.min())))
        return self.differs(other, shape) <= limit

    def indices_of(self, points: npt.ArrayLike) -> Floats:
        """Indices (slice, row, column), not rounded, of points in LPS, shape (..., 3)."""
        inverse = np.linalg.inv(self.matrix)
        return np.asarray(np.asarray(points, dtype=np.float64) @ inverse[:3, :3].T + inverse[:3, 3], dtype=np.float64)


def joined_reference(grids: Sequence[Grid]) -> str:
    """The frame of reference that grids share; empty where they do not."""
    known = {grid.frame_of_reference for grid in grids}
    return known.pop() if len(known) == 1 else ""


def zyx(matrix: npt.ArrayLike) -> Floats:
    """A matrix (slice, row, column) -> (x, y, z) as one -> (z, y, x), which seeds/002 uses; and back."""
    turned = np.array(matrix, dtype=np.float64)
    turned[:3] = FLIP_ZYX @ turned[:3]
    return turned
